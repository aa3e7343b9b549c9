//! Running a command with a deadline. Single-threaded use only; it ends no process but descendants of its own child.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a running child is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How a command ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It was still running at the deadline and was killed with everything it had started.
    Killed,
}

/// Runs `command` to its end, or kills it and its descendants once `limit` has passed.
///
/// # Errors
/// When the command cannot be started or waited for.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let began = Instant::now();
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Exited(status));
        }
        if began.elapsed() > limit {
            kill_tree(&mut child);
            child.wait()?;
            return Ok(Ended::Killed);
        }
        sleep(POLL_INTERVAL);
    }
}

/// True if a program of this name is found on `PATH`.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Kills the child and all that descend from it. They stay in the caller's process group, so that Ctrl-C in a terminal
/// reaches them; the group cannot be used to end them, therefore the tree is read from /proc.
fn kill_tree(child: &mut Child) {
    let doomed = descendants(child.id(), &parents());
    // Failing to kill means that the process has just ended.
    let _ = child.kill();
    if !doomed.is_empty() {
        let _ = Command::new("kill").arg("-KILL").args(doomed.iter().map(u32::to_string)).status();
    }
}

/// Parent of every process, as /proc tells; empty where there is no /proc.
fn parents() -> BTreeMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parent_in_stat(&stat)?))
        })
        .collect()
}

/// The parent's id in a line of /proc/PID/stat: the second field behind the name, which may itself hold `) `.
fn parent_in_stat(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn descendants(ancestor: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![ancestor];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, p)| **p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn exit_codes_come_back() {
        let ended = run(&mut shell("exit 77"), Duration::from_secs(10)).unwrap();
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(77)), "{ended:?}");
    }

    #[test]
    fn a_late_command_is_killed_with_its_descendants() {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mark = folder.join("mark");
        let script = format!("(sleep 1; touch {}) & wait", mark.display());
        let ended = run(&mut shell(&script), Duration::from_millis(200)).unwrap();
        assert!(matches!(ended, Ended::Killed), "{ended:?}");
        sleep(Duration::from_millis(1500));
        assert!(!mark.exists(), "the grandchild lived on");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_process_name_may_look_like_a_field() {
        assert_eq!(parent_in_stat("12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in_stat("garbage"), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)]);
        assert_eq!(descendants(2, &parents), [3, 4]);
    }
}
