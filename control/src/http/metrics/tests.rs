//! The text against the rules of OpenMetrics 1.0, written here once more from its specification; and, where Python has it, against the
//! parser of its reference client.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use cutline::plane::counters::{
    ALL, CUT_LATENESS, INPUTS_BY_TYPE, LANE_BUSY, PUBLISH_LATENCY, RUN_DURATION, RUNS_OUTCOME, STAGE_TIME,
};
use cutline_shm::cnc::CncWriter;
use cutline_shm::counters::CounterDef;

use super::*;
use crate::supervisor::registry::Health;

const HOSTILE: &str = "a\"b\\c\nd,type=X,quantile=1,=,";

/// Counters with everything that there is, and names that somebody made up to do harm.
fn text() -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("cnc");
    let cnc = CncWriter::create(&path, 1_767_225_600_000_000_000).expect("room");
    let is_histogram =
        |def: &CounterDef| ["run_duration", "publish_latency", "snapshot_lateness", "stage_time"].contains(&def.name);
    for (value, def) in (1..).zip(ALL.iter().filter(|def| !is_histogram(def))) {
        cnc.counter(def, "").expect("room").set(value);
    }
    cnc.counter(&LANE_BUSY, "main").expect("room").set(11);
    cnc.counter(&RUNS_OUTCOME, "completed").expect("room").set(12);
    cnc.counter(&INPUTS_BY_TYPE, &format!("source={HOSTILE},type=TradeTick")).expect("room").set(13);
    cnc.counter(&INPUTS_BY_TYPE, "source=plain,type=TradeTick").expect("room").set(14);
    let latency = cnc.histogram(&PUBLISH_LATENCY, "").expect("room");
    [1_000_000, 2_000_000, 3_000_000].into_iter().for_each(|ns| latency.record(ns));
    cnc.histogram(&CUT_LATENESS, &format!("source={HOSTILE}")).expect("room").record(5);
    for (def, label) in [(&CUT_LATENESS, "source=nothing"), (&RUN_DURATION, ""), (&STAGE_TIME, "stage=cut")] {
        cnc.histogram(def, label).expect("room");
    }
    cnc.heartbeat("main", 1_767_225_600_000_000_000).expect("room");
    cnc.set_state(PlaneState::Running, "", 0);
    cnc.record_error(0, "twice");
    cnc.record_error(1, "twice");
    let module = |name: &str, state| Module { state, ..Module::new(name, true) };
    let modules = [
        module("plane", State::Running { since_ms: 1, health: Health::Healthy }),
        Module {
            config_refused: "no".to_owned(),
            ..module("feed", State::Failed { error: "x".to_owned(), attempts: 1 })
        },
    ];
    let config = Tally { changes: 3, refusals: 2, refused: "a.toml".to_owned(), waiting: vec!["log.dir".to_owned()] };
    let metrics = Metrics {
        cpu_percent: Some(12.5),
        memory_bytes: Some(4096),
        own: BTreeMap::from([("lines_sent".to_owned(), 15.0)]),
        ..Metrics::default()
    };
    let reports = [
        Report { grade: Grade::Degraded, metrics, ..Report::unknown("feed", true) },
        Report { grade: Grade::Healthy, ..Report::unknown("lane:main", true) },
        Report::unknown("plane", true),
    ];
    let cnc = CncReader::open(&path).expect("readable");
    render(Some(&cnc), &modules, &reports, &config, &Bus::new(), 1_767_225_602_500_000_000)
}

/// A sample: name, labels, value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Name, labels and value of a line.
fn sample(line: &str) -> Sample {
    let (name, mut rest) = match line.find('{') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => {
            return line
                .split_once(' ')
                .map(|(name, value)| (name.into(), BTreeMap::new(), number(value)))
                .expect("a value");
        }
    };
    let mut labels = BTreeMap::new();
    while !rest.starts_with('}') {
        let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        let (mut value, mut at) = (String::new(), 0);
        let bytes: Vec<char> = after.chars().collect();
        while bytes[at] != '"' {
            if bytes[at] == '\\' {
                at += 1;
                assert!(['\\', '"', 'n'].contains(&bytes[at]), "{line}");
                value.push(if bytes[at] == 'n' { '\n' } else { bytes[at] });
            } else {
                value.push(bytes[at]);
            }
            at += 1;
        }
        let key = key.trim_start_matches(',');
        assert!(is_name(key) && labels.insert(key.to_owned(), value).is_none(), "{line}");
        rest = &after[bytes[..=at].iter().map(|letter| letter.len_utf8()).sum::<usize>()..];
    }
    (name.into(), labels, number(rest.strip_prefix("} ").unwrap_or_else(|| panic!("{line}"))))
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Every sample, after the rules of the format were checked.
fn checked(text: &str) -> Vec<Sample> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    assert_eq!((lines.pop(), lines.pop()), (Some(""), Some("# EOF")));
    let (mut begun, mut seen, mut samples) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let (mut family, mut kind, mut told) = (String::new(), String::new(), BTreeSet::new());
    for line in lines {
        if let Some(meta) = line.strip_prefix("# ") {
            let (word, rest) = meta.split_once(' ').expect("a word");
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            if word == "TYPE" {
                assert!(is_name(name) && begun.insert(name.to_owned()), "{name} is in two pieces");
                (family, kind, told) = (name.to_owned(), value.to_owned(), BTreeSet::new());
                assert!(["gauge", "counter", "summary"].contains(&value), "{line}");
            }
            assert!(name == family && told.insert(word.to_owned()), "{line}");
            if word == "UNIT" {
                assert!(name.ends_with(&format!("_{value}")), "a name ends in its unit: {line}");
            }
            assert!(word != "HELP" || !value.is_empty(), "{line}");
            continue;
        }
        let (name, labels, value) = sample(line);
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "summary" => &["", "_count", "_sum"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(told.contains("HELP"), "{family} has no help");
        assert_eq!(labels.contains_key("quantile"), kind == "summary" && suffix.is_empty(), "{line}");
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        assert!(seen.insert((name.clone(), labels.clone())), "{line} is there twice");
        samples.push((name, labels, value));
    }
    samples
}

#[test]
fn everything_in_memory_is_there_by_the_rules() {
    let samples = checked(&text());
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let found = samples.iter().find(|(other, of, _)| other == name && *of == labels);
        found.unwrap_or_else(|| panic!("no {name} {labels:?}")).2
    };
    assert_eq!(value("cutline_lane_busy_cycles_total", &[("lane", "main")]), 11.0);
    assert_eq!(value("cutline_runs_by_outcome_total", &[("outcome", "completed")]), 12.0);
    let by_type = "cutline_inputs_receipts_by_type_total";
    assert_eq!(value(by_type, &[("source", "plain"), ("type", "TradeTick")]), 14.0);
    let source = HOSTILE.split_once(",type").expect("it has one").0;
    let rest = "X,quantile=1,=,,type=TradeTick";
    assert_eq!(value(by_type, &[("source", source), ("type", rest)]), 13.0, "nothing of it is lost");
    assert_eq!(value("cutline_publish_latency_seconds", &[("quantile", "1.0")]), 0.003);
    assert_eq!(value("cutline_publish_latency_seconds_count", &[]), 3.0);
    assert!((value("cutline_publish_latency_seconds_sum", &[]) - 0.006).abs() < 1e-12);
    assert_eq!(value("cutline_snapshot_lateness_seconds_count", &[("source", "nothing")]), 0.0);
    assert_eq!(value("cutline_lane_beat_age_seconds", &[("lane", "main")]), 2.5);
    assert_eq!(value("cutline_state", &[("state", "running")]), 1.0);
    assert_eq!(value("cutline_ready", &[]), 1.0);
    assert_eq!(value("cutline_errors_total", &[]), 2.0);
    assert_eq!(value("cutline_module_state", &[("module", "feed"), ("state", "failed")]), 1.0);
    assert_eq!(value("cutline_module_state", &[("module", "feed"), ("state", "running")]), 0.0);
    let changes = |result| value("cutline_config_changes_total", &[("result", result)]);
    assert_eq!((changes("in_force"), changes("refused"), value("cutline_config_refused", &[])), (3.0, 2.0, 1.0));
    assert_eq!(value("cutline_config_waiting_keys", &[]), 1.0);
    let refuses = |name| value("cutline_module_config_refused", &[("module", name)]);
    assert_eq!((refuses("plane"), refuses("feed")), (0.0, 1.0));
    let of_feed = |what: &str| value(&format!("cutline_module_{what}"), &[("module", "feed")]);
    assert_eq!((of_feed("cpu_ratio"), of_feed("memory_bytes"), of_feed("healthy")), (0.125, 4096.0, 0.0));
    assert_eq!(value("cutline_module_healthy", &[("module", "lane:main")]), 1.0);
    assert_eq!(value("cutline_module_own", &[("module", "feed"), ("name", "lines_sent")]), 15.0);
    assert!(!samples.iter().any(|(name, ..)| name == "cutline_module_queue_depth"), "nobody has told one");
    for def in ALL {
        let name = format!("cutline_{}", def.name);
        assert!(samples.iter().any(|(other, ..)| other.starts_with(&name)), "{name} is not told");
    }
}

#[test]
fn without_a_data_plane_it_is_still_well_formed() {
    let samples = checked(&render(None, &[], &[], &Tally::default(), &Bus::new(), 0));
    assert!(samples.contains(&("cutline_bus_events_lost_total".to_owned(), BTreeMap::new(), 0.0)), "{samples:?}");
    assert!(samples.iter().all(|(.., value)| *value == 0.0), "{samples:?}");
}

#[test]
fn the_reference_parser_of_python_takes_it() {
    let script = "import sys\ntry:\n    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        except ImportError:\n    sys.exit(77)\nprint(sum(len(family.samples) for family in parse(sys.stdin.read())))\n";
    let python = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = python else { return eprintln!("skipped: there is no python3") };
    let text = text();
    // One that has no parser ends before it has read.
    let _ = python.stdin.take().expect("a pipe").write_all(text.as_bytes());
    let output = python.wait_with_output().expect("it ends");
    if output.status.code() == Some(77) {
        return eprintln!("skipped: python3 has no prometheus_client (pip install prometheus-client)");
    }
    let count: usize = String::from_utf8_lossy(&output.stdout).trim().parse().expect("it takes the text");
    assert_eq!(count, checked(&text).len());
}
