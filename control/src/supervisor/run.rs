//! `cutline run`: the control thread, from the first module's start to the last one's end.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use cutline::config::Config;
use tokio::runtime;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{LocalSet, spawn_local};

use super::ask::{Ask, Asked, Order};
use super::context::{Again, Control, Stop};
use super::cores::OffLanes;
use super::graph::Graph;
use super::lifecycle::Lifecycle;
use super::part::{PARTS, PartBody};
use super::plane::{self, Plane};
use super::registry::Registry;
use super::seat::{Handle, Seat};
use super::service::Service;
use super::{herald, modules, settings};
use crate::bus::Listener;
use crate::bus::event::SYSTEM;
use crate::bus::lifecycle::Lifecycle as Event;
use crate::bus::record::Record;
use crate::bus::resource::Resource;
use crate::care;
use crate::commands::signals::StopRequest;
use crate::commands::{Failure, Outcome, note, room};
use crate::module::Process;
use crate::module::output::{Lines, Output, Writer};
use crate::reload::{Reloader, Sources};
use crate::resources::cgroup::Cgroups;
use crate::supervisor::body::Body;
use crate::supervisor::fault::StartupError;

/// How long threads that wait for a disk are waited for at the very end.
const THREADS_PATIENCE: Duration = Duration::from_secs(1);

/// Runs everything that this configuration, from there, has until it is asked to stop, or ends by itself.
pub fn run(config: Config, sources: Sources) -> Outcome {
    let cannot = |error| Failure::machine(format!("cannot listen for signals: {error}"));
    // Its second signal ends the process whatever this thread is at.
    let asked = StopRequest::listen().map_err(cannot)?;
    let graph = Rc::new(modules::graph(&config)?);
    room::check_all(&config).map_err(StartupError::Resources)?;
    // Before the first thread.
    let off_lanes = OffLanes::keep(&config);
    let cgroups = cgroups(&config);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::machine(format!("cannot start the control thread: {error}")))?;
    let again = Again::default();
    let outcome = LocalSet::new().block_on(&runtime, async {
        let (ask, orders) = Ask::new();
        let mut control = Control::new(config, Registry::new(modules::registered(&graph)), ask);
        control.again = again.clone();
        control.cgroups = cgroups.clone();
        control.reload = Reloader::new(sources);
        listen(&control.stop, &asked).map_err(cannot)?;
        supervise(&control, &graph, orders).await
    });
    runtime.shutdown_timeout(THREADS_PATIENCE);
    cgroups.leave();
    // Another start may have other lanes.
    drop(off_lanes);
    if again.is_set() { Err(become_again()) } else { outcome }
}

/// Groups for modules, if there are any and they are wanted.
fn cgroups(config: &Config) -> Cgroups {
    match config.care.resources.cgroups {
        _ if config.modules.is_empty() => Cgroups::none("there are no modules"),
        false => Cgroups::none("resources.cgroups = false"),
        true => Cgroups::enter(),
    }
}

/// Becomes this same program again, with the same arguments. Returns only if that is refused.
fn become_again() -> Failure {
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Failure::machine(format!("cannot start again: {}", command.args(arguments).exec()))
}

/// The first signal asks for the end; SIGHUP is heard by who watches the files, once somebody does.
fn listen(stop: &Stop, before: &StopRequest) -> std::io::Result<()> {
    for (kind, name) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT")] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        spawn_local(async move {
            signals.recv().await;
            stop.request(name);
        });
    }
    if before.is_set() {
        stop.request("a signal");
    }
    // One that comes while logs are read must not end the process: the files are read anew behind that anyway.
    signal(SignalKind::hangup()).map(drop)
}

async fn supervise(control: &Control, graph: &Rc<Graph>, orders: mpsc::Receiver<Asked>) -> Outcome {
    let heard = control.bus.listen();
    if !control.config().modules.is_empty() {
        control.bus.publish(SYSTEM, Resource::Groups { text: control.cgroups.text() });
    }
    let monitors = care::start(control);
    spawn_local(herald::obey(control.config.subscribe()));
    spawn_local(herald::tell(control.bus.listen()));
    let (output, lines) = Output::new();
    let lifecycle = Lifecycle::new(Rc::clone(graph), seats(control, graph, &output), control.clone());
    drop(output);
    lifecycle.start_plane().await?;
    let writers = Writers::start(control, heard, lines);
    let service = Service::start(control);
    let ran = go_on(control, &lifecycle, &service, orders).await;
    if ran.is_err() {
        // Recovery too has to know that it is over.
        control.stop.request("the start failed");
    }
    service.stopping();
    let reason = control.stop.reason().unwrap_or_default();
    let others = lifecycle.stop_others(&reason).await;
    monitors.stop(control);
    let stopped = lifecycle.stop_plane(&reason).await.and(others);
    let outcome = ran.and(stopped);
    let told = outcome.as_ref().err().map_or_else(|| "stopped".to_owned(), |failure| failure.message.clone());
    control.bus.publish(SYSTEM, Event::Stopped { reason: told });
    control.bus.close();
    if control.bus.lost() > 0 {
        note(format_args!("warning: {} events were lost by listeners that were too slow for them", control.bus.lost()));
    }
    drop(lifecycle);
    // The seats end with their last handle, each when it has its turn, and with them nobody prints any more.
    for _ in graph.order() {
        tokio::task::yield_now().await;
    }
    writers.finish();
    outcome
}

/// Everything is started, and then lives until it is to end.
async fn go_on(
    control: &Control,
    lifecycle: &Lifecycle,
    service: &Service,
    mut orders: mpsc::Receiver<Asked>,
) -> Outcome {
    select! {
        biased;
        () = control.stop.requested() => return Ok(()),
        started = lifecycle.start_others() => started?,
    }
    service.ready();
    spawn_local(settings::follow(control.clone()));
    control.bus.publish(SYSTEM, Event::Up { degraded: degraded(control) });
    for name in lifecycle.prewarmed() {
        let ask = control.ask.clone();
        spawn_local(async move { ask.ask(&name, Order::Start, "prewarm").await });
    }
    let turn = Rc::new(Mutex::new(()));
    loop {
        select! {
            biased;
            () = control.stop.requested() => return Ok(()),
            Some(asked) = orders.recv() => drop(spawn_local(answer(control.clone(), lifecycle.clone(), Rc::clone(&turn), asked))),
        }
    }
}

/// Carries out what was asked for. What changes which modules run has its turn, one after the other.
async fn answer(control: Control, lifecycle: Lifecycle, turn: Rc<Mutex<()>>, asked: Asked) {
    let Asked { module, order, who, answer } = asked;
    let _turn = match Lifecycle::changes(&order) {
        true => Some(turn.lock().await),
        false => None,
    };
    if control.stop.reason().is_some() {
        drop(answer.send(Err("everything is being stopped".to_owned())));
        return;
    }
    if let Some(order) = order.name() {
        control.bus.publish(&module, Event::Asked { order: order.to_owned(), who: who.clone() });
    }
    // That nobody waits for it any more is no fault.
    let _ = answer.send(lifecycle.carry_out(&module, order, &who).await);
}

/// Modules that were to run and do not.
fn degraded(control: &Control) -> Vec<String> {
    let failed = control.registry.all().into_iter().filter(|module| module.state.is_failed());
    failed.map(|module| module.name).collect()
}

/// A seat for each module.
fn seats(control: &Control, graph: &Graph, output: &Output) -> BTreeMap<String, Handle> {
    let config = control.config();
    let seat = |name: &str| {
        let module = config.modules.iter().find(|module| module.name == name);
        let body: Box<dyn Body> = match (module, PARTS.iter().find(|part| part.name == name)) {
            (Some(module), _) => Box::new(Process::new(module.clone(), control.clone(), output.clone())),
            (None, Some(part)) => Box::new(PartBody::new(part, control.clone())),
            (None, None) => Box::new(Plane::new(control.clone(), output.clone())),
        };
        Seat {
            name: name.to_owned(),
            body,
            is_all: name == plane::NAME,
            control: control.clone(),
            attempts: 0,
            failure: None,
        }
    };
    graph.order().map(|node| (node.name.clone(), seat(&node.name).take())).collect()
}

/// What writes to log.dir, which is ours once the data plane is up.
struct Writers(Option<Record>, Option<Writer>);

impl Writers {
    fn start(control: &Control, heard: Listener, lines: Lines) -> Self {
        let dir = control.config().log.dir.clone();
        let told = |what: &str, fault: &std::io::Error| {
            note(format_args!("warning: {what} is not written to log.dir: {fault}"))
        };
        let record = Record::start(heard, &dir).inspect_err(|fault| told("what happens", fault)).ok();
        let writer = Writer::start(lines, &dir).inspect_err(|fault| told("what modules print", fault)).ok();
        Self(record, writer)
    }

    fn finish(self) {
        self.0.into_iter().for_each(Record::finish);
        self.1.into_iter().for_each(Writer::finish);
    }
}
