//! An engine in processes of its own: each dies alone, is started again, and is asked over shared memory.
//!
//! ```text
//! lane ── Dispatch ──► exchange (memory) ◄── engine process ─┐
//!            │  ▲                                            │ death, output
//!      orders│  │reports                                     ▼
//!            └──┴───────────────── warden (thread) ── launcher ── starts, watches, kills
//! ```
//!
//! | file | what |
//! |---|---|
//! | `settings` | what it is made from |
//! | `dispatch`, `seat`, `breaker` | the lane's side: which process, how a call ended, when to start again |
//! | `identity` | which engine a command is |
//! | `orders` | what passes between lane and warden |
//! | `warden`, `hello` | the cold thread that does with the kernel what a lane must not, by `crate::child` |

pub mod breaker;
mod dispatch;
mod hello;
mod identity;
mod orders;
mod seat;
mod settings;
mod warden;

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use cutline::config::EngineProcess;
use cutline::invoke::call::Answer;
use cutline::invoke::host::{Ask, Begun, Ended, Host, HostHealth};
use cutline::model::run_id::EngineMode;
use cutline_engine::module::DESCRIPTOR_ENV as MODULE_ENV;
use cutline_shm::exchange::{DESCRIPTOR_ENV, IDLE_ENV, LaneEnd, Shape};

pub use crate::child::log::{Event, Listener, Stream};
pub use identity::CONTENT_MAX_BYTES;
pub use settings::{Identity, Launcher, ProcessSettings, Program, Sockets, StartFault};

use crate::child::BASIC_ENV;
use crate::child::launch::Launch;
use crate::sandbox::{Sandbox, find_program};
use breaker::Restart;
use dispatch::{Dispatch, Terms};
use identity::{CommandLine, Known};
use warden::{Plan, Warden};

/// Longest name of memory, bytes: a little less than the kernel takes.
const MEMORY_NAME_MAX_BYTES: usize = 200;

/// An engine in processes; see the module.
///
/// It tends to its processes whenever it is asked anything: its owner asks [`Host::ended`] in each pass, also while no call is in flight.
pub struct ProcessHost {
    /// Before the warden: with it the warden's orders end.
    dispatch: Option<Dispatch>,
    warden: Option<JoinHandle<()>>,
}

impl ProcessHost {
    /// Starts the processes and waits until they are ready. `listener` is told what happens to them and what they print; `sockets` is given
    /// our end of the socket over which each may be spoken to by the module protocol. Without, they have none.
    ///
    /// # Errors
    /// [`StartFault`]; nothing is left running.
    pub fn start(settings: &ProcessSettings, listener: Listener, sockets: Option<Sockets>) -> Result<Self, StartFault> {
        let place = &settings.place.process;
        let request_max = settings.request_max_bytes.saturating_add(settings.limits.state_max_bytes);
        let (output_max, state_max) = (settings.limits.output_max_bytes, settings.limits.state_max_bytes);
        let calls_max = place.in_flight as usize;
        let shape = Shape::new(calls_max, request_max, 0, output_max, state_max).map_err(StartFault::Exchange)?;
        let (plan, count) = (plan(settings, shape, sockets.is_some())?, place.count as usize);

        let (order, orders) = rtrb::RingBuffer::new(count * orders::OUTSTANDING_MAX);
        let (report, reports) = rtrb::RingBuffer::new(count * orders::OUTSTANDING_MAX);
        let (started, starting) = mpsc::channel();
        let warden = std::thread::Builder::new().name("engine-warden".to_owned()).spawn(move || {
            let mut warden = Warden::new(plan, count, listener, sockets);
            let up = warden.start_all();
            if up.is_err() {
                warden.end_all();
            }
            let goes_on = up.is_ok();
            let told = started.send(up.map(|ends| (ends, warden.digest().unwrap_or_default())));
            if goes_on && told.is_ok() {
                warden.serve(orders, report);
            }
        });
        let warden = warden.map_err(|fault| StartFault::Spawn(fault.to_string()))?;
        let (ends, digest): (Vec<LaneEnd>, [u8; 32]) = starting
            .recv()
            .map_err(|_| StartFault::Spawn("the warden died".to_owned()))?
            .map_err(|(reason, printed)| StartFault::Engine(reason, printed))?;
        let terms = Terms {
            digest,
            mode: settings.mode,
            calls_max,
            answer_max_bytes: shape.answer_max_bytes(),
            timeout_ns: ns_of(settings.place.timeout_ms),
            restart: restart(place),
        };
        Ok(Self { dispatch: Some(Dispatch::new(terms, ends, order, reports)), warden: Some(warden) })
    }

    fn dispatch(&mut self) -> &mut Dispatch {
        self.dispatch.as_mut().expect("it is there until the host is dropped")
    }
}

/// What the warden needs: guards looked up, directory made, the launcher's command line written.
fn plan(settings: &ProcessSettings, shape: Shape, are_spoken_to: bool) -> Result<Plan, StartFault> {
    let ProcessSettings { program, launcher, directory, place, .. } = settings;
    let path = find_program(&program.path).map_err(StartFault::Spawn)?;
    let (sandbox, unguarded) = Sandbox::of(&place.process, program, &path).map_err(StartFault::Spawn)?;
    if place.require_sandbox && !unguarded.is_empty() {
        return Err(StartFault::Unguarded(unguarded));
    }
    make_directory(directory)?;
    let known = match settings.identity {
        Identity::Said => None,
        Identity::Content => Some(known(settings, &path).map_err(StartFault::Spawn)?),
    };
    let (descriptor_env, passed_env) =
        if are_spoken_to { (MODULE_ENV, Some(DESCRIPTOR_ENV.to_owned())) } else { (DESCRIPTOR_ENV, None) };
    let launch = Launch {
        who: "the engine".to_owned(),
        program: path,
        arguments: program.arguments.clone(),
        directory: directory.clone(),
        cgroup: None,
        descriptor_env: descriptor_env.to_owned(),
        passed_env,
        parent: std::process::id(),
        sandbox,
    };
    let launch = serde_json::to_string(&launch).map_err(|fault| StartFault::Spawn(fault.to_string()))?;
    let (launcher, env) = (launcher.clone(), env(&place.process, program));
    let command = move || {
        let mut command = Command::new(&launcher.path);
        command.args(&launcher.arguments).arg(&launch).env_clear().envs(env.iter().cloned());
        command
    };
    Ok(Plan {
        name: settings.name[..settings.name.floor_char_boundary(MEMORY_NAME_MAX_BYTES)].to_owned(),
        shape,
        mode: settings.mode,
        config_json: settings.config_json.clone(),
        command: Box::new(command),
        unguarded,
        known,
        said: None,
        start_timeout: Duration::from_millis(place.process.start_timeout_ms),
        lines_per_s: place.process.log_lines_per_s,
    })
}

/// The command whose program is this one, as it is now.
fn known(settings: &ProcessSettings, program: &Path) -> Result<Known, String> {
    let command = CommandLine {
        program: program.to_owned(),
        arguments: settings.program.arguments.clone(),
        directory: settings.directory.clone(),
    };
    Known::new(command, &settings.config_json)
}

/// A directory that nobody but us writes to. What lies in it already an engine finds there.
fn make_directory(directory: &Path) -> Result<(), StartFault> {
    std::fs::create_dir_all(directory)
        .map_err(|fault| StartFault::Spawn(format!("its directory {}: {fault}", directory.display())))
}

/// The environment of engine processes: of ours, what is named.
fn env(place: &EngineProcess, program: &Program) -> Vec<(String, String)> {
    let named = BASIC_ENV.into_iter().chain(place.env.iter().map(String::as_str));
    let ours = named.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let idle = (IDLE_ENV.to_owned(), place.idle.name().to_owned());
    ours.chain([idle]).chain(program.env.iter().cloned()).collect()
}

fn restart(place: &EngineProcess) -> Restart {
    let restart = &place.restart;
    Restart {
        min_delay_ns: ns_of(restart.min_delay_ms),
        max_delay_ns: ns_of(restart.max_delay_ms),
        deaths_max: restart.deaths_max,
        open_ns: ns_of(restart.open_ms),
    }
}

fn ns_of(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

impl Host for ProcessHost {
    fn digest(&self) -> [u8; 32] {
        self.dispatch.as_ref().map_or([0; 32], Host::digest)
    }

    fn in_flight_max(&self) -> usize {
        self.dispatch.as_ref().map_or(1, Host::in_flight_max)
    }

    fn call(&mut self, ticket: u32, ask: Ask<'_, '_>, answer: &mut Answer, now_ns: i64) -> Begun {
        self.dispatch().call(ticket, ask, answer, now_ns)
    }

    fn ended(&mut self, now_ns: i64) -> Option<(u32, Ended)> {
        self.dispatch().ended(now_ns)
    }

    fn take(&mut self, ticket: u32, mode: EngineMode, answer: &mut Answer) {
        self.dispatch().take(ticket, mode, answer);
    }

    fn health(&self) -> HostHealth {
        self.dispatch.as_ref().map_or_else(HostHealth::default, Host::health)
    }
}

impl Drop for ProcessHost {
    /// Asks the processes to end and waits until they have, a moment at most.
    fn drop(&mut self) {
        drop(self.dispatch.take());
        if let Some(warden) = self.warden.take() {
            // A warden that panicked has told so by itself; its processes die with its thread.
            let _ = warden.join();
        }
    }
}
