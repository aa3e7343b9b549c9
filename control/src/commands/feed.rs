//! `cutline feed`: a capture sent to a running system. Started as a `[[module]]` it speaks the module protocol: it is ready once it has
//! connected, tells how far it is, takes another file or pace, and finishes what it has in hand before it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cutline_engine::module::{Asked, Health, Module, Status};
use serde_json::{Map, Value, json};

use super::{Failure, Outcome, note};
use crate::cli;
use crate::feed::pace::Pace;
use crate::feed::sender::Sender;
use crate::feed::settings::Settings;
use crate::feed::shared::{Progress, Shared};
use crate::feed::source::Source;

/// Between two looks at how far it is, while nothing is asked.
const LOOK: Duration = Duration::from_millis(20);
/// Not being read for so long is worth being told.
const HELD_BACK: Duration = Duration::from_secs(1);
/// Kept of the time that it has to end: for the end itself.
const TO_END: Duration = Duration::from_millis(100);

/// `cutline feed`
pub fn feed(args: &cli::Feed) -> Outcome {
    let pace = args.speed.map_or_else(|| Pace::of_rate(args.rate), Pace::of_speed).map_err(Failure::usage)?;
    let base = Settings { file: args.file.clone(), pace, follow: args.follow };
    let module = Module::inherited().map_err(Failure::machine)?;
    let settings = module.as_ref().map_or_else(|| Ok(base.clone()), |module| base.with(module.config()));
    let settings = settings.map_err(|fault| Failure::usage(format!("[module.config]: {fault}")))?;
    let source = Source::open(&settings).map_err(Failure::machine)?;
    let shared = Arc::new(Shared::new());
    let (target, kept, ends) = (args.to.clone(), args.position.clone(), module.is_none());
    let system = module.as_ref().map_or_else(String::new, |module| module.system().to_owned());
    let sender = Sender { target, kept, ends, system, shared: Arc::clone(&shared) };
    let reset = module.as_ref().is_some_and(Module::reset);
    let file = settings.file.clone();
    let run = move || sender.run(&settings, source, reset);
    let thread = std::thread::Builder::new().name("sender".to_owned()).spawn(run).map_err(Failure::machine)?;
    match module {
        None => alone(thread, &shared),
        Some(module) => {
            let since = (Instant::now(), Progress::default());
            Led { module, base, file, shared, thread, before: Progress::default(), since }.serve()
        }
    }
}

/// Without anybody who asks: until everything was sent. What keeps it from that is told once.
fn alone(thread: JoinHandle<()>, shared: &Shared) -> Outcome {
    let mut told = String::new();
    while !thread.is_finished() {
        let Progress { connected, refused, not_kept, .. } = shared.progress();
        let trouble = match not_kept.filter(|_| connected) {
            Some(fault) => format!("the position is not kept: {fault}"),
            None if connected || refused.is_empty() => String::new(),
            None => format!("{refused}: trying again"),
        };
        if trouble != told && !trouble.is_empty() {
            note(&trouble);
        }
        told = trouble;
        std::thread::sleep(LOOK);
    }
    let ended = thread.join();
    let progress = shared.progress();
    note(format_args!("{} lines sent, {} connections lost", progress.lines, progress.losses));
    ended.map_err(|_| Failure::machine("the sending thread has ended by a fault of its own"))?;
    progress.fault.map_or(Ok(()), |fault| Err(Failure::machine(format!("not everything was sent: {fault}"))))
}

/// As a module.
struct Led {
    module: Module,
    /// What the command line says.
    base: Settings,
    /// What is sent.
    file: PathBuf,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// How far it was when it was looked at last.
    before: Progress,
    /// The same when it was asked last.
    since: (Instant, Progress),
}

impl Led {
    fn serve(mut self) -> Outcome {
        self.module.hello(env!("CARGO_PKG_VERSION")).map_err(Failure::machine)?;
        loop {
            self.tell_changes().map_err(Failure::machine)?;
            match self.module.next(LOOK).map_err(Failure::machine)? {
                None => {}
                Some(Asked::Health { id }) => {
                    let health = self.health();
                    self.module.health(id, &health).map_err(Failure::machine)?;
                }
                Some(Asked::ConfigUpdate { id, config }) => {
                    let taken = self.update(&config);
                    self.module.ack(id, taken.as_ref().map_err(String::as_str).copied()).map_err(Failure::machine)?;
                }
                Some(Asked::Shutdown { within }) => return self.end(within),
            }
        }
    }

    /// Tells what is otherwise than at the last look.
    fn tell_changes(&mut self) -> std::io::Result<()> {
        let now = self.shared.progress();
        let before = std::mem::replace(&mut self.before, now.clone());
        if now.has_connected && !before.has_connected {
            self.module.ready()?;
        }
        if now.losses != before.losses {
            self.tell("disconnected", json!({"why": now.refused, "connections_lost": now.losses}))?;
        }
        if before.has_connected && now.connected && (!before.connected || now.losses != before.losses) {
            self.tell("reconnected", json!({}))?;
        }
        if now.at_end && !before.at_end {
            self.tell("everything_sent", json!({"lines": now.lines}))?;
        }
        match now.fault.filter(|_| before.fault.is_none()) {
            Some(fault) => self.tell("cannot_go_on", json!({"why": fault})),
            None => Ok(()),
        }
    }

    fn tell(&mut self, name: &str, data: Value) -> std::io::Result<()> {
        self.module.event(name, data.as_object().unwrap_or(&Map::new()))
    }

    fn health(&mut self) -> Health {
        let (now, progress) = (Instant::now(), self.shared.progress());
        let (asked, before) = std::mem::replace(&mut self.since, (now, progress.clone()));
        let seconds = now.duration_since(asked).as_secs_f64().max(1e-3);
        let per_second = |now: u64, before: u64| (now - before) as f64 / seconds;
        let file_bytes = std::fs::metadata(&self.file).ok().filter(|found| found.is_file()).map(|found| found.len());
        let metrics = json!({
            "queue_depth": progress.in_hand,
            "error_rate": per_second(progress.losses, before.losses),
            "lines_sent": progress.lines,
            "bytes_sent": progress.bytes,
            "lines_per_s": per_second(progress.lines, before.lines),
            "position_bytes": progress.position,
            "file_bytes": file_bytes,
            "connections_lost": progress.losses,
        });
        let (status, reason) = state(&progress, now);
        let issues = progress.not_kept.map(|fault| format!("its position is not kept: {fault}")).into_iter().collect();
        Health { status, reason, metrics: metrics.as_object().cloned().unwrap_or_default(), issues }
    }

    /// Whatever can be wrong with it is found before anything changes.
    fn update(&mut self, config: &Value) -> Result<(), String> {
        let settings = self.base.with(config)?;
        let source = Source::open(&settings)?;
        self.file.clone_from(&settings.file);
        self.shared.order(|orders| orders.change = Some((settings, source)));
        Ok(())
    }

    fn end(self, within: Duration) -> Outcome {
        let until = Instant::now() + within.saturating_sub(TO_END);
        self.shared.order(|orders| orders.end = Some(until));
        self.thread.join().map_err(|_| Failure::machine("the sending thread has ended by a fault of its own"))
    }
}

/// How it does, and why.
fn state(progress: &Progress, now: Instant) -> (Status, String) {
    if let Some(fault) = &progress.fault {
        return (Status::Unhealthy, fault.clone());
    }
    if !progress.connected {
        return (Status::Degraded, format!("not connected: {}", progress.refused));
    }
    match progress.blocked_since.map(|since| now.duration_since(since)).filter(|blocked| *blocked >= HELD_BACK) {
        Some(blocked) => {
            (Status::Degraded, format!("held back: nothing has been taken for {} ms", blocked.as_millis()))
        }
        None if progress.not_kept.is_some() => (Status::Degraded, "a restart would send lines again".to_owned()),
        None => (Status::Healthy, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_does_is_the_worst_that_is_known() {
        let now = Instant::now();
        let ms = |ms| now.checked_sub(Duration::from_millis(ms));
        let well = Progress { connected: true, ..Progress::default() };
        let status = |progress: &Progress| state(progress, now).0;
        assert_eq!(status(&well), Status::Healthy);
        assert_eq!(status(&Progress { blocked_since: ms(500), ..well.clone() }), Status::Healthy);
        let blocked = Progress { blocked_since: ms(2_000), ..well.clone() };
        assert_eq!(
            state(&blocked, now),
            (Status::Degraded, "held back: nothing has been taken for 2000 ms".to_owned())
        );
        assert_eq!(status(&Progress { not_kept: Some("full".to_owned()), ..well.clone() }), Status::Degraded);
        assert_eq!(status(&Progress { connected: false, ..blocked }), Status::Degraded);
        assert_eq!(status(&Progress { fault: Some("gone".to_owned()), ..well }), Status::Unhealthy);
    }
}
