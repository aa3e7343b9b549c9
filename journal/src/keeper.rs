//! The keeper: one warm, unpinned thread that makes every system call for the logs, in flush order.
//!
//! Disk errors are values: they are reported when they appear and when they are gone, and the keeper tries until then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fault::LogFault;
pub use crate::log_keeper::LogKeeper;
use crate::planted;

/// Wait between two looks at what must be prepared.
const PREPARE_INTERVAL: Duration = Duration::from_millis(1);

/// When the keeper flushes.
#[derive(Clone, Copy, Debug)]
pub struct FlushSettings {
    /// Longest wait between two flushes of a log that grows.
    pub interval: Duration,
    /// So many bytes of one log are flushed without waiting for the interval.
    pub bytes: u64,
}

/// Keeps several logs in flush order: what a later log refers to is on disk in an earlier one first.
pub struct Keeper {
    logs: Vec<LogKeeper>,
    settings: FlushSettings,
    /// The flush that is under way.
    pass: Option<FlushPass>,
}

/// A flush of all logs: how far each is to come, and which one is next.
struct FlushPass {
    targets: Vec<u64>,
    next: usize,
}

impl Keeper {
    /// Keeps `logs`, given in flush order (inputs, runs, outputs).
    #[must_use]
    pub fn new(logs: Vec<LogKeeper>, settings: FlushSettings) -> Self {
        Self { logs, settings, pass: None }
    }

    /// Runs until `stop` is set, on the calling thread. `report` gets each fault when it appears and `None` when it is gone.
    pub fn run(mut self, stop: &AtomicBool, mut report: impl FnMut(Option<&LogFault>)) -> Self {
        let mut reported: Option<String> = None;
        let prepare_interval = self.settings.interval.min(PREPARE_INTERVAL);
        let mut flushed_at = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let prepared = self.prepare();
            let due = flushed_at.elapsed() >= self.settings.interval || self.waiting_bytes() >= self.settings.bytes;
            let flushed = if due { self.flush() } else { self.zero_ahead() };
            if due {
                flushed_at = Instant::now();
            }
            // A fault of a flush is gone when a flush succeeds, not when there was none.
            let fault = prepared.and(flushed).and(self.retire()).err();
            if fault.is_some() || due {
                let text = fault.as_ref().map(ToString::to_string);
                if text != reported {
                    report(fault.as_ref());
                }
                reported = text;
            }
            std::thread::park_timeout(prepare_interval);
        }
        self
    }

    /// Stops keeping: see [`LogKeeper::close`]. A log that cannot be closed leaves those after it as they are, in memory:
    /// on disk they may not be ahead of it.
    ///
    /// # Errors
    /// The first fault.
    pub fn close(self) -> Result<(), LogFault> {
        self.logs.into_iter().try_for_each(LogKeeper::close)
    }

    /// The logs, in flush order.
    #[must_use]
    pub fn logs(&self) -> &[LogKeeper] {
        &self.logs
    }

    /// Prepares all logs: one that cannot be prepared does not hold up the others.
    ///
    /// # Errors
    /// The first fault.
    pub fn prepare(&mut self) -> Result<(), LogFault> {
        let mut outcome = Ok(());
        for log in &mut self.logs {
            outcome = outcome.and(log.prepare());
        }
        outcome
    }

    /// Most bytes of one log that are visible and not on disk.
    fn waiting_bytes(&self) -> u64 {
        self.logs.iter().map(|log| log.visible().saturating_sub(log.durable())).max().unwrap_or(0)
    }

    /// Uses idle time: a step for each log.
    ///
    /// # Errors
    /// The first fault.
    pub fn zero_ahead(&mut self) -> Result<(), LogFault> {
        self.logs.iter_mut().try_for_each(LogKeeper::zero_ahead)
    }

    /// Removes what retention gives up: a step for each log.
    ///
    /// # Errors
    /// The first fault.
    pub fn retire(&mut self) -> Result<(), LogFault> {
        self.logs.iter_mut().try_for_each(LogKeeper::retire)
    }

    /// Where to tell the keeper of the `log`-th log what is not needed any more.
    #[must_use]
    pub fn retirement(&mut self, log: usize) -> rtrb::Producer<u64> {
        self.logs[log].retirement()
    }

    /// Brings what is visible now to disk, in flush order.
    ///
    /// # Errors
    /// As [`LogKeeper::flush`]; logs behind the one that failed are not flushed.
    pub fn flush(&mut self) -> Result<(), LogFault> {
        let mut outcome = Ok(());
        while self.flush_step()? {
            // Preparing goes on during a long flush, and what fails there does not stop what makes room.
            outcome = outcome.and(self.prepare());
        }
        outcome
    }

    /// A step of a flush of all logs, which begins with the first call; false once it has come to its end. Whoever calls this
    /// may do other things between two steps.
    ///
    /// # Errors
    /// The disk's. The next call begins anew.
    pub fn flush_step(&mut self) -> Result<bool, LogFault> {
        let mut pass = self.pass.take().unwrap_or_else(|| self.begin_flush());
        let log = if planted!(FlushOrder) { (pass.targets.len() - 1).wrapping_sub(pass.next) } else { pass.next };
        let Some(&target) = pass.targets.get(log) else { return Ok(false) };
        if !self.logs[log].flush(target)? {
            pass.next += 1;
        }
        let more = pass.next < pass.targets.len();
        self.pass = more.then_some(pass);
        Ok(more)
    }

    fn begin_flush(&self) -> FlushPass {
        // Watermarks are taken last log first and flushed first log first: whatever an output refers to was visible in
        // the inputs before, and so is on disk before it.
        let mut targets: Vec<u64> = self.logs.iter().rev().map(LogKeeper::visible).collect();
        targets.reverse();
        FlushPass { targets, next: 0 }
    }
}
