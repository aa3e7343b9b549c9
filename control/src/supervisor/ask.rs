//! What recovery, configuration and the control socket ask of the supervisor. From any thread; who asks may wait for the answer, which
//! comes when what was asked for is done, or says why it was not.

use std::time::Duration;

use cutline::config::Quiet;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait; whoever asks one more waits until there is room.
const WAITING_MAX: usize = 64;

/// What is asked for, of one module.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Start it, and first what it depends on and does not run.
    Start,
    /// Stop whatever depends on it, and then it.
    Stop,
    /// Stop it and start it again, and with it those that have to be (`restarts_with`).
    Restart {
        /// It is told to begin without what it has kept.
        reset: bool,
    },
    /// Hand it another configuration; the answer is its acknowledgement.
    Update {
        /// What it is handed, an object of its own keys.
        config: Quiet<Value>,
        /// Longest time until it acknowledges.
        within: Duration,
    },
    /// Ask it how it does; the answer is its own.
    Health {
        /// Longest time until it answers.
        within: Duration,
    },
}

impl Order {
    /// What it does, if it changes anything; for the record.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Start => Some("start"),
            Self::Stop => Some("stop"),
            Self::Restart { reset: false } => Some("restart"),
            Self::Restart { reset: true } => Some("reset"),
            Self::Update { .. } => Some("update"),
            Self::Health { .. } => None,
        }
    }
}

/// An answer: what the module said, or null, or why it was not done.
pub type Answer = Result<Value, String>;

/// One request on its way.
pub struct Asked {
    /// The module.
    pub module: String,
    /// What is asked for.
    pub order: Order,
    /// Who asks, for the record.
    pub who: String,
    /// Where the answer goes. That nobody waits for it any more is no fault.
    pub answer: oneshot::Sender<Answer>,
}

/// Where to ask.
#[derive(Clone)]
pub struct Ask(mpsc::Sender<Asked>);

impl Ask {
    /// Where to ask, and what answers.
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Asks, and waits for the answer. The wait may be dropped: then it is done all the same, and nobody is told.
    pub async fn ask(&self, module: &str, order: Order, who: &str) -> Answer {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { module: module.to_owned(), order, who: who.to_owned(), answer };
        let gone = |_| "the supervisor has ended".to_owned();
        self.0.send(asked).await.map_err(|_| gone(()))?;
        answered.await.map_err(|_| gone(()))?
    }
}
