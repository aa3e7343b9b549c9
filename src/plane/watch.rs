//! What the cold path does while stages run: keeps the clock near real time, sets gauges, takes notices, and says why the pipeline
//! is not ready. A few times a second, from one thread.

use std::sync::{Arc, PoisonError};

use cutline_journal::{LogFault, Watermarks};
use cutline_shm::cnc::CncWriter;
use cutline_shm::counters::Counter;
use cutline_shm::status::State;

use super::backlog::Backlog;
use super::clock::Clock;
use super::counters as table;
use super::fault::PlaneFault;
use super::gate::PublishGate;
use super::levers::Levers;
use super::notice::Notice;
use super::readiness::{KeeperFault, Observed, Readiness};
use super::resume::LogPlace;

/// Where the inputs log may not go on.
struct Capacity {
    /// `log.capacity_bytes`.
    bytes: u64,
    /// Where the sequencer tells that it is held back for want of room.
    held_back: Counter,
}

/// See the module.
pub struct Watch {
    cnc: Arc<CncWriter>,
    clock: Clock,
    gate: PublishGate,
    readiness: Readiness,
    notices: Vec<rtrb::Consumer<Notice>>,
    backlogs: [Backlog; 3],
    capacity: Option<Capacity>,
    /// Latest time in the logs that were found, ns.
    found_ns: i64,
    clock_difference: Counter,
    publish_blocked: Counter,
    reason: String,
    stopping: bool,
}

impl Watch {
    /// Watches the logs at `place`, which are open, and whose latest time was `found_ns` where the clock has to come after it; notices
    /// come from `notices`.
    ///
    /// # Errors
    /// The cnc file is full, or a log's head is gone.
    pub fn new(
        place: &LogPlace<'_>,
        cnc: &Arc<CncWriter>,
        clock: Clock,
        gate: PublishGate,
        found_ns: Option<i64>,
        notices: Vec<rtrb::Consumer<Notice>>,
    ) -> Result<Self, PlaneFault> {
        let now_ns = clock.now_ns();
        let watch = |name| -> Result<Backlog, PlaneFault> {
            let watermarks = Watermarks::open(&place.files(name))?.ok_or_else(|| {
                let live = place.config.log.live_dir.display();
                PlaneFault::Io(format!("the {name} log's head is gone from {live}"))
            })?;
            Ok(Backlog::new(watermarks, name, cnc, now_ns)?)
        };
        let capacity = match place.config.log.capacity_bytes {
            None => None,
            Some(bytes) => Some(Capacity { bytes, held_back: cnc.counter(&table::INPUTS_HELD_BACK, "")? }),
        };
        Ok(Self {
            backlogs: [watch("inputs")?, watch("runs")?, watch("outputs")?],
            clock_difference: cnc.counter(&table::CLOCK_AHEAD, "")?,
            publish_blocked: cnc.counter(&table::PUBLISH_BLOCKED_TIME, "")?,
            cnc: Arc::clone(cnc),
            clock,
            gate,
            readiness: Readiness::default(),
            notices,
            capacity,
            found_ns: found_ns.unwrap_or(i64::MIN),
            reason: String::new(),
            stopping: false,
        })
    }

    /// What the cold path may set.
    #[must_use]
    pub fn levers(&self) -> &Levers {
        &self.readiness.levers
    }

    /// Where the keeper tells its faults.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn keeper_report(&self) -> Result<KeeperReport, PlaneFault> {
        self.report("log", "keeper", &self.readiness.keeper)
    }

    /// Where the checkpointer tells its faults.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn checkpointer_report(&self) -> Result<KeeperReport, PlaneFault> {
        self.report("checkpoint", "checkpointer", &self.readiness.checkpointer)
    }

    fn report(&self, what: &'static str, thread: &str, told: &KeeperFault) -> Result<KeeperReport, PlaneFault> {
        let (cnc, told) = (Arc::clone(&self.cnc), Arc::clone(told));
        let failures = cnc.counter(&table::APPEND_FAILURES, "")?;
        let failing = cnc.counter(&table::LOG_FAILING, what)?;
        let thread = cnc.counter(&table::THREAD, thread)?;
        Ok(KeeperReport { what, failures, failing, thread, cnc, clock: self.clock.clone(), told })
    }

    /// Keeps the clock near real time, and gauges and state current; `say` gets each line that people should read.
    pub fn tend(&mut self, max_step_ns: i64, mut say: impl FnMut(&str)) {
        let ahead_ns = self.clock.slew(max_step_ns);
        let now_ns = self.clock.now_ns();
        self.clock_difference.set(ahead_ns.unsigned_abs());
        self.cnc.beat(now_ns);
        self.backlogs.iter_mut().for_each(|backlog| backlog.look(now_ns));
        for notices in &mut self.notices {
            while let Ok(notice) = notices.pop() {
                self.readiness.note(&notice);
                if let Notice::Feed(fault) = notice {
                    say(&fault.to_string());
                }
            }
        }
        let blocked_ns = self.gate.blocked_ns(now_ns);
        self.publish_blocked.set(blocked_ns.unsigned_abs());
        let reached = self.capacity.as_ref().filter(|capacity| capacity.held_back.get() > 0);
        let at_capacity_bytes = reached.map(|capacity| capacity.bytes);
        let logs_ahead_ns = self.found_ns.saturating_sub(now_ns);
        let reason = self.readiness.reason(Observed {
            logs_ahead_ns: if logs_ahead_ns > max_step_ns { logs_ahead_ns } else { 0 },
            clock_step_ns: self.clock.step_ns(),
            publish_blocked_ns: if self.gate.is_closed(now_ns) { blocked_ns } else { 0 },
            at_capacity_bytes,
        });
        if reason != self.reason {
            say(&if reason.is_empty() { "ready again".to_owned() } else { format!("not ready: {reason}") });
            if !reason.is_empty() {
                self.cnc.record_error(now_ns, &reason);
            }
            self.reason = reason;
            self.tell_state();
        }
    }

    /// Why the pipeline is not ready, as of the last [`Watch::tend`]; empty if it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The stages run from here on.
    pub fn running(&self) {
        self.tell_state();
    }

    /// The pipeline was asked to come to an end.
    pub fn stopping(&mut self) {
        self.stopping = true;
        self.tell_state();
    }

    /// The pipeline was dropped where it stood.
    pub fn aborted(&self) {
        let text = format!("stopped without draining; {}", self.reason);
        self.cnc.set_state(State::Failed, &text, self.clock.now_ns());
    }

    /// The logs were closed.
    pub fn stopped(&mut self) {
        let now_ns = self.clock.now_ns();
        self.backlogs.iter_mut().for_each(|backlog| backlog.look(now_ns));
        self.cnc.set_state(State::Stopped, "stopped cleanly", now_ns);
    }

    fn tell_state(&self) {
        let state = if self.stopping { State::Draining } else { State::Running };
        self.cnc.set_state(state, &self.reason, self.clock.now_ns());
    }
}

/// The keeper's faults, on their way to the cnc file and to the [`Watch`].
pub struct KeeperReport {
    what: &'static str,
    cnc: Arc<CncWriter>,
    clock: Clock,
    failures: Counter,
    failing: Counter,
    thread: Counter,
    told: KeeperFault,
}

impl KeeperReport {
    /// The keeper runs on the thread with this id.
    pub fn runs_on(&self, thread: u32) {
        self.thread.set(u64::from(thread));
    }

    /// A fault has appeared, or is gone.
    pub fn tell(&self, fault: Option<&LogFault>) {
        let text = fault.map(|fault| format!("{}: {fault}", self.what));
        if let Some(text) = &text {
            self.failures.add(1);
            self.cnc.record_error(self.clock.now_ns(), text);
        }
        self.failing.set(u64::from(text.is_some()));
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}
