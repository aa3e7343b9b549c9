//! The seat of a module: the one task that has its body, carries out what is ordered, notices when it ends by itself, and tells both to
//! the registry and the bus. It decides nothing: what starts when is the supervisor's matter, what is tried again recovery's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::body::{BUSY, Body, Ready};
use super::context::Control;
use super::registry::{Health, State};
use crate::bus::lifecycle::Lifecycle;
use crate::bus::now_ms;
use crate::commands::Failure;

/// Orders that may wait for a seat.
const WAITING_MAX: usize = 16;

/// What a seat is ordered.
pub enum Do {
    /// Start, and answer when it is ready.
    Start {
        /// It begins without what it has kept.
        reset: bool,
    },
    /// Do not start, for this reason: what it needs does not run.
    GiveUp(String),
    /// Stop, for this reason, and answer when it has ended.
    Stop(String),
    /// Take another configuration, and acknowledge it within this time.
    Update(Value, Duration),
    /// Say within this time how it does.
    Health(Duration),
}

type Done = Result<Value, Failure>;
type Orders = mpsc::Receiver<(Do, oneshot::Sender<Done>)>;
/// Those that have their turn after the question that is being answered.
type Waiting = VecDeque<(Do, oneshot::Sender<Done>)>;

/// Where the orders of a seat go.
#[derive(Clone)]
pub struct Handle(mpsc::Sender<(Do, oneshot::Sender<Done>)>);

/// See the module.
pub struct Seat {
    /// The module's name.
    pub name: String,
    /// What it is made of.
    pub body: Box<dyn Body>,
    /// Without it nothing makes sense: when it ends, everything does.
    pub is_all: bool,
    /// What is told where.
    pub control: Control,
    /// Starts in a row that failed.
    pub attempts: u32,
    /// Why it has ended by itself, for whoever stops everything.
    pub failure: Option<Failure>,
}

impl Handle {
    /// Orders, and waits until it is done.
    pub async fn order(&self, what: Do) -> Done {
        let gone = || Failure::machine("the module's task has ended");
        let (answer, answered) = oneshot::channel();
        self.0.send((what, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Seat {
    /// Puts the module on a task of this thread, which ends when the last handle is dropped. Nothing is started yet.
    pub fn take(self) -> Handle {
        let (sender, orders) = mpsc::channel(WAITING_MAX);
        spawn_local(self.serve(orders));
        Handle(sender)
    }

    async fn serve(mut self, mut orders: Orders) {
        let mut is_running = false;
        let mut waiting = Waiting::new();
        loop {
            let order = if let Some(order) = waiting.pop_front() {
                Some(order)
            } else if is_running {
                select! {
                    biased;
                    order = orders.recv() => order,
                    ended = self.body.live() => {
                        is_running = false;
                        self.ended(ended);
                        continue;
                    }
                }
            } else {
                orders.recv().await
            };
            let Some((what, answer)) = order else { return };
            let done = match what {
                Do::Start { .. } if is_running => Ok(Value::Null),
                Do::Start { reset } => {
                    let started = self.start(reset, &mut orders).await;
                    is_running = started.is_ok();
                    started
                }
                Do::GiveUp(error) => {
                    self.failed(&Failure::machine(error));
                    Ok(Value::Null)
                }
                Do::Stop(reason) => {
                    let stopped = if is_running { self.stop(&reason).await } else { Ok(()) };
                    is_running = false;
                    stopped.and(self.failure.take().map_or(Ok(Value::Null), Err))
                }
                Do::Update(..) | Do::Health(_) if !is_running => Err(Failure::machine("it does not run")),
                question => {
                    let asked = match question {
                        Do::Update(config, within) => self.body.update(config, within),
                        Do::Health(within) => self.body.health(within),
                        Do::Start { .. } | Do::GiveUp(_) | Do::Stop(_) => continue,
                    };
                    let told = select! {
                        biased;
                        Some((reason, stopped)) = stop_order(&mut orders, Some(&mut waiting)) => Err((reason, stopped)),
                        told = asked => Ok(told),
                    };
                    match told {
                        Ok(told) => told.map_err(Failure::machine),
                        Err((reason, stopped)) => {
                            is_running = false;
                            let _ = stopped.send(self.stop(&reason).await.map(|()| Value::Null));
                            Err(Failure::machine("it was stopped meanwhile"))
                        }
                    }
                }
            };
            // That nobody waits for it any more is no fault.
            let _ = answer.send(done);
        }
    }

    /// How long it has until it is ready, by the configuration in force. Logs are read as long as that takes.
    fn startup_timeout(&self) -> Duration {
        let config = self.control.config();
        let own = config.modules.iter().find(|module| module.name == self.name);
        let ms = own.and_then(|module| module.startup_timeout_ms).unwrap_or(config.supervisor.startup_timeout_ms);
        if self.is_all { Duration::MAX } else { Duration::from_millis(ms) }
    }

    /// How long it may take to end by itself.
    fn shutdown_timeout(&self) -> Duration {
        let config = self.control.config();
        let own = config.modules.iter().find(|module| module.name == self.name);
        let ms = own.and_then(|module| module.shutdown_timeout_ms).unwrap_or(config.supervisor.shutdown_timeout_ms);
        Duration::from_millis(ms)
    }

    /// Starts it. An order to stop that comes meanwhile counts.
    async fn start(&mut self, reset: bool, orders: &mut Orders) -> Done {
        let began = Instant::now();
        self.attempts += 1;
        self.failure = None;
        self.tell(Lifecycle::Starting { attempt: self.attempts }, State::Starting { since_ms: now_ms() });
        let limit = self.startup_timeout();
        let mut asked_to_stop = None;
        let started = select! {
            biased;
            order = stop_order(orders, None) => {
                asked_to_stop = order;
                Err(Failure::machine("it was stopped before it was ready"))
            }
            started = timeout(limit, self.body.start(reset)) => started.unwrap_or_else(|_| {
                Err(Failure::machine(format!("it was not ready within startup_timeout_ms = {}", limit.as_millis())))
            }),
        };
        match started {
            Ok(ready) => self.ready(ready, began),
            Err(failure) => {
                // What could not be started has not much to finish.
                let _ = self.body.stop(Duration::ZERO).await;
                if let Some((reason, answer)) = asked_to_stop {
                    self.attempts = 0;
                    self.tell(Lifecycle::Stopped { reason: reason.clone() }, State::Stopped { reason });
                    let _ = answer.send(Ok(Value::Null));
                } else {
                    self.failed(&failure);
                }
                return Err(failure);
            }
        }
        Ok(Value::Null)
    }

    fn ready(&mut self, ready: Ready, began: Instant) {
        self.control.registry.change(&self.name, |module| {
            module.pid = ready.pid;
            // It has what is in force with its welcome.
            module.config_refused.clear();
            module.version.clone_from(&ready.version);
        });
        self.attempts = 0;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let running = State::Running { since_ms: now_ms(), health: Health::Unknown };
        self.tell(Lifecycle::Ready { took_ms, version: ready.version }, running);
    }

    async fn stop(&mut self, reason: &str) -> Result<(), Failure> {
        self.tell(Lifecycle::Stopping, State::Stopping);
        let within = self.shutdown_timeout();
        match self.body.stop(within).await {
            Ok(how) => {
                let reason = format!("{reason}: {how}");
                self.tell(Lifecycle::Stopped { reason: reason.clone() }, State::Stopped { reason });
                Ok(())
            }
            Err(failure) => {
                self.failed(&failure);
                Err(failure)
            }
        }
    }

    /// It has ended by itself.
    fn ended(&mut self, ended: Result<String, Failure>) {
        match ended {
            Ok(reason) => self.tell(Lifecycle::Stopped { reason: reason.clone() }, State::Stopped { reason }),
            Err(failure) => {
                self.failed(&failure);
                // What any other module came to is recovery's matter.
                self.failure = Some(failure).filter(|_| self.is_all);
            }
        }
        if self.is_all {
            self.control.stop.request(&format!("{} has ended", self.name));
        }
    }

    fn failed(&self, failure: &Failure) {
        let (error, attempts) = (failure.message.clone(), self.attempts);
        self.tell(Lifecycle::Failed { error: error.clone(), attempts }, State::Failed { error, attempts });
    }

    /// The registry first: who hears of it finds it there.
    fn tell(&self, event: Lifecycle, state: State) {
        self.control.registry.change(&self.name, |module| {
            if matches!(state, State::Stopped { .. } | State::Failed { .. }) {
                module.pid = None;
            }
            module.state = state;
        });
        self.control.bus.publish(&self.name, event);
    }
}

/// Waits for an order to stop. Meanwhile a configuration waits for its turn, if there is a place to wait; who asks how it does is told that it
/// is busy, which is no fault of its; anything else is refused. `None`, and for ever: nobody orders anything more.
async fn stop_order(orders: &mut Orders, mut waiting: Option<&mut Waiting>) -> Option<(String, oneshot::Sender<Done>)> {
    while let Some((what, answer)) = orders.recv().await {
        match (what, &mut waiting) {
            (Do::Stop(reason), _) => return Some((reason, answer)),
            (Do::Health(_), _) => drop(answer.send(Ok(Value::from(BUSY)))),
            (what @ Do::Update(..), Some(waiting)) if waiting.len() < WAITING_MAX => waiting.push_back((what, answer)),
            _ => drop(answer.send(Err(Failure::machine("it is busy: it starts, or answers another question")))),
        }
    }
    std::future::pending().await
}
