//! Small file systems of a test's own, which end with it: the test runs again in a process with private mounts.

use std::path::Path;
use std::process::Command;

use super::Place;

/// Set for the process that has them.
const INSIDE: &str = "CUTLINE_TEST_HAS_PRIVATE_MOUNTS";
/// As root, and as a user where the kernel lets users have namespaces.
const WAYS: [&[&str]; 2] =
    [&["--mount", "--propagation", "private"], &["--map-root-user", "--mount", "--propagation", "private"]];

/// Runs `body` of the test named `test` where it may mount; says so and does nothing where that is not permitted.
pub fn with_private_mounts(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let may_mount = |way: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**way).args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/tmp"]);
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(way) = WAYS.iter().find(may_mount) else {
        eprintln!("skipped: {test} needs unshare(1) and the right to mount a tmpfs");
        return;
    };
    let mut inside = Command::new("unshare");
    inside.args(*way).arg(std::env::current_exe().expect("this test")).args(["--exact", test, "--nocapture"]);
    let output = inside.env(INSIDE, "1").output().expect("it was there a moment ago");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    // What it lacked inside it lacked.
    said.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| eprintln!("{line}"));
}

/// Mounts an empty file system in memory. Only inside of [`with_private_mounts`].
pub fn mount(at: &Path, bytes: u64) {
    run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs", at.to_str().expect("UTF-8")]);
}

/// Shows a file or a folder in the place of another. Only inside of [`with_private_mounts`].
pub fn bind(what: &str, over: &str) {
    run("mount", &["--bind", what, over]);
}

/// A folder that can only be read from here on, until it is unmounted: files that are open there stay writable, as after a remount. Only inside of
/// [`with_private_mounts`].
pub fn read_only(place: &Place, folder: &str) {
    // Elsewhere first: where somebody has opened a file for writing it is refused as busy.
    let aside = place.path("aside");
    std::fs::create_dir(&aside).expect("writable");
    bind(folder, &aside);
    run("mount", &["-o", "remount,bind,ro", &aside]);
    run("mount", &["--move", &aside, folder]);
}

/// Runs what makes, mounts or unmounts a file system, and must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A kernel that cannot refuse system calls, as it says itself where it is asked; returns how the guard that is missing is told. Only inside
/// of [`with_private_mounts`].
pub fn kernel_without_a_guard(place: &Place) -> &'static str {
    bind(&place.file("actions", "kill_process log allow\n"), "/proc/sys/kernel/seccomp/actions_avail");
    "no guard `system calls` (seccomp: the kernel cannot refuse system calls)"
}
