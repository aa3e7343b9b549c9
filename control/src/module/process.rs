//! The body of a module that is a child process.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use cutline::config::{Module, Probe};
use cutline_host::child::Child;
use serde_json::Value;
use tokio::select;
use tokio::time::timeout;

use super::alive::{Alive, Buried, Happened, NotifySocket};
use super::output::Output;
use super::probe;
use super::protocol::{FromModule, ToModule, VERSION};
use super::spawn::Plan;
use super::telling::Telling;
use super::wire::Wire;
use crate::commands::Failure;
use crate::resources::cgroup::Group;
use crate::supervisor::body::{Act, Body, Ready};
use crate::supervisor::context::Control;

/// How long a process that did not do as it was told has between SIGTERM and SIGKILL, at most.
const TERM_PATIENCE: Duration = Duration::from_secs(5);
/// How long the kernel has to end a process that was killed. One that waits for a device that does not answer cannot be ended.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub struct Process {
    module: Module,
    control: Control,
    output: Output,
    running: Option<Running>,
    /// [`Group::oom_kills`] when it was started.
    oom_kills: u64,
    /// Why there is no process any more, until it is told.
    died: Option<String>,
}

struct Running {
    alive: Alive,
    plan: Rc<Plan>,
    telling: Telling,
    /// It has said hello.
    speaks: bool,
    version: String,
    /// Number of the last question.
    asked: u64,
}

impl Process {
    /// One that does not run.
    pub fn new(module: Module, control: Control, output: Output) -> Self {
        Self { module, control, output, running: None, oom_kills: 0, died: None }
    }

    async fn spawn(&mut self, reset: bool) -> Result<(), String> {
        let config = self.control.config();
        // As it is configured by now.
        if let Some(module) = config.modules.iter().find(|module| module.name == self.module.name) {
            self.module = module.clone();
        }
        let name = &self.module.name;
        let notify = (self.module.ready == Probe::Notify).then(|| NotifySocket::new(name)).transpose();
        let notify = notify.map_err(|fault| format!("a socket for sd_notify: {fault}"))?;
        let address = notify.iter().map(|notify| ("NOTIFY_SOCKET".to_owned(), notify.address.clone())).collect();
        let group = self.control.cgroups.of(&self.module.name);
        if let Some(Err(fault)) = group.as_ref().map(|group| group.begin(&self.module.limits)) {
            return Err(format!("its cgroup: {fault}; resources.cgroups = false goes without"));
        }
        self.oom_kills = group.as_ref().map_or(0, Group::oom_kills);
        let plan = Plan::new(&self.module, &config.supervisor, address, group.map(|group| group.entrance()))?;
        let cannot = |fault| format!("its process could not be started: {fault}");
        let (wire, theirs) = Wire::new().map_err(cannot)?;
        let child = Child::start(plan.command()?, theirs, self.module.log_lines_per_s).map_err(cannot)?;
        self.adopt(child, wire, plan, notify, reset).await.map_err(cannot)
    }

    /// Takes over a process that was started, and welcomes it.
    async fn adopt(
        &mut self,
        child: Child,
        mut wire: Wire,
        plan: Plan,
        notify: Option<NotifySocket>,
        reset: bool,
    ) -> io::Result<()> {
        let (name, id) = (&self.module.name, child.id());
        for guard in &plan.unguarded {
            self.output.line(name, id, None, &format!("warning: this system has no {guard}: it runs without"), false);
        }
        // Who is dead by now is found dead.
        let config = serde_json::from_str(&self.module.config_json).unwrap_or_default();
        let system = &self.control.start;
        let _ = wire.send(&ToModule::Welcome { protocol: VERSION, module: name, system, reset, config: &config }).await;
        self.control.registry.change(name, |module| module.handed = self.module.config_json.clone());
        let alive = Alive::new(name, child, wire, notify, self.output.clone())?;
        let telling = Telling::new(self.module.log_lines_per_s);
        let plan = Rc::new(plan);
        self.running = Some(Running { alive, plan, telling, speaks: false, version: String::new(), asked: 0 });
        Ok(())
    }

    /// Waits until it is ready.
    async fn ready(&mut self) -> Result<Ready, String> {
        let gone = "it does not run";
        let (probe, plan) = (self.module.ready.clone(), Rc::clone(&self.running.as_ref().ok_or(gone)?.plan));
        let mut probed = pin!(probe::until_ready(&probe, &plan));
        loop {
            let running = self.running.as_mut().ok_or(gone)?;
            let happened = select! {
                happened = running.alive.next() => Some(happened),
                () = &mut probed => None,
            };
            let is_ready = match &happened {
                None => true,
                Some(Happened::Said(FromModule::Ready)) => self.module.ready == Probe::Protocol && running.speaks,
                Some(Happened::Notified(text)) => text.lines().any(|line| line == "READY=1"),
                Some(_) => false,
            };
            if is_ready {
                return Ok(Ready { version: running.version.clone(), pid: Some(running.alive.id()) });
            }
            if let Some(happened) = happened {
                self.take(happened)?;
            }
        }
    }

    /// Takes in what is no answer to anything.
    fn take(&mut self, happened: Happened) -> Result<(), String> {
        let fault = match happened {
            Happened::Died => return Err(self.bury("it ended before it was asked to")),
            Happened::Broke(fault) => fault,
            Happened::Notified(_) => return Ok(()),
            Happened::Said(said) => {
                let Some(running) = &mut self.running else { return Ok(()) };
                match said {
                    FromModule::Hello { protocol: VERSION, version } if !running.speaks => {
                        (running.speaks, running.version) = (true, version);
                        return Ok(());
                    }
                    FromModule::Hello { protocol, .. } if !running.speaks => {
                        format!("it speaks version {protocol} of the module protocol, this program version {VERSION}")
                    }
                    FromModule::Hello { .. } => "it said hello twice".to_owned(),
                    _ if !running.speaks => "it did not say hello first".to_owned(),
                    FromModule::Event { name, data } => {
                        let module = &self.module.name;
                        if let Some(dropped) = running.telling.tell(&self.control.bus, module, name, data) {
                            let text = format!("told {dropped} events more than log_lines_per_s");
                            self.output.line(module, running.alive.id(), None, &text, false);
                        }
                        return Ok(());
                    }
                    // An answer that nobody waits for any more, or what a later version may say.
                    FromModule::Ready | FromModule::Health { .. } | FromModule::Ack { .. } | FromModule::Other => {
                        return Ok(());
                    }
                }
            }
        };
        // Nothing that comes after that is to be believed.
        if let Some(running) = &self.running {
            running.alive.kill();
        }
        Err(fault)
    }

    /// It is dead.
    fn bury(&mut self, what: &str) -> String {
        self.end_group();
        let has_room =
            self.control.cgroups.of(&self.module.name).is_none_or(|group| group.oom_kills() <= self.oom_kills);
        let why = if has_room { "" } else { " because memory ran out" };
        let what = format!("{what}{why}");
        self.running.take().map_or_else(String::new, |running| running.alive.bury().with_last_lines(&what))
    }

    /// Whoever has left its process group is in its cgroup all the same.
    fn end_group(&self) {
        self.control.cgroups.of(&self.module.name).iter().for_each(Group::kill);
    }

    /// Waits for its death.
    async fn death(&mut self, within: Duration) -> Option<Buried> {
        let running = self.running.as_mut()?;
        let died = async { while running.alive.next().await != Happened::Died {} };
        timeout(within, died).await.ok()?;
        self.end_group();
        self.running.take().map(|running| running.alive.bury())
    }

    async fn end(&mut self, within: Duration) -> Result<String, String> {
        let Some(running) = &mut self.running else {
            return Ok(self.died.take().unwrap_or_else(|| "did not run".to_owned()));
        };
        if !within.is_zero() {
            let timeout_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            // Who cannot be asked is told by a signal.
            let asked = running.speaks && running.alive.wire.send(&ToModule::Shutdown { timeout_ms }).await.is_ok();
            if asked && let Some(buried) = self.death(within).await {
                return Ok(buried.how().to_owned());
            }
            self.running.iter().for_each(|running| running.alive.terminate());
            if let Some(buried) = self.death(if asked { within.min(TERM_PATIENCE) } else { within }).await {
                return Ok(format!("{} upon SIGTERM", buried.how()));
            }
        }
        self.running.iter().for_each(|running| running.alive.kill());
        match self.death(KILL_PATIENCE).await {
            Some(buried) => Ok(format!("{}: it was killed", buried.how())),
            None => Err(format!("its process does not end, {} s after SIGKILL", KILL_PATIENCE.as_secs())),
        }
    }

    /// Asks a question, and waits for what `is_answer` takes for its answer.
    async fn question<'q, T>(
        &mut self,
        within: Duration,
        ask: impl FnOnce(u64) -> ToModule<'q>,
        is_answer: impl Fn(u64, &FromModule) -> Option<T>,
    ) -> Result<T, String> {
        let running = self.running.as_mut().ok_or("it does not run")?;
        if !running.speaks {
            return Err("it does not speak the module protocol".to_owned());
        }
        running.asked += 1;
        let id = running.asked;
        running.alive.wire.send(&ask(id)).await?;
        let answered = async {
            loop {
                let Some(running) = &mut self.running else { return Err("it has ended".to_owned()) };
                let happened = running.alive.next().await;
                if let Happened::Said(said) = &happened
                    && let Some(answer) = is_answer(id, said)
                {
                    return Ok(answer);
                }
                if let Err(fault) = self.take(happened) {
                    self.died = Some(fault.clone());
                    return Err(fault);
                }
            }
        };
        timeout(within, answered).await.unwrap_or_else(|_| Err(format!("no answer within {} ms", within.as_millis())))
    }
}

impl Body for Process {
    fn start(&mut self, reset: bool) -> Act<'_, Result<Ready, Failure>> {
        Box::pin(async move {
            self.died = None;
            self.spawn(reset).await.map_err(Failure::machine)?;
            self.ready().await.map_err(Failure::machine)
        })
    }

    fn live(&mut self) -> Act<'_, Result<String, Failure>> {
        Box::pin(async {
            loop {
                if let Some(why) = self.died.take() {
                    // What broke the protocol was killed, and may be dying yet.
                    self.end(Duration::ZERO).await.map_err(Failure::machine)?;
                    return Err(Failure::machine(why));
                }
                let Some(running) = &mut self.running else { return Err(Failure::machine("it does not run")) };
                let happened = running.alive.next().await;
                self.died = self.take(happened).err();
            }
        })
    }

    fn stop(&mut self, within: Duration) -> Act<'_, Result<String, Failure>> {
        Box::pin(async move { self.end(within).await.map_err(Failure::machine) })
    }

    fn update(&mut self, config: Value, within: Duration) -> Act<'_, Result<Value, String>> {
        Box::pin(async move {
            let acknowledged = |id, said: &FromModule| match said {
                FromModule::Ack { id: of, ok, error } if *of == id => Some((*ok, error.clone())),
                _ => None,
            };
            match self.question(within, |id| ToModule::ConfigUpdate { id, config: &config }, acknowledged).await? {
                (true, _) => Ok(Value::Null),
                (false, error) => {
                    Err(format!("it refused the configuration, and goes on with the one before: {error}"))
                }
            }
        })
    }

    /// One that does not speak the protocol is probed as at its start.
    fn health(&mut self, within: Duration) -> Act<'_, Result<Value, String>> {
        Box::pin(async move {
            match (&self.running, &self.module.ready) {
                (Some(running), probe @ (Probe::Program(_) | Probe::Tcp(_) | Probe::Http(..))) if !running.speaks => {
                    probe::once(probe, &running.plan, within).await?;
                    Ok(serde_json::json!({"status": "healthy"}))
                }
                // Who only says by sd_notify that it is ready is well as long as it lives.
                (Some(running), Probe::Notify) if !running.speaks => Ok(serde_json::json!({"status": "healthy"})),
                _ => {
                    let told = |id, said: &FromModule| match said {
                        FromModule::Health { id: of, report } if *of == id => Some(report.clone()),
                        _ => None,
                    };
                    let report = self.question(within, |id| ToModule::Health { id }, told).await?;
                    serde_json::to_value(report).map_err(|fault| fault.to_string())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
