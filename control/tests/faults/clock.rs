//! A machine whose clock is set while the pipeline runs, or while it is down. Nobody's clock is set here: the pipeline gets one that a test
//! moves, with its lanes, keeper and files as they are in production; and logs that were written ahead of the clock are as good as a clock
//! that went back.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use cutline::config::Config;
use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::model::frames::{CLOCK_STEP, TICK};
use cutline::plane::clock::Clock;
use cutline::plane::given_time::GivenTime;
use cutline::plane::pipeline::{Pipeline, Surroundings, on_the_lane};
use cutline::sequence::stage::TimeSource;

use crate::common::events::{line, now_ms, received, trade};
use crate::common::frames::frames;
use crate::common::live::Running;
use crate::common::{Place, config, connect, succeed, wait_until};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
const MAX_STEP_NS: i64 = SECOND_NS;

/// A step of a clock that is moved.
const STEP: Duration = Duration::from_millis(1);

/// Moves a given time as the machine's own goes, until what it returns first is dropped.
fn run_clock(time: GivenTime) -> (Sender<()>, thread::JoinHandle<()>) {
    let (goes_on, over) = channel();
    let clock = thread::spawn(move || {
        let mut last = Instant::now();
        while over.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            time.pass(u64::try_from((now - last).as_nanos()).expect("short"));
            last = now;
        }
    });
    (goes_on, clock)
}

/// What `cutline run` opens, with another clock.
fn open(config: &Config, socket: &str, clock: Clock) -> Pipeline {
    let feed = FeedSettings {
        name: "unix".into(),
        source: FeedAddress::UnixListen(PathBuf::from(socket)),
        format: Format::Ndjson,
    };
    let engines = |engine: &cutline::config::Engine| {
        cutline_engines::build(&engine.spec.to_string(), &engine.hysteresis_json).map_err(|error| error.to_string())
    };
    let around = Surroundings {
        feeds: vec![feed],
        time: TimeSource::Clock,
        clock,
        log_ids: [11, 12, 13],
        hosts: &on_the_lane(engines),
        cnc: &cutline_shm::cnc::CncWriter::create,
        disk: cutline_journal::disk::os_disk(),
    };
    Pipeline::open(config, around).unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn a_clock_that_is_set_is_told_and_followed_nowhere_until_it_is_right_again() {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let path = config(&place, "clock", &format!("dir = \"{data}\"\n"));
    let config = Config::load(&[path.into()], &[]).unwrap_or_else(|problems| panic!("{problems}")).0;
    let time = GivenTime::new(now_ms() * 1_000_000);
    let (goes_on, clock) = run_clock(time.clone());
    let mut pipeline = open(&config, &socket, Clock::given(time.clone()));
    let mut feed = connect(&socket);
    let mut number = 0;
    let mut until = |what: &str, holds: &dyn Fn(&Pipeline) -> bool| {
        wait_until(what, || {
            number += 1;
            feed.write_all(&line(&trade(&format!("S{}", number % 3), number))).expect("it reads");
            pipeline.tend(MAX_STEP_NS, |_| {});
            holds(&pipeline)
        });
    };
    let ticks = |data: &str| frames_of(data, TICK).len();
    let mut recorded = 0;
    for (step_ns, words) in [(HOUR_NS, "real time is 3"), (-2 * HOUR_NS, "real time is -7")] {
        until("it is ready", &|pipeline| pipeline.reason().is_empty());
        time.step_real(step_ns);
        until("it is told", &|pipeline| {
            pipeline.reason().contains(words) && pipeline.reason().contains("clock.max_step_ms")
        });
        let before = ticks(&data);
        until("ticks go on", &|_| ticks(&data) > before + 2);
        time.step_real(-step_ns);
        until("it is ready again", &|pipeline| pipeline.reason().is_empty());
        recorded += 2;
        until("both are recorded", &|_| frames_of(&data, CLOCK_STEP).len() == recorded);
    }
    wait_until("everything is taken", || received(&data).len() as u64 == number);
    pipeline.stop();
    drop(feed);
    wait_until("it has ended", || {
        pipeline.tend(MAX_STEP_NS, |_| {});
        pipeline.is_finished()
    });
    pipeline.close().unwrap_or_else(|fault| panic!("{fault}"));
    drop(goes_on);
    clock.join().expect("the clock");

    assert_eq!(received(&data).len() as u64, number);
    assert_eq!(frames_of(&data, CLOCK_STEP).len(), 4, "there and back, twice");
    never_goes_back(&data);
    let planned: Vec<i64> = frames_of(&data, TICK);
    assert!(planned.windows(2).all(|pair| pair[1] - pair[0] == 500), "{planned:?}");
    assert!(succeed(&["verify", &data, "--strict"]).contains(" 0 pending"));
}

/// `aux` of the frames of a kind in the runs log that are on disk by now.
fn frames_of(data: &str, kind: u8) -> Vec<i64> {
    frames(data, "runs").iter().filter(|frame| frame.kind() == kind).map(|frame| frame.aux()).collect()
}

fn never_goes_back(data: &str) {
    for log in ["inputs", "runs"] {
        let times: Vec<i64> = frames(data, log).iter().map(|frame| frame.ts_ns()).collect();
        assert!(times.is_sorted(), "{log}: time goes back");
    }
}

#[test]
fn logs_ahead_of_the_clock_are_told_and_time_never_goes_back_in_them() {
    let place = Place::new();
    let (data, input, socket) = (place.path("data"), place.path("ahead.ndjson"), place.path("feed.sock"));
    let more =
        format!("dir = \"{data}\"\n[clock]\nmax_step_ms = 500\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "ahead", &more);
    let start_ms = (now_ms() + 3_000).to_string();
    succeed(&["generate", "--to", &input, "--start-ms", &start_ms, "--rate", "1000", "--count", "1000"]);
    succeed(&["backfill", "--config", &config, "--input", &input, "--data", &data]);
    let running = Running::start(&place, &config, &data);
    wait_until("it is told", || running.reason().contains("ahead of the clock"));
    let mut feed = connect(&socket);
    for number in 0..10 {
        feed.write_all(&line(&trade("LATE", number))).expect("it reads");
    }
    running.wait_for("inputs_receipts", 10);
    wait_until("the clock has come there", || running.reason().is_empty());
    running.wait_for("cut_ticks", 2);
    running.stop();
    assert_eq!(received(&data).len(), 1010);
    never_goes_back(&data);
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));
}
