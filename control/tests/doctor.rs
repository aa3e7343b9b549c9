//! `cutline doctor` on made-up machines, beside `tuning/host.sh`, which knows the same knobs in its own way and sets them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::terminal::Terminal;
use common::{CUTLINE, Place, cutline, fails, wait_until};
use serde_json::Value;

const CPU: &str = "sys/devices/system/cpu";
const THP: &str = "sys/kernel/mm/transparent_hugepage";

/// A machine of four cores, two of them lanes', on which everything that a file tells is as wanted.
struct Machine {
    place: Place,
    config: String,
}

impl Machine {
    fn new() -> Self {
        let place = Place::new();
        let lanes = "[[lane]]\ncore = 2\nstages = [\"ingest\", \"sequence\", \"cut\"]\n[[lane]]\ncore = 3\n\
            stages = [\"invoke\", \"publish\"]\n[log]\ndir = \"/srv/cutline\"\nlive_dir = \"/dev/shm/cutline\"\n\
            segment_bytes = 65536\n[ingest]\nline_max_bytes = 16384\n";
        let config = place.file("lanes.toml", lanes);
        let machine = Self { place, config };
        machine.put(&format!("{CPU}/online"), "0-3");
        machine.put(&format!("{CPU}/isolated"), "2-3");
        machine.put(&format!("{CPU}/nohz_full"), "2-3");
        machine.put(&format!("{CPU}/cpufreq/boost"), "1");
        for core in 0..4 {
            machine.put(&format!("{CPU}/cpu{core}/cpufreq/scaling_governor"), "performance");
            for (state, name, latency) in [(0, "POLL", 0), (1, "C6", 133)] {
                let folder = format!("{CPU}/cpu{core}/cpuidle/state{state}");
                machine.put(&format!("{folder}/name"), name);
                machine.put(&format!("{folder}/latency"), &latency.to_string());
                machine.put(&format!("{folder}/disable"), "1");
            }
        }
        for (path, value) in [
            ("proc/cmdline", "quiet isolcpus=2-3 rcu_nocbs=2-3"),
            ("proc/irq/7/smp_affinity_list", "0-1"),
            ("proc/5/comm", "bash"),
            ("proc/swaps", "Filename Type Size Used Priority"),
            (
                "proc/mounts",
                "/dev/sda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw,huge=within_size 0 0\n/dev/sdb /srv xfs rw 0 0",
            ),
            ("proc/self/cgroup", "0::/system.slice/cutline.service"),
            ("sys/fs/cgroup/system.slice/cutline.service/cpu.max", "max 100000"),
            ("sys/fs/cgroup/system.slice/cutline.service/memory.max", "max"),
            ("proc/sys/kernel/timer_migration", "0"),
            ("proc/sys/kernel/sched_autogroup_enabled", "0"),
            ("proc/sys/kernel/numa_balancing", "0"),
            ("proc/sys/vm/swappiness", "0"),
            ("proc/sys/vm/max_map_count", "262144"),
            ("proc/sys/vm/stat_interval", "120"),
            ("proc/sys/vm/dirty_background_bytes", "67108864"),
            ("proc/sys/vm/dirty_bytes", "268435456"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
        ] {
            machine.put(path, value);
        }
        machine.put(&format!("{THP}/enabled"), "always [madvise] never");
        machine.put(&format!("{THP}/defrag"), "always defer defer+madvise [madvise] never");
        machine.put(&format!("{THP}/shmem_enabled"), "always within_size advise [never] deny force");
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1048576              1048576              files     \n\
            Max locked memory         unlimited            unlimited            bytes     ";
        machine.put("proc/self/limits", limits);
        machine.put("dev/shm/nothing", "");
        machine
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.place.dir.path().join("root").join(path);
        fs::create_dir_all(path.parent().expect("in the root")).expect("writable");
        fs::write(path, format!("{text}\n")).expect("writable");
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.place.dir.path().join("root").join(path)).expect("there");
    }

    fn doctor(&self, more: &[&str]) -> Output {
        let root = self.place.path("root");
        cutline(&[&["doctor", "--root", &root, "--config", &self.config][..], more].concat())
    }

    /// Every knob by its name.
    fn knobs(&self) -> BTreeMap<String, Value> {
        let output = self.doctor(&["--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let knobs = told["knobs"].as_array().expect("an array").iter();
        let knobs: BTreeMap<_, _> =
            knobs.map(|knob| (knob["name"].as_str().expect("a name").to_owned(), knob.clone())).collect();
        let wrong = knobs.values().filter(|knob| knob["state"] == "wrong").count();
        assert_eq!(told["wrong"], wrong);
        assert_eq!(output.status.code(), Some(i32::from(wrong > 0)));
        knobs
    }

    /// Names of those in a state.
    fn named(&self, state: &str) -> Vec<String> {
        self.knobs().into_iter().filter(|(_, knob)| knob["state"] == state).map(|(name, _)| name).collect()
    }

    /// What `tuning/host.sh` prints for an action, and whether all was well.
    fn tuning(&self, action: &str) -> (String, bool) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/host.sh");
        let (root, state) = (self.place.path("root"), self.place.path("state"));
        let mut command = Command::new("sh");
        command.arg(script).args(["-c", &self.config, action]);
        command.env("CUTLINE_TUNING_ROOT", root).env("CUTLINE_TUNING_STATE", state);
        let output = command.output().expect("there is a shell");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    }
}

/// A change of the machine, and the knob that it puts wrong.
const CHANGES: [(&str, &str, &str); 24] = [
    ("lanes.cores", "sys/devices/system/cpu/online", "0-2"),
    ("cpu2.governor", "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave"),
    ("cpu3.idle.state1", "sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0"),
    ("isolcpus", "sys/devices/system/cpu/isolated", "3"),
    ("nohz_full", "sys/devices/system/cpu/nohz_full", "(null)"),
    ("rcu_nocbs", "proc/cmdline", "rcu_nocbs=0-1"),
    ("irq.7", "proc/irq/7/smp_affinity_list", "1-2"),
    ("irqbalance", "proc/5/comm", "irqbalance"),
    ("kernel.timer_migration", "proc/sys/kernel/timer_migration", "1"),
    ("kernel.sched_autogroup", "proc/sys/kernel/sched_autogroup_enabled", "1"),
    ("kernel.numa_balancing", "proc/sys/kernel/numa_balancing", "1"),
    ("clocksource", "sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
    ("thp.enabled", "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
    ("thp.defrag", "sys/kernel/mm/transparent_hugepage/defrag", "[always] defer madvise never"),
    ("thp.shmem_enabled", "sys/kernel/mm/transparent_hugepage/shmem_enabled", "always advise never [deny]"),
    ("vm.swappiness", "proc/sys/vm/swappiness", "60"),
    ("swap", "proc/swaps", "Filename Type Size Used Priority\n/swap file 8 0 -2"),
    ("vm.max_map_count", "proc/sys/vm/max_map_count", "1000"),
    ("vm.stat_interval", "proc/sys/vm/stat_interval", "1"),
    ("vm.dirty_background_bytes", "proc/sys/vm/dirty_background_bytes", "888"),
    ("vm.dirty_bytes", "proc/sys/vm/dirty_bytes", "999"),
    ("cgroup.cpu", "sys/fs/cgroup/system.slice/cpu.max", "150000 100000"),
    ("cgroup.memory", "sys/fs/cgroup/system.slice/memory.max", "4096"),
    (
        "limit.memlock",
        "proc/self/limits",
        "Max open files  1048576  1048576 files\nMax locked memory  4096  4096  bytes",
    ),
];

#[test]
fn a_machine_that_is_as_wanted_is_well_and_each_knob_that_is_not_is_named_alone() {
    let machine = Machine::new();
    assert_eq!(machine.named("wrong"), [""; 0]);
    assert_eq!(machine.named("unknown"), [""; 0]);
    for (name, path, value) in CHANGES {
        let machine = Machine::new();
        machine.put(path, value);
        assert_eq!(machine.named("wrong"), [name], "{path} = {value}");
        let knob = &machine.knobs()[name];
        for key in ["found", "wanted", "why", "how"] {
            assert!(knob[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key} of {knob}");
        }
        let said = machine.doctor(&[]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let at = text.lines().position(|line| line.starts_with("WRONG")).expect("a line says so");
        let how = text.lines().nth(at + 1).unwrap_or_default().trim();
        assert!(text.lines().nth(at).is_some_and(|line| line.contains(name)) && how == knob["how"], "{text}");
        assert!(String::from_utf8_lossy(&said.stderr).contains("1 of "), "{said:?}");
    }
}

#[test]
fn file_systems_that_do_not_keep_what_was_flushed_are_named() {
    let machine = Machine::new();
    for (mounts, name) in [
        ("/dev/sda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw,huge=always 0 0\ntmpfs /srv tmpfs rw 0 0", "log.dir"),
        ("overlay / overlay rw 0 0\ntmpfs /dev/shm tmpfs rw,huge=always 0 0", "log.dir"),
        ("x / fuse.sshfs rw 0 0\ntmpfs /dev/shm tmpfs rw,huge=always 0 0", "log.dir"),
        ("/dev/sda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0", "shm.huge"),
    ] {
        machine.put("proc/mounts", mounts);
        assert_eq!(machine.named("wrong"), [name], "{mounts}");
    }
    machine.put("proc/mounts", "x / newfs rw 0 0\ntmpfs /dev/shm tmpfs rw,huge=always 0 0");
    assert_eq!((machine.named("wrong"), machine.named("unknown")), (vec![], vec!["log.dir".to_owned()]));
    machine.put("proc/mounts", "/dev/sda / ext4 rw 0 0");
    assert_eq!(machine.named("wrong"), ["log.live_dir"]);
}

#[test]
fn what_a_machine_does_not_show_is_unknown_and_no_failure() {
    let machine = Machine::new();
    machine.remove("proc/sys/kernel/numa_balancing");
    machine.remove("proc/self/cgroup");
    assert_eq!(machine.named("unknown"), ["cgroup.cpu", "cgroup.memory", "kernel.numa_balancing"]);
    assert!(machine.doctor(&[]).status.success());
}

#[test]
fn a_quota_of_cgroup_v1_is_found_and_the_smallest_counts() {
    let machine = Machine::new();
    machine.put("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n1:name=systemd:/x");
    let cpu = "sys/fs/cgroup/cpu,cpuacct";
    for (folder, quota) in [("", "-1"), ("/docker", "200000"), ("/docker/abc", "50000")] {
        machine.put(&format!("{cpu}{folder}/cpu.cfs_quota_us"), quota);
        machine.put(&format!("{cpu}{folder}/cpu.cfs_period_us"), "100000");
    }
    machine.put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712");
    assert_eq!(machine.named("wrong"), ["cgroup.cpu"]);
    assert_eq!(machine.knobs()["cgroup.cpu"]["found"], "0.50 cores");
}

#[test]
fn the_script_that_applies_and_takes_back_says_the_same_of_every_knob() {
    let machine = Machine::new();
    for (_, path, value) in
        CHANGES.into_iter().filter(|(name, ..)| !name.starts_with("cgroup") && *name != "limit.memlock")
    {
        machine.put(path, value);
    }
    machine.put("sys/devices/system/cpu/online", "0-3");
    let compare = || {
        let (said, _) = machine.tuning("check");
        let knobs = machine.knobs();
        let mut compared = 0;
        for line in said.lines() {
            let mut words = line.split_whitespace();
            let (Some(state), Some(name)) = (words.next(), words.next()) else { continue };
            // Limits and room are those of the shell that asks.
            let own = name.starts_with("limit.") || name == "shm.free";
            if ["ok", "WRONG", "unknown"].contains(&state) && !own {
                let knob = knobs.get(name).unwrap_or_else(|| panic!("doctor does not know {name}"));
                assert_eq!(knob["state"], state.to_lowercase(), "{line}\n{knob}");
                compared += 1;
            }
        }
        assert!(compared > 20, "{said}");
        knobs
    };
    let before = compare();
    let settable = |knobs: &BTreeMap<String, Value>| -> Vec<String> {
        let of_the_script = |knob: &Value| knob["how"].as_str().is_some_and(|how| how.contains("apply"));
        knobs
            .iter()
            .filter(|(_, knob)| knob["state"] == "wrong" && of_the_script(knob))
            .map(|(name, _)| name.clone())
            .collect()
    };
    assert!(settable(&before).len() > 10, "{before:?}");
    let (said, done) = machine.tuning("apply");
    assert!(done, "{said}");
    assert_eq!(settable(&compare()), [""; 0], "all that apply can set is as wanted");
    let (said, done) = machine.tuning("undo");
    assert!(done, "{said}");
    // How much memory is free is nobody's setting.
    let found = |knobs: BTreeMap<String, Value>| -> Vec<(String, Value)> {
        knobs
            .into_iter()
            .filter(|(name, _)| name != "shm.free")
            .map(|(name, knob)| (name, knob["found"].clone()))
            .collect()
    };
    assert_eq!(found(compare()), found(before));
}

#[test]
fn in_a_real_terminal_every_knob_is_there_with_what_was_found_and_is_wanted_narrow_or_wide() {
    let machine = Machine::new();
    CHANGES.into_iter().for_each(|(_, path, value)| machine.put(path, value));
    machine.remove("proc/sys/kernel/numa_balancing");
    let command =
        format!("{CUTLINE} doctor --root {} --config {}; read answer", machine.place.path("root"), machine.config);
    for columns in [80, 200] {
        let Some(terminal) = Terminal::start(columns, 24, &command) else { return };
        wait_until("it has come to its end", || terminal.lines().iter().any(|line| line.contains("are not as wanted")));
        let (rows, lines) = (terminal.rows(), terminal.lines());
        for (name, knob) in machine.knobs() {
            let text = |key: &str| knob[key].as_str().expect("a text");
            let state = if knob["state"] == "wrong" { "WRONG" } else { text("state") };
            // How much memory is free is another number each time.
            let found = if name == "shm.free" { "" } else { knob["found"].as_str().unwrap_or("not to be read") };
            // At a glance, in one row.
            let begins = format!("{state:<9} {name:<28} {found}");
            assert!(rows.iter().any(|row| row.starts_with(&begins)), "{columns}: {begins}: {rows:#?}");
            let at = lines.iter().position(|line| line.starts_with(&begins)).expect("a line that is whole");
            let wanted = format!(" want {:<20} {}", text("wanted"), text("why"));
            assert!(lines[at].trim_end().ends_with(wanted.trim_end()), "{columns}: {wanted}: {}", lines[at]);
            if state == "WRONG" {
                assert_eq!(lines[at + 1].trim(), text("how"), "{columns}: {lines:#?}");
            }
        }
        // Where it fits, what is wanted is beside what was found.
        let is_beside = |row: &&String| row.contains(" want ");
        assert!(rows.iter().filter(is_beside).count() > machine.knobs().len() / 2, "{columns}: {rows:#?}");
    }
}

#[test]
fn this_machine_can_be_looked_at_and_wrong_arguments_are_refused() {
    let output = Command::new(CUTLINE).args(["doctor", "--json"]).output().expect("cutline starts");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(told["knobs"].as_array().is_some_and(|knobs| knobs.len() > 20), "{told}");
    fails(2, &["doctor", "--config", "/nowhere.toml"]);
}

#[test]
fn what_is_applied_is_taken_back_exactly() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/test.sh");
    let output = Command::new("sh").arg(script).output().expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("all tests passed"), "{said}");
    // What it leaves out, and why, is for people.
    said.lines().filter(|line| line.starts_with("skipped")).for_each(|line| eprintln!("{line}"));
}
