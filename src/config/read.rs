//! From the merged document to the typed tree: each key once, with its type and limits. Rules between keys are in `check.rs`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use cutline_ring::idle::Idle;
use sha2::{Digest, Sha256};

use super::check::Rules;
use super::choice::FeedKind;
use super::document::{self, Data, Node, Table};
use super::problem::{Origin, Problem, Problems, Warning};
use super::reader::{Report, Section, unknown_keys};
use super::{
    Clock, Config, Endpoint, Feed, Ingest, LIVE_DIR_PREFIX, Links, Log, Measure, OutputConfig, Publish, Retention,
    Retry, Scheduler, Shutdown, Symbols, care, check, control, engine, fit, supervisor,
};
use crate::plane::topology::{INVOKES_MAX, LaneSpec, StageId};

const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest age to keep logs to: beyond it a key was surely meant in another unit.
const RETENTION_MAX_MS: u64 = 36_600 * DAY_MS;
/// Longest interval, delay or multiple: a leap year. Beyond it a key was surely meant in another unit.
pub(super) const INTERVAL_MAX_MS: u64 = 366 * DAY_MS;
/// Longest name of a feed or lane, bytes: they are labels in counters.
const NAME_MAX_BYTES: usize = 64;
/// Longest path of a Unix socket, bytes: `sockaddr_un` has 108 with the closing zero.
const UNIX_PATH_MAX_BYTES: usize = 107;
const FEEDS_MAX: usize = 256;
/// A receipt may send three names ahead of itself, and goes on only as a whole.
const CUTS_MIN: u64 = 4;
const CORE_MAX: u64 = 1023;
/// One segment is written, one is ready, one is on its way to disk.
const LIVE_SEGMENTS_MIN: u32 = cutline_journal::recover::LIVE_SEGMENTS_MIN as u32;

/// Merges the layers, reads the tree and checks it. `problems` are those of reading the layers.
pub(super) fn config(layers: Vec<Node>, problems: Vec<Problem>) -> Result<(Config, Vec<Warning>), Problems> {
    checked(layers, problems, check::all_rules)
}

/// The same for the keys that affect outputs: rules about others do not count.
pub(super) fn output(layers: Vec<Node>, problems: Vec<Problem>) -> Result<OutputConfig, Problems> {
    checked(layers, problems, check::output_rules).map(|(config, _)| config.output)
}

fn checked(
    layers: Vec<Node>,
    problems: Vec<Problem>,
    rules: fn(&Rules<'_>),
) -> Result<(Config, Vec<Warning>), Problems> {
    let root = merged(layers);
    let syntax: Vec<Origin> =
        problems.iter().filter(|problem| problem.key.is_empty()).map(|problem| problem.origin.clone()).collect();
    let report = RefCell::new(Report { problems, incomplete: !syntax.is_empty(), ..Report::default() });
    let mut config = tree(&Section::root(&report, &root));
    if syntax.is_empty() {
        fit::defaults(&mut config, &root);
        let read_problems = report.borrow().problems.len();
        rules(&Rules { config: &config, root: &root, report: &report, read_problems });
    }
    let mut report = report.into_inner();
    unknown_keys(&root, &mut report);
    if report.problems.is_empty() {
        return Ok((config, report.warnings));
    }
    // A line that is not TOML has that problem, not also those of its remains.
    report.problems.retain(|problem| problem.key.is_empty() || !syntax.contains(&problem.origin));
    report.problems.sort_by_key(|problem| (problem.origin.layer, problem.origin.line));
    Err(Problems(report.problems))
}

/// Every key that [`tree`] asks for, with `[]` for an index.
pub(super) fn known_keys(default: Node) -> Vec<String> {
    let report = RefCell::new(Report::default());
    tree(&Section::root(&report, &default));
    report.into_inner().known.into_iter().collect()
}

fn merged(layers: Vec<Node>) -> Node {
    let mut layers = layers.into_iter();
    let empty = || Node {
        origin: Origin { layer: 0, file: super::DEFAULT_FILE.into(), line: 0 },
        data: Data::Table(Table::new()),
    };
    let mut root = layers.next().unwrap_or_else(empty);
    for layer in layers {
        document::merge(&mut root, layer);
    }
    root
}

fn tree(root: &Section<'_>) -> Config {
    let engine = root.section("engine");
    let called = engine::engine(&engine);
    let log = log(&root.section("log"));
    Config {
        http: control::http(&root.section("http")),
        control: control::control(&root.section("control"), &log.live_dir),
        engine_host: engine::host(&engine, &called.spec),
        output: OutputConfig {
            scheduler: scheduler(&root.section("scheduler")),
            symbols: symbols(&root.section("symbols")),
            engine: called,
            order: root.section("publish").choice("order"),
        },
        feeds: root.entries("feed", FEEDS_MAX).iter().enumerate().map(|(index, entry)| feed(index, entry)).collect(),
        ingest: ingest(&root.section("ingest")),
        clock: Clock { max_step_ms: root.section("clock").integer("max_step_ms", 1..=DAY_MS) },
        log,
        publish: publish(&root.section("publish")),
        measure: Measure { stage_times: root.section("measure").boolean("stage_times") },
        supervisor: supervisor::supervisor(&root.section("supervisor")),
        modules: supervisor::modules(root),
        shutdown: Shutdown { timeout_ms: root.section("shutdown").integer("timeout_ms", 0..=DAY_MS) },
        links: links(&root.section("links")),
        care: care::care(root),
        resolved: super::Resolved::default(),
        lanes: root
            .entries("lane", StageId::ALL.len() - 1 + INVOKES_MAX)
            .iter()
            .enumerate()
            .map(|(index, entry)| lane(index, entry))
            .collect(),
    }
}

fn scheduler(section: &Section<'_>) -> Scheduler {
    Scheduler {
        mode: section.choice("mode"),
        interval_ms: signed(section.integer("interval_ms", 1..=INTERVAL_MAX_MS)),
        delay_ms: signed(section.integer("delay_ms", 0..=INTERVAL_MAX_MS)),
        catch_up: section.choice("catch_up"),
        catch_up_max_ticks: section.integer("catch_up_max_ticks", 1..=1_000_000_000),
    }
}

fn symbols(section: &Section<'_>) -> Symbols {
    Symbols {
        mode: section.choice("mode"),
        list: section.texts("list"),
        max: section.integer_u32("max", 1..=1_000_000),
    }
}

/// A `least_attempts` of 0 allows 0 to be written for "no limit".
pub(super) fn retry(section: &Section<'_>, least_attempts: u32, least_delay_ms: u64) -> Retry {
    let max_attempts = section.integer_u32("max_attempts", least_attempts..=1_000_000);
    Retry {
        max_attempts: if max_attempts == 0 { u32::MAX } else { max_attempts },
        min_delay_ms: section.integer("min_delay_ms", least_delay_ms..=DAY_MS),
        max_delay_ms: section.integer("max_delay_ms", least_delay_ms..=DAY_MS),
        max_elapsed_ms: none_if_zero(section.integer("max_elapsed_ms", 0..=INTERVAL_MAX_MS)),
    }
}

fn feed(index: usize, section: &Section<'_>) -> Feed {
    let kind: FeedKind = section.choice("kind");
    let name = named(section, || format!("{kind}-{index}"));
    let format = section.optional_choice("format").unwrap_or(super::FeedFormat::Ndjson);
    Feed { name, endpoint: endpoint(kind, section), format }
}

fn endpoint(kind: FeedKind, section: &Section<'_>) -> Endpoint {
    let (listen, connect, path) =
        (section.optional_text("listen"), section.optional_text("connect"), section.optional_text("path"));
    let refuse = |keys: &[&str]| {
        for key in keys.iter().filter(|key| section.has(key)) {
            section.problem(key, format!("means nothing for kind = \"{kind}\""), &format!("Remove {key}."));
        }
    };
    if !section.has("kind") || section.is_bad("kind") {
        return Endpoint::Stdin;
    }
    match kind {
        FeedKind::Stdin => {
            refuse(&["listen", "connect", "path"]);
            Endpoint::Stdin
        }
        FeedKind::File => {
            refuse(&["listen", "connect"]);
            let path = path.unwrap_or_else(|| section.text("path"));
            Endpoint::File(non_empty(section, "path", path))
        }
        FeedKind::Tcp | FeedKind::Unix => {
            refuse(&["path"]);
            let (key, address) = match (listen, connect) {
                (Some(address), None) => ("listen", address),
                (None, Some(address)) => ("connect", address),
                (Some(_), Some(_)) => {
                    section.problem("connect", "stands beside listen".into(), "Keep one of the two.");
                    return Endpoint::Stdin;
                }
                (None, None) => {
                    if section.is_whole() {
                        let what = format!("a {kind} feed has neither listen nor connect");
                        section.problem("", what, "Set one of the two.");
                    }
                    return Endpoint::Stdin;
                }
            };
            match (kind, key) {
                (FeedKind::Tcp, "listen") => Endpoint::TcpListen(host_and_port(section, key, address, 0)),
                (FeedKind::Tcp, _) => Endpoint::TcpConnect(host_and_port(section, key, address, 1)),
                (_, "listen") => Endpoint::UnixListen(socket_path(section, key, address)),
                (_, _) => Endpoint::UnixConnect(socket_path(section, key, address)),
            }
        }
    }
}

fn host_and_port(section: &Section<'_>, key: &str, address: String, least_port: u16) -> String {
    let parts = address.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host_good = !host.is_empty() && (bracketed || !host.contains(':')) && !host.contains(char::is_whitespace);
        // `parse` would take a sign as well.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        host_good && digits && port.parse::<u16>().is_ok_and(|port| port >= least_port)
    });
    if !good {
        let next_step =
            format!("Set \"host:port\" with a port from {least_port} to 65535, such as \"127.0.0.1:7411\".");
        section.problem(key, format!("{address:?} is not host:port"), &next_step);
    }
    address
}

pub(super) fn socket_path(section: &Section<'_>, key: &str, path: String) -> PathBuf {
    if path.len() > UNIX_PATH_MAX_BYTES {
        let what = format!("has {} bytes, a Unix socket's path at most {UNIX_PATH_MAX_BYTES}", path.len());
        section.problem(key, what, "Choose a shorter path.");
    }
    non_empty(section, key, path)
}

fn ingest(section: &Section<'_>) -> Ingest {
    Ingest {
        line_max_bytes: section.integer("line_max_bytes", KIB..=256 * MIB),
        connections_max: section.integer_u32("connections_max", 1..=65_536),
        read_buffer_bytes: section.integer("read_buffer_bytes", 4 * KIB..=64 * MIB),
        retry: retry(&section.section("retry"), 0, 1),
    }
}

fn log(section: &Section<'_>) -> Log {
    let dir = non_empty(section, "dir", section.text("dir"));
    let live_dir = section.text("live_dir");
    let live_dir = if live_dir.is_empty() { derived_live_dir(section, &dir) } else { PathBuf::from(live_dir) };
    Log {
        dir,
        live_dir,
        segment_bytes: section.power_of_two("segment_bytes", 64 * KIB..=GIB),
        capacity_bytes: none_if_zero(section.integer("capacity_bytes", 0..=1 << 60)),
        live_segments: section.integer_u32("live_segments", LIVE_SEGMENTS_MIN..=64),
        flush_interval_ms: section.integer("flush_interval_ms", 1..=60_000),
        flush_bytes: section.integer("flush_bytes", 4 * KIB..=GIB),
        retention: retention(&section.section("retention")),
    }
}

fn retention(section: &Section<'_>) -> Retention {
    let bytes = |key| none_if_zero(section.integer(key, 0..=1 << 60));
    Retention {
        inputs_bytes: bytes("inputs_bytes"),
        runs_bytes: bytes("runs_bytes"),
        outputs_bytes: bytes("outputs_bytes"),
        age_ms: none_if_zero(section.integer("age_ms", 0..=RETENTION_MAX_MS)),
    }
}

/// A name that stays the same for the same `log.dir`, so that a restart finds the segments of the process before it.
fn derived_live_dir(section: &Section<'_>, dir: &Path) -> PathBuf {
    if dir.as_os_str().is_empty() {
        return PathBuf::new();
    }
    match std::path::absolute(dir) {
        Ok(absolute) => live_dir_of(&absolute),
        Err(error) => {
            let what = format!("cannot be derived from log.dir: {error}");
            section.problem("live_dir", what, "Set log.dir to an absolute path.");
            PathBuf::new()
        }
    }
}

/// See [`Log::live_dir`]. Links are not followed: the directory may not exist yet.
pub(super) fn live_dir_of(absolute: &Path) -> PathBuf {
    // Collected again from its components, a path has no closing slash.
    let plain: PathBuf = absolute.components().collect();
    let digest = Sha256::digest(plain.as_os_str().as_encoded_bytes());
    let hash = digest.iter().take(8).fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
    PathBuf::from(format!("{LIVE_DIR_PREFIX}{hash:016x}"))
}

fn publish(section: &Section<'_>) -> Publish {
    Publish { durability: section.choice("durability"), blocked_max_ms: section.integer("blocked_max_ms", 1..=DAY_MS) }
}

fn links(section: &Section<'_>) -> Links {
    Links {
        receipts_bytes: section.power_of_two("receipts_bytes", 16 * KIB..=GIB),
        cuts: section.power_of_two("cuts", CUTS_MIN..=MIB),
        runs: section.power_of_two("runs", 2..=MIB),
        results_bytes: section.power_of_two("results_bytes", 16 * KIB..=GIB),
    }
}

fn lane(index: usize, section: &Section<'_>) -> LaneSpec {
    LaneSpec {
        name: named(section, || format!("lane-{index}")),
        stages: section.choices("stages"),
        core: section.optional_integer("core", 0..=CORE_MAX).and_then(|core| usize::try_from(core).ok()),
        idle: section.optional_choice("idle").unwrap_or(Idle::Backoff),
    }
}

/// A name fit to be a label.
pub(super) fn named(section: &Section<'_>, default: impl FnOnce() -> String) -> String {
    let Some(name) = section.optional_text("name") else { return default() };
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(fit) {
        let next_step = format!("Use 1 to {NAME_MAX_BYTES} of a-z, A-Z, 0-9, '-', '_' and '.'.");
        section.problem("name", format!("{name:?} cannot be a label of counters"), &next_step);
    }
    name
}

fn non_empty(section: &Section<'_>, key: &str, path: String) -> PathBuf {
    if section.has(key) && (path.is_empty() || path.contains('\0')) {
        section.problem(key, format!("{path:?} is no path"), "Name a path.");
    }
    PathBuf::from(path)
}

pub(super) const fn none_if_zero(value: u64) -> Option<u64> {
    if value == 0 { None } else { Some(value) }
}

/// The limits of every key read this way are far below 2^63.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
