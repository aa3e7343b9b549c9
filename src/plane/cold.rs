//! The two threads that look after the logs of a pipeline that runs: the keeper, which makes every system call for them, and the
//! checkpointer behind it.
//!
//! Started and ended by the cold path. Both are ended together, and before the data directory is given up: whoever had it next would
//! otherwise have them write beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cutline_journal::keeper::Keeper;
use cutline_shm::background::{give_way, thread_id};

use super::checkpointer::Checkpointer;
use super::fault::PlaneFault;
use super::watch::{KeeperReport, Watch};

/// Wait of the checkpointer between two looks at logs that have nothing new.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(10);
/// Its wait after a fault.
const CHECKPOINT_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
pub struct ColdThreads {
    keeper: JoinHandle<Keeper>,
    checkpointer: JoinHandle<Checkpointer>,
    stop: Arc<AtomicBool>,
}

impl ColdThreads {
    /// Starts both; `watch` is told what is wrong with either.
    ///
    /// # Errors
    /// The system gives no thread, or the counters have no room; then neither runs.
    pub fn start(keeper: Keeper, checkpointer: Checkpointer, watch: &Watch) -> Result<Self, PlaneFault> {
        let reports = (watch.keeper_report()?, watch.checkpointer_report()?);
        let stop = Arc::default();
        let keeper = spawn_keeper(keeper, &stop, reports.0)?;
        match spawn_checkpointer(checkpointer, &stop, reports.1) {
            Ok(checkpointer) => Ok(Self { keeper, checkpointer, stop }),
            Err(fault) => {
                end(keeper, "keeper", &stop)?;
                Err(fault)
            }
        }
    }

    /// Ends both where they are, and waits for that; what they had is given back.
    ///
    /// # Errors
    /// One had panicked.
    pub fn end(self) -> Result<(Keeper, Checkpointer), PlaneFault> {
        let keeper = end(self.keeper, "keeper", &self.stop);
        let checkpointer = end(self.checkpointer, "checkpointer", &self.stop);
        Ok((keeper?, checkpointer?))
    }
}

fn end<T>(thread: JoinHandle<T>, name: &str, stop: &AtomicBool) -> Result<T, PlaneFault> {
    stop.store(true, Ordering::Release);
    thread.thread().unpark();
    thread.join().map_err(|_| PlaneFault::Io(format!("the {name} ended by a panic; its message is above")))
}

fn spawn_keeper(
    keeper: Keeper,
    stop: &Arc<AtomicBool>,
    report: KeeperReport,
) -> Result<JoinHandle<Keeper>, PlaneFault> {
    let stop = Arc::clone(stop);
    let run = move || {
        report.runs_on(thread_id());
        keeper.run(&stop, |fault| report.tell(fault))
    };
    let thread = thread::Builder::new().name("keeper".to_owned()).spawn(run);
    thread.map_err(|error| PlaneFault::Io(format!("cannot start the keeper: {error}")))
}

fn spawn_checkpointer(
    mut checkpointer: Checkpointer,
    stop: &Arc<AtomicBool>,
    report: KeeperReport,
) -> Result<JoinHandle<Checkpointer>, PlaneFault> {
    let stop = Arc::clone(stop);
    let run = move || {
        report.runs_on(thread_id());
        // Where it may not, it takes what the keeper takes.
        give_way();
        let mut is_told = false;
        while !stop.load(Ordering::Acquire) {
            let stepped = checkpointer.step();
            if is_told || stepped.is_err() {
                report.tell(stepped.as_ref().err());
            }
            is_told = stepped.is_err();
            match stepped {
                Ok(true) => {}
                Ok(false) => thread::park_timeout(CHECKPOINT_INTERVAL),
                Err(_) => thread::park_timeout(CHECKPOINT_RETRY_INTERVAL),
            }
        }
        checkpointer
    };
    let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(run);
    thread.map_err(|error| PlaneFault::Io(format!("cannot start the checkpointer: {error}")))
}
