//! Pictures of counters that are made here, drawn as on a terminal.

use std::path::PathBuf;

use cutline::plane::counters as table;
use cutline_shm::cnc::CncWriter;
use cutline_shm::reader::CncReader;
use ratatui::style::Color;

use super::*;
use crate::commands::modules::Seen;

const SECOND_NS: i64 = 1_000_000_000;
const START_NS: i64 = 1_767_225_600 * SECOND_NS;

/// Counters as a running pipeline has them, with times that are long past.
struct Made {
    writer: CncWriter,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("cnc");
        let writer = CncWriter::create(&path, START_NS).expect("room");
        let set = |def, label: &str, value| writer.counter(def, label).expect("room").set(value);
        set(&table::LANE_BUSY, "main", 250);
        set(&table::LANE_IDLE, "main", 700);
        set(&table::LANE_BLOCKED, "main", 50);
        set(&table::LINK_CAPACITY, "link=cuts", 262_144);
        set(&table::LINK_USED, "link=cuts", 262_144 * 4 / 5);
        set(&table::STAGE_ITEMS, "stage=cut", 5_000);
        set(&table::RUNS_OUTCOME, "completed", 90);
        set(&table::RUNS_OUTCOME, "engine_failure", 10);
        let latency = writer.histogram(&table::PUBLISH_LATENCY, "").expect("room");
        (1..=100).for_each(|ms| latency.record(ms * 1_000_000));
        writer.heartbeat("main", START_NS).expect("room").beat(START_NS + 9 * SECOND_NS);
        writer.record_error(START_NS + SECOND_NS, "an old fault");
        writer.record_error(START_NS + 9 * SECOND_NS, "a new fault");
        // What stopped says so itself, so that nobody waits for a sign of life.
        writer.set_state(cutline_shm::status::State::Stopped, "stopped cleanly", START_NS + 10 * SECOND_NS);
        writer.beat(START_NS + 10 * SECOND_NS);
        Self { writer, path, _dir: dir }
    }

    fn sample(&self) -> Sample {
        let cnc = CncReader::open(&self.path).expect("readable");
        let mut sample = Sample::of(&cnc, "somewhere".into(), START_NS + 3600 * SECOND_NS);
        let [name, state, uses, detail] = ["feed", "failed", "1.0 % 2.0 MB", "exit status 3"].map(str::to_owned);
        sample.modules = vec![Seen { name, state, detail, pid: Some(7), uses, is_well: false }];
        sample
    }
}

/// The picture as lines, and the terminal it is on.
fn drawn(view: &View, width: u16, height: u16) -> (Vec<String>, Terminal<TestBackend>) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("made");
    terminal.draw(|frame| draw::draw(frame, view)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width));
    let lines = lines.map(|cells| cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned());
    (lines.collect(), terminal)
}

/// The words of the line that begins so.
fn words(lines: &[String], begins: &str) -> String {
    let line = lines.iter().find(|line| line.starts_with(begins));
    let line = line.unwrap_or_else(|| panic!("no line begins with {begins}: {lines:#?}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_picture_of_a_dead_process_has_everything_since_its_start() {
    let made = Made::new();
    let (lines, terminal) = drawn(&View::between(None, &made.sample()), 120, 40);
    let head = &lines[0];
    assert!(head.starts_with("somewhere  pid "), "{head}");
    assert!(head.contains("stopped") && head.contains("up 10.0 s") && head.contains("since its start"), "{head}");
    assert_eq!(lines[1], "stopped cleanly");
    assert_eq!(words(&lines, "runs  "), "runs 10 100", "100 runs in ten seconds");
    assert_eq!(words(&lines, "runs failed"), "runs failed 1 10");
    assert_eq!(words(&lines, "feed"), "feed failed 7 1.0 % 2.0 MB exit status 3");
    assert_eq!(words(&lines, "main"), "main 25.0 % 70.0 % 5.0 % 100 0 ns 0 1.00 s");
    assert_eq!(words(&lines, "cuts"), "cuts 205 KiB 256 KiB 80.0 %");
    assert_eq!(words(&lines, "cut  "), "cut 500 0 - - - -");
    assert!(words(&lines, "tick to visible").ends_with("100 ms"), "the maximum is exact");
    let faults: Vec<&String> = lines.iter().filter(|line| line.contains(" fault")).collect();
    assert!(faults[0].contains("2026-01-01T00:00:09.000Z") && faults[0].contains("a new fault"), "{faults:?}");
    assert!(faults[1].contains("an old fault"), "{faults:?}");
    let full = lines.iter().position(|line| line.starts_with("cuts")).expect("there") as u16;
    assert_eq!(terminal.backend().buffer()[(0, full)].fg, Color::Red, "a link that is nearly full is an alarm");
}

#[test]
fn rates_are_those_between_two_pictures_and_a_restart_begins_anew() {
    let made = Made::new();
    let before = made.sample();
    made.writer.counter(&table::RUNS_OUTCOME, "completed").expect("there").add(8);
    made.writer.counter(&table::LANE_BUSY, "main").expect("there").add(30);
    made.writer.counter(&table::LANE_IDLE, "main").expect("there").add(10);
    made.writer.beat(START_NS + 14 * SECOND_NS);
    let now = made.sample();
    let (lines, _) = drawn(&View::between(Some(&before), &now), 120, 40);
    assert!(lines[0].contains("figures now"), "{}", lines[0]);
    assert_eq!(words(&lines, "runs  "), "runs 2 108", "8 runs in four seconds");
    assert!(words(&lines, "main").starts_with("main 75.0 % 25.0 % 0.0 % 10 "), "{lines:#?}");
    let mut other = made.sample();
    other.start_ns += SECOND_NS;
    assert!(View::between(Some(&before), &other).head[0].0.contains("since its start"));
}

#[test]
fn a_terminal_of_any_size_takes_what_fits() {
    let made = Made::new();
    let mut view = View::between(None, &made.sample());
    view.says("first".into());
    view.says("second".into());
    for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
        let (lines, _) = drawn(&view, width, height);
        assert_eq!(lines.len(), usize::from(height));
    }
    let (lines, _) = drawn(&view, 120, 40);
    assert_eq!(lines[2], "second", "what is said last stands in place of what was said before");
}
