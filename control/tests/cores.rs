//! Cores of lanes: nobody else of Cutline's is on them, and a lane may have one that a server keeps for it.

mod common;

use std::fs;
use std::process::Command;

use common::live::Running;
use common::modules::{module, wait_for};
use common::{CUTLINE, Place, children};

/// Two cores that a process may use here; `None`, and it is said, if there is one.
fn two_cores() -> Option<[usize; 2]> {
    let cores = rustix::thread::sched_getaffinity(None).expect("this process's cores");
    let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| cores.is_set(core));
    let two = cores.next().zip(cores.next());
    if two.is_none() {
        eprintln!("skipped: a process may use one core here");
    }
    two.map(<[usize; 2]>::from)
}

/// A system with a lane that is pinned to a core, an engine process and a module, started on `started_on`; its configuration is kept in
/// `place`.
fn start(place: &Place, core: usize, started_on: &[usize]) -> Running {
    let data = place.path("data");
    let text = format!(
        "[engine]\nuse = \"scripted\"\nhost = \"process\"\n[log]\ndir = \"{data}\"\nlive_dir = \"{}\"\nsegment_bytes = 1048576\n\
         [[feed]]\nkind = \"unix\"\nlisten = \"{}\"\n[supervisor]\nparallel_startup = true\n\
         [[lane]]\nname = \"pinned\"\ncore = {core}\nidle = \"park\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n{}",
        place.path("live"),
        place.path("feed.sock"),
        module("neighbour", &[], "processes = true"),
    );
    let config = place.file("pinned.toml", &text);
    let mut command = Command::new("taskset");
    let list: Vec<String> = started_on.iter().map(usize::to_string).collect();
    command.args(["-c", &list.join(","), CUTLINE, "run", "--config", &config]);
    let running = Running::start_command(place, &data, command);
    wait_for(&data, "system", "up");
    running.wait_for("engine_processes_ready", 1);
    running
}

/// The cores that each thread of these processes may use, as the kernel lists them, by its name.
fn cores_of(pids: &[u32]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for task in pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten()) {
        let status = fs::read_to_string(task.expect("an entry").path().join("status")).unwrap_or_default();
        let field = |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned());
        found.extend(field("Name:").zip(field("Cpus_allowed_list:")));
    }
    found
}

#[test]
fn a_pinned_lane_has_its_core_for_itself_and_whatever_else_is_started_keeps_off_it() {
    let Some([first, second]) = two_cores() else { return };
    let place = Place::new();
    let running = start(&place, second, &[first, second]);
    let started = children(running.pid()).into_iter().map(i32::cast_unsigned);
    let pids: Vec<u32> = started.chain([running.pid()]).collect();
    assert!(pids.len() >= 3, "an engine process, a module, and the system itself: {pids:?}");
    let cores = cores_of(&pids);
    let (lanes, others): (Vec<_>, Vec<_>) = cores.into_iter().partition(|(name, _)| name == "pinned");
    assert_eq!(lanes, [("pinned".to_owned(), second.to_string())]);
    assert!(others.iter().all(|(_, cores)| *cores == first.to_string()), "{others:?}");
    running.stop();
}

/// With `isolcpus` the kernel starts every process on the other cores.
#[test]
fn a_lane_has_the_core_that_is_kept_for_it_though_the_process_was_not_started_on_it() {
    let Some([first, second]) = two_cores() else { return };
    let place = Place::new();
    let running = start(&place, first, &[second]);
    let lanes: Vec<_> = cores_of(&[running.pid()]).into_iter().filter(|(name, _)| name == "pinned").collect();
    assert_eq!(lanes, [("pinned".to_owned(), first.to_string())]);
    running.stop();
}
