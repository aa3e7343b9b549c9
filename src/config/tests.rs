//! What the configuration promises, from the outside: files and texts in, a tree or problems out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cutline_ring::idle::Idle;
use proptest::prelude::*;

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
    for line in DEFAULT_TOML.lines() {
        if let Some(header) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            section = format!("{header}[]");
            keys.push((header.to_string(), explained));
        } else if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = header.to_string();
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
            "user.toml:1: interval_ms: unknown key. Did you mean \"scheduler.interval_ms\"?",
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
fn values_of_the_wrong_type_or_size_are_refused() {
    for (line, key, text) in [
        (1, "log", "log = 3"),
        (1, "feed", "feed = 3"),
        (1, "feed", "[feed]\nkind = \"stdin\""),
        (1, "feed[0]", "feed = [3]"),
        (2, "clock.max_step_ms", "[clock]\nmax_step_ms = 1.0"),
        (2, "clock.max_step_ms", "[clock]\nmax_step_ms = 99999999999999999999"),
        (2, "clock.max_step_ms", "[clock]\nmax_step_ms = 1979-05-27"),
        (4, "lane[0].core", "[[lane]]\nname = \"a\"\nstages = []\ncore = 99999999999999999999"),
        (2, "symbols.list", "[symbols]\nlist = \"A\""),
        (4, "symbols.list[1]", "[symbols]\nlist = [\n\"A\",\n5,\n]"),
        (2, "log.dir", "[log]\ndir = \"\""),
        (2, "scheduler.interval_ms", "[scheduler]\ninterval_ms = 0"),
        (2, "engine.retry.max_attempts", "[engine.retry]\nmax_attempts = 0"),
        (2, "links.cuts", "[links]\ncuts = 1000"),
        (2, "links.runs", "[links]\nruns = 1"),
        (2, "log.segment_bytes", "[log]\nsegment_bytes = 32768"),
        (2, "engine.hysteresis.x", "[engine.hysteresis]\nx = nan"),
        (2, "engine.hysteresis.x", "[engine.hysteresis]\nx = 1979-05-27"),
        (2, "engine.hysteresis.x.y[1]", "[engine.hysteresis]\nx = { y = [1, inf] }"),
        (2, "publish.order", "[publish]\norder = \"random\""),
    ] {
        assert_eq!(only(text), (line, key.to_string()), "{text}");
    }
}

#[test]
fn feeds_say_where_their_bytes_come_from_in_exactly_one_way() {
    for (line, key, feed) in [
        (1, "feed[0].kind", ""),
        (2, "feed[0].kind", "kind = \"udp\""),
        (1, "feed[0]", "kind = \"unix\""),
        (4, "feed[0].connect", "kind = \"tcp\"\nlisten = \"h:1\"\nconnect = \"h:1\""),
        (4, "feed[0].path", "kind = \"tcp\"\nconnect = \"h:1\"\npath = \"x\""),
        (1, "feed[0].path", "kind = \"file\""),
        (3, "feed[0].path", "kind = \"file\"\npath = \"\""),
        (3, "feed[0].path", "kind = \"stdin\"\npath = \"x\""),
        (3, "feed[0].listen", "kind = \"tcp\"\nlisten = \"127.0.0.1\""),
        (3, "feed[0].listen", "kind = \"tcp\"\nlisten = \":80\""),
        (3, "feed[0].listen", "kind = \"tcp\"\nlisten = \"::1:80\""),
        (3, "feed[0].listen", "kind = \"tcp\"\nlisten = \"h:65536\""),
        (3, "feed[0].listen", "kind = \"tcp\"\nlisten = \"h:+1\""),
        (3, "feed[0].connect", "kind = \"tcp\"\nconnect = \"h:0\""),
        (3, "feed[0].name", "kind = \"stdin\"\nname = \"a b\""),
    ] {
        assert_eq!(only(&format!("[[feed]]\n{feed}\n")), (line, key.to_string()), "{feed}");
    }
    let long = format!("[[feed]]\nkind = \"unix\"\nlisten = \"/{}\"\n", "x".repeat(107));
    assert_eq!(only(&long), (3, "feed[0].listen".into()));
    let config = good(
        "[[feed]]\nkind = \"tcp\"\nlisten = \"[::1]:0\"\n[[feed]]\nkind = \"tcp\"\nlisten = \"[::1]:0\"\n\
         [[feed]]\nkind = \"unix\"\nconnect = \"/run/x\"\nname = \"u\"\n[[feed]]\nkind = \"stdin\"\nformat = \"binary\"\n",
    );
    let names: Vec<&str> = config.feeds.iter().map(|feed| feed.name.as_str()).collect();
    assert_eq!(names, ["tcp-0", "tcp-1", "u", "stdin-3"]);
    assert_eq!(config.feeds[2].endpoint, Endpoint::UnixConnect("/run/x".into()));
}

#[test]
fn feeds_do_not_meet() {
    let feeds = |a: &str, b: &str| format!("[[feed]]\n{a}\n[[feed]]\n{b}\n");
    let stdin = "kind = \"stdin\"";
    assert_eq!(only(&feeds(stdin, stdin)), (4, "feed[1].kind".into()));
    let listen = "kind = \"tcp\"\nlisten = \"127.0.0.1:5\"";
    assert_eq!(only(&feeds(listen, listen)), (6, "feed[1].listen".into()));
    let named = "kind = \"file\"\npath = \"x\"\nname = \"tcp-1\"";
    assert_eq!(only(&feeds(named, listen)), (5, "feed[1].name".into()), "a default name counts too");
}

#[test]
fn cadences_that_cannot_give_the_timestamps_are_refused() {
    let text = |mode: &str, interval: u32, multiple: u32| {
        format!(
            "[scheduler]\nmode = \"{mode}\"\ninterval_ms = {interval}\ndelay_ms = 0\n[engine]\ntimestamp_multiple_ms = {multiple}\n"
        )
    };
    let key = "engine.timestamp_multiple_ms".to_string();
    assert_eq!(only(&text("boundary", 1500, 1000)), (6, key.clone()));
    assert_eq!(only(&text("timer", 1000, 1000)), (6, key));
    good(&text("boundary", 3000, 1000));
    good(&text("timer", 1500, 1));
    // The embedded default's own value is never to blame when the user wrote another.
    let problems = set(&["scheduler.mode=timer", "engine.timestamp_multiple_ms=2"]).expect_err("refused");
    assert_eq!(problems.0.len(), 1);
    assert_eq!(&*problems.0[0].origin.file, "--set");
    assert!(problems.to_string().contains("start"), "says why: {problems}");
}

#[test]
fn retry_delays_are_in_order() {
    for section in ["engine.retry", "ingest.retry"] {
        let text = |min: u32, max: u32| format!("[{section}]\nmin_delay_ms = {min}\nmax_delay_ms = {max}\n");
        assert_eq!(only(&text(3, 2)), (2, format!("{section}.min_delay_ms")));
        good(&text(2, 2));
    }
    assert_eq!(only("[engine.retry]\nmin_delay_ms = 1001\n"), (2, "engine.retry.min_delay_ms".into()));
    let retry = good("[engine.retry]\nmax_elapsed_ms = 9\nmax_attempts = 4\n").output.engine.retry;
    assert_eq!((retry.max_elapsed_ms, retry.max_attempts), (Some(9), 4));
}

#[test]
fn symbol_lists_are_complete_unique_and_within_the_limit() {
    let list = |list: &str| format!("[symbols]\nmode = \"list\"\nlist = {list}\n");
    assert_eq!(only("[symbols]\nmode = \"list\"\n"), (2, "symbols.mode".into()));
    assert_eq!(only(&list("[]")), (2, "symbols.mode".into()));
    assert_eq!(only(&list("[\"A\", \"B\",\n\"A\"]")), (4, "symbols.list[2]".into()));
    assert_eq!(only(&list("[\"A\", \"\"]")), (3, "symbols.list[1]".into()));
    assert_eq!(only(&format!("{}max = 1\n", list("[\"A\", \"B\"]"))), (4, "symbols.max".into()));
    assert_eq!(good(&list("[\"B\", \"A\"]")).output.symbols.list, ["B", "A"]);
}

#[test]
fn what_has_to_fit_is_checked() {
    let small = |line: u32| format!("[log]\nsegment_bytes = 65536\n[ingest]\nline_max_bytes = {line}\n");
    good(&small(49_152));
    let outcome = "[log]\nsegment_bytes = 65536\n[engine]\noutput_max_bytes = 32768\n";
    assert_eq!(only(outcome), (4, "engine.output_max_bytes".into()));
    assert_eq!(only(&small(49_153)), (4, "ingest.line_max_bytes".into()), "at the first of several in the same file");
    assert_eq!(only("[links]\nreceipts_bytes = 2097152\n"), (2, "links.receipts_bytes".into()));
    assert_eq!(only("[links]\nresults_bytes = 262144\n"), (2, "links.results_bytes".into()));
    assert_eq!(only("[log]\ncapacity_bytes = 67108863\n"), (2, "log.capacity_bytes".into()));
    assert_eq!(good("[log]\ncapacity_bytes = 67108864\n").log.capacity_bytes, Some(67_108_864));
    assert_eq!(good("[log]\ncapacity_bytes = 0\n").log.capacity_bytes, None);
    // What a problem proposes is enough.
    let problem = &bad("[ingest]\nline_max_bytes = 4_000_000\n")[0];
    assert!(problem.2.contains("Set links.receipts_bytes to 8388608"), "{}", problem.2);
    good("[ingest]\nline_max_bytes = 4_000_000\n[links]\nreceipts_bytes = 8388608\n");
}

#[test]
fn limits_that_nobody_has_set_shrink_with_the_segment() {
    for bits in 16..=30 {
        let config = good(&format!("[log]\nsegment_bytes = {}\ncapacity_bytes = 0\n", 1_u64 << bits));
        assert!(config.output.engine.outcome_max_bytes() < 1 << bits);
        assert!(config.ingest.line_max_bytes < 1 << bits);
        assert!(config.output.engine.output_max_bytes >= 4096 && config.output.engine.state_max_bytes >= 4096);
    }
    let set = good("[log]\nsegment_bytes = 65536\n[engine]\nstate_max_bytes = 256\n");
    assert_eq!(set.output.engine.state_max_bytes, 256, "what is set stays");
    assert!(set.output.engine.output_max_bytes > 6000, "and leaves its room to the other");
}

#[test]
fn lanes_have_each_stage_once_and_do_not_fight_over_cores() {
    let lane =
        |name: &str, stages: &str, rest: &str| format!("[[lane]]\nname = \"{name}\"\nstages = [{stages}]\n{rest}\n");
    let (head, tail) = ("\"ingest\", \"sequence\"", "\"cut\", \"invoke\", \"publish\"");
    let two = |first: &str, second: &str| format!("{}{}", lane("a", head, first), lane("b", tail, second));
    good(&two("core = 0\nidle = \"spin\"", "core = 1\nidle = \"spin\""));
    assert_eq!(only(&two("core = 1\nidle = \"spin\"", "core = 1\nidle = \"spin\"")), (9, "lane[1].core".into()));
    assert_eq!(only(&two("idle = \"spin\"", "idle = \"park\"")), (4, "lane[0].idle".into()));
    assert_eq!(only(&lane("a", head, "")), (1, "lane".into()));
    let twice = format!("{}{}", lane("a", head, ""), lane("b", &format!("\"ingest\", {tail}"), ""));
    assert_eq!(only(&twice), (7, "lane[1].stages".into()));
    let same_name = format!("{}{}", lane("a", head, ""), lane("a", tail, ""));
    assert_eq!(only(&same_name), (6, "lane[1].name".into()));
    let unknown = lane("a", &format!("{head}, {tail}, \"egress\""), "");
    assert_eq!(only(&unknown), (3, "lane[0].stages[5]".into()));
    let config = good(&lane("a", &format!("{tail}, {head}"), ""));
    assert_eq!(config.topology().expect("legal").lanes()[0].stages, StageId::ALL);
    assert_eq!(config.lanes[0].idle, Idle::Backoff);
}

#[test]
fn what_is_legal_but_odd_is_a_warning() {
    assert_eq!(warned("[scheduler]\nmode = \"timer\"\n"), [], "the default's delay is nobody's mistake");
    assert_eq!(warned("[scheduler]\nmode = \"timer\"\ndelay_ms = 5\n"), [(3, "scheduler.delay_ms".into())]);
    assert_eq!(warned("[engine.hysteresis]\nx = 1\n"), [(1, "engine.hysteresis".into())]);
    assert_eq!(warned("[engine]\nmode = \"hysteresis\"\n[engine.hysteresis]\nx = 1\n"), []);
    assert_eq!(warned("[symbols]\nlist = [\"A\"]\n"), [(2, "symbols.list".into())]);
    assert_eq!(warned("feed = []\n"), [(1, "feed".into())]);
    let public = "[[feed]]\nkind = \"tcp\"\nlisten = \"0.0.0.0:80\"\n";
    assert_eq!(warned(public), [(3, "feed[0].listen".into())]);
    let all = "[[lane]]\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\nidle = \"spin\"\n";
    assert_eq!(warned(all), [(3, "lane[0].idle".into())]);
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

#[test]
fn the_config_frame_is_canonical_and_reads_back() {
    let text = "[symbols]\nmode = \"list\"\nlist = [\"\u{e9}\", \"A\\\"\"]\n[engine]\nmode = \"hysteresis\"\nuse = \"scripted\"\n\
                [engine.hysteresis]\nb = 1e16\na = { z = 1e-7, y = [true, \"x\"] }\nc = 3\n[engine.retry]\nmax_elapsed_ms = 50\n";
    let output = good(text).output;
    let json = output.to_canonical_json();
    let expected = concat!(
        r#"{"engine":{"hysteresis":{"a":{"y":[true,"x"],"z":1e-07},"b":1e+16,"c":3},"mode":"hysteresis","output_max_bytes":65536,"#,
        r#""retry":{"max_attempts":1,"max_delay_ms":1000,"max_elapsed_ms":50,"min_delay_ms":100},"state_max_bytes":65536,"#,
        r#""timestamp_multiple_ms":1,"use":"scripted"},"scheduler":{"catch_up":"run","catch_up_max_ticks":1000,"delay_ms":2000,"#,
        r#""interval_ms":180000,"mode":"boundary"},"symbols":{"list":["\u00e9","A\""],"max":4096,"mode":"list"}}"#,
    );
    assert_eq!(json, expected);
    let mut canonical = Vec::new();
    crate::model::canonical::canonicalize(&json, &mut canonical).expect("JSON");
    assert_eq!(canonical, json.as_bytes());
    assert_eq!(OutputConfig::from_canonical_json(json.as_bytes()).expect("legal"), output);
    let default = Config::embedded_default().output;
    assert_eq!(OutputConfig::from_canonical_json(default.to_canonical_json().as_bytes()).expect("legal"), default);
}

#[test]
fn every_key_that_affects_outputs_is_in_the_frame() {
    let has = |output: &OutputConfig, key: &str| {
        let json: serde_json::Value = serde_json::from_str(&output.to_canonical_json()).expect("JSON");
        json.pointer(&format!("/{}", key.replace('.', "/"))).is_some()
    };
    // Where an engine works is nobody's business but ours: its answers are the same.
    let elsewhere = ["engine.host", "engine.timeout_ms", "engine.require_sandbox", "engine.process"];
    let by_choice = [
        ("engine.library", "[engine]\nlibrary = \"a \\\"b\\\".so\"\n"),
        ("engine.python", "[engine]\npython = \"regime_engine.engine\"\n"),
        ("engine.command", "[engine]\ncommand = [\"./a\", \"b c\"]\n"),
        ("engine.state_of_other_engine", "[engine]\nstate_of_other_engine = \"reset\"\n"),
        ("publish.order", "[publish]\norder = \"symbol\"\n"),
    ];
    let sections = ["scheduler.", "symbols.", "engine."];
    let keys = Config::known_keys().into_iter().filter(|key| sections.iter().any(|section| key.starts_with(section)));
    let default = Config::embedded_default().output;
    for key in keys.filter(|key| !elsewhere.iter().any(|other| key.starts_with(other))) {
        assert!(has(&default, &key) || by_choice.iter().any(|(choice, _)| *choice == key), "{key}");
    }
    for (key, text) in by_choice {
        let output = good(text).output;
        assert!(has(&output, key) && !has(&default, key), "{key}");
        assert_eq!(OutputConfig::from_canonical_json(output.to_canonical_json().as_bytes()).expect("legal"), output);
    }
}

#[test]
fn one_engine_is_named_and_one_that_needs_a_process_has_one() {
    let engine = |more: &str| good(&format!("[engine]\n{more}\n"));
    let spec = |more: &str| engine(more).output.engine.spec;
    assert_eq!(spec(""), EngineSpec::BuiltIn(BuiltIn::RegimeExample));
    assert_eq!(spec("library = \"e.so\""), EngineSpec::Library("e.so".into()));
    assert_eq!(engine("library = \"e.so\"").engine_host.host, EnginePlace::Lane);
    assert_eq!(engine("library = \"e.so\"\nhost = \"process\"").engine_host.host, EnginePlace::Process);
    assert_eq!(engine("python = \"a.b\"").engine_host.host, EnginePlace::Process);
    let refused = |text: &str| only(&format!("[engine]\n{text}\n"));
    assert_eq!(refused("python = \"a\"\nhost = \"lane\""), (3, "engine.host".into()));
    assert_eq!(refused("python = \"a\"\nlibrary = \"b\""), (2, "engine.python".into()));
    assert_eq!(refused("python = \"a\"\nuse = \"scripted\""), (3, "engine.use".into()));
    assert_eq!(refused("python = \"\""), (2, "engine.python".into()));
    assert_eq!(refused("command = []"), (2, "engine.command".into()));
    assert_eq!(refused("process = { cores = [0, -1] }"), (2, "engine.process.cores[1]".into()));
    assert_eq!(
        refused("process = { restart = { min_delay_ms = 20000 } }"),
        (2, "engine.process.restart.min_delay_ms".into())
    );
}

#[test]
fn an_engine_s_name_on_a_command_line_reads_back() {
    for text in ["scripted", "regime-example", "library=./a.so", "python=a.b:c", "command=./a b"] {
        assert_eq!(EngineSpec::parse(text).expect("good").to_string(), text);
    }
    for (text, part) in
        [("script", "regime-example"), ("library=", "nothing"), ("perl=x", "\"perl\""), ("command= ", "nothing")]
    {
        let error = EngineSpec::parse(text).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_frame_that_cannot_be_understood_is_refused() {
    let json = Config::embedded_default().output.to_canonical_json();
    for (from, to) in [
        ("\"interval_ms\":180000", "\"interval_ms\":0"),
        ("\"interval_ms\":180000", "\"interval_ms\":null"),
        ("\"interval_ms\":180000", "\"interval_ms\":18446744073709551615"),
        ("\"mode\":\"seen\"", "\"mode\":\"list\""),
        ("\"mode\":\"seen\"", "\"mode\":\"some\""),
        ("\"mode\":\"seen\"", "\"mode\":\"seen\",\"later\":1"),
        ("\"min_delay_ms\":100", "\"min_delay_ms\":1000000"),
        ("{\"engine\"", "{\"motor\""),
        ("}}", "}"),
    ] {
        let broken = json.replace(from, to);
        assert_ne!(broken, json);
        assert!(OutputConfig::from_canonical_json(broken.as_bytes()).is_err(), "{broken}");
    }
    for text in ["", "null", "[]", "3"] {
        assert!(OutputConfig::from_canonical_json(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), format!("a{} = 1", ".a".repeat(100_000))]
    {
        assert!(Config::from_text("deep", &text).is_err());
        assert!(Config::load(&[], &[text]).is_err());
    }
}

/// Lines that look like a config and mostly are none.
fn garbage_line() -> impl Strategy<Value = String> {
    let keys = Config::known_keys();
    let key = prop::sample::select(keys);
    let value = prop_oneof![
        Just("1".to_string()),
        Just("-1".to_string()),
        Just("9223372036854775808".to_string()),
        Just("0x".to_string()),
        Just("1e999".to_string()),
        Just("\"".to_string()),
        Just("[[".to_string()),
        Just("{a=[{}]}".to_string()),
        Just("\"stdin\"".to_string()),
        Just("2020-13-01".to_string()),
        "\\PC{0,12}",
    ];
    (key, value, 0..6u8).prop_map(|(key, value, shape)| {
        let leaf = key.rsplit('.').next().unwrap_or("").to_string();
        match shape {
            0 => format!("[{}]", key.replace("[]", "")),
            1 => format!("[[{}]]", key.replace("[]", "")),
            2 => format!("{} = {value}", key.replace("[]", "")),
            3 => format!("{leaf} {value}"),
            _ => format!("{leaf} = {value}"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = Config::from_text("garbage", &text);
    }

    #[test]
    fn no_likely_text_makes_it_panic_and_every_problem_has_a_line(lines in prop::collection::vec(garbage_line(), 0..12)) {
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        if let Err(problems) = Config::from_text("garbage", &lines.join("\n")) {
            prop_assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                prop_assert!(problem.origin.layer == 1 && (1..=count.max(1)).contains(&problem.origin.line), "{}", problem);
            }
        }
    }

    #[test]
    fn no_set_makes_it_panic(set in "[a-z.=\\[\\]{}\"0-9 ]{0,40}") {
        let _ = Config::load(&[], &[set]);
    }

    #[test]
    fn no_frame_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = OutputConfig::from_canonical_json(&bytes);
    }
}
