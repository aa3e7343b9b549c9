//! `cutline demo` shows what it promises: a capture or a feed of its own, a follower that misses nothing, and the proof.

mod common;

use common::events::received;
use common::{Place, succeed};

/// What a demo prints at its end.
fn proved(said: &str) {
    let events =
        said.lines().find_map(|line| line.strip_prefix("the follower process saw ")).expect("the follower's line");
    let (seen, published) = events.trim_end_matches(" events").split_once(" of ").expect("two numbers");
    assert!(seen == published && seen != "0", "{said}");
    assert!(said.contains("\nidentical: ") && said.contains(" 0 taken as recorded"), "{said}");
}

#[test]
fn a_capture_goes_through_whole() {
    let place = Place::new();
    let (input, data) = (place.path("capture.ndjson"), place.path("data"));
    // Four minutes of feed time, with snapshots for the demo's boundaries.
    let count = "5000";
    succeed(&[
        "generate",
        "--to",
        &input,
        "--start-ms",
        "1767225600000",
        "--rate",
        "20",
        "--interval-ms",
        "10000",
        "--count",
        count,
    ]);
    let said = succeed(&["demo", "--input", &input, "--seconds", "1", "--data", &data]);
    proved(&said);
    assert!(!std::path::Path::new(&data).join("feed.sock").exists(), "its socket goes with it");
    assert_eq!(received(&data).len().to_string(), count);
    assert!(succeed(&["dump", &data, "runs"]).contains(r#""status":"completed""#));
}

#[test]
fn its_own_feed_runs_for_the_seconds_given() {
    let place = Place::new();
    let data = place.path("data");
    let said = succeed(&["demo", "--seconds", "2", "--rate", "2000", "--symbols", "2", "--data", &data]);
    proved(&said);
    assert!(received(&data).len() > 1_000, "{said}");
}
