//! The way from who reloads to the data plane: a configuration in, and whether and from when it is in force.
//!
//! The pipeline belongs to the plane's task, which looks here whenever it tends it. An engine may take seconds to start, so a change is
//! prepared on a thread of the runtime's, and sent when it is ready; what it replaced is dropped there too.

use std::sync::Arc;

use cutline::config::Config;
use cutline::plane::change::{Change, ChangeFault};
use cutline::plane::pipeline::Pipeline;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::health::engines::Engines;
use crate::module::output::Output;

/// Planned time of the first tick that a change applies to, Unix ms, once it is in force.
pub type InForce = oneshot::Receiver<i64>;
/// What was sent to the lanes; `None` if nothing of it is theirs.
type Sent = Result<Option<InForce>, String>;
type Prepared = Result<Option<Change>, ChangeFault>;

struct Wanted {
    config: Arc<Config>,
    sent: oneshot::Sender<Sent>,
}

/// Where configurations are handed in.
#[derive(Clone)]
pub struct Door(mpsc::Sender<Wanted>);

impl Door {
    /// Hands a configuration to the lanes; ends once they have it, and it waits for a tick.
    ///
    /// # Errors
    /// Why they do not take it; nothing is otherwise.
    pub async fn change(&self, config: Arc<Config>) -> Sent {
        let (sent, is_sent) = oneshot::channel();
        let gone = || "the data plane does not run".to_owned();
        self.0.send(Wanted { config, sent }).await.map_err(|_| gone())?;
        is_sent.await.map_err(|_| gone())?
    }
}

/// The plane's side.
pub struct Doorway {
    wanted: mpsc::Receiver<Wanted>,
    at: At,
    /// Who waits for what is on its way.
    waits: Option<oneshot::Sender<i64>>,
}

enum At {
    Nothing,
    Preparing(oneshot::Receiver<Prepared>, oneshot::Sender<Sent>),
    /// It is prepared once the change before it is in force.
    Waiting(Arc<Config>, oneshot::Sender<Sent>),
}

/// Both sides.
pub fn door() -> (Door, Doorway) {
    let (sender, wanted) = mpsc::channel(1);
    (Door(sender), Doorway { wanted, at: At::Nothing, waits: None })
}

impl Doorway {
    /// Goes on with what there is to do; new engine processes are known to `engines`, and print to `output`. Called whenever the pipeline is
    /// tended; blocks for nothing.
    pub fn look(&mut self, pipeline: &mut Pipeline, engines: &Engines, output: &Output) {
        if let Some(changed) = pipeline.changed() {
            if let Some(waits) = self.waits.take() {
                // That nobody waits for it any more is no fault.
                let _ = waits.send(changed.effective_ms);
            }
            drop(spawn_blocking(move || drop(changed.replaced)));
        }
        self.at = match std::mem::replace(&mut self.at, At::Nothing) {
            At::Nothing => match self.wanted.try_recv() {
                Ok(Wanted { config, sent }) => At::Waiting(config, sent),
                Err(_) => At::Nothing,
            },
            At::Waiting(config, sent) if self.waits.is_some() => At::Waiting(config, sent),
            At::Waiting(config, sent) => {
                let (prepared, is_prepared) = oneshot::channel();
                let (base, engines, output) = (pipeline.base(), engines.clone(), output.clone());
                drop(spawn_blocking(move || {
                    // The pipeline may have ended meanwhile.
                    let _ = prepared.send(base.prepare(&config, &crate::engines::hosts(&engines, &output)));
                }));
                At::Preparing(is_prepared, sent)
            }
            At::Preparing(mut prepared, sent) => match prepared.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => At::Preparing(prepared, sent),
                Err(oneshot::error::TryRecvError::Closed) => At::Nothing,
                Ok(prepared) => {
                    let _ = sent.send(self.send(prepared, pipeline));
                    At::Nothing
                }
            },
        };
    }

    fn send(&mut self, prepared: Prepared, pipeline: &mut Pipeline) -> Sent {
        let Some(change) = prepared.map_err(|fault| fault.to_string())? else { return Ok(None) };
        pipeline.change(change).map_err(|fault| fault.to_string())?;
        let (waits, in_force) = oneshot::channel();
        self.waits = Some(waits);
        Ok(Some(in_force))
    }
}
