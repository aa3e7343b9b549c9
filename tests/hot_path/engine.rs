//! An engine that allocates nothing, and one that does once what a lane must not.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cutline::invoke::engine::{Engine, EngineFault};
use cutline::model::snapshot::Snapshot;

use crate::tape::Told;

/// What an engine is to do at its next call.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mischief {
    /// Nothing that it must not.
    None,
    /// Allocates.
    Allocate,
    /// Touches memory for the first time.
    Touch,
    /// Makes a system call.
    Call,
    /// Uses as much of its stack as no call has before.
    Deepen,
}

/// Told by the test's thread, carried out once.
#[derive(Default)]
pub struct Order(AtomicU8);

impl Order {
    pub fn give(&self, mischief: Mischief) {
        self.0.store(mischief as u8, Ordering::Release);
    }

    /// Whether it has been carried out.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == Mischief::None as u8
    }
}

/// See the module.
pub struct Plain {
    told: Arc<Told>,
    order: Arc<Order>,
    /// Never written before it is to be touched: the kernel has given no page for it yet.
    untouched: Vec<u8>,
}

/// More than an allocator gives out of memory that was freed before.
const UNTOUCHED_BYTES: usize = 64 << 20;
/// Much more than a call of the pipeline's own needs.
const DEEP_BYTES: usize = 48 << 10;

impl Plain {
    pub fn new(told: Arc<Told>, order: Arc<Order>) -> Self {
        Self { told, order, untouched: vec![0; UNTOUCHED_BYTES] }
    }

    fn called(&mut self) {
        self.told.calls.fetch_add(1, Ordering::Relaxed);
        let order = self.order.0.load(Ordering::Acquire);
        if order == Mischief::None as u8 {
            return;
        }
        if order == Mischief::Allocate as u8 {
            drop(std::hint::black_box(Box::new(order)));
        } else if order == Mischief::Touch as u8 {
            self.untouched[UNTOUCHED_BYTES / 2] = std::hint::black_box(1);
        } else if order == Mischief::Deepen as u8 {
            deepen();
        } else {
            let _ = std::hint::black_box(rustix::process::getppid());
        }
        self.order.0.store(Mischief::None as u8, Ordering::Release);
    }
}

#[inline(never)]
fn deepen() {
    std::hint::black_box([0_u8; DEEP_BYTES]);
}

fn write_output(snapshot: &Snapshot<'_>, out: &mut Vec<u8>) {
    let (symbol, at) = (snapshot.symbol, snapshot.timestamp_ms);
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        r#"{{"symbol":"{symbol}","timestamp":{at},"regime":"CALM","confidence":0.5,"drivers":["d"],"invalidations":[],"permissions":["CALM"]}}"#
    );
}

impl Engine for Plain {
    fn digest(&self) -> [u8; 32] {
        [7; 32]
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        self.called();
        write_output(snapshot, output);
        Ok(())
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        self.called();
        decision.extend_from_slice(br#"{"selected_output":"#);
        write_output(snapshot, decision);
        decision.extend_from_slice(
            br#","effective_confidence":0.5,"transition":{"stable_regime":"CALM","candidate_regime":null,"candidate_count":0,"transition_active":false,"flipped":false,"reset_due_to_gap":false}}"#,
        );
        // A state's length comes and goes by half, as that of a text with numbers does. Before anything odd is sent it is the
        // shorter one.
        let is_long = self.told.is_odd.load(Ordering::Relaxed) && state.len() == SHORT_STATE_BYTES;
        new_state.resize(if is_long { SHORT_STATE_BYTES / 2 * 3 } else { SHORT_STATE_BYTES }, b' ');
        Ok(())
    }
}

const SHORT_STATE_BYTES: usize = 200;
