//! kill -9 of the real process at moments that a seed draws, under load, again and again, with losses on top: nothing committed is
//! lost, nothing is invented, and who follows sees every event once.
//!
//! `KILL_NINE_ROUNDS` and `KILL_NINE_SEED` make it a soak; it prints what it has checked. The moments are the seed's, what the process is
//! doing then is its own affair: a failure need not come again, but its rounds do.

#[path = "../common/mod.rs"]
mod common;
mod feed;
mod losses;
mod record;

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::follower::Follower;
use common::{CUTLINE, Place, config, connect, signal, succeed, wait_until};
use cutline::sim::random::Random;
use feed::{Feed, Sent};
use losses::Loss;
use record::Record;
use rustix::process::Signal;

/// Between two ticks.
pub const INTERVAL_MS: i64 = 50;
/// From a boundary to its tick.
pub const DELAY_MS: i64 = 5;
/// Rounds on the same logs: between these and those, a sixth of all.
const EPOCH_ROUNDS: (u64, u64) = (5, 50);
/// What the environment may say otherwise.
const ROUNDS: u64 = 10;
const SEED: u64 = 1;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What was done and checked.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    kills_while_starting: u64,
    losses: u64,
    receipts: u64,
    decisions: u64,
    /// Events of runs that the engine has answered, and all events.
    completed: u64,
    followed: u64,
}

/// The data directory of an epoch, and what is known of it.
struct Epoch {
    place: Place,
    config: String,
    data: String,
    sent: Sent,
    record: Record,
}

impl Epoch {
    fn new() -> Self {
        let place = Place::new();
        let (data, socket) = (place.path("data"), place.path("feed.sock"));
        let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\nformat = \"ndjson\"\n");
        let config = config(&place, "live", &feed);
        let text = std::fs::read_to_string(&config).expect("just written");
        let cadence = format!("interval_ms = {INTERVAL_MS}\ndelay_ms = {DELAY_MS}");
        let quick = text.replace("interval_ms = 500\ndelay_ms = 100", &cadence);
        std::fs::write(&config, quick).expect("writable");
        std::fs::create_dir_all(&data).expect("writable");
        Self { place, config, data, sent: Sent::default(), record: Record::default() }
    }

    fn start(&self) -> Child {
        let said = File::create(self.place.path("said")).expect("writable");
        let mut command = Command::new(CUTLINE);
        command.args(["run", "--config", &self.config]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        command.spawn().expect("cutline starts")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.place.path("said")).expect("readable")
    }

    /// Runs it under load and kills it at a moment that chance picks, one in four times while it starts.
    fn round(&mut self, random: &mut Random, tally: &mut Tally) {
        let while_starting = random.one_in(4);
        let moment = Duration::from_millis(random.between(0, if while_starting { 60 } else { 250 }));
        let mut child = self.start();
        let feed = Feed::start(&self.place.path("feed.sock"), &self.sent);
        wait_until("it listens", || {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended by itself: {ended:?}: {}", self.said());
            while_starting || feed.is_read()
        });
        // Not a wait for anything: this is when it is to die.
        thread::sleep(moment);
        signal(&child, Signal::KILL);
        let status = child.wait().expect("a child");
        feed.stop();
        assert_eq!(status.signal(), Some(9), "it had ended by itself: {status}: {}", self.said());
        tally.kills += 1;
        tally.kills_while_starting += u64::from(!self.said().contains("running"));
        self.record.audit(self.data.as_ref(), &self.sent);
    }

    /// Starts it a last time, feeds it a little, and stops it.
    fn end(&mut self) {
        let mut child = self.start();
        drop(connect(&self.place.path("feed.sock")));
        signal(&child, Signal::TERM);
        let status = child.wait().expect("a child");
        assert!(status.success(), "{status}: {}", self.said());
        self.record.audit(self.data.as_ref(), &self.sent);
        let proof = succeed(&["verify", &self.data, "--strict"]);
        assert!(proof.starts_with("identical: ") && proof.contains(" 0 pending"), "{proof}");
    }
}

fn epoch(rounds: u64, random: &mut Random, tally: &mut Tally) {
    let mut epoch = Epoch::new();
    let follower = Follower::start(&epoch.data);
    for _ in 0..rounds {
        epoch.round(random, tally);
        if random.one_in(3) {
            let loss = if random.one_in(2) { Loss::Counters } else { Loss::Segment };
            loss.happen(&epoch.data, random);
            tally.losses += 1;
        }
    }
    epoch.end();
    let dump = succeed(&["dump", &epoch.data, "outputs"]);
    let published: Vec<&str> = dump.lines().collect();
    follower.has_seen(&published);
    tally.followed += published.len() as u64;
    tally.completed += published.iter().filter(|event| event.contains("\"EngineRunCompleted\"")).count() as u64;

    // The outputs log alone, of a process that was killed: what is in memory of the others counts.
    epoch.round(random, tally);
    losses::outputs(&epoch.data, random.one_in(2));
    epoch.record.forget_outputs();
    tally.losses += 1;
    epoch.record.audit(epoch.data.as_ref(), &epoch.sent);
    epoch.round(random, tally);
    epoch.end();
    tally.receipts += epoch.record.receipts();
    tally.decisions += epoch.record.decisions();
}

#[test]
fn killed_at_random_moments_it_loses_nothing_and_invents_nothing() {
    let (rounds, seed) = (number("KILL_NINE_ROUNDS", ROUNDS), number("KILL_NINE_SEED", SEED));
    println!("KILL_NINE_SEED={seed} KILL_NINE_ROUNDS={rounds}");
    let (mut random, mut tally, began) = (Random::new(seed), Tally::default(), Instant::now());
    let mut left = rounds;
    while left > 0 {
        let in_epoch = left.min((rounds / 6).clamp(EPOCH_ROUNDS.0, EPOCH_ROUNDS.1));
        epoch(in_epoch, &mut random.fork(), &mut tally);
        left -= in_epoch;
        println!("{:>4} s {tally:?}", began.elapsed().as_secs());
    }
    assert!(tally.receipts > 20 * tally.kills, "the feed was hardly read: {tally:?}");
    assert!(tally.followed > 0 && tally.completed > 0, "no engine was called: {tally:?}");
}
