//! Recovery through the real binary: real modules that die, hang, stay ill and take too much, and what the record says was done about it.

mod common;

use std::time::{Duration, Instant};

use common::modules::{events, module, of, polite, printed, python, python_prefix, system, up, wait_for};
use common::mounts::{bind, with_private_mounts};
use common::{Place, get, lives, succeed, wait_until};
use serde_json::{Value, json};

/// Starts at once, and recovers soon.
const SOON: &str = "parallel_startup = true\nstart_delay_ms = 0\nshutdown_timeout_ms = 1000\n\
    [health]\ninterval_ms = 200\ninterval_min_ms = 100\ntimeout_ms = 500\nunhealthy_threshold = 2\n\
    [resources]\ninterval_ms = 200\n\
    [recovery]\nattempts_max = 2\nbackoff_ms = 50\nbackoff_max_ms = 100\njitter_percent = 0\nvalidate_ms = 10000";

/// What recovery did about a module, in short: `planned restart 1`, `began restart`, `validate`, `recovered restart`.
fn done(data: &str, module: &str) -> Vec<String> {
    let of_module = events(data).into_iter().filter(|event| event["topic"] == "recovery" && event["module"] == module);
    let short = |event: Value| {
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        let what = text("event").expect("a name");
        let words = match what.as_str() {
            "step" => vec![text("order")],
            "planned" => vec![Some(what), text("strategy"), Some(event["attempt"].to_string())],
            _ => vec![Some(what), text("strategy")],
        };
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    of_module.map(short).collect()
}

fn wait_until_done(data: &str, module: &str, what: &str) {
    wait_until(&format!("{module}: {what}"), || done(data, module).iter().any(|done| done == what));
}

/// The process of a module as its last start left it.
fn pid(data: &str, name: &str) -> Option<i64> {
    let line = common::modules::printed(data, name).into_iter().rev().find(|line| line.starts_with("pid "))?;
    line[4..].parse().ok()
}

fn kill(pid: i64, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("it lives");
}

/// A shell that prints its process, then is polite, or does as `instead` says.
fn shell(place: &Place, name: &str, instead: &str, more: &str) -> String {
    let polite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/polite.sh");
    let script = place.file(&format!("{name}.sh"), &format!("echo pid $$\n{instead}\n. {polite}\n"));
    format!(
        "[[module]]\nname = {name:?}\ncommand = [\"/bin/sh\", {script:?}]\nread = [{script:?}, {polite:?}]\n{more}\n"
    )
}

/// One that prints its process, then has these manners.
fn mannered(place: &Place, name: &str, manners: &str, more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/manners.py");
    let (python, prefix) = (python(), python_prefix());
    // It keeps the process that it has said.
    let instead = format!("exec {python} {script} {manners}");
    let read = format!("read = [{script:?}, {python:?}, {prefix:?}, ");
    shell(place, name, &instead, more).replace("read = [", &read)
}

/// One that takes a moment to be ready, so that whoever fails beside it has its turn meanwhile, or has not.
fn slow(place: &Place, name: &str) -> String {
    mannered(place, name, "slow=0.3", "required = false")
}

/// Kills the processes of two modules, one right after the other; both have said which they are.
fn kill_both(data: &str, names: [&str; 2]) {
    let all = || names.map(|name| pid(data, name));
    wait_until("both say their processes", || all().iter().all(Option::is_some));
    all().into_iter().flatten().for_each(|pid| kill(pid, rustix::process::Signal::KILL));
}

/// How many recoveries were under way at a time, at most.
fn most_at_a_time(data: &str) -> i32 {
    let all = events(data);
    let change = |event: &Value| match event["event"].as_str() {
        _ if event["topic"] != "recovery" => 0,
        Some("began") => 1,
        Some("recovered" | "attempt_failed") => -1,
        _ => 0,
    };
    let under_way = all.iter().map(change).scan(0, |sum, change| {
        *sum += change;
        Some(*sum)
    });
    under_way.max().unwrap_or(0)
}

#[test]
fn a_module_that_was_killed_is_started_again_by_checks_steps_and_validation() {
    let place = Place::new();
    let modules = [shell(&place, "m", "", "required = true"), polite("other", "")];
    let (config, data) = system(&place, SOON, &modules);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "m").is_some());
    let first = pid(&data, "m").expect("it was there");
    kill(first, rustix::process::Signal::KILL);
    wait_until_done(&data, "m", "recovered restart");
    let expected = [
        "planned restart 1",
        "began restart",
        "check not_stopping",
        "check dependencies_run",
        "do restart",
        "validate",
        "recovered restart",
    ];
    assert_eq!(done(&data, "m"), expected);
    assert!(!lives(first));
    wait_until("another process has said its own", || pid(&data, "m").is_some_and(|pid| pid != first && lives(pid)));
    assert_eq!(done(&data, "other"), [""; 0], "nobody else is touched");
    running.stop();
}

#[test]
fn a_module_that_hangs_is_unhealthy_after_so_many_checks_and_started_again() {
    let place = Place::new();
    let (config, data) = system(&place, SOON, &[shell(&place, "m", "", "required = true")]);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "m").is_some());
    let first = pid(&data, "m").expect("it was there");
    kill(first, rustix::process::Signal::STOP);
    wait_until_done(&data, "m", "recovered restart");
    let all = events(&data);
    let changes: Vec<&Value> =
        all.iter().filter(|event| event["topic"] == "health" && event["module"] == "m").collect();
    let unhealthy = changes.iter().find(|event| event["grade"] == "unhealthy").expect("it was told");
    assert_eq!((&unhealthy["failures"], &unhealthy["issues"][0]["kind"]), (&2.into(), &"no_answer".into()));
    assert!(!lives(first));
    running.stop();
}

/// Puts another text in the place of a part of the configuration file.
fn edit(config: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(config).expect("readable");
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(config, text.replace(from, to)).expect("writable");
}

#[test]
fn a_module_to_be_reset_begins_without_what_it_has_kept_and_what_was_on_its_way_to_it_is_dropped() {
    let place = Place::new();
    let kept = place.path("kept");
    let more = format!(
        "required = true\nrecovery = \"reset\"\nshutdown_timeout_ms = 200\nwrite = [{:?}]\n[module.config]\nrate = 1",
        place.path("")
    );
    // The attempt begins once another configuration is on its way to it, and before the time for its acknowledgement is over.
    let soon = SOON.replace("backoff_ms = 50\nbackoff_max_ms = 100", "backoff_ms = 3000\nbackoff_max_ms = 3000");
    let (config, data) = system(&place, &soon, &[mannered(&place, "m", &format!("echo keeps={kept}"), &more)]);
    let running = up(&place, &config, &data);
    let told = |kind: &str| -> Vec<Value> {
        let all = printed(&data, "m").into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        all.filter(|line| line["type"] == kind).collect()
    };
    let keeps = || std::fs::read_to_string(&kept).unwrap_or_default();
    wait_until("it keeps its first life", || keeps() == "a life\n");
    succeed(&["module", "restart", &data, "m"]);
    wait_until("a restart leaves it that", || keeps() == "a life\na life\n" && told("welcome").len() == 2);
    kill(pid(&data, "m").expect("said before it was welcomed"), rustix::process::Signal::STOP);
    wait_until_done(&data, "m", "planned reset 1");
    edit(&config, "rate = 1", "rate = 2");
    wait_until_done(&data, "m", "recovered reset");
    let expected = [
        "planned reset 1",
        "began reset",
        "check not_stopping",
        "check dependencies_run",
        "do reset",
        "validate",
        "recovered reset",
    ];
    assert_eq!(done(&data, "m"), expected);
    assert_eq!(keeps(), "a life\n", "it has begun anew");
    wait_until("it has said what it was welcomed with", || told("welcome").len() == 3);
    let welcomes: Vec<Value> =
        told("welcome").iter().map(|line| json!([line["reset"], line["config"]["rate"]])).collect();
    assert_eq!(welcomes, [json!([false, 1]), json!([false, 1]), json!([true, 2])]);
    let all = events(&data);
    let orders: Vec<&str> = all
        .iter()
        .filter(|event| event["module"] == "m" && event["event"] == "asked")
        .filter_map(|event| event["order"].as_str())
        .collect();
    assert_eq!(orders, ["restart", "update", "reset"], "it was on its way: {all:#?}");
    let configured = || of(&events(&data), "m", "configured");
    assert_eq!(configured()[0]["refused"], "it was stopped meanwhile", "who has asked knows");
    edit(&config, "rate = 2", "rate = 3");
    wait_until("it takes the next one", || configured().len() == 2 && !told("config_update").is_empty());
    assert_eq!(configured()[1]["refused"], "");
    let rates: Vec<Value> = told("config_update").into_iter().map(|line| line["config"]["rate"].clone()).collect();
    assert_eq!(rates, [3], "and has not been told the one before");
    running.stop();
}

#[test]
fn a_module_that_leaves_too_many_questions_unanswered_is_not_asked_for_a_while_and_as_ever_once_it_answers() {
    let place = Place::new();
    let mute = place.file("mute", "");
    let settings = "[health]\ninterval_ms = 100\ninterval_min_ms = 50\ntimeout_ms = 200\nunhealthy_threshold = 2\n\
        [recovery]\nauto = false\nbreaker_failures = 2\nbreaker_open_ms = 500";
    let module = module("m", &[&format!("mute={mute}")], &format!("write = [{:?}]", place.path("")));
    let (config, data) = system(&place, settings, &[module]);
    let running = up(&place, &config, &data);
    let changes = || -> Vec<Value> {
        events(&data).into_iter().filter(|event| event["topic"] == "health" && event["module"] == "m").collect()
    };
    let is_open = |event: &Value| event["issues"][0]["kind"] == "breaker_open";
    wait_until("it is asked again", || changes().iter().any(|event| event["failures"] == 3));
    let all = changes();
    let open = all.iter().position(is_open).expect("it was told");
    // The question after which it opened, and the next one, whose time is over as well.
    let (before, next) = (&all[open - 1], &all[open + 1]);
    assert_eq!([before, &all[open], next].map(|event| event["failures"].as_u64()), [2, 2, 3].map(Some), "{all:#?}");
    let waited_ms = next["at_ms"].as_i64().zip(before["at_ms"].as_i64()).map(|(next, before)| next - before);
    assert!(waited_ms > Some(500), "{waited_ms:?} ms: {all:#?}");
    std::fs::remove_file(&mute).expect("it was there");
    wait_until("it is well", || changes().last().is_some_and(|event| event["grade"] == "healthy"));
    let well = changes().len();
    place.file("mute", "");
    wait_until("it is not asked again", || changes()[well..].iter().any(is_open));
    let again = changes()[well..].iter().find(|event| is_open(event)).cloned();
    assert_eq!(again.expect("waited for")["failures"], 2, "it counts from the beginning: {:#?}", changes());
    running.stop();
}

#[test]
fn a_module_that_takes_its_time_over_a_configuration_is_not_taken_for_one_that_hangs() {
    let place = Place::new();
    let soon = SOON.replace("timeout_ms = 500", "timeout_ms = 100");
    let (config, data) = system(&place, &soon, &[module("m", &["muse=1"], "[module.config]\nrate = 1")]);
    let running = up(&place, &config, &data);
    edit(&config, "rate = 1", "rate = 2");
    assert_eq!(wait_for(&data, "m", "configured")["refused"], "");
    assert_eq!(done(&data, "m"), [""; 0]);
    running.stop();
}

#[test]
fn an_optional_module_that_keeps_failing_is_gone_without_and_then_left_to_a_person() {
    let place = Place::new();
    let modules =
        [shell(&place, "ill", "", "required = false"), polite("needy", "required = false\ndepends_on = [\"ill\"]")];
    let (config, data) = system(&place, SOON, &modules);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "ill").is_some());
    // Whenever it is started from now on it dies at once.
    place.file("ill.sh", "exit 3");
    kill(pid(&data, "ill").expect("it was there"), rustix::process::Signal::KILL);
    wait_until_done(&data, "ill", "recovered degrade");
    let planned: Vec<String> = done(&data, "ill").into_iter().filter(|done| done.starts_with("planned")).collect();
    assert_eq!(planned, ["planned restart 1", "planned restart 2", "planned degrade 1"]);
    // What cannot be without it is not taken down while there is hope; then it has come to an orderly stop, before that of the other is done.
    let all = events(&data);
    let at = |what: &str, is_meant: &dyn Fn(&Value) -> bool| all.iter().position(is_meant).expect(what);
    let order = [
        at("a last attempt", &|event| event["module"] == "ill" && event["strategy"] == "degrade"),
        at("its stop begins", &|event| event["module"] == "needy" && event["event"] == "stopping"),
        at("and ends", &|event| event["module"] == "needy" && event["event"] == "stopped"),
        at("it is done", &|event| event["module"] == "ill" && event["order"] == "do stop"),
    ];
    assert!(order.is_sorted(), "{order:?}: {all:#?}");
    assert_eq!(of(&all, "needy", "stopped")[0]["reason"], "recovery asked for it: exit status 0");
    // What it prints has a way of its own into the record.
    wait_until("it ended by itself", || printed(&data, "needy") == ["goodbye"]);
    assert_eq!(done(&data, "needy"), [""; 0]);
    assert!(!of(&events(&data), "system", "system").iter().any(|event| event["status"] == "critical"));
    assert_eq!(running.reason(), "", "the data plane goes on");
    running.stop();
}

/// How long five requests take, one after the other.
fn ask_often(http: &str) -> Duration {
    let began = Instant::now();
    (0..5).for_each(|_| assert!(get(http, "/health").starts_with("HTTP/1.1 200 ")));
    began.elapsed()
}

/// The least that they take while our own parts do less: a request each 100 ms.
const PAUSED: Duration = Duration::from_millis(4 * 100);

#[test]
fn while_the_system_goes_on_without_a_module_our_own_parts_do_less_until_somebody_starts_it() {
    let place = Place::new();
    let http = place.path("http.sock");
    // The machine is never found loaded: what it does is known from the second look on.
    let never = format!("[http]\nlisten = \"unix:{http}\"\n[resources]\ninterval_ms = 86400000");
    let soon = SOON.replace("[resources]\ninterval_ms = 200", &never);
    let needy = "required = false\ndepends_on = [\"ill\"]\nshutdown_timeout_ms = 86400000";
    let modules =
        [shell(&place, "ill", "", "required = false\nrecovery = \"degrade\""), shell(&place, "needy", "", needy)];
    let (config, data) = system(&place, &soon, &modules);
    let running = up(&place, &config, &data);
    wait_until("requests are answered at once", || ask_often(&http) < PAUSED);
    let process = |name: &str| {
        wait_until("it says its process", || pid(&data, name).is_some());
        pid(&data, name).expect("waited for")
    };
    let (ill, needy) = (process("ill"), process("needy"));
    // Its end takes until it is killed.
    kill(needy, rustix::process::Signal::STOP);
    kill(ill, rustix::process::Signal::KILL);
    wait_until_done(&data, "ill", "do reduce_load");
    assert!(ask_often(&http) >= PAUSED, "before anything is stopped");
    let expected = ["planned degrade 1", "began degrade", "check not_stopping", "do reduce_load"];
    assert_eq!(done(&data, "ill"), expected, "what needs it is still being stopped");
    kill(needy, rustix::process::Signal::KILL);
    wait_until_done(&data, "ill", "recovered degrade");
    assert!(ask_often(&http) >= PAUSED, "for as long as it is gone without");
    succeed(&["module", "start", &data, "ill"]);
    wait_until("requests are answered at once again", || ask_often(&http) < PAUSED);
    wait_until_done(&data, "ill", "cleared");
    assert_eq!(done(&data, "ill")[expected.len()..], ["do stop", "recovered degrade", "cleared"]);
    assert_eq!(of(&events(&data), "system", "throttled"), [Value::Null; 0], "it was not the machine's load");
    running.stop();
}

#[test]
fn where_a_person_decides_it_is_told_and_nothing_is_done() {
    let place = Place::new();
    let (config, data) = system(&place, SOON, &[shell(&place, "m", "", "required = true\nrecovery = \"manual\"")]);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "m").is_some());
    kill(pid(&data, "m").expect("it was there"), rustix::process::Signal::KILL);
    let alert = wait_for(&data, "m", "raised");
    assert!(
        alert["text"].as_str().is_some_and(|text| text.contains("`cutline module restart ") && text.ends_with(" m`")),
        "{alert}"
    );
    assert_eq!(done(&data, "m"), ["given_up"]);
    running.stop();
}

#[test]
fn a_required_module_that_keeps_failing_restarts_the_system_so_often_and_no_more() {
    let place = Place::new();
    let modules = [module("ill", &["late=0.3"], "required = true\nrecovery = \"system\"")];
    let (config, data) = system(&place, &format!("{SOON}\nsystem_restarts_max = 2"), &modules);
    let running = up(&place, &config, &data);
    wait_until("a person is called", || events(&data).iter().any(|event| event["event"] == "raised"));
    let text = std::fs::read_to_string(format!("{data}/recovery.json")).expect("it was written");
    let remembered: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(remembered["restarts_ms"].as_array().map(Vec::len), Some(2));
    let all = events(&data);
    assert_eq!(of(&all, "plane", "ready").len(), 3, "the same process became itself again twice");
    assert_eq!(of(&all, "plane", "stopped").len(), 2, "each time after an orderly end");
    running.stop();
}

#[test]
fn modules_that_fail_together_are_a_failure_of_the_system_which_is_restarted_as_one() {
    let place = Place::new();
    let names = ["a", "b"];
    // Nobody's own attempt is due before the last of them has failed.
    let soon = SOON.replace("backoff_ms = 50\nbackoff_max_ms = 100", "backoff_ms = 60000\nbackoff_max_ms = 60000");
    let soon = format!("{soon}\nfailing_modules_max = 2\nfailing_window_ms = 60000");
    let modules = names.map(|name| shell(&place, name, "", "required = false"));
    let (config, data) = system(&place, &soon, &modules);
    let running = up(&place, &config, &data);
    kill_both(&data, names);
    let again = || (of(&events(&data), "plane", "stopped").len(), of(&events(&data), "system", "up").len());
    wait_until("the same process has become itself again", || again() == (1, 2));
    let all = events(&data);
    assert_eq!(of(&all, "system", "widespread")[0]["modules"], 2);
    let cause = of(&all, "system", "planned")[0]["cause"].as_str().expect("a text").to_owned();
    assert!(cause.contains("2 modules have failed within 60000 ms, at last "), "{cause}");
    let expected = [
        "widespread",
        "planned system 1",
        "began system",
        "check not_stopping",
        "check restarts_left",
        "do save_state",
        "do restart_system",
    ];
    assert_eq!(done(&data, "system")[..expected.len()], expected);
    assert!(names.iter().all(|name| !done(&data, name).contains(&"began restart".to_owned())), "nobody by itself");
    running.stop();
}

#[test]
fn one_recovery_runs_at_a_time_where_no_more_may_and_the_others_are_queued() {
    let place = Place::new();
    let names = ["a", "b"];
    let modules = names.map(|name| slow(&place, name));
    let (config, data) = system(&place, &format!("{SOON}\nconcurrent_max = 1"), &modules);
    let running = up(&place, &config, &data);
    kill_both(&data, names);
    names.iter().for_each(|name| wait_until_done(&data, name, "recovered restart"));
    let queued: Vec<Value> = events(&data).into_iter().filter(|event| event["event"] == "queued").collect();
    assert_eq!(queued.iter().map(|event| &event["waiting"]).collect::<Vec<_>>(), [1], "{queued:?}");
    assert_eq!(most_at_a_time(&data), 1, "{:#?}", events(&data));
    running.stop();
}

#[test]
fn on_a_machine_that_is_loaded_one_recovery_runs_at_a_time() {
    with_private_mounts("on_a_machine_that_is_loaded_one_recovery_runs_at_a_time", || {
        let place = Place::new();
        // A machine whose processors are idle and of whose memory half is used, whatever this one does.
        for (name, text) in
            [("stat", "cpu 0 0 0 1000 0 0 0 0\n"), ("meminfo", "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n")]
        {
            bind(&place.file(name, text), &format!("/proc/{name}"));
        }
        let names = ["a", "b"];
        let modules = names.map(|name| slow(&place, name));
        let http = place.path("http.sock");
        let load = format!("[http]\nlisten = \"unix:{http}\"\n[resources]\nthrottle_percent = 40");
        let soon = SOON.replace("[resources]", &load);
        let (config, data) = system(&place, &format!("{soon}\nconcurrent_max = 2"), &modules);
        let running = up(&place, &config, &data);
        let throttled = wait_for(&data, "system", "throttled");
        assert_eq!((&throttled["cpu_percent"], &throttled["memory_percent"]), (&0.into(), &50.into()));
        assert!(ask_often(&http) >= PAUSED, "a request each 100 ms");
        kill_both(&data, names);
        names.iter().for_each(|name| wait_until_done(&data, name, "recovered restart"));
        assert_eq!(most_at_a_time(&data), 1, "{:#?}", events(&data));
        succeed(&["config", "set", &data, "resources.throttle_percent=65"]);
        wait_for(&data, "system", "unthrottled");
        wait_until("requests are answered at once", || ask_often(&http) < PAUSED);
        let recovered = || of(&events(&data), "a", "recovered").len() + of(&events(&data), "b", "recovered").len();
        wait_until("their new processes are said", || names.iter().all(|name| pid(&data, name).is_some_and(lives)));
        kill_both(&data, names);
        wait_until("both are recovered again", || recovered() == 4);
        assert_eq!(most_at_a_time(&data), 2, "{:#?}", events(&data));
        running.stop();
    });
}

#[test]
fn a_module_that_takes_too_much_is_told_and_started_again() {
    let place = Place::new();
    let more = "processes = true\n[module.limits]\nthreads = 2";
    let greedy = shell(&place, "m", "sleep 1000 & sleep 1000 &", more);
    let greedy = greedy.replace("read = [", "read = [\"/bin/sleep\", ");
    let (config, data) = system(&place, SOON, &[greedy]);
    let running = up(&place, &config, &data);
    let exceeded = wait_for(&data, "m", "exceeded");
    assert_eq!((&exceeded["limit"], &exceeded["most"]), (&"threads".into(), &2.into()));
    wait_until_done(&data, "m", "began restart");
    running.stop();
}

/// A module whose manners are for its first life: the next one is polite.
fn once(place: &Place, name: &str, manners: &[&str], more: &str) -> String {
    let mark = format!("once={}", place.path(&format!("{name} has lived")));
    let more = format!("write = [{:?}]\n{more}", place.path(""));
    module(name, &[manners, &[mark.as_str()]].concat(), &more)
}

#[test]
fn of_twenty_modules_of_every_manner_all_that_can_run_do_and_none_is_left_after_a_stop() {
    let place = Place::new();
    let optional = "required = false\nstartup_timeout_ms = 300";
    let probed = "processes = true\nready = {command = [\"true\"]}";
    let (fails_later, hangs) = (["late-1", "late-2", "leak"], ["deaf-1", "deaf-2"]);
    let mut modules = vec![
        module("slow-1", &["slow=0.3"], ""),
        module("slow-2", &["slow=0.5"], "depends_on = [\"slow-1\"]"),
        module("never", &["never"], optional),
        module("crash", &["crash"], optional),
        once(&place, "late-1", &["late=0.1"], ""),
        once(&place, "late-2", &["late=0.5"], "required = false"),
        once(&place, "leak", &["leak"], "[module.limits]\nmemory_bytes = 268435456"),
        once(&place, "deaf-1", &["deaf"], ""),
        once(&place, "deaf-2", &["deaf"], "required = false"),
        module("stubborn-1", &["stubborn", "silent"], probed),
        module("stubborn-2", &["stubborn", "silent"], probed),
        module("fork", &["fork"], "processes = true"),
    ];
    modules.extend((1..=8).map(|number| polite(&format!("polite-{number}"), "depends_on = [\"slow-1\"]")));
    assert_eq!(modules.len(), 20);
    let soon = SOON.replace("shutdown_timeout_ms = 1000", "shutdown_timeout_ms = 500");
    let soon = format!("{soon}\nconcurrent_max = 16\nfailing_modules_max = 0");
    let (config, data) = system(&place, &soon, &modules);
    let running = up(&place, &config, &data);
    for (names, what) in [(&["never", "crash"][..], "degrade"), (&fails_later, "restart"), (&hangs, "restart")] {
        names.iter().for_each(|name| wait_until_done(&data, name, &format!("recovered {what}")));
    }
    let told = || -> Vec<Value> { serde_json::from_str(&succeed(&["modules", &data, "--json"])).expect("JSON") };
    let runs = |module: &&Value| module["state"] == "running" && module["health"]["status"] == "healthy";
    // What is not of [[module]] has no process of its own.
    let of_these = |module: &&Value| module["pid"].is_number();
    wait_until("all that can run do", || told().iter().filter(runs).filter(of_these).count() == 18);
    for name in hangs {
        assert_eq!(of(&events(&data), name, "planned")[0]["cause"], "no answer within health.timeout_ms = 500");
    }
    assert_eq!(running.reason(), "", "the data plane has noticed nothing");
    let mut processes: Vec<i64> = told().iter().filter_map(|module| module["pid"].as_i64()).collect();
    // Of its last life: on a loaded machine it may have been taken for one that hangs as well.
    let child = printed(&data, "fork").iter().rev().find_map(|line| line.strip_prefix("child ")?.parse().ok());
    processes.push(child.expect("its child"));
    assert!(processes.len() == 19 && processes.iter().all(|pid| lives(*pid)), "{processes:?}");
    let began = Instant::now();
    running.stop();
    // Half a second to end by themselves, as much upon SIGTERM, and then nobody is asked any more.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let left: Vec<i64> = processes.into_iter().filter(|pid| lives(*pid)).collect();
    assert_eq!(left, [0; 0]);
    for module in ["stubborn-1", "stubborn-2"] {
        let reason = of(&events(&data), module, "stopped")[0]["reason"].to_string();
        assert!(reason.contains("SIGKILL"), "{reason}");
    }
}
