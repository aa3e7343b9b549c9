//! `/metrics`: everything that lies in the cnc file, and the modules, as OpenMetrics text. Reads memory; the data plane does not notice.
//!
//! Times are in seconds, as is the custom, whatever unit the counters have.

use cutline_shm::counters::{CounterView, Kind as CellKind};
use cutline_shm::histograms::HistogramView;
use cutline_shm::reader::CncReader;
use cutline_shm::status::State as PlaneState;

use super::openmetrics::{Kind, Labels, Text};
use crate::bus::Bus;
use crate::health::report::{Grade, Metrics, Report};
use crate::reload::Tally;
use crate::supervisor::registry::{Module, State};

const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999)];
/// Of labels that are a value alone: what the value is.
const BARE_LABELS: [(&str, &str); 3] = [("lane_", "lane"), ("runs_by_outcome", "outcome"), ("publish_events", "type")];
const PLANE_STATES: [PlaneState; 5] =
    [PlaneState::Starting, PlaneState::Running, PlaneState::Draining, PlaneState::Stopped, PlaneState::Failed];
const MODULE_STATES: [&str; 6] = ["not_started", "starting", "running", "stopping", "stopped", "failed"];
const NS_PER_S: f64 = 1e9;

/// The text at a time (ns since the Unix epoch). Without counters, which are there once the data plane is, it has the rest.
pub fn render(
    cnc: Option<&CncReader>,
    modules: &[Module],
    reports: &[Report],
    config: &Tally,
    bus: &Bus,
    now_ns: i64,
) -> String {
    let mut text = Text::default();
    if let Some(cnc) = cnc {
        process(cnc, &mut text);
        lanes(cnc, now_ns, &mut text);
        counters(cnc, &mut text);
        histograms(cnc, &mut text);
    }
    of_modules(modules, &mut text);
    of_reports(reports, &mut text);
    of_config(config, modules, &mut text);
    let help = "Events that listeners on the bus were too slow for.";
    text.family("cutline_bus_events_lost", Kind::Counter, "", help);
    text.sample("cutline_bus_events_lost", "_total", &[], bus.lost());
    text.finish()
}

fn process(cnc: &CncReader, text: &mut Text) {
    text.family("cutline_start_time_seconds", Kind::Gauge, "seconds", "When the process began, since the Unix epoch.");
    text.sample("cutline_start_time_seconds", "", &[], cnc.start_ns() as f64 / NS_PER_S);
    if let Some(status) = cnc.status() {
        text.family("cutline_state", Kind::Gauge, "", "1 for the state that the data plane is in.");
        for state in PLANE_STATES {
            text.sample("cutline_state", "", &[("state", state.name())], u8::from(state == status.state));
        }
        let is_ready = status.state == PlaneState::Running && status.reason.is_empty();
        text.family("cutline_ready", Kind::Gauge, "", "Whether the data plane is ready; /ready says why not.");
        text.sample("cutline_ready", "", &[], u8::from(is_ready));
    }
    text.family("cutline_errors", Kind::Counter, "", "Errors recorded; `cutline errors` lists the distinct ones.");
    text.sample("cutline_errors", "_total", &[], cnc.errors().map(|error| error.count).sum::<u64>());
    let refused = cnc.refused();
    let help = "What the cnc file had no room for, by what it was.";
    text.family("cutline_cnc_refused", Kind::Counter, "", help);
    let kinds = [("lanes", refused.lanes), ("counters", refused.counters), ("histograms", refused.histograms)];
    for (what, count) in kinds.into_iter().chain([("errors", refused.errors)]) {
        text.sample("cutline_cnc_refused", "_total", &[("what", what)], count);
    }
}

fn lanes(cnc: &CncReader, now_ns: i64, text: &mut Text) {
    let name = "cutline_lane_beat_age_seconds";
    text.family(name, Kind::Gauge, "seconds", "How long ago a lane gave its last sign of life.");
    for lane in cnc.lanes() {
        let age_ns = now_ns.saturating_sub(lane.beat_ns).max(0);
        text.sample(name, "", &[("lane", &lane.name)], age_ns as f64 / NS_PER_S);
    }
}

fn counters(cnc: &CncReader, text: &mut Text) {
    let mut all: Vec<CounterView> = cnc.counters().collect();
    // Each family in one piece, whenever its labels were registered.
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for family in all.chunk_by(|a, b| a.name == b.name) {
        let first = &family[0];
        let (kind, suffix) =
            if first.kind == Some(CellKind::Counter) { (Kind::Counter, "_total") } else { (Kind::Gauge, "") };
        let name = begin(text, &first.name, &first.unit, &first.help, kind);
        for counter in family {
            with_labels(counter, |labels| {
                if first.unit == "ns" {
                    text.sample(&name, suffix, labels, counter.value as f64 / NS_PER_S);
                } else {
                    text.sample(&name, suffix, labels, counter.value);
                }
            });
        }
    }
}

fn histograms(cnc: &CncReader, text: &mut Text) {
    let mut all: Vec<HistogramView> = cnc.histograms().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for family in all.chunk_by(|a, b| a.name == b.name) {
        let first = &family[0];
        let scale = if first.unit == "ns" { NS_PER_S } else { 1.0 };
        let name = begin(text, &first.name, &first.unit, &first.help, Kind::Summary);
        for histogram in family {
            let labels = labels_of(&histogram.name, &histogram.label);
            let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let quantiles = QUANTILES.map(|(quantile, q)| (quantile, histogram.percentile(q)));
            let max = (histogram.count > 0).then_some(histogram.max);
            for (quantile, value) in quantiles.into_iter().chain([("1.0", max)]) {
                let Some(value) = value else { continue };
                let labels = [&labels[..], &[("quantile", quantile)]].concat();
                text.sample(&name, "", &labels, value as f64 / scale);
            }
            text.sample(&name, "_count", &labels, histogram.count);
            text.sample(&name, "_sum", &labels, histogram.sum as f64 / scale);
        }
    }
}

/// Begins the family of a name in the cnc file, and says what it is called: with its unit last, if that is one that has a custom.
fn begin(text: &mut Text, name: &str, unit: &str, help: &str, kind: Kind) -> String {
    let unit = match unit {
        "ns" => "seconds",
        "bytes" => "bytes",
        _ => "",
    };
    let plain = name.strip_suffix("_total").unwrap_or(name);
    let has_it = unit.is_empty() || plain.ends_with(&format!("_{unit}"));
    let name = if has_it { format!("cutline_{plain}") } else { format!("cutline_{plain}_{unit}") };
    text.family(&name, kind, unit, help);
    name
}

fn with_labels(counter: &CounterView, tell: impl FnOnce(Labels<'_>)) {
    let labels = labels_of(&counter.name, &counter.label);
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
    tell(&labels);
}

/// `source=binance,type=TradeTick` as its parts. A source may be called anything: what looks like a label twice, or like none, belongs to
/// the value before it, so that no two labels become one.
fn labels_of<'a>(name: &str, label: &'a str) -> Vec<(&'a str, String)> {
    let mut labels: Vec<(&str, String)> = Vec::new();
    for part in label.split(',').filter(|_| !label.is_empty()) {
        let is_key = |key: &str| {
            // The other one is ours.
            !key.is_empty() && key != "quantile" && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let is_new = |key: &str| is_key(key) && labels.iter().all(|(other, _)| *other != key);
        if let Some((key, value)) = part.split_once('=').filter(|(key, _)| is_new(key)) {
            labels.push((key, value.to_owned()));
        } else if let Some((_, before)) = labels.last_mut() {
            *before = format!("{before},{part}");
        } else {
            let key = BARE_LABELS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("of", |(_, key)| key);
            labels.push((key, part.to_owned()));
        }
    }
    labels
}

fn of_modules(modules: &[Module], text: &mut Text) {
    let name = "cutline_module_state";
    text.family(name, Kind::Gauge, "", "1 for the state that a module is in.");
    for module in modules {
        let is = match module.state {
            State::NotStarted => 0,
            State::Starting { .. } => 1,
            State::Running { .. } => 2,
            State::Stopping => 3,
            State::Stopped { .. } => 4,
            State::Failed { .. } => 5,
        };
        for (at, state) in MODULE_STATES.iter().enumerate() {
            text.sample(name, "", &[("module", &module.name), ("state", state)], u8::from(at == is));
        }
    }
}

/// What is known of a module, or of a part of the data plane; nothing where nothing is known.
fn of_reports(reports: &[Report], text: &mut Text) {
    let mut family = |name: &str, unit: &str, help: &str, number: &dyn Fn(&Metrics) -> Option<f64>| {
        text.family(name, Kind::Gauge, unit, help);
        for report in reports {
            if let Some(value) = number(&report.metrics) {
                text.sample(name, "", &[("module", &report.module)], value);
            }
        }
    };
    family("cutline_module_cpu_ratio", "ratio", "Processor time, as a share of a core.", &|metrics| {
        metrics.cpu_percent.map(|percent| percent / 100.0)
    });
    family("cutline_module_memory_bytes", "bytes", "Resident memory of its processes.", &|metrics| {
        metrics.memory_bytes.map(|bytes| bytes as f64)
    });
    family("cutline_module_queue_depth", "", "What waits to be worked on, in its own units.", &|metrics| {
        metrics.queue_depth.map(|depth| depth as f64)
    });
    family("cutline_module_error_rate", "", "Errors per second that it tells of itself.", &|metrics| {
        metrics.error_rate_per_s
    });
    let help = "How long it takes for what it does, or took for its last answer.";
    family("cutline_module_response_seconds", "seconds", help, &|metrics| metrics.response_ms.map(|ms| ms / 1e3));
    let name = "cutline_module_healthy";
    text.family(name, Kind::Gauge, "", "1 if it is healthy, 0 if it is degraded or unhealthy.");
    for report in reports.iter().filter(|report| report.grade != Grade::Unknown) {
        text.sample(name, "", &[("module", &report.module)], u8::from(report.grade == Grade::Healthy));
    }
    let name = "cutline_module_own";
    text.family(name, Kind::Gauge, "", "Numbers that a module tells of itself, by its own names.");
    for report in reports {
        for (own, value) in &report.metrics.own {
            text.sample(name, "", &[("module", &report.module), ("name", own)], value);
        }
    }
}

fn of_config(config: &Tally, modules: &[Module], text: &mut Text) {
    let Tally { changes, refusals, refused, waiting } = config;
    let name = "cutline_config_changes";
    text.family(name, Kind::Counter, "", "Other configurations since the start, by what became of them.");
    text.sample(name, "_total", &[("result", "in_force")], changes);
    text.sample(name, "_total", &[("result", "refused")], refusals);
    let name = "cutline_config_refused";
    text.family(
        name,
        Kind::Gauge,
        "",
        "1 while the last configuration that somebody wanted is not in force, being refused.",
    );
    text.sample(name, "", &[], u8::from(!refused.is_empty()));
    let name = "cutline_config_waiting_keys";
    text.family(name, Kind::Gauge, "", "Keys that are otherwise in the files and wait for a restart.");
    text.sample(name, "", &[], waiting.len());
    let name = "cutline_module_config_refused";
    text.family(name, Kind::Gauge, "", "1 for a module that goes on with another configuration than the one in force.");
    for module in modules {
        text.sample(name, "", &[("module", &module.name)], u8::from(!module.config_refused.is_empty()));
    }
}

#[cfg(test)]
mod tests;
