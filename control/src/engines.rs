//! The engines that this program can start, and where they work: built in or from a library, on the lane or in processes of their own.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutline::config::{self, Config, EngineHost, EnginePlace, EngineSpec};
use cutline::invoke::engine::Engine;
use cutline::invoke::host::{Host, InProcess};
use cutline::model::run_id::EngineMode;
use cutline::plane::settings::limits_of;
use cutline::plane::topology::StageId;
use cutline_host::blocking::Blocking;
use cutline_host::library::Library;
use cutline_host::process::{Event, Identity, Launcher, Listener, ProcessHost, ProcessSettings, Program, Sockets};

use crate::commands::{note, say};
use crate::health::engines::{Desk, Engines};
use crate::module::output::Output;

/// Where engines work when nobody has said otherwise.
#[must_use]
pub fn default_place(spec: &EngineSpec) -> EngineHost {
    let mut place = Config::embedded_default().engine_host;
    if spec.needs_process() {
        place.host = EnginePlace::Process;
    }
    place
}

/// The engine of a replay, which may wait for it.
///
/// # Errors
/// Why there is none.
pub fn replayed(config: &config::Engine) -> Result<Box<dyn Engine>, String> {
    replayed_by(config, None, None, &[])
}

/// The same, by another engine than the one that the logs name, with the Python environment `venv`, or with these files to `read` besides its
/// own.
///
/// # Errors
/// Why there is none.
pub fn replayed_by(
    config: &config::Engine,
    spec: Option<&EngineSpec>,
    venv: Option<&Path>,
    read: &[PathBuf],
) -> Result<Box<dyn Engine>, String> {
    let mut config = config.clone();
    config.spec = spec.cloned().unwrap_or(config.spec);
    let mut place = default_place(&config.spec);
    place.process.venv = venv.map(Path::to_owned);
    place.process.read = read.to_vec();
    engine_at(&config, &place, request_max_bytes(&Config::embedded_default()))
}

/// This engine where a configuration has its own, for whoever may wait for it.
///
/// # Errors
/// Why there is none.
pub fn engine_for(config: &Config, engine: &config::Engine) -> Result<Box<dyn Engine>, String> {
    engine_at(engine, &config.engine_host, request_max_bytes(config))
}

/// An engine at this place, for whoever may wait for it.
///
/// # Errors
/// Why there is none.
pub fn engine_at(
    config: &config::Engine,
    place: &EngineHost,
    request_max_bytes: usize,
) -> Result<Box<dyn Engine>, String> {
    match place.host {
        EnginePlace::Lane => on_lane(config),
        EnginePlace::Process => {
            let told = listener(config.spec.to_string());
            Ok(Box::new(Blocking::new(Box::new(in_processes(config, place, request_max_bytes, told, None)?))))
        }
    }
}

/// The engine host of an invoke stage, to whose processes nobody speaks.
///
/// # Errors
/// Why there is none.
pub fn host(config: &Config) -> Result<Box<dyn Host>, String> {
    host_with(config, None)
}

/// The engine hosts of a system's invoke stages, one after the other from the first; their processes are known there and spoken to, and what
/// they print goes to `output` too.
pub fn hosts(engines: &Engines, output: &Output) -> impl Fn(&Config) -> Result<Box<dyn Host>, String> {
    let stage = Cell::new(0);
    move |config| {
        let number = stage.replace(stage.get() + 1);
        host_with(config, Some((engines.desk(StageId::Invoke(number).as_str()), output.clone())))
    }
}

fn host_with(config: &Config, known: Option<(Desk, Output)>) -> Result<Box<dyn Host>, String> {
    let engine = &config.output.engine;
    match config.engine_host.host {
        EnginePlace::Lane => Ok(Box::new(InProcess::new(on_lane(engine)?))),
        EnginePlace::Process => {
            let mut told = listener(engine.spec.to_string());
            let (listener, sockets): (Listener, Option<Sockets>) = match known {
                None => (told, None),
                Some((desk, output)) => {
                    let desk = Arc::new(desk);
                    let other = Arc::clone(&desk);
                    let heard = move |index, pid, event: Event<'_>| {
                        desk.heard(index, event);
                        output.event(&desk.name(index), pid, event);
                        told(index, pid, event);
                    };
                    (Box::new(heard), Some(Box::new(move |index, pid, socket| other.started(index, pid, socket))))
                }
            };
            Ok(Box::new(in_processes(engine, &config.engine_host, request_max_bytes(config), listener, sockets)?))
        }
    }
}

/// Most bytes of a call's symbol and event.
#[must_use]
pub fn request_max_bytes(config: &Config) -> usize {
    let line = usize::try_from(config.ingest.line_max_bytes).unwrap_or(usize::MAX);
    line.saturating_add(cutline::model::receipt::NAME_MAX_BYTES)
}

/// An engine in this process.
///
/// # Errors
/// Why there is none.
pub fn on_lane(config: &config::Engine) -> Result<Box<dyn Engine>, String> {
    match &config.spec {
        EngineSpec::BuiltIn(name) => {
            cutline_engines::build(name.as_str(), &config.hysteresis_json).map_err(|error| format!("engine: {error}"))
        }
        EngineSpec::Library(path) => {
            let library = Library::load(path, &config.hysteresis_json, limits_of(config));
            Ok(Box::new(library.map_err(|fault| fault.to_string())?))
        }
        EngineSpec::Python(_) | EngineSpec::Program(_) => {
            Err(format!("engine {}: it works in a process of its own alone", config.spec))
        }
    }
}

/// An engine in processes of its own, whose doings are told to `listener`; `sockets` is given what they are spoken to over, if anybody does.
///
/// # Errors
/// Why there is none.
pub fn in_processes(
    config: &config::Engine,
    place: &EngineHost,
    request_max_bytes: usize,
    listener: Listener,
    sockets: Option<Sockets>,
) -> Result<ProcessHost, String> {
    let name = config.spec.to_string();
    let fault = |what: String| format!("engine {name}: {what}");
    let (program, identity) = program(config, place).map_err(fault)?;
    let settings = ProcessSettings {
        name: name.clone(),
        program,
        launcher: Launcher { path: this_program(), arguments: words(&["engine", "launch"]) },
        identity,
        mode: match config.mode {
            config::EngineMode::Truth => EngineMode::Truth,
            config::EngineMode::Hysteresis => EngineMode::Hysteresis,
        },
        config_json: config.hysteresis_json.clone(),
        limits: limits_of(config),
        request_max_bytes,
        directory: empty_directory().map_err(fault)?,
        place: place.clone(),
    };
    ProcessHost::start(&settings, listener, sockets).map_err(|why| fault(why.to_string()))
}

/// What is started for an engine, and what tells which one it is.
fn program(config: &config::Engine, place: &EngineHost) -> Result<(Program, Identity), String> {
    let served = |spec: &EngineSpec, read| Program {
        path: this_program(),
        arguments: words(&["engine", "serve", &spec.to_string()]),
        env: Vec::new(),
        read,
    };
    match &config.spec {
        EngineSpec::BuiltIn(_) => Ok((served(&config.spec, Vec::new()), Identity::Said)),
        EngineSpec::Library(path) => {
            let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((served(&EngineSpec::Library(path.clone()), vec![path]), Identity::Said))
        }
        EngineSpec::Python(module) => {
            let here = std::env::current_dir().map_err(|error| format!("the folder this was started in: {error}"))?;
            Ok((cutline_host::python::program(module, place.process.venv.as_deref(), &here)?, Identity::Said))
        }
        EngineSpec::Program(command) => {
            let (path, arguments) = command.split_first().ok_or("no program is named")?;
            // By the path given: an interpreter finds its virtual environment by it. What it leads to is what has the identity.
            let path = cutline_host::sandbox::find_program(Path::new(path))?;
            let program = Program { path, arguments: arguments.to_vec(), env: Vec::new(), read: Vec::new() };
            Ok((program, Identity::Content))
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// This program as it runs, also after another build has taken its place on disk.
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// A folder in memory that is empty and ours, for processes that need none.
fn empty_directory() -> Result<PathBuf, String> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let user = rustix::process::geteuid().as_raw();
    let path = PathBuf::from(format!("/dev/shm/cutline-engines-{user}"));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
    let looked = made.and_then(|()| std::fs::symlink_metadata(&path));
    let found = looked.map_err(|error| format!("{}: {error}", path.display()))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        return Err(format!("{} is not a folder of our own: remove it", path.display()));
    }
    Ok(path)
}

/// Says what happens to engine processes, with a number for each host of this program.
fn listener(name: String) -> Listener {
    static HOSTS: AtomicU64 = AtomicU64::new(0);
    let host = HOSTS.fetch_add(1, Ordering::Relaxed);
    Box::new(move |index, pid, event| {
        let who =
            if (host, index) == (0, 0) { format!("engine {name}") } else { format!("engine {name} {host}.{index}") };
        match event {
            Event::Started => {}
            Event::Ready(hello) => say(format_args!("{who}, process {pid}: ready {hello}")),
            Event::Unguarded(guard) => {
                note(format_args!("warning: {who}: this system has no {guard}: it runs without"))
            }
            Event::Printed { text, cut, .. } => {
                note(format_args!("{who}, process {pid}: {text}{}", if cut { " ..." } else { "" }));
            }
            Event::Dropped(lines) => note(format_args!(
                "{who}, process {pid}: printed {lines} lines more than engine.process.log_lines_per_s"
            )),
            Event::NotStarted(reason) => note(format_args!("{who}: {reason}")),
            Event::Ended(reason) => note(format_args!("{who}, process {pid}: {reason}")),
        }
    })
}
