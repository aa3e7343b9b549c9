//! Small file systems of a test's own, which end with it: the test runs again in a process with private mounts.

use std::path::Path;
use std::process::Command;

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
        eprintln!("SKIPPED: {test} needs unshare(1) and the right to mount a tmpfs");
        return;
    };
    let mut inside = Command::new("unshare");
    inside.args(*way).arg(std::env::current_exe().expect("this test")).args(["--exact", test, "--nocapture"]);
    let output = inside.env(INSIDE, "1").output().expect("it was there a moment ago");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Mounts an empty file system in memory. Only inside of [`with_private_mounts`].
pub fn mount(at: &Path, bytes: u64) {
    let size = format!("size={bytes}");
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
    assert!(status.expect("mount(8)").success(), "{}", at.display());
}
