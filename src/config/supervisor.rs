//! `[supervisor]` and `[[module]]`: what is started beside the pipeline, in which order, and what it may use. Nothing here affects outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::check::Rules;
use super::choice::{LogLevel, RecoveryStrategy, StartMode};
use super::output::open_table_json;
use super::read::{DAY_MS, named, none_if_zero};
use super::reader::Section;
use super::reference::Quiet;

/// Most modules of a configuration.
const MODULES_MAX: usize = 256;
/// Names of what this program itself is made of, which modules may depend on and not have.
pub const OWN_MODULES: [&str; 4] = ["plane", "watch", "http", "control"];
/// Longest `config` of a module as JSON, bytes: a line of the module protocol has 64 KiB with what stands around it.
const CONFIG_MAX_BYTES: usize = 65_000;
/// A module named so would be taken for all of them.
const RESERVED: [&str; 1] = ["system"];

/// `[supervisor]`: how modules start and stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Longest time from a module's start until it is ready, ms.
    pub startup_timeout_ms: u64,
    /// Between the starts of two modules, where they start one after the other, ms.
    pub start_delay_ms: u64,
    /// Whether modules that do not depend on each other start at once.
    pub parallel_startup: bool,
    /// How long a module may take to end by itself, ms.
    pub shutdown_timeout_ms: u64,
    /// Whether a guard that this machine does not have keeps modules from being started.
    pub require_sandbox: bool,
    /// What is said on standard error.
    pub log_level: LogLevel,
}

/// One `[[module]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Unique among modules, ours too.
    pub name: String,
    /// Its program and arguments.
    pub command: Vec<String>,
    /// Modules that must be ready before it starts, and end after it.
    pub depends_on: Vec<String>,
    /// Those of them with which it must be restarted.
    pub restarts_with: Vec<String>,
    /// Whether the system cannot do without it.
    pub required: bool,
    /// When it is started.
    pub start: StartMode,
    /// A lazy one: whether it is started once everything else is up, without being waited for.
    pub prewarm: bool,
    /// How it is found out that it is ready.
    pub ready: Probe,
    /// Longest time from its start until it is ready, ms; `None`: `[supervisor]` says.
    pub startup_timeout_ms: Option<u64>,
    /// How long it may take to end by itself, ms; `None`: `[supervisor]` says.
    pub shutdown_timeout_ms: Option<u64>,
    /// Between two checks of how it does, ms; `None`: `[health]` says.
    pub health_interval_ms: Option<u64>,
    /// What is done when it fails.
    pub recovery: RecoveryStrategy,
    /// What it may use.
    pub limits: Limits,
    /// What it may do.
    pub sandbox: Sandbox,
    /// `config` as canonical JSON (an object), handed to it as it is.
    pub config_json: Quiet<String>,
    /// Lines per second that are taken over from what it prints.
    pub log_lines_per_s: u32,
}

/// How it is found out that a module is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It says so by the module protocol.
    Protocol,
    /// It says so by `sd_notify`.
    Notify,
    /// This program ends with status 0.
    Program(Vec<String>),
    /// This address takes a connection: `host:port`, or the path of a Unix socket.
    Tcp(String),
    /// `GET` of this address is answered with a status from 200 to 299: `host:port`, and a path from its `/` on.
    Http(String, String),
}

/// What a module may use; `None` (written 0): no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a core, %; of two cores 200.
    pub cpu_percent: Option<u64>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Open files.
    pub descriptors: u64,
    /// Threads.
    pub threads: Option<u64>,
}

/// What a module may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The user it runs as; `None`: as we do.
    pub user: Option<String>,
    /// Environment variables, besides a few that every program needs: a name of ours, or `NAME=VALUE`.
    pub environment: Quiet<Vec<String>>,
    /// Where it works; `None`: where we were started.
    pub directory: Option<PathBuf>,
    /// Files and directories that it may read and execute, besides its own program and the system's libraries.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may write.
    pub write: Vec<PathBuf>,
    /// Whether it may use the network, and sockets of every other kind.
    pub network: bool,
    /// Whether it may start further processes.
    pub processes: bool,
}

pub(super) fn supervisor(section: &Section<'_>) -> Supervisor {
    Supervisor {
        startup_timeout_ms: section.integer("startup_timeout_ms", 1..=DAY_MS),
        start_delay_ms: section.integer("start_delay_ms", 0..=DAY_MS),
        parallel_startup: section.boolean("parallel_startup"),
        shutdown_timeout_ms: section.integer("shutdown_timeout_ms", 0..=DAY_MS),
        require_sandbox: section.boolean("require_sandbox"),
        log_level: section.choice("log_level"),
    }
}

pub(super) fn modules(root: &Section<'_>) -> Vec<Module> {
    root.entries("module", MODULES_MAX).iter().enumerate().map(|(index, entry)| module(index, entry)).collect()
}

fn module(index: usize, section: &Section<'_>) -> Module {
    let ms = |key, least| section.optional_integer(key, least..=DAY_MS);
    Module {
        name: named(section, || format!("module-{index}")),
        command: command(section),
        depends_on: texts(section, "depends_on"),
        restarts_with: texts(section, "restarts_with"),
        required: boolean(section, "required", true),
        start: section.optional_choice("start").unwrap_or(StartMode::Eager),
        prewarm: boolean(section, "prewarm", false),
        ready: probe(&section.section("ready")),
        startup_timeout_ms: ms("startup_timeout_ms", 1),
        shutdown_timeout_ms: ms("shutdown_timeout_ms", 0),
        health_interval_ms: ms("health_interval_ms", 50),
        recovery: section.optional_choice("recovery").unwrap_or(RecoveryStrategy::Restart),
        limits: limits(&section.section("limits")),
        sandbox: sandbox(section),
        config_json: Quiet(open_table_json(section, "config")),
        log_lines_per_s: section
            .optional_integer("log_lines_per_s", 1..=1_000_000)
            .and_then(|lines| u32::try_from(lines).ok())
            .unwrap_or(LOG_LINES_PER_S),
    }
}

/// Without a word about it.
const LOG_LINES_PER_S: u32 = 100;
/// Open files of a module without a word about it.
const DESCRIPTORS: u64 = 256;

fn command(section: &Section<'_>) -> Vec<String> {
    let command = section.texts("command");
    if section.has("command") && command.first().is_none_or(String::is_empty) && !section.is_bad("command") {
        section.problem("command", "names no program".into(), "Set [\"PROGRAM\", \"ARGUMENT\", ...].");
    }
    command
}

/// Exactly one of the four words, or none: the protocol.
fn probe(section: &Section<'_>) -> Probe {
    let (tcp, http, notify) =
        (section.optional_text("tcp"), section.optional_text("http"), section.optional_boolean("notify"));
    let command = texts(section, "command");
    let given: Vec<&str> = ["command", "tcp", "http", "notify"].into_iter().filter(|key| section.has(key)).collect();
    if let [_, .., last] = given[..] {
        section.problem(last, format!("stands beside {}", given[0]), "Keep one of command, tcp, http and notify.");
    }
    if section.has("command") && command.first().is_none_or(String::is_empty) && !section.is_bad("command") {
        section.problem("command", "names no program".into(), "Set [\"PROGRAM\", \"ARGUMENT\", ...].");
    }
    match (command, tcp, http, notify) {
        (command, ..) if !command.is_empty() => Probe::Program(command),
        (_, Some(address), ..) => Probe::Tcp(address_of(section, "tcp", address)),
        (_, _, Some(url), _) => {
            let (address, path) = url.find('/').map_or((&*url, "/"), |at| url.split_at(at));
            Probe::Http(address_of(section, "http", address.to_owned()), path.to_owned())
        }
        (_, _, _, Some(true)) => Probe::Notify,
        _ => Probe::Protocol,
    }
}

/// `host:port`, or an absolute path.
fn address_of(section: &Section<'_>, key: &str, address: String) -> String {
    let has_port = |(host, port): (&str, &str)| {
        !host.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_path = key == "tcp" && address.starts_with('/');
    if !is_path && !address.rsplit_once(':').is_some_and(has_port) && !section.is_bad(key) {
        let what = format!("{address:?} is not host:port");
        section.problem(key, what, "Set \"host:port\", such as \"127.0.0.1:9000\".");
    }
    address
}

fn limits(section: &Section<'_>) -> Limits {
    let most = |key, limits| section.optional_integer(key, limits).and_then(none_if_zero);
    Limits {
        cpu_percent: most("cpu_percent", 0..=102_400),
        memory_bytes: most("memory_bytes", 0..=1 << 50),
        descriptors: section.optional_integer("descriptors", 8..=1 << 20).unwrap_or(DESCRIPTORS),
        threads: most("threads", 0..=1 << 20),
    }
}

fn sandbox(section: &Section<'_>) -> Sandbox {
    let paths = |key| texts(section, key).into_iter().map(PathBuf::from).collect();
    let environment = texts(section, "environment");
    let is_wrong = |entry: &&String| entry.starts_with('=') || entry.is_empty() || entry.contains('\0');
    if let Some(entry) = environment.iter().find(is_wrong).filter(|_| !section.is_bad("environment")) {
        section.problem("environment", format!("{entry:?} is neither a name nor NAME=VALUE"), "Correct or remove it.");
    }
    Sandbox {
        user: section.optional_text("user").filter(|user| !user.is_empty()),
        environment: Quiet(environment),
        directory: section.optional_text("directory").filter(|path| !path.is_empty()).map(PathBuf::from),
        read: paths("read"),
        write: paths("write"),
        network: boolean(section, "network", false),
        processes: boolean(section, "processes", false),
    }
}

fn texts(section: &Section<'_>, key: &str) -> Vec<String> {
    if section.has(key) { section.texts(key) } else { Vec::new() }
}

fn boolean(section: &Section<'_>, key: &str, default: bool) -> bool {
    section.optional_boolean(key).unwrap_or(default)
}

/// Names that are one module's alone. Whether dependencies can be had is the supervisor's to say.
pub(super) fn rules(rules: &Rules<'_>) {
    let modules = &rules.config.modules;
    let mut by_name = BTreeMap::new();
    for (index, module) in modules.iter().enumerate() {
        let key = format!("module[{index}].name");
        let is_own = OWN_MODULES.contains(&&*module.name);
        if is_own || RESERVED.contains(&&*module.name) {
            rules.problem(&[&key], format!("{:?} is a part of this program", module.name), "Choose another name.");
        } else if let Some(first) = by_name.insert(&*module.name, index) {
            let what = format!("{:?} is the name of module[{first}] too", module.name);
            rules.problem(&[&key], what, "Choose another name.");
        }
    }
    for (index, module) in modules.iter().enumerate() {
        dependencies(rules, index, module);
    }
}

fn dependencies(rules: &Rules<'_>, index: usize, module: &Module) {
    let mut seen = BTreeSet::new();
    for (nth, name) in module.depends_on.iter().enumerate() {
        let key = format!("module[{index}].depends_on[{nth}]");
        if !seen.insert(name) {
            rules.problem(&[&key], format!("{name:?} is there already"), "Remove one of them.");
        }
    }
    for (nth, name) in module.restarts_with.iter().enumerate() {
        if !module.depends_on.contains(name) {
            let key = format!("module[{index}].restarts_with[{nth}]");
            rules.problem(&[&key], format!("{name:?} is not in depends_on"), "Add it there, or remove it here.");
        }
    }
    if module.ready == Probe::Notify && !module.sandbox.network {
        let key = format!("module[{index}].ready.notify");
        rules.problem(&[&key], "needs a socket, which this module may not have".into(), "Set network = true.");
    }
    if module.config_json.len() > CONFIG_MAX_BYTES {
        let what = format!(
            "has {} bytes as JSON, a line of the module protocol takes {CONFIG_MAX_BYTES} of it",
            module.config_json.len()
        );
        rules.problem(
            &[&format!("module[{index}].config")],
            what,
            "Put it in a file, name that here, and add it to read.",
        );
    }
    if module.prewarm && module.start == StartMode::Eager {
        let key = format!("module[{index}].prewarm");
        rules.warning(&[&key], "has no effect on an eager module".into(), "Remove it or set start = \"lazy\".");
    }
}
