//! `cutline run`: the control thread, from the first module's start to the last one's end.

use std::time::Duration;

use cutline::config::Config;
use serde_json::Value;
use tokio::runtime;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use super::ask::{Ask, Asked, Order};
use super::context::{Control, Stop};
use super::plane::{self, Plane};
use super::registry::{Module, Registry, State};
use super::seat::{Do, Handle, Seat};
use crate::bus::record::Record;
use crate::commands::signals::StopRequest;
use crate::commands::{Failure, Outcome, note};

/// How long threads that wait for a disk are waited for at the very end.
const THREADS_PATIENCE: Duration = Duration::from_secs(1);

/// Runs everything until it is asked to stop, or ends by itself.
pub fn run(config: Config) -> Outcome {
    let cannot = |error| Failure::machine(format!("cannot listen for signals: {error}"));
    // Its second signal ends the process whatever this thread is at.
    let asked = StopRequest::listen().map_err(cannot)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::machine(format!("cannot start the control thread: {error}")))?;
    let outcome = LocalSet::new().block_on(&runtime, async {
        let (ask, orders) = Ask::new();
        let registry = Registry::new(vec![own(plane::NAME)]);
        let control = Control::new(config, registry, ask);
        listen(&control.stop, &asked).map_err(cannot)?;
        supervise(&control, orders).await
    });
    runtime.shutdown_timeout(THREADS_PATIENCE);
    outcome
}

/// The first signal asks for the end.
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
    Ok(())
}

async fn supervise(control: &Control, mut orders: mpsc::Receiver<Asked>) -> Outcome {
    let heard = control.bus.listen();
    let seat = Seat {
        name: plane::NAME.to_owned(),
        body: Box::new(Plane::new(control.clone())),
        startup_timeout: None,
        shutdown_timeout: Duration::ZERO,
        is_all: true,
        control: control.clone(),
        attempts: 0,
        failure: None,
    };
    let plane = seat.take();
    plane.order(Do::Start { reset: false }).await?;
    let record = Record::start(heard, &control.config().log.dir);
    if let Err(fault) = &record {
        note(format_args!("warning: events are not recorded in log.dir: {fault}"));
    }
    loop {
        select! {
            () = control.stop.requested() => break,
            Some(asked) = orders.recv() => answer(&plane, asked).await,
        }
    }
    let outcome = plane.order(Do::Stop(control.stop.reason().unwrap_or_default())).await;
    control.bus.close();
    if let Ok(record) = record {
        record.finish();
    }
    outcome.map(drop)
}

async fn answer(plane: &Handle, Asked { module, order, who: _, answer }: Asked) {
    let told = match order {
        _ if module != plane::NAME => Err(format!("there is no module {module:?}: there is {}", plane::NAME)),
        Order::Start => Ok(Value::Null),
        Order::Stop | Order::Restart { .. } => {
            Err("the plane is what this process is for: stop or restart the process".to_owned())
        }
        Order::Update { config, within } => {
            plane.order(Do::Update(config, within)).await.map_err(|failure| failure.message)
        }
        Order::Health { within } => plane.order(Do::Health(within)).await.map_err(|failure| failure.message),
    };
    // That nobody waits for it any more is no fault.
    let _ = answer.send(told);
}

fn own(name: &str) -> Module {
    Module {
        name: name.to_owned(),
        version: String::new(),
        depends_on: Vec::new(),
        required: true,
        pid: None,
        state: State::NotStarted,
    }
}
