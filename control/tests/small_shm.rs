//! A machine whose /dev/shm is as small as a container's: the default configuration does not fit, and what the refusal says to set
//! does.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::events::{line, received, trade};
use common::live::Running;
use common::mounts::{mount, with_private_mounts};
use common::{Place, capture, connect, cutline, fails, succeed};

/// What Docker gives.
const SHM_BYTES: u64 = 64 << 20;

/// The value of log.segment_bytes that a refusal advises.
fn advised(said: &str) -> &str {
    let (_, advice) = said.split_once("set log.segment_bytes = ").unwrap_or_else(|| panic!("no advice: {said}"));
    advice.split(',').next().unwrap_or_default()
}

#[test]
fn sixty_four_mb_of_memory_are_refused_with_what_to_set_and_then_enough() {
    with_private_mounts("sixty_four_mb_of_memory_are_refused_with_what_to_set_and_then_enough", || {
        mount(Path::new("/dev/shm"), SHM_BYTES);
        let place = Place::new();
        let (input, data) = (capture(&place, 2000, 0), place.path("data"));
        let backfill = ["backfill", "--input", &input, "--data", &data];
        let said = fails(3, &backfill);
        assert!(said.contains("/dev/shm") && said.contains("log.live_dir"), "{said}");
        assert!(!Path::new(&data).exists(), "a refusal leaves nothing behind that the advice would trip over");
        let warned = cutline(&["check"]);
        assert!(warned.status.success() && advised(&String::from_utf8_lossy(&warned.stderr)) == advised(&said));
        let set = format!("log.segment_bytes={}", advised(&said));

        succeed(&[&backfill[..], &["--set", &set]].concat());
        succeed(&["verify", &data, "--strict"]);

        // The same live, in the same place: a clean stop has given the memory back.
        let socket = place.path("feed.sock");
        let feed = format!("feed=[{{kind=\"unix\",listen=\"{socket}\"}}]");
        let dir = format!("log.dir=\"{data}\"");
        let args = ["run", "--set", &set, "--set", &feed, "--set", &dir];
        let running = Running::start_with(&place, &data, &args, Stdio::null());
        connect(&socket).write_all(&line(&trade("SMALL", 1))).expect("it reads");
        running.wait_for("inputs_receipts", 1);
        running.stop();
        assert_eq!(received(&data).len(), 2001);
        // Where the logs' segments are fixed already the only advice is memory.
        let said = fails(3, &[&backfill[..], &["--append"]].concat());
        assert!(said.contains("log.live_dir") && !said.contains("set log.segment_bytes"), "{said}");
    });
}
