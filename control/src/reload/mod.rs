//! Another configuration while everything runs: by the files it came from, by SIGHUP, or by the control socket. On the control thread.
//!
//! ```text
//! file changed ┐
//! SIGHUP       ├─► files and overrides read anew ─► checked as a whole ─► lanes (door) ─► in force, recorded, history
//! socket       ┘                                        └─ refused: what was in force stays, visibly
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`files`] | tells when a file may have changed |
//! | [`overrides`] | keys that somebody has set, until they expire |
//! | [`state`] | what is in force, what was before, and what a wish makes of it |
//! | [`door`] | the way to the lanes |

pub mod door;
mod files;
pub mod overrides;
mod state;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cutline::config::Tree;
use serde_json::Value;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::bus::now_ms;
use crate::commands::{Failure, note};
use crate::supervisor::body::Act;
use crate::supervisor::context::Control;
use crate::supervisor::part::{Life, Part};
use door::{Door, Doorway};
use files::Files;
use state::{State, Wish};

/// Its name among the modules.
const NAME: &str = "watch";
/// Requests that may wait.
const WAITING_MAX: usize = 16;
/// Time between two looks for overrides that have expired, where none is due.
const SELDOM: Duration = Duration::from_secs(3600);

/// The watch among the parts of this program.
pub const PART: Part = Part { name: NAME, required: false, listener: false, is_wanted: |_| true, run };

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`, in order.
    pub files: Vec<PathBuf>,
    /// `--set`, in order.
    pub sets: Vec<String>,
    /// What they said when the process began; `None` is what they say now.
    pub begun_with: Option<Tree>,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Say what is in force and where it comes from.
    Show,
    /// Read the files anew.
    Reload,
    /// Set a key, for so long (ms) or as long as the process lives.
    Set {
        /// `KEY=VALUE`.
        set: String,
        /// How long, ms.
        for_ms: Option<u64>,
    },
    /// Go back to what was in force before the last change.
    Rollback,
}

/// What became of other configurations so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that came into force.
    pub changes: u64,
    /// Those that were refused.
    pub refusals: u64,
    /// Why the last wish was refused; empty if it was not.
    pub refused: String,
    /// Keys that the last wish had otherwise, and that wait for a restart.
    pub waiting: Vec<String>,
}

struct Asked {
    order: Order,
    who: String,
    answer: oneshot::Sender<Result<Value, String>>,
}

/// Where to ask. Clones are the same; any thread may have one.
#[derive(Clone)]
pub struct Reloader {
    /// To the watch that runs; from one that does not what is sent comes back.
    orders: Arc<Mutex<mpsc::Sender<Asked>>>,
    /// The lanes' door.
    door: Door,
    /// Its other side, until the plane takes it.
    doorway: Arc<Mutex<Option<Doorway>>>,
    tally: Arc<Mutex<Tally>>,
    sources: Arc<Sources>,
    /// Locked by the watch that runs, and left to the next one.
    state: Arc<tokio::sync::Mutex<Option<State>>>,
}

impl Reloader {
    /// Of a configuration from there.
    pub fn new(sources: Sources) -> Self {
        let (orders, _) = mpsc::channel(WAITING_MAX);
        let (door, doorway) = door::door();
        Self {
            orders: Arc::new(Mutex::new(orders)),
            door,
            doorway: Arc::new(Mutex::new(Some(doorway))),
            tally: Arc::default(),
            sources: Arc::new(sources),
            state: Arc::default(),
        }
    }

    /// The lanes' side of the door; `None` if somebody has it already.
    pub fn doorway(&self) -> Option<Doorway> {
        self.doorway.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn tell(&self, tally: &Tally) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone_from(tally);
    }

    /// What became of other configurations so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn ask(&self, order: Order, who: &str) -> Result<Value, String> {
        let gone = || "configuration files are not watched: `watch` does not run".to_owned();
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        orders.send(Asked { order, who: who.to_owned(), answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn run(control: Control, mut life: Life) -> Act<'static, Result<(), Failure>> {
    Box::pin(async move {
        let Reloader { orders, sources, state, .. } = &control.reload;
        let mut state = state.lock().await;
        let (taken, mut asked) = mpsc::channel(WAITING_MAX);
        *orders.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        let mut hangups = signal(SignalKind::hangup())
            .map_err(|error| Failure::machine(format!("cannot listen for SIGHUP: {error}")))?;
        let mut files = match Files::watch(&sources.files) {
            Ok(files) => Some(files),
            Err(fault) => {
                note(format_args!("warning: configuration files are not watched, SIGHUP reads them anew: {fault}"));
                None
            }
        };
        let state = match &mut *state {
            Some(state) => state,
            none => none.insert(State::new(Sources::clone(sources), &control).await.map_err(Failure::machine)?),
        };
        // Before somebody watched them they may have changed.
        state.catch_up(&control).await;
        life.ready();
        loop {
            let due = state.due_ms().map_or(SELDOM, |at_ms| {
                Duration::from_millis(u64::try_from(at_ms - now_ms()).unwrap_or(0)).min(SELDOM)
            });
            select! {
                () = life.closing() => return Ok(()),
                () = changed(&mut files) => state.files("file", &control).await,
                Some(()) = hangups.recv() => state.files("SIGHUP", &control).await,
                effective_ms = state.in_force() => state.came_into_force(effective_ms, &control).await,
                () = sleep(due) => state.expire(&control).await,
                Some(Asked { order, who, answer }) = asked.recv() => {
                    let told = match order {
                        Order::Show => Ok(state.show(&control)),
                        Order::Reload => state.wish(Wish::Files, &who, &control).await,
                        Order::Set { set, for_ms } => state.wish(Wish::Set { set, for_ms }, &who, &control).await,
                        Order::Rollback => state.wish(Wish::Back, &who, &control).await,
                    };
                    // That nobody waits for it any more is no fault.
                    let _ = answer.send(told);
                }
            }
        }
    })
}

/// Waits until the files have changed, if they are watched.
async fn changed(files: &mut Option<Files>) {
    match files {
        Some(files) => files.changed().await,
        None => std::future::pending().await,
    }
}
