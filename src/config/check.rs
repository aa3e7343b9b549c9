//! Rules between keys. Each names the keys it looks at: it is skipped if one of them has a problem of its own, and a violation is
//! shown where the last of them was written, since that is the line the user added.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use cutline_ring::idle::Idle;

use super::care;
use super::document::Node;
use super::fit::line_room_bytes;
use super::problem::{Origin, Problem};
use super::reader::{Report, is_bad, origin_at};
use super::{Cadence, Config, Endpoint, EngineMode, EnginePlace, SymbolMode};
use crate::model::receipt::NAME_MAX_BYTES;
use crate::plane::topology::{StageId, invokes};

/// Bytes a record in a bytes ring takes beside its payload; the ring guarantees half its capacity less this.
const RING_HEADER_BYTES: u64 = 64;
/// Fewest segments that a bounded inputs log must have room for: one being written, one being prepared, two to be read.
const CAPACITY_MIN_SEGMENTS: u64 = 4;

/// A config, the document it was read from and what was found so far.
pub(super) struct Rules<'a> {
    pub config: &'a Config,
    pub root: &'a Node,
    pub report: &'a RefCell<Report>,
    /// How many problems reading has found; they come first. Those that the rules add do not silence other rules.
    pub read_problems: usize,
}

/// Every rule.
pub(super) fn all_rules(rules: &Rules<'_>) {
    output_rules(rules);
    let retry = &rules.config.ingest.retry;
    rules.retry("ingest.retry", retry.min_delay_ms, retry.max_delay_ms);
    rules.engine_host();
    rules.feeds();
    rules.log();
    rules.room();
    rules.lanes();
    rules.engine_cores();
    super::supervisor::rules(rules);
    care::rules(rules);
}

/// The rules about keys that affect outputs.
pub(super) fn output_rules(rules: &Rules<'_>) {
    rules.cadence();
    rules.symbols();
    rules.engine();
}

impl Rules<'_> {
    fn cadence(&self) {
        let (scheduler, multiple) = (&self.config.output.scheduler, self.config.output.engine.timestamp_multiple_ms);
        let keys = ["engine.timestamp_multiple_ms", "scheduler.interval_ms", "scheduler.mode"];
        if self.are_sound(&keys) && multiple > 1 {
            match scheduler.mode {
                Cadence::Timer => self.problem(
                    &keys,
                    format!(
                        "timer mode counts engine timestamps from the moment of the start, which is no multiple of {multiple} ms"
                    ),
                    "Set scheduler.mode = \"boundary\" or engine.timestamp_multiple_ms = 1.",
                ),
                Cadence::Boundary if scheduler.interval_ms % multiple != 0 => self.problem(
                    &keys,
                    format!(
                        "engine timestamps are multiples of scheduler.interval_ms = {}, which is no multiple of \
                         engine.timestamp_multiple_ms = {multiple}",
                        scheduler.interval_ms
                    ),
                    &format!("Set scheduler.interval_ms to a multiple of {multiple}."),
                ),
                Cadence::Boundary => {}
            }
        }
        let delay = "scheduler.delay_ms";
        if scheduler.mode == Cadence::Timer && scheduler.delay_ms > 0 && self.is_users(delay) {
            self.warning(
                &[delay],
                "has no effect in timer mode".into(),
                "Remove it or set scheduler.mode = \"boundary\".",
            );
        }
    }

    fn symbols(&self) {
        let symbols = &self.config.output.symbols;
        let mut first_at: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, symbol) in symbols.list.iter().enumerate() {
            let key = format!("symbols.list[{index}]");
            if !self.are_sound(&[&key]) {
                continue;
            }
            if symbol.is_empty() || symbol.len() > NAME_MAX_BYTES {
                let what = format!("has {} bytes, a symbol has 1 to {NAME_MAX_BYTES}", symbol.len());
                self.problem(&[&key], what, "Correct or remove it.");
            } else if let Some(first) = first_at.get(symbol.as_str()) {
                let what = format!("{symbol:?} is in the list already, as number {}", first + 1);
                self.problem(&[&key], what, "Remove one of them.");
            } else {
                first_at.insert(symbol, index);
            }
        }
        let keys = ["symbols.mode", "symbols.list"];
        if !self.are_sound(&keys) {
            return;
        }
        match symbols.mode {
            SymbolMode::List if symbols.list.is_empty() => {
                self.problem(&keys, "list mode without a list would run nothing".into(), "Fill symbols.list.");
            }
            SymbolMode::Seen if !symbols.list.is_empty() => {
                self.warning(&["symbols.list"], "has no effect in seen mode".into(), "Set symbols.mode = \"list\".");
            }
            SymbolMode::List | SymbolMode::Seen => {}
        }
        let (count, keys) = (symbols.list.len(), ["symbols.max", "symbols.list"]);
        if symbols.mode == SymbolMode::List && self.are_sound(&keys) && count as u64 > u64::from(symbols.max) {
            let what = format!("the list has {count} symbols, symbols.max = {} of them would get runs", symbols.max);
            self.problem(&keys, what, &format!("Set symbols.max to {count} or more."));
        }
    }

    fn engine(&self) {
        let engine = &self.config.output.engine;
        self.retry("engine.retry", engine.retry.min_delay_ms, engine.retry.max_delay_ms);
        if engine.mode == EngineMode::Truth && engine.hysteresis_json != "{}" {
            let what = "has no effect in truth mode".into();
            self.warning(&["engine.hysteresis"], what, "Remove it or set engine.mode = \"hysteresis\".");
        }
    }

    fn engine_host(&self) {
        let restart = &self.config.engine_host.process.restart;
        self.retry("engine.process.restart", restart.min_delay_ms, restart.max_delay_ms);
    }

    fn retry(&self, section: &str, min_delay_ms: u64, max_delay_ms: u64) {
        let (min, max) = (format!("{section}.min_delay_ms"), format!("{section}.max_delay_ms"));
        self.not_above((&min, min_delay_ms), (&max, max_delay_ms));
    }

    /// Of two keys with their values the first may not exceed the second.
    pub fn not_above(&self, (low, least): (&str, u64), (high, most): (&str, u64)) {
        let keys = [low, high];
        if self.are_sound(&keys) && least > most {
            let name = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
            let what = format!("{} = {least} exceeds {} = {most}", name(low), name(high));
            self.problem(&keys, what, &format!("Set {high} to {least} or more."));
        }
    }

    fn feeds(&self) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut sources: BTreeMap<String, usize> = BTreeMap::new();
        for (index, feed) in self.config.feeds.iter().enumerate() {
            let entry = format!("feed[{index}]");
            if !self.are_sound(&[&entry]) {
                continue;
            }
            if let Some(first) = names.insert(&feed.name, index) {
                let what = format!("{:?} is also the name of feed[{first}]", feed.name);
                self.problem(&[&format!("{entry}.name")], what, "Rename one of them.");
            }
            let (key, source) = match &feed.endpoint {
                Endpoint::TcpListen(address) if !address.ends_with(":0") => ("listen", format!("listens on {address}")),
                Endpoint::UnixListen(path) => ("listen", format!("listens on {}", path.display())),
                Endpoint::Stdin => ("kind", "reads stdin".into()),
                _ => continue,
            };
            let key = format!("{entry}.{key}");
            if let Endpoint::TcpListen(address) = &feed.endpoint
                && !is_loopback(address)
            {
                let what = format!("{address} can be reached from other machines, and a feed asks nobody who they are");
                self.warning(&[&key], what, "Listen on 127.0.0.1, or close the port to strangers.");
            }
            if let Some(first) = sources.insert(source.clone(), index) {
                self.problem(&[&key], format!("feed[{first}] {source} already"), "Remove one of them.");
            }
        }
        if self.config.feeds.is_empty() && self.are_sound(&["feed"]) {
            self.warning(&["feed"], "there is no feed, so nothing will arrive".into(), "Add a [[feed]].");
        }
    }

    fn log(&self) {
        let log = &self.config.log;
        let keys = ["log.live_dir", "log.dir"];
        if self.are_sound(&keys) && log.live_dir == log.dir {
            let what = "live segments and disk files would lie in the same directory".into();
            self.problem(&keys, what, "Set log.live_dir to a directory in memory, or to \"\".");
        }
        let keys = ["log.capacity_bytes", "log.segment_bytes"];
        let least = CAPACITY_MIN_SEGMENTS * log.segment_bytes;
        if let Some(capacity) = log.capacity_bytes
            && self.are_sound(&keys)
            && capacity < least
        {
            let what = format!("capacity_bytes = {capacity} has no room for {CAPACITY_MIN_SEGMENTS} segments");
            self.problem(&keys, what, &format!("Set log.capacity_bytes to {least} or more, or 0 for no limit."));
        }
        let keys = ["log.retention.inputs_bytes", "log.capacity_bytes", "log.segment_bytes"];
        if let (Some(capacity), Some(kept)) = (log.capacity_bytes, log.retention.inputs_bytes)
            && self.are_sound(&keys)
            && capacity < kept.saturating_add(least)
        {
            let what = format!("intake would stop at capacity_bytes = {capacity} before anything is given up");
            let room = kept.saturating_add(least);
            self.problem(&keys, what, &format!("Set log.capacity_bytes to {room} or more, or 0, or keep less."));
        }
    }

    /// Whether the longest line and the largest outcome fit where they have to pass.
    fn room(&self) {
        let config = self.config;
        let frame_max = line_room_bytes(config.log.segment_bytes);
        let ring_max = |ring_bytes: u64| ring_bytes / 2 - RING_HEADER_BYTES;
        let (line, draft) = (config.ingest.line_max_bytes, config.ingest.line_max_bytes + 3 * NAME_MAX_BYTES as u64);
        let keys = ["ingest.line_max_bytes", "log.segment_bytes"];
        if self.are_sound(&keys) && line > frame_max {
            let what = format!("a line of line_max_bytes = {line} does not leave a quarter of a segment free");
            let next_step = format!("Set ingest.line_max_bytes to {frame_max} or less, or log.segment_bytes higher.");
            self.problem(&keys, what, &next_step);
        }
        let keys = ["ingest.line_max_bytes", "links.receipts_bytes"];
        if self.are_sound(&keys) && draft > ring_max(config.links.receipts_bytes) {
            let what = format!("a line of line_max_bytes = {line} and its names do not fit in half of receipts_bytes");
            self.problem(&keys, what, &format!("Set links.receipts_bytes to {} or more.", ring_for(draft)));
        }
        let outcome = config.output.engine.outcome_max_bytes();
        let sizes = ["engine.output_max_bytes", "engine.state_max_bytes"];
        let keys = [sizes[0], sizes[1], "log.segment_bytes"];
        let group_max = cutline_journal::Appender::group_max_bytes(config.log.segment_bytes);
        if self.are_sound(&keys) && outcome > group_max {
            let what = format!("an outcome of {outcome} bytes (2 outputs, a state) does not fit in a segment");
            let next_step = format!(
                "Set {} and {} lower (an outcome of {group_max} bytes fits), or log.segment_bytes higher.",
                sizes[0], sizes[1]
            );
            self.problem(&keys, what, &next_step);
        }
        let keys = [sizes[0], sizes[1], "links.results_bytes"];
        if self.are_sound(&keys) && outcome > ring_max(config.links.results_bytes) {
            let what =
                format!("an outcome of {outcome} bytes (2 outputs, a state) does not fit in half of results_bytes");
            self.problem(&keys, what, &format!("Set links.results_bytes to {} or more.", ring_for(outcome)));
        }
    }

    fn lanes(&self) {
        if !self.are_sound(&["lane"]) {
            return;
        }
        let lanes = &self.config.lanes;
        let on_a_lane = |stage: &StageId| lanes.iter().any(|lane| lane.stages.contains(stage));
        let invokes = (0..).take(invokes(lanes)).map(StageId::Invoke);
        let stages = [StageId::Ingest, StageId::Sequence, StageId::Cut].into_iter().chain(invokes);
        let missing: Vec<&str> =
            stages.chain([StageId::Publish]).filter(|stage| !on_a_lane(stage)).map(|stage| stage.as_str()).collect();
        if !missing.is_empty() {
            let what = format!("no lane has {}", missing.join(", "));
            self.problem(&["lane"], what, "Put every stage on exactly one lane.");
        }
        for fault in self.config.topology().err().unwrap_or_default() {
            if let Some(lane) = fault.lane() {
                let (entry, key) = (format!("lane[{lane}]"), fault.key());
                self.problem(&[&format!("{entry}.{key}")], fault.to_string(), &fault.next_step());
            } else if missing.is_empty() {
                self.problem(&["lane"], fault.to_string(), &fault.next_step());
            }
        }
        for (index, lane) in lanes.iter().enumerate() {
            let key = format!("lane[{index}].idle");
            if lane.idle != Idle::Spin {
                continue;
            }
            let shares =
                |other: &&crate::plane::topology::LaneSpec| other.core == lane.core && other.idle != Idle::Spin;
            if lane.core.is_none() && lanes.len() == 1 {
                let what = "spins without a core of its own, wherever the kernel puts it".into();
                self.warning(&[&key], what, "Set core, or another idle.");
            } else if let (Some(core), Some(other)) = (lane.core, lanes.iter().find(shares)) {
                let what = format!("spins on core {core}, where lane {:?} has to wait for it", other.name);
                self.warning(&[&key], what, "Give each its own core.");
            }
        }
    }

    fn engine_cores(&self) {
        let (key, host) = ("engine.process.cores", &self.config.engine_host);
        if host.host != EnginePlace::Process || !self.are_sound(&[key, "lane"]) {
            return;
        }
        let is_engines = |core: &usize| host.process.cores.contains(core);
        for (core, lane) in self.config.lanes.iter().filter_map(|lane| Some((lane.core.filter(is_engines)?, lane))) {
            let what = format!("has core {core}, where lane {:?} has to wait for the engine", lane.name);
            self.warning(&[key], what, "Pin engine processes to cores that no lane is pinned to.");
        }
    }

    /// Whether all the keys could be read.
    fn are_sound(&self, keys: &[&str]) -> bool {
        let report = self.report.borrow();
        !keys.iter().any(|key| is_bad(&report.problems[..self.read_problems], key))
    }

    /// Whether a file or override wrote this key, not the embedded default.
    fn is_users(&self, key: &str) -> bool {
        origin_at(self.root, key).is_some_and(|origin| origin.layer > 0)
    }

    pub(super) fn problem(&self, keys: &[&str], what: String, next_step: &str) {
        let problem = self.remark(keys, what, next_step);
        self.report.borrow_mut().problems.push(problem);
    }

    pub(super) fn warning(&self, keys: &[&str], what: String, next_step: &str) {
        let warning = self.remark(keys, what, next_step);
        self.report.borrow_mut().warnings.push(warning);
    }

    /// Shown at the key of the highest layer; of several there, the first.
    fn remark(&self, keys: &[&str], what: String, next_step: &str) -> Problem {
        let mut place: Option<(&str, &Origin)> = None;
        for key in keys {
            // A key that is not written (a default name) is shown at its table.
            let table = key.rsplit_once('.').map_or("", |(table, _)| table);
            let Some(origin) = origin_at(self.root, key).or_else(|| origin_at(self.root, table)) else { continue };
            if place.is_none_or(|(_, best)| origin.layer > best.layer) {
                place = Some((key, origin));
            }
        }
        let (key, origin) = place.unwrap_or((keys.first().copied().unwrap_or(""), &self.root.origin));
        Problem { origin: origin.clone(), key: key.to_string(), what, next_step: next_step.into() }
    }
}

/// The smallest bytes ring that takes such a payload.
fn ring_for(payload_bytes: u64) -> u64 {
    (2 * (payload_bytes + RING_HEADER_BYTES)).next_power_of_two()
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
