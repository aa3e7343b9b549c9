//! Other processes of the same user, which try what they should not, on the files that are mapped.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::common::live::Running;
use crate::common::pressure::Trial;
use crate::common::{CUTLINE, Place, config, wait_until};

/// Who everybody here is where the test may choose: root may write what it likes.
const NOBODY: u32 = 65534;

/// A program run by the user whose processes these are.
fn by_user(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Every file in memory, of the logs and beside them.
fn mapped(live: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(live).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => files.extend(mapped(entry.to_str().expect("UTF-8"))),
            // Nobody maps a socket.
            false if entry.is_file() => files.push(entry),
            false => {}
        }
    }
    files
}

/// Tries to shorten, overwrite and extend a file. None may work.
fn meddle(file: &Path) {
    let file = file.to_str().expect("UTF-8");
    let (over, into) = (format!("if=/dev/zero of={file} bs=64 count=1 conv=notrunc"), format!(": >> '{file}'"));
    let over: Vec<&str> = over.split(' ').collect();
    for (program, args) in [("truncate", &["-s", "0", file][..]), ("dd", &over), ("sh", &["-c", &into])] {
        let output = by_user(program, args).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        // Retired just now, perhaps.
        assert!(!output.status.success() || !Path::new(file).exists(), "{program} {args:?} did it");
        assert!(said.contains("Permission denied") || !Path::new(file).exists(), "{program} {args:?}: {said}");
    }
}

#[test]
fn nobody_shortens_or_overwrites_what_is_mapped_and_removing_it_harms_nothing() {
    let place = Place::new();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(place.dir.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    // Where that user can run it.
    let binary = place.path("cutline");
    std::fs::copy(CUTLINE, &binary).expect("room for it");
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let more = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "hands", &more);
    let start = || Running::start_command(&place, &data, by_user(&binary, &["run", "--config", &config]));

    let mut trial = Trial::of(start(), &data, &socket);
    let live = place.path("live-hands");
    assert!(mapped(&live).len() > 4, "segments, heads and counters");
    mapped(&live).iter().for_each(|file| meddle(file));
    trial.pressure.send(300);
    trial.running.wait_for("inputs_receipts", 310);

    // Taken over after a crash they are no more open to anybody.
    trial.running.signal(Signal::KILL);
    trial.running.wait();
    let mut trial = Trial { running: start(), data: data.clone(), pressure: trial.pressure };
    mapped(&live).iter().for_each(|file| meddle(file));
    trial.pressure.reconnect(&socket);
    trial.pressure.send(300);
    trial.running.wait_for("inputs_receipts", 300);
    // Whose folder it is may remove names; who has them mapped keeps the memory.
    wait_until("they are removed", || {
        let removed = mapped(&live)
            .into_iter()
            .filter(|file| file.extension().is_some())
            .map(|file| by_user("rm", &["-f", file.to_str().expect("UTF-8")]).status().expect("it starts").success());
        removed.filter(|removed| *removed).count() > 0
    });
    trial.comes_back_after(310);
}
