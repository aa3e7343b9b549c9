//! Modules through the real binary: started in order and awaited, stopped in reverse, and whatever a process can do in between.

mod common;

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::live::Running;
use common::modules::{events, module, of, polite, printed, system, up, wait_for};
use common::mounts::{mount, with_private_mounts};
use common::{Place, cutline, fails, lives, succeed, wait_until};
use serde_json::Value;

/// Starts quickly, one after the other.
const QUICK: &str = "start_delay_ms = 0\nshutdown_timeout_ms = 2000";
/// The same at once.
const AT_ONCE: &str = "parallel_startup = true\nshutdown_timeout_ms = 2000";

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().expect("a number")
}

/// The one event of a kind.
fn the(all: &[Value], module: &str, event: &str) -> Value {
    let found = of(all, module, event);
    assert_eq!(found.len(), 1, "{module} {event}: {all:#?}");
    found[0].clone()
}

/// What each of twenty modules needs: every other one the plane, and up to two before it.
fn needs_of_twenty(number: usize) -> Vec<String> {
    let mut needs: Vec<String> =
        [number / 2, number / 3].iter().filter(|at| **at > 0).map(|at| format!("m{at}")).collect();
    needs.dedup();
    if number.is_multiple_of(2) || needs.is_empty() {
        needs.push("plane".to_owned());
    }
    needs
}

#[test]
fn twenty_modules_start_when_what_they_need_is_ready_and_stop_in_reverse() {
    let place = Place::new();
    let modules: Vec<String> = (1..=20)
        .map(|number| polite(&format!("m{number}"), &format!("depends_on = {:?}", needs_of_twenty(number))))
        .collect();
    let (config, data) = system(&place, AT_ONCE, &modules);
    let began = Instant::now();
    let running = up(&place, &config, &data);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Of which the supervisor's own part is the processor time of its thread; what it waits for is the machine's.
    let own_ms = common::processor_time_ms(running.pid());
    assert!(own_ms < 500, "{own_ms} ms");
    eprintln!("up after {:?}, {own_ms} ms of it on the control thread", began.elapsed());
    running.stop();
    let all = events(&data);
    for number in 1..=20 {
        let name = format!("m{number}");
        let starting = the(&all, &name, "starting");
        let stopped = the(&all, &name, "stopped");
        let ready: Vec<Value> = needs_of_twenty(number).iter().map(|needed| the(&all, needed, "ready")).collect();
        assert!(ready.iter().all(|ready| seq(ready) < seq(&starting)), "{name}: {all:#?}");
        for needed in needs_of_twenty(number) {
            assert!(seq(&stopped) < seq(&the(&all, &needed, "stopping")), "{name} and {needed}: {all:#?}");
        }
        assert_eq!(stopped["reason"], "SIGTERM: exit status 0");
    }
}

#[test]
fn a_stop_goes_through_its_steps_in_order() {
    let place = Place::new();
    let modules = [polite("feed", "depends_on = [\"plane\"]"), module("slow", &["slow=0.5"], "")];
    let (config, data) = system(&place, QUICK, &modules);
    let set = format!("http.listen=\"unix:{}\"", place.path("http"));
    let running = Running::start_with(&place, &data, &["run", "--config", &config, "--set", &set], Stdio::null());
    wait_for(&data, "system", "up");
    // A request that is in flight for half a second.
    let restart = {
        let data = data.clone();
        thread::spawn(move || cutline(&["module", "restart", &data, "slow"]))
    };
    wait_until("it is being started again", || of(&events(&data), "slow", "starting").len() == 2);
    running.stop();
    let answered = restart.join().expect("no panic");
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    let all = events(&data);
    let step = |module: &str, step: &str| {
        seq(all.iter().find(|event| event["module"] == module && event["step"] == step).expect(step))
    };
    let before = [
        seq(&the(&all, "plane", "ready")),
        seq(&the(&all, "feed", "starting")),
        seq(&the(&all, "feed", "ready")),
        seq(&the(&all, "system", "up")),
        seq(&of(&all, "slow", "starting")[1]),
    ];
    let after = [
        seq(&the(&all, "feed", "stopping")),
        seq(&the(&all, "feed", "stopped")),
        step("system", "monitors_stopped"),
        seq(&the(&all, "plane", "stopping")),
        step("plane", "lanes_drained"),
        step("plane", "logs_closed"),
        seq(&the(&all, "plane", "stopped")),
        seq(&the(&all, "system", "stopped")),
    ];
    let at_the_doors = [
        vec![step("http", "refuses_requests"), step("http", "requests_finished")],
        vec![
            step("control", "refuses_requests"),
            seq(&of(&all, "slow", "ready")[1]),
            step("control", "requests_finished"),
            seq(&of(&all, "slow", "stopping")[1]),
        ],
    ];
    for at_the_door in at_the_doors {
        let order = [&before[..], &at_the_door, &after[2..]].concat();
        assert!(order.is_sorted(), "{order:?}: {all:#?}");
    }
    assert!(after.is_sorted() && step("control", "requests_finished") < after[0], "{after:?}: {all:#?}");
    let looked = |event: &&Value| ["health", "resource"].map(Value::from).contains(&event["topic"]);
    let last = all.iter().filter(looked).map(seq).max();
    assert!(last < Some(step("system", "monitors_stopped")), "{all:#?}");
    assert_eq!(printed(&data, "feed"), ["goodbye"]);
    assert_eq!(the(&all, "feed", "ready")["version"], "1.2");
}

#[test]
fn what_is_said_is_of_the_level_in_force() {
    let place = Place::new();
    let modules = [polite("feed", ""), module("crash", &["crash"], "required = false")];
    let (config, data) = system(&place, &format!("{QUICK}\nlog_level = \"warning\""), &modules);
    let running = up(&place, &config, &data);
    let said = running.said();
    assert!(said.contains("module crash: failed") && !said.contains("feed") && !said.contains("running"), "{said}");
    succeed(&["config", "set", &data, "supervisor.log_level=\"info\""]);
    succeed(&["module", "restart", &data, "feed"]);
    wait_until("it is said that it is ready", || running.said().contains("module feed 1.2: ready"));
    running.stop();
}

#[test]
fn optional_modules_that_fail_leave_a_system_that_is_degraded() {
    let place = Place::new();
    let optional = |needs: &str| format!("required = false\ndepends_on = [{needs}]");
    let modules = [
        module("never", &["never"], &format!("{}\nstartup_timeout_ms = 300", optional(""))),
        module("crash", &["crash"], &optional("")),
        module("rude", &["rude"], &optional("")),
        module("future", &["future"], &optional("")),
        polite("needy", &optional("\"crash\"")),
        "[[module]]\nname = \"absent\"\ncommand = [\"/no/such/program\"]\nrequired = false\n".to_owned(),
        polite("well", "depends_on = [\"plane\"]"),
    ];
    let (config, data) = system(&place, AT_ONCE, &modules);
    let running = up(&place, &config, &data);
    let all = events(&data);
    assert_eq!(the(&all, "system", "up")["degraded"].as_array().map(Vec::len), Some(6));
    let error = |name: &str| the(&all, name, "failed")["error"].as_str().expect("a text").to_owned();
    for (name, why) in [
        ("never", "not ready within startup_timeout_ms = 300"),
        ("crash", "exit status 7; it printed last: about to die"),
        ("rude", "a line that the module protocol does not have"),
        ("future", "speaks version 2 of the module protocol"),
        ("needy", "crash, which it depends on, does not run"),
        ("absent", "/no/such/program"),
    ] {
        assert!(error(name).contains(why), "{name}: {}", error(name));
    }
    assert!(of(&all, "needy", "starting").is_empty());
    running.stop();
}

#[test]
fn a_required_module_that_fails_is_a_refusal_that_leaves_nothing_behind() {
    let place = Place::new();
    let modules = [
        module("well", &["fork"], "processes = true"),
        module("crash", &["crash"], "depends_on = [\"well\"]"),
        polite("never-started", "depends_on = [\"crash\"]"),
    ];
    let (config, data) = system(&place, QUICK, &modules);
    let said = fails(3, &["run", "--config", &config]);
    assert!(said.contains("module crash did not start: it ended before it was asked to: exit status 7"), "{said}");
    assert!(said.contains("about to die"), "{said}");
    let all = events(&data);
    assert!(of(&all, "never-started", "starting").is_empty());
    the(&all, "well", "stopped");
    the(&all, "plane", "stopped");
    assert!(of(&all, "crash", "began").is_empty(), "nobody recovers what is being stopped");
    let child = printed(&data, "well")[0].strip_prefix("child ").expect("its child").parse().expect("a number");
    assert!(!lives(child));
    assert!(succeed(&["stat", &data]).contains(" stopped stopped cleanly"));
}

#[test]
fn who_does_not_end_is_ended_with_all_it_has_started() {
    let place = Place::new();
    let soon = "shutdown_timeout_ms = 300\nprocesses = true";
    let modules = [
        module("stubborn", &["stubborn", "fork"], soon),
        module("deaf", &["deaf"], soon),
        module("silent", &["silent"], &format!("{soon}\n[module.ready]\ncommand = [\"true\"]")),
    ];
    let (config, data) = system(&place, AT_ONCE, &modules);
    let running = up(&place, &config, &data);
    let began = Instant::now();
    let child: i64 = {
        wait_until("it has a child", || !printed(&data, "stubborn").is_empty());
        printed(&data, "stubborn")[0].strip_prefix("child ").expect("its child").parse().expect("a number")
    };
    assert!(lives(child));
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let all = events(&data);
    let how = |name: &str| the(&all, name, "stopped")["reason"].as_str().expect("a text").to_owned();
    assert!(how("stubborn").contains("signal 9 (SIGKILL): it was killed"), "{}", how("stubborn"));
    for name in ["deaf", "silent"] {
        assert!(how(name).contains("signal 15 (SIGTERM) upon SIGTERM"), "{}", how(name));
    }
    assert!(!lives(child));
}

#[test]
fn a_module_that_dies_later_is_told_and_the_rest_runs_on() {
    let place = Place::new();
    let leak = "[module.limits]\nmemory_bytes = 268435456";
    let modules =
        [module("late", &["late=0.1"], ""), module("leak", &["leak"], leak), polite("well", "depends_on = [\"late\"]")];
    let (config, data) = system(&place, AT_ONCE, &modules);
    let running = up(&place, &config, &data);
    let error = wait_for(&data, "late", "failed")["error"].as_str().expect("a text").to_owned();
    assert_eq!(error, "it ended before it was asked to: exit status 11");
    let error = wait_for(&data, "leak", "failed")["error"].as_str().expect("a text").to_owned();
    assert!(error.contains("exit status 9; it printed last: no more memory"), "{error}");
    let all = events(&data);
    let told = the(&all, "late", "told");
    assert_eq!((told["name"].as_str(), told["data"]["after_s"].as_f64()), (Some("about_to_die"), Some(0.1)));
    assert!(of(&all, "well", "stopping").is_empty());
    running.stop();
}

#[test]
fn readiness_is_found_out_from_the_outside_where_nobody_says_so() {
    let place = Place::new();
    let (door, mark) = (place.path("door.sock"), place.path("mark"));
    let write = format!("network = true\nwrite = [{:?}]", place.path(""));
    let modules = [
        module(
            "door",
            &["silent", &format!("listen={door}"), "slow=0.1"],
            &format!("{write}\nready = {{tcp = {door:?}}}"),
        ),
        module(
            "mark",
            &["slow=0.1", "never", &format!("file={mark}")],
            &format!("{write}\nprocesses = true\nready = {{command = [\"test\", \"-e\", {mark:?}]}}"),
        ),
        module("notify", &["notify", "never"], "network = true\nready = {notify = true}"),
    ];
    let (config, data) = system(&place, AT_ONCE, &modules);
    let running = up(&place, &config, &data);
    let all = events(&data);
    assert_eq!(the(&all, "system", "up")["degraded"], serde_json::json!([]));
    for name in ["door", "mark"] {
        assert!(the(&all, name, "ready")["took_ms"].as_u64().expect("a time") >= 100, "{name}");
    }
    running.stop();
}

#[test]
fn modules_die_with_us_however_we_die() {
    let place = Place::new();
    let modules = [module("stubborn", &["stubborn"], ""), polite("well", "")];
    let (config, data) = system(&place, AT_ONCE, &modules);
    let running = up(&place, &config, &data);
    let children = common::children(running.pid());
    assert_eq!(children.len(), 2);
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    wait_until("they are gone", || !children.iter().any(|child| lives(i64::from(*child))));
}

#[test]
fn a_module_gets_what_was_said_of_it_and_nothing_else() {
    let place = Place::new();
    let said = "environment = [\"CUTLINE_TEST=yes\", \"NO_SUCH_VARIABLE\"]";
    let modules = [
        module("closed", &["env", "reach"], said),
        module("open", &["reach"], "network = true\nprocesses = true"),
        module("flood", &["flood"], "log_lines_per_s = 5"),
    ];
    let (config, data) = system(&place, AT_ONCE, &modules);
    let running = up(&place, &config, &data);
    wait_until("the flood is told", || {
        printed(&data, "flood").iter().any(|line| line.contains("more than log_lines_per_s"))
    });
    running.stop();
    let closed = printed(&data, "closed");
    let known =
        ["CUTLINE_MODULE_FD", "CUTLINE_TEST", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TZ", "env"];
    let names: Vec<&str> = closed[0].split(' ').collect();
    assert!(names.iter().all(|name| known.contains(name)) && names.contains(&"CUTLINE_TEST"), "{names:?}");
    if std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").is_ok_and(|actions| actions.contains("errno"))
    {
        assert!(
            closed.contains(&"network refused 1".to_owned()) && closed.contains(&"process refused 1".to_owned()),
            "{closed:?}"
        );
    }
    assert!(printed(&data, "open").iter().filter(|line| line.ends_with(" reached")).count() >= 2);
}

/// Whether it has said that the kernel cannot keep files from modules.
fn keeps_no_files(data: &str, test: &str) -> bool {
    let told = std::fs::read_to_string(format!("{data}/modules.jsonl")).unwrap_or_default();
    let keeps_none = told.contains("guard `files`");
    if keeps_none {
        eprintln!("skipped: {test} needs a kernel with landlock");
    }
    keeps_none
}

#[test]
fn a_module_reads_and_writes_the_files_that_were_given_to_it_and_no_others() {
    let place = Place::new();
    for folder in ["given", "own", "others"] {
        std::fs::create_dir(place.path(folder)).expect("writable");
        place.file(&format!("{folder}/file"), "as it was");
    }
    let files = ["given/file", "own/file", "others/file"].map(|file| place.path(file));
    let new = ["given/new", "own/new", "others/new"].map(|file| place.path(file));
    let tries = [format!("read={}", files.join(":")), format!("write={}:{}", files.join(":"), new.join(":"))];
    let tries = tries.each_ref().map(String::as_str);
    let more = format!("write = [{:?}]", place.path("own"));
    let module = module("m", &tries, &more).replace("read = [", &format!("read = [{:?}, ", place.path("given")));
    let (config, data) = system(&place, QUICK, &[module]);
    let running = up(&place, &config, &data);
    running.stop();
    if keeps_no_files(&data, "a_module_reads_and_writes_the_files_that_were_given_to_it_and_no_others") {
        return;
    }
    let reached: Vec<String> = printed(&data, "m").into_iter().filter(|line| line.ends_with(" reached")).collect();
    let [given, own, _] = &files;
    let expected = [
        format!("r {given} reached"),
        format!("r {own} reached"),
        format!("w {own} reached"),
        format!("w {} reached", new[1]),
    ];
    assert_eq!(reached, expected, "{:?}", printed(&data, "m"));
    let refused = printed(&data, "m").iter().filter(|line| line.ends_with(" refused 13")).count();
    assert_eq!(refused, 1 + 4, "{:?}", printed(&data, "m"));
    for (file, text) in files.iter().zip(["as it was", "", "as it was"]) {
        assert_eq!(std::fs::read_to_string(file).expect("readable"), text, "{file}");
    }
    assert_eq!(new.map(|file| Path::new(&file).exists()), [false, true, false]);
}

#[test]
fn a_module_runs_as_the_user_that_was_said() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: a_module_runs_as_the_user_that_was_said needs root");
    }
    let place = Place::new();
    // That user reads neither our folders nor the place.
    let text = include_str!("modules/polite.sh").replace("${", "$${");
    let of = |name: &str, more: &str| {
        format!("[[module]]\nname = {name:?}\ncommand = [\"/bin/sh\", \"-c\", {text:?}]\ndirectory = \"/\"\n{more}\n")
    };
    let (config, data) = system(&place, QUICK, &[of("other", "user = \"nobody\""), of("ours", "")]);
    let running = up(&place, &config, &data);
    let modules: Vec<Value> = serde_json::from_str(&succeed(&["modules", &data, "--json"])).expect("JSON");
    let ids = |name: &str| -> Vec<String> {
        let module = modules.iter().find(|module| module["name"] == name).expect("it is there");
        let status = std::fs::read_to_string(format!("/proc/{}/status", module["pid"])).expect("it lives");
        let lines = status.lines().filter(|line| ["Uid:", "Gid:", "Groups:"].iter().any(|key| line.starts_with(key)));
        lines.flat_map(|line| line.split_whitespace().skip(1)).map(str::to_owned).collect()
    };
    let passwd = std::fs::read_to_string("/etc/passwd").expect("readable");
    let nobody = passwd.lines().find_map(|line| line.strip_prefix("nobody:")).expect("there is one");
    let numbers: Vec<&str> = nobody.split(':').skip(1).take(2).collect();
    // Real, effective, saved and of the file system, of user and group, and no group besides.
    assert_eq!(ids("other"), [[numbers[0]; 4], [numbers[1]; 4]].concat());
    assert_eq!(ids("ours")[..4], ["0"; 4]);
    running.stop();
}

#[test]
fn lazy_modules_wait_until_they_are_needed_or_warmed_up() {
    let place = Place::new();
    let modules = [
        polite("lazy", "start = \"lazy\""),
        polite("needed", "start = \"lazy\""),
        polite("warm", "start = \"lazy\"\nprewarm = true"),
        polite("eager", "depends_on = [\"needed\"]"),
    ];
    let (config, data) = system(&place, QUICK, &modules);
    let running = up(&place, &config, &data);
    let warm = wait_for(&data, "warm", "ready");
    running.stop();
    let all = events(&data);
    assert!(seq(&warm) > seq(&the(&all, "system", "up")));
    assert!(seq(&the(&all, "needed", "ready")) < seq(&the(&all, "eager", "starting")));
    assert!(of(&all, "lazy", "starting").is_empty());
}

#[test]
fn the_graph_is_printed_and_refused_with_everything_that_is_wrong() {
    let place = Place::new();
    let bare =
        |name: &str, needs: &str| format!("[[module]]\nname = \"{name}\"\ncommand = [\"x\"]\ndepends_on = [{needs}]\n");
    let (config, _) = system(&place, "", &[bare("feed", "\"plane\""), bare("export", "\"feed\", \"plane\"")]);
    let text = succeed(&["graph", "--config", &config]);
    let lines: Vec<&str> = text.lines().map(|line| line.trim().split("  ").next().unwrap_or(line)).collect();
    assert_eq!(lines, ["wave 1", "plane", "watch", "wave 2", "feed", "wave 3", "export", "wave 4", "control"]);
    assert!(succeed(&["graph", "--dot", "--config", &config]).contains("\"export\" -> \"feed\" [style = solid];"));
    let (config, _) = system(&place, "", &[bare("a", "\"b\""), bare("b", "\"c\""), bare("c", "\"a\", \"gone\"")]);
    for command in ["graph", "run"] {
        let said = fails(2, &[command, "--config", &config]);
        assert!(said.contains("circle: a -> b -> c -> a") && said.contains("module c depends on \"gone\""), "{said}");
    }
}

#[test]
fn what_the_machine_has_not_enough_of_is_told_before_anything_starts() {
    let place = Place::new();
    let (config, data) = system(&place, QUICK, &[polite("well", "")]);
    let args = [
        "run",
        "--config",
        &config,
        "--set",
        "log.segment_bytes=1073741824",
        "--set",
        "log.live_segments=64",
        "--set",
        "ingest.connections_max=65536",
        "--set",
        "lane=[{name=\"far\",core=1023,idle=\"yield\",stages=[\"ingest\",\"sequence\",\"cut\",\"invoke\",\"publish\"]}]",
    ];
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\"", common::CUTLINE]).args(args);
    let output = limited.output().expect("sh");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for what in [
        "lane far wants core 1023",
        "log.live_dir",
        "bytes of memory are free, but the live segments need ",
        "files may be open (ulimit -n)",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(!Path::new(&data).exists());
}

#[test]
fn a_disk_that_has_no_room_for_the_first_segments_is_told_before_anything_starts() {
    with_private_mounts("a_disk_that_has_no_room_for_the_first_segments_is_told_before_anything_starts", || {
        let place = Place::new();
        let (disk, data) = (place.path("disk"), place.path("disk/data"));
        std::fs::create_dir(&disk).expect("writable");
        mount(Path::new(&disk), 1 << 20);
        let (config, _) = system(&place, QUICK, &[polite("well", "")]);
        let dir = format!("log.dir={data:?}");
        let run = ["run", "--config", &config, "--set", &dir, "--set", "log.segment_bytes=1048576"];
        let said = fails(3, &run);
        for what in [format!("the disk of log.dir {data} has "), " bytes free, but 3 logs begin with ".to_owned()] {
            assert!(said.contains(&what), "{what}: {said}");
        }
        assert!(!Path::new(&data).exists() && !Path::new(&place.path("live-modules")).exists());
    });
}
