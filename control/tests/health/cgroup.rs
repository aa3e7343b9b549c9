//! Modules in cgroups of their own, where this machine has cgroups v2 and we may make some; elsewhere skipped by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::live::Running;
use crate::common::modules::{events, of, printed, system, wait_for};
use crate::common::{CUTLINE, Place, get, lives, succeed, wait_until};

/// A group that is the test's own, below the root of what is mounted.
struct Ours(PathBuf);

impl Ours {
    fn make() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|fault| fault.to_string())?;
        let mount =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[2] == "cgroup2");
        let mount = mount.ok_or("cgroups v2 are not mounted")?[1].to_owned();
        let path = Path::new(&mount).join(format!("cutline-test-{}", std::process::id()));
        fs::create_dir(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
        Ok(Self(path))
    }

    fn controllers(&self) -> Vec<String> {
        let offered = fs::read_to_string(self.0.join("cgroup.controllers")).expect("every group has it");
        offered.split_whitespace().map(str::to_owned).collect()
    }

    /// Names of the groups below.
    fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for group in self.groups() {
            let _ = fs::remove_dir(self.0.join(group));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

fn group_of(pid: i64) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it lives");
    groups.lines().find_map(|line| line.strip_prefix("0::")).expect("a group").to_owned()
}

#[test]
fn a_module_and_all_that_it_starts_are_in_a_group_that_is_measured_limited_and_gone_in_the_end() {
    let name = "a_module_and_all_that_it_starts_are_in_a_group_that_is_measured_limited_and_gone_in_the_end";
    let ours = match Ours::make() {
        Ok(ours) => ours,
        Err(why) => return eprintln!("skipped: {name}: {why}"),
    };
    let place = Place::new();
    // An orphan that works: nothing of `/proc` says whose it is but its process group.
    let script = "(sh -c 'echo $$; while :; do :; done' &); exec sleep 1000";
    let module = format!(
        "[[module]]\nname = \"away\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\nprocesses = true\nread = [\"/usr/bin\", \"/bin\"]\nready = {{command = [\"/bin/true\"]}}\n\
         [module.limits]\ncpu_percent = 40\nmemory_bytes = 1073741824\nthreads = 64\n\
         [[module]]\nname = \"gone\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\nprocesses = true\nread = [\"/usr/bin\", \"/bin\"]\nready = {{command = [\"/bin/true\"]}}\n"
    );
    let quick =
        "start_delay_ms = 0\nshutdown_timeout_ms = 500\n[resources]\ninterval_ms = 200\n[recovery]\nauto = false";
    let quick = format!("{quick}\n[http]\nlisten = \"unix:{}\"", place.path("http.sock"));
    let (config, data) = system(&place, &quick, &[module]);
    let mut command = Command::new("sh");
    let enter = format!("echo 0 > {}/cgroup.procs && exec \"$0\" \"$@\"", ours.0.display());
    command.args(["-c", &enter, CUTLINE, "run", "--config", &config]).stdin(Stdio::null());
    let running = Running::start_command(&place, &data, command);
    wait_for(&data, "system", "up");
    let told = wait_for(&data, "system", "groups");
    assert!(told["text"].as_str().is_some_and(|text| text.contains("modules have cgroups below")), "{told}");
    assert!(group_of(i64::from(running.pid())).ends_with("/supervisor"));
    wait_until("both have said who their children are", || {
        ["away", "gone"].iter().all(|name| !printed(&data, name).is_empty())
    });
    let child = |name: &str| printed(&data, name)[0].parse::<i64>().expect("a process");
    let (away, gone) = (child("away"), child("gone"));
    assert!(group_of(away).ends_with("/module-away") && group_of(gone).ends_with("/module-gone"));
    // Which limit is kept how, by the controllers there are.
    let controllers = ours.controllers();
    let has = |controller: &str| controllers.iter().any(|found| found == controller);
    let limited = of(&events(&data), "away", "limited");
    for (limit, controller, otherwise, file, text) in [
        ("cpu_percent", "cpu", "duty cycle", "cpu.max", "40000 100000"),
        ("memory_bytes", "memory", "watch", "memory.max", "1073741824"),
        ("threads", "pids", "watch", "pids.max", "64"),
    ] {
        let by = limited.iter().find(|told| told["limit"] == limit).map(|told| told["by"].clone());
        let expected = if has(controller) { "cgroup" } else { otherwise };
        assert_eq!(by, Some(Value::from(expected)), "{limit}: {limited:#?}");
        if has(controller) {
            let file = ours.0.join("module-away").join(file);
            assert_eq!(fs::read_to_string(&file).expect("it is there").trim(), text, "{}", file.display());
        } else {
            eprintln!("skipped: {name}: {file}: the machine's cgroups v2 have no controller {controller}");
        }
    }
    // What it uses is told, with what its child uses that has left.
    wait_until("its use is measured", || {
        let answer = get(&place.path("http.sock"), "/health");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let health: Value = serde_json::from_str(body).unwrap_or_default();
        let mut reports = health["reports"].as_array().into_iter().flatten();
        let metrics = reports.find(|report| report["module"] == "away").map(|report| report["metrics"].clone());
        metrics.is_some_and(|metrics| metrics["cpu_percent"].as_f64().is_some_and(|percent| percent > 10.0))
    });
    // A module ends with all that it has started, wherever that went.
    succeed(&["module", "stop", &data, "gone"]);
    wait_until("its child has ended", || !lives(gone));
    assert!(lives(away));
    running.stop();
    wait_until("the other one's child has ended", || !lives(away));
    assert_eq!(ours.groups(), Vec::<String>::new(), "nothing is left below our group");
}
