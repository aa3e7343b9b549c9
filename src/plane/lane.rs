//! A lane: a thread that polls its stages in order. The only loop in the data plane.
//!
//! It reads the clock once a cycle, calls every stage, accounts the cycle, beats, and idles by its strategy. A stage that is
//! done is dropped, which closes its links: so the end of the stream runs down the pipeline by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cutline_ring::idle::{Idle, Idler};
use cutline_shm::counters::Counter;
use cutline_shm::heartbeat::Heartbeat;

use super::clock::Clock;
use super::stage::{Progress, Stage};

/// Time between two housekeepings, ns.
const HOUSEKEEP_INTERVAL_NS: i64 = 10_000_000;
/// A cycle longer than this is a stall, ns.
const STALL_NS: i64 = 1_000_000;

/// Where a lane tells how it spends its time.
pub struct LaneCounters {
    /// Cycles in which some stage worked.
    pub busy: Counter,
    /// Cycles without work.
    pub idle: Counter,
    /// Cycles in which work was waiting for room.
    pub blocked: Counter,
    /// Longest cycle, ns.
    pub longest_ns: Counter,
    /// Cycles longer than a stall's threshold.
    pub stalls: Counter,
    /// Shows that the lane is alive.
    pub heartbeat: Heartbeat,
}

/// A lane ready to run.
pub struct Lane {
    /// Its stages, in the event's order.
    pub stages: Vec<Box<dyn Stage>>,
    /// The core to run on.
    pub core: Option<usize>,
    /// How it waits.
    pub idle: Idle,
    /// Where it tells.
    pub counters: LaneCounters,
}

impl Lane {
    /// Runs on the calling thread until every stage is done. Once `stop` is set the stages are asked to come to an end; once
    /// `abort` is set they are dropped where they stand.
    pub fn run(mut self, clock: &Clock, stop: &Arc<AtomicBool>, abort: &Arc<AtomicBool>) {
        if let Some(id) = self.core {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        let mut idler = Idler::new(self.idle);
        let (mut busy, mut idle, mut blocked, mut stalls) = (0_u64, 0_u64, 0_u64, 0_u64);
        let (mut longest_ns, mut housekept_ns, mut last_ns) = (0_i64, i64::MIN, clock.now_ns());
        let mut stopping = false;
        while !self.stages.is_empty() && !abort.load(Ordering::Relaxed) {
            // The clock may be slewed back by a hair between two reads; time handed to stages never goes back.
            let now_ns = clock.now_ns().max(last_ns);
            let cycle_ns = now_ns - last_ns;
            last_ns = now_ns;
            if !stopping && stop.load(Ordering::Acquire) {
                stopping = true;
                self.stages.iter_mut().for_each(|stage| stage.stop(now_ns));
            }
            let (mut worked, mut waits) = (false, false);
            for stage in &mut self.stages {
                match stage.poll(now_ns) {
                    Progress::Did(_) => worked = true,
                    Progress::Blocked(_) => waits = true,
                    Progress::Idle => {}
                }
            }
            if worked {
                busy += 1;
            } else if waits {
                blocked += 1;
            } else {
                idle += 1;
                self.stages.retain_mut(|stage| {
                    let done = stage.is_done();
                    if done {
                        stage.housekeep(now_ns);
                    }
                    !done
                });
            }
            // An idle wait before this cycle is no stall.
            if worked {
                longest_ns = longest_ns.max(cycle_ns);
                stalls += u64::from(cycle_ns > STALL_NS);
            }
            if now_ns >= housekept_ns.saturating_add(HOUSEKEEP_INTERVAL_NS) {
                housekept_ns = now_ns;
                self.stages.iter_mut().for_each(|stage| stage.housekeep(now_ns));
                self.counters.busy.set(busy);
                self.counters.idle.set(idle);
                self.counters.blocked.set(blocked);
                self.counters.stalls.set(stalls);
                self.counters.longest_ns.set(longest_ns.unsigned_abs());
                self.counters.heartbeat.beat(now_ns);
            }
            idler.idle(worked);
        }
    }
}
