//! What each value may be, alone and beside others.

use super::*;

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
    let pinned = |engine: &str| warned(&format!("{}core = 2\n[engine]\n{engine}", all.replace("spin", "park")));
    assert_eq!(pinned("host = \"process\"\nprocess.cores = [1, 2]"), [(7, "engine.process.cores".into())]);
    assert_eq!(pinned("host = \"process\"\nprocess.cores = [1, 3]"), []);
    assert_eq!(pinned("process.cores = [1, 2]"), [], "there is no process");
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
fn of_two_limits_of_care_the_lower_one_is_the_lower_one() {
    for (line, key, text) in [
        (2, "health.interval_min_ms", "[health]\ninterval_min_ms = 30001"),
        (2, "health.interval_max_ms", "[health]\ninterval_max_ms = 29999"),
        (2, "recovery.backoff_max_ms", "[recovery]\nbackoff_max_ms = 9999"),
        (2, "resources.disk_stop_percent", "[resources]\ndisk_stop_percent = 11"),
        (2, "resources.throttle_percent", "[resources]\nthrottle_percent = 0"),
        (2, "recovery.auto", "[recovery]\nauto = 1"),
    ] {
        assert_eq!(only(text), (line, key.to_string()), "{text}");
    }
}

#[test]
fn care_is_by_default_as_the_issue_says() {
    let care = Config::embedded_default().care;
    let health = (care.health.interval_ms, care.health.timeout_ms, care.health.unhealthy_threshold);
    assert_eq!(health, (30_000, 5_000, 3));
    assert_eq!((care.recovery.auto, care.recovery.attempts_max, care.recovery.backoff_ms), (true, 3, 10_000));
    assert_eq!((care.resources.interval_ms, care.resources.throttle_percent), (10_000, 90));
    assert_eq!(good("[recovery]\nfailing_modules_max = 0").care.recovery.failing_modules_max, None);
}
