//! The engine of a simulation: answers by what its snapshot says, so that anybody who reads the selected line knows the answer. Slow,
//! failing, wrong, not there.
//!
//! A pure function of its arguments, but for two things that a replay takes from the record: timeouts and absence, which the
//! simulated world decides.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::marks::{Mark, Marks};
use crate::config;
use crate::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use crate::model::snapshot::{Section, Snapshot};
use crate::plane::given_time::GivenTime;

/// What the price of a snapshot makes the engine do: price modulo this.
pub const BEHAVIOURS: i64 = 40;
/// It fails.
pub const FAILS: i64 = 0;
/// It answers for another symbol.
pub const WRONG: i64 = 1;
/// It answers with more than is allowed.
pub const TOO_LONG: i64 = 2;
/// It refuses its state (in hysteresis mode).
pub const REFUSES_STATE: i64 = 3;
/// It does not answer in time, now and then.
pub const TIMES_OUT: i64 = 4;
/// It takes long.
pub const SLOW: i64 = 5;

/// What happens around the engine, shared with whoever simulates. A replay has one of its own, in which nothing happens.
#[derive(Clone, Debug, Default)]
pub struct Around {
    shared: Arc<Shared>,
    time: Option<GivenTime>,
}

#[derive(Debug, Default)]
struct Shared {
    is_down: AtomicBool,
    calls: AtomicU64,
    noted: Mutex<Noted>,
}

/// What engine hosts have seen.
#[derive(Debug, Default)]
struct Noted {
    marks: Marks,
    wrong: Option<String>,
}

impl Around {
    /// A world in which time passes while the engine works.
    #[must_use]
    pub fn with_time(time: GivenTime) -> Self {
        Self { shared: Arc::default(), time: Some(time) }
    }

    /// The engine dies, or comes back.
    pub fn set_down(&self, is_down: bool) {
        // Relaxed, here and below: all of this happens on one thread.
        self.shared.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Whether it is dead.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.shared.is_down.load(Ordering::Relaxed)
    }

    /// Whether time passes here, and engines may be slow.
    #[must_use]
    pub const fn has_time(&self) -> bool {
        self.time.is_some()
    }

    /// A host came to this.
    pub fn reach(&self, mark: Mark) {
        self.reach_if(mark, true);
    }

    /// A host came to this, if that is so.
    pub fn reach_if(&self, mark: Mark, reached: bool) {
        self.noted(|noted| noted.marks.set_if(mark, reached));
    }

    /// A host was asked what it must not be asked.
    pub fn wrong(&self, what: String) {
        self.noted(|noted| {
            noted.wrong.get_or_insert(what);
        });
    }

    /// What hosts came to so far.
    #[must_use]
    pub fn reached(&self) -> Marks {
        self.noted(|noted| noted.marks.clone())
    }

    /// The first thing that was wrong.
    #[must_use]
    pub fn first_wrong(&self) -> Option<String> {
        self.noted(|noted| noted.wrong.clone())
    }

    fn noted<T>(&self, with: impl FnOnce(&mut Noted) -> T) -> T {
        with(&mut self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    fn called(&self, behaviour: Option<i64>) -> Result<(), EngineFault> {
        let calls = self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let Some(time) = &self.time else { return Ok(()) };
        if self.is_down() {
            return Err(EngineFault::new(EngineFaultKind::EngineUnavailable, "the engine is down"));
        }
        match behaviour {
            Some(TIMES_OUT) if calls.is_multiple_of(2) => {
                time.pass(3_000_000);
                Err(EngineFault::new(EngineFaultKind::EngineTimeout, "no answer in 3 ms"))
            }
            Some(SLOW) => {
                time.pass(700_000 * (calls % 7));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct SimEngine {
    around: Around,
    output_max_bytes: usize,
    salt: u64,
}

impl SimEngine {
    /// An engine in this world, whose answers may have so many bytes, with what its configuration says.
    #[must_use]
    pub fn new(around: Around, output_max_bytes: usize, salt: u64) -> Self {
        Self { around, output_max_bytes, salt }
    }

    /// Its answer to a snapshot; `more` goes into the regime.
    fn answer(&self, snapshot: &Snapshot<'_>, more: &str, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        let price = snapshot.json(Section::Market, "price");
        let behaviour = behaviour_of(price);
        self.around.called(behaviour)?;
        let price = price.unwrap_or("missing");
        if behaviour == Some(FAILS) {
            return Err(EngineFault::new(EngineFaultKind::EngineFailure, format!("boom at {price}")));
        }
        // Symbols of a simulation need no escapes.
        let symbol = if behaviour == Some(WRONG) { "another" } else { snapshot.symbol };
        let vwap = snapshot.json(Section::Market, "vwap").unwrap_or("missing");
        let interest = snapshot.json(Section::Derivatives, "open_interest").unwrap_or("missing");
        let salted = salted(self.salt);
        let text = format!(
            r#"{{"symbol":"{symbol}","timestamp":{},"regime":"P{price}{salted}{more}","confidence":0.5,"drivers":["vwap={vwap}","oi={interest}"],"invalidations":[],"permissions":[]}}"#,
            snapshot.timestamp_ms
        );
        output.extend_from_slice(text.as_bytes());
        if behaviour == Some(TOO_LONG) {
            output.resize(self.output_max_bytes + 1, b' ');
        }
        Ok(())
    }
}

/// What the configuration of a simulation says to its engine.
#[must_use]
pub fn salt_of(engine: &config::Engine) -> u64 {
    let said: serde_json::Value = serde_json::from_str(&engine.hysteresis_json).unwrap_or_default();
    said["salt"].as_u64().unwrap_or(0)
}

/// What an engine with this salt adds to each regime.
#[must_use]
pub fn salted(salt: u64) -> String {
    if salt == 0 { String::new() } else { format!("~{salt}") }
}

/// Identity of an engine with this salt.
#[must_use]
pub fn digest_of(salt: u64) -> [u8; 32] {
    [0x51 + u8::try_from(salt).unwrap_or(u8::MAX - 0x51); 32]
}

/// What this price makes the engine do; `None` if it is no whole number.
#[must_use]
pub fn behaviour_of(price: Option<&str>) -> Option<i64> {
    price?.parse::<i64>().ok().map(|price| price.rem_euclid(BEHAVIOURS))
}

/// The state after another run with this price: how many there were, and a mix of all their prices in order.
#[must_use]
pub fn next_state(state: &[u8], price: &str) -> String {
    let text = str::from_utf8(state).unwrap_or_default();
    let (count, mix) = text.split_once(':').unwrap_or(("0", "0"));
    let count: u64 = count.parse().unwrap_or(0);
    let mut mix: u64 = mix.parse().unwrap_or(0);
    for byte in price.bytes() {
        mix = (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    }
    format!("{}:{mix}", count + 1)
}

impl Engine for SimEngine {
    fn digest(&self) -> [u8; 32] {
        digest_of(self.salt)
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        self.answer(snapshot, "", output)
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        let price = snapshot.json(Section::Market, "price");
        if behaviour_of(price) == Some(REFUSES_STATE) {
            self.around.called(None)?;
            return Err(EngineFault::new(EngineFaultKind::HysteresisStateFailure, "this state will not do"));
        }
        let next = next_state(state, price.unwrap_or("missing"));
        let mut selected = Vec::new();
        self.answer(snapshot, &format!("/{next}"), &mut selected)?;
        decision.extend_from_slice(br#"{"selected_output":"#);
        decision.extend_from_slice(&selected);
        decision.extend_from_slice(
            br#","effective_confidence":0.5,"transition":{"stable_regime":null,"candidate_regime":null,"candidate_count":0,"transition_active":false,"flipped":false,"reset_due_to_gap":false}}"#,
        );
        new_state.extend_from_slice(next.as_bytes());
        Ok(())
    }
}
