//! One owner per directory; ownership ends with the process, however it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cutline_shm::owner::{LOCK_FILE, Owner, OwnerFault};

/// Names the directory to the child process, which is this test binary again.
const CHILD_DIR: &str = "CUTLINE_TEST_OWNER_DIR";
const CHILD_READY: &str = "child owns the directory";

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Not a test of its own: what the child process runs. Without the variable it does nothing.
#[test]
fn child_holds_a_directory() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let _owner = Owner::acquire(Path::new(&dir)).expect("the child is first");
    println!("\n{CHILD_READY}");
    // Killed long before; if the parent died, this ends by itself.
    std::thread::sleep(std::time::Duration::from_secs(60));
}

fn spawn_holder(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child_holds_a_directory", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let ready = stdout.lines().map_while(Result::ok).any(|line| line == CHILD_READY);
    assert!(ready, "the child ended before it owned the directory");
    child
}

#[test]
fn a_second_process_is_refused_with_the_pid_and_kill_9_frees() {
    let dir = temp();
    let mut child = spawn_holder(dir.path());
    let fault = Owner::acquire(dir.path()).expect_err("the child has it");
    assert_eq!(fault, OwnerFault::Held { dir: dir.path().to_path_buf(), pid: Some(child.id()) });
    assert!(fault.to_string().contains(&format!("process {}", child.id())), "{fault}");

    child.kill().expect("SIGKILL");
    child.wait().expect("wait");
    let left = std::fs::read_to_string(dir.path().join(LOCK_FILE)).expect("the file is still there");
    assert_eq!(left.trim(), child.id().to_string(), "stale pid of a killed process");
    let owner = Owner::acquire(dir.path()).expect("the lock died with the child");
    assert_eq!(owner.dir(), dir.path());
    let now = std::fs::read_to_string(dir.path().join(LOCK_FILE)).expect("read");
    assert_eq!(now.trim(), std::process::id().to_string());
}

#[test]
fn one_owner_within_a_process_too_and_drop_lets_go() {
    let dir = temp();
    let first = Owner::acquire(dir.path()).expect("free");
    let fault = Owner::acquire(dir.path()).expect_err("taken");
    assert_eq!(fault, OwnerFault::Held { dir: dir.path().to_path_buf(), pid: Some(std::process::id()) });
    drop(first);
    assert_eq!(std::fs::read_to_string(dir.path().join(LOCK_FILE)).expect("read").trim(), "");
    drop(Owner::acquire(dir.path()).expect("free again"));
}

#[test]
fn a_child_process_does_not_inherit_the_directory() {
    let dir = temp();
    let owner = Owner::acquire(dir.path()).expect("free");
    let mut child = Command::new("sleep").arg("30").spawn().expect("sleep");
    // Were the lock file open in the child, the directory would stay owned after this process is killed.
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
        .expect("/proc")
        .filter_map(|entry| std::fs::read_link(entry.expect("entry").path()).ok())
        .collect();
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(!open.is_empty(), "looked at the wrong place");
    assert!(!open.contains(&dir.path().join(LOCK_FILE)), "{open:?}");
    drop(owner);
}

#[test]
fn drop_frees_the_directory_even_while_a_copy_of_the_descriptor_lives() {
    // What another thread's fork has between fork and exec: a duplicate of the same open file.
    let dir = temp();
    let owner = Owner::acquire(dir.path()).expect("free");
    let lock_file = dir.path().join(LOCK_FILE);
    let ours = std::fs::read_dir("/proc/self/fd")
        .expect("/proc")
        .filter_map(Result::ok)
        .find(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == lock_file))
        .expect("the owner has it open");
    let number: i32 = ours.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
    // SAFETY: the descriptor is open while `owner` lives, which is longer than this borrow.
    let copy = unsafe { rustix::fd::BorrowedFd::borrow_raw(number) }.try_clone_to_owned().expect("dup");
    drop(owner);
    let again = Owner::acquire(dir.path());
    drop(copy);
    drop(again.expect("unlocked, not only closed"));
}

#[test]
fn garbage_in_the_lock_file_is_no_pid_and_no_obstacle() {
    let dir = temp();
    std::fs::write(dir.path().join(LOCK_FILE), [0xff; 100]).expect("write");
    let owner = Owner::acquire(dir.path()).expect("nobody has it");
    std::fs::write(dir.path().join(LOCK_FILE), [0xff; 100]).expect("write");
    let fault = Owner::acquire(dir.path()).expect_err("taken");
    assert_eq!(fault, OwnerFault::Held { dir: dir.path().to_path_buf(), pid: None });
    drop(owner);
}

#[test]
fn a_missing_directory_is_a_fault() {
    let dir = temp();
    let fault = Owner::acquire(&dir.path().join("none")).expect_err("missing");
    assert!(matches!(fault, OwnerFault::Errno { errno: 2, .. }), "{fault}");
    assert!(fault.to_string().contains("must exist"), "{fault}");
}
