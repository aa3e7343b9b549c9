//! The keeper: one warm, unpinned thread that makes every system call for the logs, in flush order.
//!
//! Disk errors are values: they are reported when they appear and when they are gone, and the keeper tries until then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fault::LogFault;
pub use crate::log_keeper::LogKeeper;

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
}

impl Keeper {
    /// Keeps `logs`, given in flush order (inputs, runs, outputs).
    #[must_use]
    pub fn new(logs: Vec<LogKeeper>, settings: FlushSettings) -> Self {
        Self { logs, settings }
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
            let fault = prepared.and(flushed).err();
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

    /// Prepares all logs: one that cannot be prepared does not hold up the others.
    fn prepare(&mut self) -> Result<(), LogFault> {
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
    fn zero_ahead(&mut self) -> Result<(), LogFault> {
        self.logs.iter_mut().try_for_each(LogKeeper::zero_ahead)
    }

    fn flush(&mut self) -> Result<(), LogFault> {
        // Watermarks are taken last log first and flushed first log first: whatever an output refers to was visible in
        // the inputs before, and so is on disk before it.
        let mut targets: Vec<u64> = self.logs.iter().rev().map(LogKeeper::visible).collect();
        targets.reverse();
        let mut outcome = Ok(());
        for (index, target) in targets.into_iter().enumerate() {
            while self.logs[index].flush(target)? {
                // Preparing goes on during a long flush, and what fails there does not stop what makes room.
                outcome = outcome.and(self.prepare());
            }
        }
        outcome
    }
}
