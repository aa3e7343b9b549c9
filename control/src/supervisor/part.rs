//! Parts of this program that are modules: the control socket, the HTTP listener, the watch over configuration files. Each is a function
//! that is given its [`Life`] and runs on the control thread until it is told to close; a part is registered by one line in [`PARTS`].

use std::time::Duration;

use cutline::config::Config;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::body::{Act, Body, Ready};
use super::context::Control;
use crate::bus::lifecycle::{Lifecycle, Step};
use crate::commands::{Failure, Outcome};

/// The parts that there are.
pub const PARTS: &[Part] = &[crate::reload::PART, crate::http::PART, crate::socket::PART];

/// What runs as a part: it says [`Life::ready`], and returns soon after [`Life::closing`].
pub type Run = fn(Control, Life) -> Act<'static, Outcome>;

/// A part of this program.
pub struct Part {
    /// Its name, one of those of [`cutline::config::OWN_MODULES`].
    pub name: &'static str,
    /// Whether the system cannot do without it.
    pub required: bool,
    /// Whether it lets in who works with the system: it opens last and closes first.
    pub listener: bool,
    /// Whether a configuration has it.
    pub is_wanted: fn(&Config) -> bool,
    /// What it does.
    pub run: Run,
}

/// What a part hears of its own life, and says of it.
pub struct Life {
    ready: Option<oneshot::Sender<()>>,
    closing: watch::Receiver<bool>,
}

impl Life {
    /// It does what it is for from here on.
    pub fn ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // That nobody waits any more is told by `closing`.
            let _ = ready.send(());
        }
    }

    /// Waits until it is to close: take nothing more, finish what was begun, and return. May be dropped and called again.
    pub async fn closing(&mut self) {
        // Whoever it belongs to being gone says the same.
        let _ = self.closing.wait_for(|closing| *closing).await;
    }
}

/// A part as a module.
pub struct PartBody {
    part: &'static Part,
    control: Control,
    running: Option<(JoinHandle<Outcome>, watch::Sender<bool>)>,
}

impl PartBody {
    /// One that does not run.
    pub fn new(part: &'static Part, control: Control) -> Self {
        Self { part, control, running: None }
    }

    async fn ended(&mut self) -> Outcome {
        let Some((task, _)) = &mut self.running else { return Ok(()) };
        let ended = task.await;
        self.running = None;
        ended.unwrap_or_else(|fault| {
            Err(Failure::machine(format!("it ended by a panic; its message is above: {fault}")))
        })
    }
}

impl Body for PartBody {
    fn start(&mut self, _reset: bool) -> Act<'_, Result<Ready, Failure>> {
        Box::pin(async {
            let (ready, is_ready) = oneshot::channel();
            let (close, closing) = watch::channel(false);
            let task = spawn_local((self.part.run)(self.control.clone(), Life { ready: Some(ready), closing }));
            self.running = Some((task, close));
            match is_ready.await {
                Ok(()) => Ok(Ready { version: env!("CARGO_PKG_VERSION").to_owned(), pid: None }),
                // It has ended, or will never say it.
                Err(_) => {
                    Err(self.ended().await.err().unwrap_or_else(|| Failure::machine("it ended before it was ready")))
                }
            }
        })
    }

    fn live(&mut self) -> Act<'_, Result<String, Failure>> {
        Box::pin(async { Err(self.ended().await.err().unwrap_or_else(|| Failure::machine("it ended by itself"))) })
    }

    fn stop(&mut self, within: Duration) -> Act<'_, Result<String, Failure>> {
        Box::pin(async move {
            let Some((task, close)) = &self.running else { return Ok("did not run".to_owned()) };
            let abort = task.abort_handle();
            close.send_replace(true);
            self.control.bus.publish(self.part.name, Lifecycle::Step { step: Step::RefusesRequests });
            let Ok(ended) = timeout(within, self.ended()).await else {
                abort.abort();
                self.running = None;
                return Ok(format!("dropped what it was at after {} ms", within.as_millis()));
            };
            ended?;
            self.control.bus.publish(self.part.name, Lifecycle::Step { step: Step::RequestsFinished });
            Ok("closed".to_owned())
        })
    }
}
