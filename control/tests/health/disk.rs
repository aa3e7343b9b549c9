//! A keeper that stands still, one that fails, and publishing that has no room because of either: on a file system of the test's own that
//! is frozen (`fsfreeze`), or is made read-only.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::events::{line, trade};
use crate::common::live::Running;
use crate::common::mounts::{mount, read_only, run, with_private_mounts};
use crate::common::{Place, config, connect, wait_until};
use crate::record::{is_told, is_well_again, issues};

const DISK_BYTES: u64 = 64 << 20;

/// A file system in a file, mounted; `None` where that cannot be had.
fn loop_mount(place: &Place) -> Option<PathBuf> {
    let (image, disk) = (place.path("image"), PathBuf::from(place.path("disk")));
    std::fs::File::create(&image).and_then(|file| file.set_len(DISK_BYTES)).expect("writable");
    std::fs::create_dir(&disk).expect("writable");
    run("mkfs.ext4", &["-q", "-E", "lazy_itable_init=0", &image]);
    let mounted = Command::new("mount").args(["-o", "loop", &image]).arg(&disk).output().expect("mount(8)");
    mounted.status.success().then_some(disk)
}

/// Frozen until it is dropped, so that nothing hangs behind a test that failed.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn new(disk: &'a Path) -> Self {
        run("fsfreeze", &["-f", disk.to_str().expect("UTF-8")]);
        Self(disk)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["-u", self.0.to_str().expect("UTF-8")]);
    }
}

#[test]
fn a_disk_that_does_not_answer_is_a_stuck_keeper_and_then_a_blocked_publisher() {
    const TEST: &str = "disk::a_disk_that_does_not_answer_is_a_stuck_keeper_and_then_a_blocked_publisher";
    with_private_mounts(TEST, || {
        let place = Place::new();
        let Some(disk) = loop_mount(&place) else {
            eprintln!("skipped: {TEST} needs root and loop devices");
            return;
        };
        // The record of events lies in log.dir, and is read when that answers again.
        let (data, socket) = (disk.join("data"), place.path("feed.sock"));
        let data = data.to_str().expect("UTF-8");
        let more = format!(
            "dir = \"{data}\"\n[publish]\nblocked_max_ms = 100\n[health]\nlane_interval_ms = 50\nkeeper_stuck_ms = 500\n\
             [[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
        );
        let config = config(&place, "frozen", &more);
        let quick =
            ["--set", "scheduler.interval_ms=20", "--set", "scheduler.delay_ms=5", "--set", "log.segment_bytes=65536"];
        let small = [
            "--set",
            "ingest.line_max_bytes=8192",
            "--set",
            "engine.output_max_bytes=2048",
            "--set",
            "engine.state_max_bytes=2048",
        ];
        let args = [&["run", "--config", &config][..], &quick, &small].concat();
        let running = Running::start_with(&place, data, &args, std::process::Stdio::null());
        let (mut feed, mut number) = (connect(&socket), 0);
        feed.set_nonblocking(true).expect("a socket");
        // Each tick behind which something has arrived has a run for every symbol.
        let mut send = || {
            let _ = feed.write(&line(&trade(&format!("S{}", number % 64), number)));
            number += 1;
        };
        (0..64).for_each(|_| send());
        wait_until("it publishes", || {
            send();
            running.counter("publish_events") > 0
        });
        let frozen = Frozen::new(&disk);
        // Read from shared memory: nobody can read a file that lies there now.
        let blocked = || {
            running.stat()["status"]["reason"].as_str().is_some_and(|reason| reason.contains("publishing is blocked"))
        };
        // The sum of three logs.
        wait_until("publishing is blocked, and bytes wait for two seconds", || {
            send();
            blocked() && running.counter("buffer_age") > 6_000_000_000
        });
        drop(frozen);
        is_told(data, "keeper", "keeper_stuck", "the keeper waits in the kernel");
        is_told(data, "publisher", "publisher_blocked", "publishing is blocked for");
        is_well_again(data, "keeper");
        is_well_again(data, "publisher");
        let lanes = issues(data, "lane:main");
        assert!(lanes.iter().all(|(kind, _)| kind != "lane_stalled"), "the lane comes round all the while: {lanes:?}");
        assert!(issues(data, "keeper").iter().all(|(kind, _)| kind != "keeper_failing"));
        running.stop();
        run("umount", &[disk.to_str().expect("UTF-8")]);
    });
}

#[test]
fn a_disk_that_refuses_is_a_failing_keeper_and_not_a_stuck_one() {
    const TEST: &str = "disk::a_disk_that_refuses_is_a_failing_keeper_and_not_a_stuck_one";
    with_private_mounts(TEST, || {
        let place = Place::new();
        let disk = PathBuf::from(place.path("disk"));
        std::fs::create_dir(&disk).expect("writable");
        mount(&disk, DISK_BYTES);
        let (data, socket) = (disk.join("data"), place.path("feed.sock"));
        let data = data.to_str().expect("UTF-8");
        let more = format!(
            "dir = \"{data}\"\n[health]\nlane_interval_ms = 50\nkeeper_stuck_ms = 500\n\
             [[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
        );
        let config = config(&place, "refusing", &more);
        let running = Running::start(&place, &config, data);
        let mut feed = connect(&socket);
        let at = disk.to_str().expect("UTF-8");
        // The record stays open and is written all the while: only what is new cannot be made.
        read_only(&place, at);
        let mut number = 0;
        wait_until("the keeper says so", || {
            let mut event = trade("S", number);
            event["channel"] = "x".repeat(2_000).into();
            feed.set_nonblocking(true).expect("a socket");
            let _ = feed.write(&line(&event));
            number += 1;
            issues(data, "keeper").iter().any(|(kind, _)| kind == "keeper_failing")
        });
        assert!(issues(data, "keeper").iter().all(|(kind, _)| kind != "keeper_stuck"));
        run("umount", &[at]);
        is_well_again(data, "keeper");
        drop(running);
    });
}

#[test]
fn a_disk_that_fills_up_is_told_then_less_is_kept_then_it_is_not_ready_and_all_of_it_ends_with_the_cause() {
    const TEST: &str =
        "disk::a_disk_that_fills_up_is_told_then_less_is_kept_then_it_is_not_ready_and_all_of_it_ends_with_the_cause";
    with_private_mounts(TEST, || {
        let place = Place::new();
        let disk = PathBuf::from(place.path("disk"));
        std::fs::create_dir(&disk).expect("writable");
        mount(&disk, DISK_BYTES);
        // Both of its disks are the test's own, so that nobody else fills one.
        let live = PathBuf::from(place.path("live-full"));
        std::fs::create_dir(&live).expect("writable");
        crate::common::mounts::mount(&live, DISK_BYTES);
        let (data, socket) = (disk.join("data"), place.path("feed.sock"));
        let data = data.to_str().expect("UTF-8");
        let more = format!(
            "dir = \"{data}\"\n[resources]\ninterval_ms = 100\ndisk_warn_percent = 60\ndisk_stop_percent = 20\n\
             disk_keep_bytes = 65536\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
        );
        let config = config(&place, "full", &more);
        let quick = ["--set", "scheduler.interval_ms=20", "--set", "scheduler.delay_ms=5"];
        let args = [&["run", "--config", &config][..], &quick].concat();
        let running = Running::start_with(&place, data, &args, std::process::Stdio::null());
        let (mut feed, mut number) = (connect(&socket), 0);
        let mut send = || {
            let mut event = trade("S", number);
            event["channel"] = "x".repeat(2_000).into();
            feed.write_all(&line(&event)).expect("it reads");
            number += 1;
        };
        let given_up = || running.counter("log_oldest");
        (0..600).for_each(|_| send());
        running.wait_for("inputs_receipts", 600);
        assert_eq!(given_up(), 0, "retention keeps everything");
        let fill = |name: &str, bytes: usize| std::fs::write(disk.join(name), vec![1; bytes]).expect("it fits");
        fill("first", 28 << 20);
        wait_until("less is kept", || {
            send();
            given_up() > 0
        });
        let told = |level: &str| {
            let is_meant = |event: &serde_json::Value| {
                event["event"] == "disk" && event["path"] == data && event["level"] == level
            };
            crate::record::events(data).iter().any(is_meant)
        };
        assert!(told("short") && !told("out"));
        fill("second", 25 << 20);
        wait_until("it is not ready", || running.reason().contains("MiB free: what arrives is kept"));
        std::fs::remove_file(disk.join("first")).expect("it is there");
        std::fs::remove_file(disk.join("second")).expect("it is there");
        wait_until("it is ready again", || running.reason().is_empty());
        wait_until("all of it is recorded", || told("out") && told("enough"));
        running.stop();
    });
}
