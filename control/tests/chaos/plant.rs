//! What the hand meddles with: a running system with a feed handler, modules in C, Python and a shell's words, one that is probed, and a
//! Python engine in two processes.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::audit::{self, Found};
use crate::common::follower::Follower;
use crate::common::live::Running;
use crate::common::modules::{
    between_within, fed_bytes, module, polite, printed, python, python_prefix, python_with_package, wait_for,
};
use crate::common::{CUTLINE, Place, cutline, wait_within};
use crate::load::{DIRECT, Load, Sent, TAILED};

/// Between two ticks.
pub const INTERVAL_MS: i64 = 20;
/// Delay of a tick, least and most.
pub const DELAY_MS: (u64, u64) = (12, 18);
/// How long it may take to come back to healthy.
const WELL_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// A call of the Python engine takes milliseconds, as an engine's do: an answer that comes while the lane's caches still know the call is taken in
/// faster, and it does so only as long as nothing is done to the engine.
const CALL_TAKES: &str = "
import time
_run = run
def run(snapshot):
    time.sleep(0.004)
    return _run(snapshot)
";

/// See the module.
pub struct Plant {
    pub running: Running,
    pub config: String,
    pub data: String,
    address: String,
    symbols: u64,
    engine: Engine,
    follower: Follower,
    /// Last, so that nobody writes into it any more when it goes.
    pub place: Place,
}

/// The Python engine, or what stands for it where Python's headers or a compiler are missing.
struct Engine {
    /// Keys of `[engine]`.
    keys: String,
    /// Further arguments of `verify`.
    verify: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the engine is the one in Python, whose network can fail.
pub fn has_python() -> bool {
    venv().is_some()
}

/// The virtual environment with the host of Python engines; found out once, because it may have to be installed.
fn venv() -> Option<&'static str> {
    static VENV: OnceLock<Option<String>> = OnceLock::new();
    let found = || {
        let venv = python_with_package()?;
        Some(venv.parent().and_then(Path::parent).expect("bin/python of it").to_str().expect("UTF-8").to_owned())
    };
    VENV.get_or_init(found).as_deref()
}

/// The stand-in's package lies in the place that the system is started in, with a network before it.
fn engine(place: &Place) -> Engine {
    let Some(venv) = venv() else {
        eprintln!("a built-in engine in processes stands for the Python engine");
        return Engine { keys: "use = \"scripted\"\nhost = \"process\"".to_owned(), verify: Vec::new() };
    };
    let package = root().join("clients/python/tests/standin/regime_engine");
    let copied = Command::new("cp").arg("-r").arg(package).arg(place.path("")).status();
    assert!(copied.is_ok_and(|copied| copied.success()), "the package is copied");
    let (init, mode) = (place.path("regime_engine/__init__.py"), network(place, ENGINE));
    std::fs::write(&mode, "pass").expect("writable");
    let own = std::fs::read_to_string(&init).expect("readable");
    std::fs::write(&init, between_within(&mode) + &own).expect("writable");
    let module = File::options().append(true).open(place.path("regime_engine/engine.py"));
    module.and_then(|mut module| module.write_all(CALL_TAKES.as_bytes())).expect("writable");
    let keys = format!("python = \"regime_engine.engine\"\nprocess.venv = {venv:?}");
    Engine { keys, verify: vec!["--venv".to_owned(), venv.to_owned()] }
}

/// Whose network fails, each as the file says that [`Plant::network`] names: modules, and the processes of the engine.
pub const THROUGH: [&str; 4] = ["feed", "c", "python", ENGINE];
/// See [`THROUGH`].
pub const ENGINE: &str = "engine";

fn network(place: &Place, name: &str) -> String {
    place.path(&format!("network-{name}"))
}

/// The keys of a module that speaks the protocol through a network that fails. It may read `read` besides.
fn through(place: &Place, name: &str, command: &[&str], read: &[&str]) -> String {
    let (between, mode) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/between.py"), network(place, name));
    std::fs::write(&mode, "pass").expect("writable");
    let (python, prefix, files) = (python(), python_prefix(), place.path(""));
    let command = [&[&python, between, &mode][..], command].concat();
    let read = [&[&prefix, between, &files][..], read].concat();
    // One that is cut off before it is ready is not waited for: that may be for good.
    format!("command = {command:?}\nread = {read:?}\nprocesses = true\nstartup_timeout_ms = 3000\n")
}

/// The example in C; `None`, and it is said, without a compiler.
fn in_c(place: &Place) -> Option<String> {
    let program = place.path("example_module");
    let source = root().join("clients/c/example_module.c");
    let made = Command::new("cc").args(["-std=c99", "-o", &program]).arg(source).status();
    if !made.is_ok_and(|made| made.success()) {
        eprintln!("skipped: no C compiler: there is no module in C");
        return None;
    }
    Some(beat(place, "c", &through(place, "c", &[&program], &[])))
}

fn in_python(place: &Place) -> String {
    let [script, package] = ["clients/python/example_module.py", "clients/python/src"].map(|name| root().join(name));
    let [script, package] = [&script, &package].map(|path| path.to_str().expect("UTF-8"));
    let how = through(place, "python", &[&python(), script], &[script, package]);
    beat(place, "python", &format!("{how}environment = [\"PYTHONPATH={package}\"]"))
}

fn beat(place: &Place, name: &str, how: &str) -> String {
    let file = place.path(&format!("kept/{name}"));
    format!(
        "[[module]]\nname = {name:?}\nrequired = false\n{how}\nwrite = [{:?}]\n[module.config]\nfile = {file:?}\ninterval_ms = 20\n",
        place.path("kept")
    )
}

fn feed(place: &Place, address: &str) -> String {
    let (capture, position, kept) = (place.path("kept/capture"), place.path("kept/position"), place.path("kept"));
    let to = format!("tcp:{address}");
    let command = [CUTLINE, "feed", &capture, "--to", &to, "--follow", "--position", &position];
    let how = through(place, "feed", &command, &[CUTLINE]);
    format!(
        "[[module]]\nname = \"feed\"\n{how}depends_on = [\"plane\"]\nnetwork = true\nwrite = [{kept:?}]\n[module.config]\nrate = 0\n"
    )
}

/// One that does not speak the protocol, and is probed by TCP.
fn probed(place: &Place) -> String {
    let door = place.path("kept/door");
    let ready =
        format!("required = false\nnetwork = true\nwrite = [{:?}]\nready = {{tcp = {door:?}}}", place.path("kept"));
    module("probed", &["silent", &format!("listen={door}")], &ready)
}

/// `core`: the lane's.
fn text(place: &Place, engine: &Engine, address: &str, core: Option<usize>) -> String {
    let core = core.map_or_else(String::new, |core| format!("core = {core}\n"));
    let modules = [
        Some(feed(place, address)),
        in_c(place),
        Some(in_python(place)),
        Some(probed(place)),
        Some(polite("shell", "required = false")),
    ];
    format!(
        "[scheduler]\nmode = \"boundary\"\ninterval_ms = {INTERVAL_MS}\ndelay_ms = {}\n[engine]\n{}\nmode = \"hysteresis\"\ntimeout_ms = 500\n\
         output_max_bytes = 8192\nstate_max_bytes = 8192\nprocess.count = 2\nprocess.restart = {{min_delay_ms = 5, max_delay_ms = 50, deaths_max = 1000}}\n\
         retry = {{max_attempts = 1000, min_delay_ms = 5, max_delay_ms = 100}}\n[ingest]\nline_max_bytes = 32768\n\
         [log]\ndir = {:?}\nsegment_bytes = 1048576\n[[feed]]\nname = \"feed\"\nkind = \"tcp\"\nlisten = {address:?}\n[measure]\nstage_times = true\n\
         [[lane]]\nname = \"main\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n{core}\
         [supervisor]\nparallel_startup = true\nshutdown_timeout_ms = 2000\n\
         [health]\ninterval_ms = 200\ninterval_min_ms = 50\ninterval_max_ms = 500\ntimeout_ms = 500\nunhealthy_threshold = 2\n\
         [resources]\ninterval_ms = 500\n\
         [recovery]\nattempts_max = 1000\nbackoff_ms = 20\nbackoff_max_ms = 200\nstable_ms = 1000\nvalidate_ms = 10000\n\
         concurrent_max = 4\nfailing_modules_max = 0\nbreaker_open_ms = 200\n{}",
        DELAY_MS.0,
        engine.keys,
        place.path("data"),
        modules.into_iter().flatten().collect::<String>()
    )
}

impl Plant {
    /// Starts it and waits until everything is up. `core`: the lane's own.
    pub fn start(symbols: u64, core: Option<usize>) -> Self {
        let place = Place::new();
        let engine = engine(&place);
        std::fs::create_dir(place.path("kept")).expect("a folder");
        std::fs::write(place.path("kept/capture"), "").expect("writable");
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = listener.expect("a port").to_string();
        let (config, data) = (place.file("chaos.toml", &text(&place, &engine, &address, core)), place.path("data"));
        let mut command = Command::new(CUTLINE);
        command.args(["run", "--config", &config]).current_dir(place.dir.path());
        let running = Running::start_command(&place, &data, command);
        wait_for(&data, "system", "up");
        let follower = Follower::start(&data);
        Self { place, running, config, data, address, symbols, engine, follower }
    }

    /// The file that says how the network between the supervisor and one of [`THROUGH`] is.
    pub fn network(&self, name: &str) -> String {
        network(&self.place, name)
    }

    /// Puts it under load.
    pub fn load(&self) -> Load {
        Load::start(&self.address, &self.place.path("kept/capture"), self.symbols)
    }

    /// What is not well; empty if all is.
    fn ailments(&self) -> Vec<String> {
        let told = cutline(&["modules", &self.data, "--json"]);
        let Ok(modules) = serde_json::from_slice::<Vec<Value>>(&told.stdout) else {
            return vec!["no answer".to_owned()];
        };
        let is_well = |module: &Value| {
            let (status, is_own) = (&module["health"]["status"], module["pid"].is_null());
            module["state"] == "running" && (status == "healthy" || (is_own && status != "unhealthy"))
        };
        let ill = modules.iter().filter(|module| !is_well(module)).map(|module| format!("{module}"));
        let engines = self.running.counter("engine_processes_ready");
        let reason = self.running.reason();
        let engines = (engines != 2).then(|| format!("{engines} engine processes"));
        ill.chain(engines).chain((!reason.is_empty()).then_some(reason)).collect()
    }

    /// Waits until every module runs and is healthy, both engine processes take calls, and the plane is ready.
    pub fn wait_until_well(&self) {
        let began = std::time::Instant::now();
        let ailments = loop {
            let ailments = self.ailments();
            if ailments.is_empty() {
                return;
            }
            if began.elapsed() >= WELL_WITHIN {
                break ailments;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let said = self.running.said();
        let told = |prefix: &str, most: usize| {
            said.lines().rev().filter(|line| line.starts_with(prefix)).take(most).collect::<Vec<_>>()
        };
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.running.pid())).into_iter().flatten().flatten();
        let threads: String =
            tasks.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default()).collect();
        panic!(
            "not well after {WELL_WITHIN:?}: {ailments:#?}: {:#?}; of its engine: {:#?}; its threads: {threads:?}",
            told("", 40),
            told("engine ", 20),
        );
    }

    /// Receipts of a source.
    fn receipts_of(&self, source: &str) -> u64 {
        let stat = self.running.stat();
        let of_source = stat["counters"].as_array().into_iter().flatten().filter(|counter| {
            let is_of_it = |label: &str| label.strip_prefix("source=").is_some_and(|label| label.starts_with(source));
            counter["name"] == "inputs_receipts_by_type" && counter["label"].as_str().is_some_and(is_of_it)
        });
        of_source.filter_map(|counter| counter["value"].as_u64()).sum()
    }

    /// Waits until everything that was sent was taken in.
    pub fn wait_until_taken(&self, sent: &Sent) {
        let length = std::fs::metadata(self.place.path("kept/capture")).expect("there").len();
        let is_sent = || fed_bytes(&self.data, "feed") == Some(length);
        wait_within(WELL_WITHIN, "the feed handler has sent all of its file", is_sent);
        // What was sent lies in a socket until the listener, which was short of descriptors, accepts again.
        for (source, lines) in [(DIRECT, &sent.direct), (TAILED, &sent.tailed)] {
            wait_within(WELL_WITHIN, source, || self.receipts_of(source) >= lines.len() as u64);
        }
    }

    /// Stops it; it must end well, with everything in its logs, seen by the follower, and the same in a replay.
    pub fn prove(self, sent: &Sent) -> Found {
        let Self { place, running, data, engine, follower, .. } = self;
        running.stop();
        let mut verify = Command::new(CUTLINE);
        verify.args(["verify", &data, "--strict"]).args(&engine.verify).current_dir(place.dir.path());
        let proof = verify.output().expect("cutline starts");
        let [out, err] = [&proof.stdout, &proof.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(proof.status.success() && out.starts_with("identical: ") && out.contains(" 0 pending"), "{out}{err}");
        let dump = crate::common::succeed(&["dump", &data, "outputs"]);
        let published: Vec<&str> = dump.lines().collect();
        follower.has_seen(&published);
        let completed = published.iter().filter(|event| event.contains("\"EngineRunCompleted\"")).count() as u64;
        let told = ["engine:invoke/0", "engine:invoke/1"].map(|process| printed(&data, process)).concat();
        let fails = |line: &&String| line.strip_prefix("network: ").is_some_and(|mode| mode != "pass");
        let engines_cut_off = told.iter().filter(fails).count() as u64;
        Found { completed, followed: published.len() as u64, engines_cut_off, ..audit::of(data.as_ref(), sent) }
    }
}
