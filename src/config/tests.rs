//! What the configuration promises, from the outside: files and texts in, a tree or problems out.

mod control;
mod frame;
mod garbage;
mod modules;
mod tree;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cutline_ring::idle::Idle;

use super::*;
use crate::plane::topology::StageId;

fn overlay(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn good(text: &str) -> Config {
    Config::from_text("user.toml", text).expect("legal").0
}

/// Problems as (line, key) with their texts.
fn bad(text: &str) -> Vec<(u32, String, String)> {
    let problems = Config::from_text("user.toml", text).expect_err("refused").0;
    problems.into_iter().map(|problem| (problem.origin.line, problem.key.clone(), problem.to_string())).collect()
}

/// The one problem there is: its line and key.
fn only(text: &str) -> (u32, String) {
    let problems = bad(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    (problems[0].0, problems[0].1.clone())
}

fn warned(text: &str) -> Vec<(u32, String)> {
    let warnings = Config::from_text("user.toml", text).expect("legal").1;
    warnings.into_iter().map(|warning| (warning.origin.line, warning.key)).collect()
}

fn set(sets: &[&str]) -> Result<(Config, Vec<Warning>), Problems> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
    Config::load(&[], &sets)
}

#[test]
fn the_default_is_legal_and_as_the_contract_says() {
    let (config, warnings) = Config::load(&[], &[]).expect("legal");
    assert_eq!(warnings, []);
    assert_eq!(config, Config::embedded_default());
    assert_eq!(config.ingest.line_max_bytes, 1 << 20);
    assert_eq!(config.log.segment_bytes, 16 << 20);
    assert_eq!(config.log.capacity_bytes, Some(64 << 30));
    assert_eq!(config.log.live_segments, 3);
    assert_eq!(config.log.dir, Path::new("cutline-data"));
    assert_eq!(config.output.engine.retry.max_attempts, 1);
    assert_eq!(config.output.engine.retry.max_elapsed_ms, None);
    assert_eq!(config.output.engine.hysteresis_json, "{}");
    assert_eq!(config.ingest.retry.max_attempts, u32::MAX);
    assert_eq!(config.publish.durability, Durability::Visible);
    assert_eq!(config.feeds[0].name, "tcp-0");
    assert_eq!(config.feeds[0].endpoint, Endpoint::TcpListen("127.0.0.1:7411".into()));
    assert_eq!(config.lanes.len(), 1);
    assert_eq!((config.lanes[0].core, config.lanes[0].idle), (None, Idle::Backoff));
    assert_eq!(config.lanes[0].stages, StageId::ALL);
}

/// Keys of the manual, also those in comments, each with whether a comment stands above it.
fn documented_keys() -> Vec<(String, bool)> {
    let mut keys = Vec::new();
    let (mut section, mut explained) = (String::new(), false);
    let mut arrays = BTreeSet::new();
    for line in DEFAULT_TOML.lines() {
        // A table that is not there by default shows in a comment how it is written.
        let header = line.strip_prefix("# ").filter(|rest| rest.starts_with('[')).unwrap_or(line);
        if let Some(header) = header.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            arrays.insert(header);
            section = format!("{header}[]");
            keys.push((header.to_string(), explained));
        } else if let Some(header) = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = match header.split_once('.') {
                Some((array, rest)) if arrays.contains(array) => format!("{array}[].{rest}"),
                _ => header.to_string(),
            };
            keys.push((section.clone(), explained));
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && key.chars().all(|char| char.is_ascii_lowercase() || char == '_')
        {
            keys.push((format!("{section}.{key}"), explained));
        }
        explained = line.starts_with('#');
    }
    keys
}

#[test]
fn the_manual_has_every_key_once_and_no_other_each_with_a_reason() {
    let documented = documented_keys();
    for (key, explained) in &documented {
        assert!(explained, "{key} has no comment above it");
    }
    let names: BTreeSet<String> = documented.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(names.len(), documented.len(), "a key is there twice");
    let known: BTreeSet<String> = Config::known_keys().into_iter().collect();
    assert_eq!(names, known);
    assert!(known.contains("lane[].core") && known.contains("engine.hysteresis"));
}

#[test]
fn overlays_parse_without_warnings_and_give_their_lanes() {
    for (file, lanes, idle) in
        [("one-lane.toml", 1, Idle::Spin), ("two-cores.toml", 2, Idle::Yield), ("colocated.toml", 5, Idle::Spin)]
    {
        let (config, warnings) = Config::load(&[overlay(file)], &[]).expect(file);
        assert_eq!(warnings, [], "{file}");
        let topology = config.topology().expect(file);
        assert_eq!(topology.lanes().len(), lanes, "{file}");
        assert!(topology.lanes().iter().all(|lane| lane.idle == idle && lane.core.is_some()), "{file}");
        let names: Vec<&str> = topology.links().iter().map(|link| link.name).collect();
        assert_eq!(names, ["receipts", "cuts", "runs", "results"]);
    }
}

#[test]
fn six_errors_are_six_problems_on_their_lines() {
    let text = "\
[scheduler]
intervall_ms = 1000
mode = \"cron\"
delay_ms = -1

[log]
segment_bytes = 100_000

[publish]
durability = true

[[feed]]
kind = \"tcp\"
";
    let problems = bad(text);
    let places: Vec<(u32, &str)> = problems.iter().map(|(line, key, _)| (*line, key.as_str())).collect();
    let expected = [
        (2, "scheduler.intervall_ms"),
        (3, "scheduler.mode"),
        (4, "scheduler.delay_ms"),
        (7, "log.segment_bytes"),
        (10, "publish.durability"),
        (12, "feed[0]"),
    ];
    assert_eq!(places, expected);
    let texts: Vec<&str> = problems.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "user.toml:2: scheduler.intervall_ms: unknown key. Did you mean \"scheduler.interval_ms\"?",
            "user.toml:3: scheduler.mode: \"cron\" is none of its values. Set \"timer\" or \"boundary\".",
            "user.toml:4: scheduler.delay_ms: is -1, outside 0 to 31622400000. Set delay_ms to an integer from 0 to 31622400000.",
            "user.toml:7: log.segment_bytes: is 100000, not a power of two. Set 131072 or 65536.",
            "user.toml:10: publish.durability: must be a string, is true. Set \"visible\" or \"durable\".",
            "user.toml:12: feed[0]: a tcp feed has neither listen nor connect. Set one of the two.",
        ]
    );
    let shown = Config::from_text("user.toml", text).expect_err("refused").to_string();
    assert_eq!(shown, texts.join("\n"));
}

#[test]
fn later_layers_win_table_by_table_and_arrays_as_a_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let first = write(
        "first.toml",
        "[scheduler]\ninterval_ms = 1000\ndelay_ms = 5\n[[feed]]\nkind = \"stdin\"\n[[feed]]\nkind = \"file\"\npath = \"a\"\n",
    );
    let second = write("second.toml", "[scheduler]\ninterval_ms = 2000\n[[feed]]\nkind = \"file\"\npath = \"b\"\n");
    let sets = ["scheduler.delay_ms=7".to_string()];
    let (config, _) = Config::load(&[first, second], &sets).expect("legal");
    assert_eq!((config.output.scheduler.interval_ms, config.output.scheduler.delay_ms), (2000, 7));
    assert_eq!(config.feeds.len(), 1);
    assert_eq!(config.feeds[0].name, "file-0");
    assert_eq!(config.feeds[0].endpoint, Endpoint::File("b".into()));
    assert_eq!(config.ingest, Config::embedded_default().ingest);
}

#[test]
fn problems_of_several_layers_name_their_file_and_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, "\n[clock]\nmax_step_ms = 0\n").expect("written");
    let missing = dir.path().join("missing.toml");
    let sets = ["log.dri=x".to_string(), "links.runs=3".to_string(), "nonsense".to_string()];
    let problems = Config::load(&[path.clone(), missing.clone()], &sets).expect_err("refused");
    let shown: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 5, "{problems}");
    assert!(shown[0].starts_with(&format!("{}:3: clock.max_step_ms: ", path.display())), "{problems}");
    assert!(shown[1].starts_with(&format!("{}: cannot be read: ", missing.display())), "{problems}");
    assert_eq!(shown[2], "--set:1: log.dri: unknown key. Did you mean \"log.dir\"?");
    assert_eq!(shown[3], "--set:2: links.runs: is 3, not a power of two. Set 4 or 2.");
    assert_eq!(shown[4], "--set:3: \"nonsense\" has no '='. Write --set section.key=value.");
}

#[test]
fn set_takes_toml_values_and_bare_words() {
    let (config, _) = set(&[
        "engine.mode=hysteresis",
        "log.dir = /tmp/some/where",
        "scheduler.interval_ms=1_000",
        "symbols.mode=list",
        "symbols.list=[\"B\", \"A\"]",
        "engine.hysteresis.decay_factor=0.5",
        "feed=[{kind=\"stdin\", format=\"binary\"}]",
    ])
    .expect("legal");
    assert_eq!(config.output.engine.mode, EngineMode::Hysteresis);
    assert_eq!(config.log.dir, Path::new("/tmp/some/where"));
    assert_eq!(config.output.scheduler.interval_ms, 1000);
    assert_eq!(config.output.symbols.list, ["B", "A"]);
    assert_eq!(config.output.engine.hysteresis_json, "{\"decay_factor\":0.5}");
    assert_eq!(config.feeds[0].endpoint, Endpoint::Stdin);
    assert_eq!(config.feeds[0].format, FeedFormat::Binary);
    let problems = set(&["scheduler.interval_ms=1O00"]).expect_err("a string").to_string();
    assert!(problems.contains("must be an integer, is the string \"1O00\""), "{problems}");
    for wrong in ["=1", "a..b=1", ".=2"] {
        assert!(set(&[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn unknown_keys_are_found_everywhere_with_what_was_meant() {
    let text = "\
interval_ms = 5
[schedular]
mode = \"timer\"
[engine.retry]
attempts = 3
frobnicate = 1
[[feed]]
kind = \"stdin\"
fromat = \"ndjson\"
[engine.hysteresis]
anything = { goes = [1, \"here\"] }
";
    let shown: Vec<String> = bad(text).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(
        shown,
        [
            "user.toml:1: interval_ms: unknown key. Did you mean \"health.interval_ms\" or \"resources.interval_ms\" or \
             \"scheduler.interval_ms\"?",
            "user.toml:2: schedular: unknown key. Did you mean \"scheduler\"?",
            "user.toml:5: engine.retry.attempts: unknown key. Did you mean \"engine.retry.max_attempts\"?",
            "user.toml:6: engine.retry.frobnicate: unknown key. Remove it; config/default.toml lists every key.",
            "user.toml:9: feed[0].fromat: unknown key. Did you mean \"feed[].format\"?",
        ]
    );
}

#[test]
fn a_line_that_is_no_toml_has_one_problem_and_the_rest_is_read_all_the_same() {
    let problems = bad("[scheduler]\ninterval_ms = = 5\nmode = \"cron\"\n[log]\ndir = 5\n");
    let lines: Vec<u32> = problems.iter().map(|(line, _, _)| *line).collect();
    assert_eq!(lines, [2, 3, 5], "{problems:#?}");
    assert!(problems[0].2.contains("not valid TOML"), "{problems:#?}");
    let unclosed = bad("[[lane]]\nstages = [\"ingest\"\nidle = \"spin\"\n");
    assert_eq!(unclosed.iter().map(|(line, _, _)| *line).collect::<Vec<_>>(), [3], "{unclosed:#?}");
    let twice = bad("[clock]\nmax_step_ms = 5\nmax_step_ms = 6\n");
    assert_eq!(twice.iter().map(|(line, _, _)| *line).collect::<Vec<_>>(), [3], "{twice:#?}");
}

#[test]
fn a_file_that_is_not_utf8_is_a_problem_at_its_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bad.toml");
    std::fs::write(&path, b"# fine\n# \xff\n").expect("written");
    let problems = Config::load(std::slice::from_ref(&path), &[]).expect_err("refused").to_string();
    assert_eq!(problems, format!("{}:2: is not UTF-8. Save the file as UTF-8.", path.display()));
}

#[test]
fn the_live_directory_is_derived_from_the_absolute_directory_and_stays_the_same() {
    let live = |dir: &str| good(&format!("[log]\ndir = {dir:?}\n")).log.live_dir;
    // Fixed for ever: a new release must find what the old one left in memory. sha256("/var/lib/cutline").
    assert_eq!(read::live_dir_of(Path::new("/var/lib/cutline")), Path::new("/dev/shm/cutline-0dad4953721aac3f"));
    assert_eq!(live("/var/lib/cutline"), read::live_dir_of(Path::new("/var/lib/cutline")));
    assert_eq!(live("/var/lib/cutline/"), live("/var/lib//cutline/."));
    assert_ne!(live("/var/lib/cutline"), live("/var/lib/cutline2"));
    let here = std::env::current_dir().expect("a directory").join("some");
    assert_eq!(live("some"), read::live_dir_of(&here));
    let given = good("[log]\nlive_dir = \"/mnt/huge/cutline\"\n").log.live_dir;
    assert_eq!(given, Path::new("/mnt/huge/cutline"));
    assert_eq!(only("[log]\ndir = \"/x\"\nlive_dir = \"/x\"\n"), (3, "log.live_dir".into()));
}
