//! A capture through the binary: nothing is lost, any topology gives the same, and what is appended goes on. What the bytes
//! must be is for the independent checker to say (`tests/oracle/ci.py`).

mod common;

use common::{Place, capture, config, cutline, succeed};

const TWO_LANES: &str = "[[lane]]\nname = \"in\"\nstages = [\"ingest\", \"sequence\"]\nidle = \"yield\"\n\
    [[lane]]\nname = \"out\"\nstages = [\"cut\", \"invoke\", \"publish\"]\nidle = \"yield\"\n";

fn five_lanes() -> String {
    let stages = ["ingest", "sequence", "cut", "invoke", "publish"];
    stages
        .iter()
        .map(|stage| format!("[[lane]]\nname = \"{stage}\"\nstages = [\"{stage}\"]\nidle = \"yield\"\n"))
        .collect()
}

fn backfill(config: &str, input: &str, data: &str) {
    succeed(&["backfill", "--config", config, "--input", input, "--data", data]);
}

#[test]
fn a_hostile_capture_is_kept_whole_and_proved() {
    let place = Place::new();
    let input = capture(&place, 8000, 20);
    let data = place.path("data");
    backfill(&config(&place, "one", ""), &input, &data);
    let sent = std::fs::read_to_string(&input).map(|text| text.lines().count());
    // Hostile lines need not be UTF-8, so that they are counted as bytes.
    let sent = sent.unwrap_or_else(|_| std::fs::read(&input).unwrap().iter().filter(|&&byte| byte == b'\n').count());
    assert_eq!(succeed(&["dump", &data, "inputs"]).lines().count(), sent);
    assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
}

#[test]
fn outputs_are_the_same_bytes_on_one_two_and_five_lanes() {
    let place = Place::new();
    let input = capture(&place, 6000, 10);
    let mut dumps = Vec::new();
    for (name, lanes) in [("one", String::new()), ("two", TWO_LANES.to_owned()), ("five", five_lanes())] {
        let data = place.path(&format!("data-{name}"));
        backfill(&config(&place, name, &lanes), &input, &data);
        dumps.push(
            [vec!["outputs"], vec!["runs", "--all"], vec!["inputs"], vec!["states"]]
                .map(|what| succeed(&[vec!["dump", data.as_str()], what].concat())),
        );
    }
    assert!(dumps[0][0].lines().count() > 20);
    assert_eq!(dumps[0], dumps[1]);
    assert_eq!(dumps[0], dumps[2]);
}

#[test]
fn an_appended_capture_goes_on_where_the_first_ended() {
    let place = Place::new();
    let input = capture(&place, 4000, 0);
    let text = std::fs::read_to_string(&input).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = (place.file("first", &lines[..1500].concat()), place.file("second", &lines[1500..].concat()));
    let (config, data) = (config(&place, "append", ""), place.path("data"));
    backfill(&config, &first, &data);
    let refused = cutline(&["backfill", "--config", &config, "--input", &second, "--data", &data]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--append"));
    let said = succeed(&["backfill", "--config", &config, "--input", &second, "--data", &data, "--append"]);
    assert!(
        said.starts_with(&format!("{} receipts in ", lines.len() - 1500)),
        "what is new, and not all there is: {said}"
    );
    assert!(said.contains(&format!("with them {} receipts", lines.len())), "{said}");
    assert_eq!(succeed(&["dump", &data, "inputs"]).lines().count(), lines.len());
    assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
}

#[test]
fn late_snapshots_are_counted_by_source_and_a_delay_is_recommended() {
    let place = Place::new();
    // The feed's snapshots come 40 ms after their boundary; the configured delay is 100 ms.
    let (input, config, data) = (capture(&place, 4000, 0), config(&place, "late", ""), place.path("data"));
    let stat = |delay_ms: &str| {
        let _ = std::fs::remove_dir_all(&data);
        let delay = format!("scheduler.delay_ms={delay_ms}");
        succeed(&["backfill", "--config", &config, "--input", &input, "--data", &data, "--set", &delay]);
        succeed(&["stat", &data])
    };
    assert!(!stat("100").contains("late snapshots:"));
    let late = stat("0");
    assert!(late.contains("greater by 40 "), "{late}");
    assert!(late.lines().any(|line| line.starts_with("snapshot_lateness") && line.contains("source=")), "{late}");
}
