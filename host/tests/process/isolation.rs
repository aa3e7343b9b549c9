//! What an engine process cannot do: each attempt is refused, and shows as a fault and not as a hang.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use cutline::invoke::engine::EngineFaultKind::{EngineFailure, EngineUnavailable};
use cutline_host::process::StartFault;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::rig::{Rig, Wish, in_process};

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;

/// What an engine tries, told as text: `allowed`, or the number of the error.
pub fn attempt(what: &str) -> String {
    let tried: io::Result<()> = match what {
        "try-read" => std::fs::read("/etc/passwd").map(drop),
        "try-list" => std::fs::read_dir("/").map(drop),
        "try-write" => std::fs::write("written", "").and_then(|()| std::fs::remove_file("written")),
        "try-write-shared" => std::fs::write("/dev/shm/cutline-test-written", ""),
        "try-null" => std::fs::write("/dev/null", "something"),
        "try-tcp" => std::net::TcpStream::connect("127.0.0.1:9").map(drop),
        "try-udp" => std::net::UdpSocket::bind("127.0.0.1:0").map(drop),
        "try-unix" => std::os::unix::net::UnixStream::connect("/tmp/none").map(drop),
        "try-fork" => Command::new(std::env::current_exe().expect("itself")).spawn().map(drop),
        "try-exec" => Err(Command::new("/bin/sh").exec()),
        "try-thread" => std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().expect("it ends")),
        "try-signal" => signal_parent(),
        "try-session" => rustix::process::setsid().map(drop).map_err(io::Error::from),
        "try-priority" => rustix::process::setpriority_process(None, 19).map_err(io::Error::from),
        "try-outlive" => rustix::process::set_parent_process_death_signal(None).map_err(io::Error::from),
        "try-files" => open_until_refused(),
        "try-allocate" => Vec::<u8>::new().try_reserve_exact(4 << 30).map_err(|_| io::Error::from_raw_os_error(12)),
        "try-allocate-all" => fill_memory(),
        "try-spin" => loop {
            std::hint::spin_loop();
        },
        other => panic!("nothing to try: {other}"),
    };
    match tried {
        Ok(()) => "allowed".to_owned(),
        Err(fault) => fault.raw_os_error().map_or_else(|| fault.to_string(), |number| number.to_string()),
    }
}

fn signal_parent() -> io::Result<()> {
    let parent = rustix::process::getppid().expect("the pipeline");
    rustix::process::test_kill_process(parent).map_err(io::Error::from)
}

fn open_until_refused() -> io::Result<()> {
    let mut open = Vec::new();
    for _ in 0..10_000 {
        open.push(std::fs::File::open("/dev/null")?);
    }
    Ok(())
}

/// Asks for more until there is none, and touches nothing of it: that would take processor time.
fn fill_memory() -> io::Result<()> {
    let kept: Vec<Vec<u8>> = (0..64).map(|_| vec![0_u8; 64 << 20]).collect();
    assert!(kept.iter().all(|bytes| bytes[1] == 0));
    Ok(())
}

/// True if this machine has every guard; else the tests here show only that what is missing is named.
pub fn is_guarded(rig: &Rig) -> bool {
    let unguarded: Vec<_> = rig.told().into_iter().filter(|told| told.starts_with("unguarded")).collect();
    if !unguarded.is_empty() {
        println!("skipped: {unguarded:?}");
    }
    unguarded.is_empty()
}

#[test]
fn what_reaches_beyond_the_engine_is_refused() {
    let mut rig = Rig::of("");
    if !is_guarded(&rig) {
        return;
    }
    for (attempt, expected) in [
        ("try-read", EACCES),
        ("try-list", EACCES),
        ("try-write", EACCES),
        ("try-write-shared", EACCES),
        ("try-tcp", EPERM),
        ("try-udp", EPERM),
        ("try-unix", EPERM),
        ("try-fork", EPERM),
        ("try-exec", EACCES),
        ("try-signal", EPERM),
        ("try-session", EPERM),
        ("try-priority", EPERM),
        ("try-outlive", EPERM),
        ("try-files", EMFILE),
    ] {
        assert_eq!(rig.fault(attempt), (EngineFailure, expected.to_string()), "{attempt}");
    }
    for attempt in ["try-thread", "try-null", "try-allocate"] {
        assert_eq!(rig.fault(attempt), (EngineFailure, "allowed".to_owned()), "{attempt}");
    }
    assert_eq!(rig.health().deaths, 0, "all of it by one process");
    assert_eq!(rig.call("a"), in_process("a", 0));
}

#[test]
fn an_engine_that_wants_more_than_its_limits_fails_or_dies_of_it() {
    let mut wish = Wish::new("");
    wish.place.process.memory_max_bytes = Some(1 << 30);
    wish.place.process.cpu_max_s = Some(1);
    // A second of processor time may be many of the clock's, on a machine that has other things to do.
    wish.place.timeout_ms = 30_000;
    let mut rig = Rig::start(&wish).unwrap();
    assert_eq!(rig.fault("try-allocate"), (EngineFailure, "12".to_owned()));
    let (kind, detail) = rig.fault("try-allocate-all");
    assert_eq!((kind, detail.as_str()), (EngineUnavailable, "engine process died: signal 6 (SIGABRT)"));
    assert!(rig.told().iter().any(|told| told.contains("memory allocation of")), "it says so: {:?}", rig.told());
    let (kind, detail) = rig.fault("try-spin");
    assert_eq!(kind, EngineUnavailable);
    assert!(detail.contains("cpu_max_s"), "{detail}");
    assert_eq!(rig.call("a"), in_process("a", 0));
}

#[test]
fn a_required_sandbox_is_there_or_the_engine_is_not() {
    let mut wish = Wish::new("");
    wish.place.require_sandbox = true;
    match Rig::start(&wish) {
        Ok(rig) => assert!(is_guarded(&rig)),
        Err(StartFault::Unguarded(missing)) => assert!(missing.iter().all(|guard| guard.starts_with("guard `"))),
        Err(other) => panic!("{other}"),
    }
}

/// Runs `body` as on a kernel that has no landlock: for its thread, and whatever that starts, there are no such calls.
fn without_landlock(body: impl FnOnce() + Send) {
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
    let rules = calls.map(|call| (call, vec![])).into();
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch).unwrap().try_into().unwrap();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            seccompiler::apply_filter(&filter).expect("a filter of our own");
            body();
        });
        inside.join().expect("what it says above");
    });
}

#[test]
fn without_landlock_the_guard_is_named_and_the_others_hold() {
    without_landlock(|| {
        let mut rig = Rig::of("");
        let unguarded: Vec<_> = rig.told().into_iter().filter(|told| told.starts_with("unguarded")).collect();
        assert!(unguarded.iter().any(|told| told.starts_with("unguarded guard `files` (landlock: ")), "{unguarded:?}");
        assert_eq!(rig.fault("try-read"), (EngineFailure, "allowed".to_owned()), "that is what it means");
        if unguarded.len() == 1 {
            assert_eq!(rig.fault("try-tcp"), (EngineFailure, EPERM.to_string()));
        }
        assert_eq!(rig.call("a"), in_process("a", 0));
    });
}

#[test]
fn without_landlock_a_required_sandbox_refuses_and_names_the_guard() {
    without_landlock(|| {
        let mut wish = Wish::new("");
        wish.place.require_sandbox = true;
        let refused = Rig::start(&wish).err().expect("refused");
        let StartFault::Unguarded(missing) = &refused else { panic!("{refused}") };
        assert!(missing.iter().any(|guard| guard.starts_with("guard `files` (landlock: ")), "{missing:?}");
        let said = refused.to_string();
        assert!(said.contains("engine.require_sandbox = true") && said.contains("guard `files`"), "{said}");
    });
}

#[test]
fn a_process_is_pinned_and_has_no_rights_of_ours() {
    let mut wish = Wish::new("");
    let core = rustix::thread::sched_getaffinity(None).map(|cores| (0..64).find(|core| cores.is_set(*core))).unwrap();
    wish.place.process.cores = vec![core.expect("a core")];
    let is_root = rustix::process::geteuid().is_root();
    wish.place.process.user = is_root.then(|| "nobody".to_owned());
    wish.place.process.processes_max = 61;
    let rig = Rig::start(&wish).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.started()[0])).unwrap();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!(line("Cpus_allowed_list:"), core.unwrap().to_string());
    assert_eq!((line("CapPrm:"), line("CapEff:"), line("NoNewPrivs:")), ("0000000000000000", "0000000000000000", "1"));
    if is_root {
        assert_eq!((line("Uid:"), line("Groups:")), ("65534\t65534\t65534\t65534", ""));
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", rig.started()[0])).unwrap();
        let of_processes = limits.lines().find_map(|line| line.strip_prefix("Max processes")).unwrap_or_default();
        assert_eq!(of_processes.split_whitespace().collect::<Vec<_>>(), ["61", "61", "processes"]);
    }
    let first_to_go = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", rig.started()[0])).unwrap();
    assert_eq!(first_to_go.trim(), "1000");
    let mut wish = Wish::new("");
    wish.place.process.user = Some("no such user".to_owned());
    assert!(Rig::start(&wish).err().expect("no such user").to_string().contains("engine.process.user"));
}
