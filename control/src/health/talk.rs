//! The task that speaks the module protocol with engine processes: it welcomes each, asks it how it is, and puts up what it says. On the
//! control thread; no lane and no warden waits for it.
//!
//! An engine answers between two calls. One that does not in time may be in a call that takes long, and what becomes of it then is its
//! lane's to decide (`engine.timeout_ms`): it counts as degraded and never as more, and nobody restarts it for that. It has one question at
//! most before it, so that one that stands still for hours finds no more than that. Who does not speak is well as long as it runs.

use std::collections::BTreeMap;
use std::future::pending;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::select;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep_until;

use super::answer::Answer;
use super::engines::Place;
use super::interval::Interval;
use super::plane::in_registry;
use super::report::{Grade, Issue, IssueKind, Report};
use super::streak::{Checked, Streak};
use crate::bus::now_ms;
use crate::commands::note;
use crate::module::protocol::{self, FromModule, ToModule, VERSION};
use crate::module::telling::Telling;
use crate::module::wire::Wire;
use crate::supervisor::context::Control;

/// Speaks with whoever there is, until it is dropped.
pub async fn watch(control: Control) {
    let mut talks: BTreeMap<Place, Spoken> = BTreeMap::new();
    loop {
        let processes = control.engines.processes();
        talks.retain(|place, talk| {
            let lives = processes.get(place) == Some(&talk.pid);
            if !lives && control.engines.counts(place) {
                control.board.remove(&place.name, &control.bus);
            }
            lives
        });
        for (place, socket) in control.engines.take_sockets() {
            let Some(pid) = processes.get(&place).copied() else { continue };
            let task = spawn_local(talk(control.clone(), place.clone(), socket)).abort_handle();
            talks.insert(place, Spoken { pid, task });
        }
        // They have told their lanes that they are ready.
        for place in control.engines.untold() {
            put(&control, &place, well(&place.name));
        }
        control.engines.changed().await;
    }
}

/// A process that is spoken with; it ends with this.
struct Spoken {
    pid: u32,
    task: AbortHandle,
}

impl Drop for Spoken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Of a process that runs, of which no more is known.
fn well(name: &str) -> Report {
    Report { grade: Grade::Healthy, checked_at_ms: Some(now_ms()), ..Report::unknown(name, false) }
}

/// Speaks with one process until it closes its end, or does not keep to the protocol. Then nobody listens to it any more, and it lives on.
async fn talk(control: Control, place: Place, socket: UnixStream) {
    let fault = match Wire::over(socket) {
        Ok(wire) => Talk::new(control.clone(), place.clone(), wire).go_on().await.err(),
        Err(fault) => Some(fault.to_string()),
    };
    let mut report = well(&place.name);
    if let Some(fault) = fault {
        report.grade = Grade::Degraded;
        let text = format!("it is not listened to any more: {fault}; it goes on with its calls");
        report.issues.push(Issue::new(IssueKind::NoAnswer, text));
    }
    put(&control, &place, report);
}

fn put(control: &Control, place: &Place, report: Report) {
    if control.engines.set_health(place, in_registry(&report)) {
        control.board.put(report, &control.bus);
    }
}

struct Talk {
    control: Control,
    place: Place,
    wire: Wire,
    streak: Streak,
    interval: Interval,
    telling: Telling,
    /// Number of the last question.
    id: u64,
    /// When that was asked, if it has not been answered.
    asked: Option<Instant>,
    /// When it is asked again, or its answer is late; `None`: it has not said hello.
    due: Option<Instant>,
}

impl Talk {
    fn new(control: Control, place: Place, wire: Wire) -> Self {
        let config = control.config();
        let health = &config.care.health;
        let (streak, interval) = (Streak::new(health.unhealthy_threshold), Interval::new(health, None));
        let telling = Telling::new(config.engine_host.process.log_lines_per_s);
        Self { control, place, wire, streak, interval, telling, id: 0, asked: None, due: None }
    }

    /// Until it closes its end. An error is what it did against the protocol.
    async fn go_on(mut self) -> Result<(), String> {
        let (config, system) = (json!({}), self.control.start.clone());
        let module = self.place.name.clone();
        let welcome =
            ToModule::Welcome { protocol: VERSION, module: &module, system: &system, reset: false, config: &config };
        self.wire.send(&welcome).await?;
        let mut configs = self.control.config.subscribe();
        loop {
            let due = self.due;
            let due = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            select! {
                said = self.wire.next() => match said {
                    None => return Ok(()),
                    Some(said) => self.hear(said?)?,
                },
                () = due => self.check().await?,
                // Whoever sends them is there as long as `control` is.
                _ = configs.changed() => self.obey(),
            }
        }
    }

    fn hear(&mut self, said: FromModule) -> Result<(), String> {
        match said {
            FromModule::Hello { protocol: VERSION, .. } if self.due.is_none() => self.due = Some(Instant::now()),
            FromModule::Hello { protocol, .. } if self.due.is_none() => {
                return Err(format!("it speaks version {protocol} of the module protocol, this program {VERSION}"));
            }
            FromModule::Hello { .. } => return Err("it said hello twice".to_owned()),
            FromModule::Health { id, report } if id == self.id => self.answered(&report),
            FromModule::Event { name, data } if self.due.is_some() => {
                if let Some(dropped) = self.telling.tell(&self.control.bus, &self.place.name, name, data) {
                    let place = &self.place.name;
                    note(format_args!("{place}: told {dropped} events more than engine.process.log_lines_per_s"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, report: &protocol::Report) {
        let Some(asked) = self.asked.take() else { return };
        let answer = Answer::read(&json!(report));
        self.streak.note(answer.checked);
        self.wait(answer.checked, Duration::ZERO);
        let report = answer.report(&self.place.name, false, self.streak, asked.elapsed());
        put(&self.control, &self.place, report);
    }

    /// Asks it, or notes that it has not answered.
    async fn check(&mut self) -> Result<(), String> {
        let limit = Duration::from_millis(self.control.config().care.health.timeout_ms);
        let Some(asked) = self.asked else {
            (self.id, self.asked, self.due) = (self.id + 1, Some(Instant::now()), Some(Instant::now() + limit));
            return self.wire.send(&ToModule::Health { id: self.id }).await;
        };
        self.streak.note(Checked::Failed);
        self.wait(Checked::Failed, limit);
        let text = format!(
            "it has not answered for {} ms: it is in a call that takes long, or stands still; its lane ends it after engine.timeout_ms",
            asked.elapsed().as_millis()
        );
        let mut report = Answer::none(&text).report(&self.place.name, false, self.streak, asked.elapsed());
        report.grade = report.grade.min(Grade::Degraded);
        put(&self.control, &self.place, report);
        Ok(())
    }

    /// The next check is so long after the usual time from now.
    fn wait(&mut self, checked: Checked, longer: Duration) {
        let wait_ms = self.interval.after(checked, self.control.throttle.is_on());
        self.due = Some(Instant::now() + Duration::from_millis(wait_ms) + longer);
    }

    /// Goes by the configuration in force from here on.
    fn obey(&mut self) {
        let config = self.control.config();
        let health = &config.care.health;
        self.streak.set_threshold(health.unhealthy_threshold);
        if self.interval.obey(health, None) && self.asked.is_none() {
            let soon = Instant::now() + Duration::from_millis(health.interval_ms);
            self.due = self.due.map(|due| due.min(soon));
        }
    }
}

#[cfg(test)]
mod tests;
