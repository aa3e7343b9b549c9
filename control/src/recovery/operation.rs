//! Carries one [`Procedure`] out: asks the supervisor, waits for the health that follows, and tells every order and its end on the bus.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ladder::Strategy;
use super::memory::Memory;
use super::procedure::{Check, Order, Outcome, Procedure, Step};
use crate::bus::recovery::Recovery;
use crate::bus::{Listener, now_ms};
use crate::health::report::Grade;
use crate::resources::throttle::Cause;
use crate::supervisor::ask;
use crate::supervisor::context::Control;
use crate::supervisor::registry::State;

/// By which name the supervisor is asked.
const WHO: &str = "recovery";

/// Carries out the procedure of this strategy for this module.
pub async fn carry_out(control: Control, module: String, strategy: Strategy) -> Outcome {
    let heard = control.bus.listen();
    let mut operation = Operation { control, module, began_ms: now_ms(), heard };
    let mut procedure = Procedure::of(strategy);
    loop {
        let order = match procedure.order() {
            Ok(order) => order,
            Err(outcome) => return outcome,
        };
        let how = operation.obey(order).await;
        let error = how.as_ref().err().cloned().unwrap_or_default();
        operation.control.bus.publish(&operation.module, Recovery::Step { order: order.name(), error });
        procedure.ended(how);
    }
}

struct Operation {
    control: Control,
    module: String,
    began_ms: i64,
    heard: Listener,
}

impl Operation {
    async fn obey(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::Check(check) => self.check(check).await,
            Order::Do(step) => self.act(step).await,
            Order::Undo(step) => self.undo(step).await,
            Order::Validate => self.validate().await,
        }
    }

    async fn check(&self, check: Check) -> Result<(), String> {
        match check {
            Check::NotStopping => match self.control.stop.reason() {
                Some(reason) => Err(format!("everything is being stopped: {reason}")),
                None => Ok(()),
            },
            Check::DependenciesRun => {
                let module = self.control.registry.get(&self.module).ok_or("there is no such module")?;
                let runs =
                    |name: &String| self.control.registry.get(name).is_some_and(|other| other.state.is_running());
                let down: Vec<String> = module.depends_on.into_iter().filter(|name| !runs(name)).collect();
                if down.is_empty() { Ok(()) } else { Err(format!("it depends on {}, not running", down.join(", "))) }
            }
            Check::RestartsLeft => {
                let recovery = self.control.config().care.recovery.clone();
                let recent = self.memory(move |memory| memory.recent(now_ms(), recovery.stable_ms)).await?;
                let most = recovery.system_restarts_max;
                if recent < most as usize {
                    return Ok(());
                }
                Err(format!("recovery.system_restarts_max = {most}, and it was restarted {recent} times lately"))
            }
        }
    }

    async fn act(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Restart => self.ask(ask::Order::Restart { reset: false }).await,
            Step::Reset => self.ask(ask::Order::Restart { reset: true }).await,
            Step::Stop => self.ask(ask::Order::Stop).await,
            Step::ReduceLoad => {
                self.control.throttle.set(Cause::Degraded, true);
                Ok(())
            }
            Step::SaveState => {
                let window_ms = self.control.config().care.recovery.stable_ms;
                self.remember(move |memory| memory.add(now_ms(), window_ms)).await
            }
            Step::RestartSystem => {
                self.control.again.set();
                self.control.stop.request("recovery restarts the system");
                Ok(())
            }
        }
    }

    async fn undo(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::ReduceLoad => {
                self.control.throttle.set(Cause::Degraded, false);
                Ok(())
            }
            Step::SaveState => self.remember(Memory::take_back).await,
            Step::Restart | Step::Reset | Step::Stop | Step::RestartSystem => Ok(()),
        }
    }

    async fn ask(&mut self, order: ask::Order) -> Result<(), String> {
        // What was heard before is about the life before.
        self.began_ms = now_ms();
        self.control.ask.ask(&self.module, order, WHO).await.map(drop)
    }

    /// Waits until the module was looked at in its new life, and found well.
    async fn validate(&mut self) -> Result<(), String> {
        let limit = Duration::from_millis(self.control.config().care.recovery.validate_ms);
        let found = timeout(limit, async {
            loop {
                if let Some(found) = self.found() {
                    return found;
                }
                if self.heard.next().await.is_none() {
                    return Err("everything is being stopped".to_owned());
                }
            }
        });
        found
            .await
            .unwrap_or_else(|_| Err(format!("it was not healthy within recovery.validate_ms = {}", limit.as_millis())))
    }

    /// How it is in its new life, as soon as that is known.
    fn found(&self) -> Option<Result<(), String>> {
        let module = self.control.registry.get(&self.module)?;
        if let State::Failed { error, .. } = &module.state {
            return Some(Err(error.clone()));
        }
        let report = self.control.board.get(&self.module)?;
        let is_new = module.state.is_running() && report.checked_at_ms.is_some_and(|at_ms| at_ms >= self.began_ms);
        match report.grade {
            _ if !is_new => None,
            Grade::Healthy | Grade::Degraded => Some(Ok(())),
            Grade::Unhealthy => Some(Err("it is unhealthy again".to_owned())),
            Grade::Unknown => None,
        }
    }

    async fn memory<T: Send + 'static>(&self, read: impl FnOnce(&Memory) -> T + Send + 'static) -> Result<T, String> {
        let dir: PathBuf = self.control.config().log.dir.clone();
        let asked = spawn_blocking(move || read(&Memory::read(&dir)));
        asked.await.map_err(|fault| format!("recovery.json could not be read: {fault}"))
    }

    async fn remember(&self, change: impl FnOnce(&mut Memory) + Send + 'static) -> Result<(), String> {
        let dir = self.control.config().log.dir.clone();
        let written = spawn_blocking(move || {
            let mut memory = Memory::read(&dir);
            change(&mut memory);
            memory.write(&dir)
        });
        let written = written.await.map_err(std::io::Error::other).and_then(|written| written);
        written.map_err(|fault| format!("recovery.json could not be written: {fault}"))
    }
}
