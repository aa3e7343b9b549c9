//! Chaos: the real `cutline run` under load, with modules in three languages and a Python engine in processes, while a hand that a seed leads
//! kills, stops, starves and misconfigures it. No receipt is lost, the system comes back to healthy by itself, and a replay is the same.
//!
//! `CHAOS_SECONDS` and `CHAOS_SEED` say how long and by which seed. From [`LONG`] on there are two systems at a time, the second one beside the
//! lanes' core of the first, and the hand is at the one or at the other: so the machine is busy in quiet runs too, and the
//! time that the first one's lanes took per item is compared. It prints what it has done and found. What the hand does is the seed's, what
//! it meets is not: a failure need not come again.

mod audit;
#[path = "../common/mod.rs"]
mod common;
mod hand;
mod isolation;
mod load;
mod plant;
mod service;

use std::time::{Duration, Instant};

use cutline::sim::random::Random;
use hand::{Hand, Tally};
use load::{Load, Sent};
use plant::Plant;
use service::Service;

/// What the environment may say otherwise.
const SECONDS: u64 = 1;
const SEED: u64 = 1;
/// One run where it is measured, s, where there is time for that: a machine that many share changes its pace for a minute, and both kinds are to have their part of it.
const SHORT: u64 = 15;
/// From here on it is measured as well.
const LONG: u64 = 60;
/// Symbols.
const SYMBOLS: u64 = 3;
/// The same where it is measured: of calls and answers that share a poll each is told its mean. Where three share it as long as nothing is done
/// to the engine, and less afterwards, the p99 of polls with more is compared with that of polls with less.
const SYMBOLS_MEASURED: u64 = 1;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One run: all of them under load, the hand at that one of them for so long, all well again, stopped, and proved. Returns what the first
/// one's lanes took.
fn run(plants: Vec<Plant>, victim: usize, length: Duration, random: &mut Random, tally: &mut Tally) -> Service {
    let loads: Vec<Load> = plants.iter().map(Plant::load).collect();
    Hand::new(&plants[victim], random, tally).meddle(length);
    let began = Instant::now();
    plants.iter().for_each(Plant::wait_until_well);
    tally.well_after.push(began.elapsed());
    let service = Service::of(&plants[0].running);
    let sent: Vec<Sent> = loads.into_iter().map(Load::stop).collect();
    for (plant, sent) in plants.into_iter().zip(sent) {
        plant.wait_until_taken(&sent);
        tally.found.add(&plant.prove(&sent));
    }
    service
}

/// Two systems at a time, the hand at the first one and at the second in turns. What the first one's lanes took is to be within what it differs
/// by with the hand elsewhere.
fn measure(seconds: u64, random: &mut Random, tally: &mut Tally) {
    let pairs = (seconds / SHORT / service::ROUND as u64).max(1) * service::ROUND as u64;
    let length = Duration::from_secs(seconds) / pairs as u32;
    let has_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let core = has_cores.then_some(isolation::CORE);
    let _free = has_cores.then(isolation::Free::start);
    let mut runs = [Vec::new(), Vec::new()];
    for at in 0..2 * pairs {
        let plants = vec![Plant::start(SYMBOLS_MEASURED, core), Plant::start(SYMBOLS_MEASURED, None)];
        // Neither kind is always the second one.
        let victim = usize::from(matches!(at % 4, 0 | 3));
        let service = run(plants, victim, length, random, tally);
        println!("{}: {service:?}", ["chaotic", "quiet"][victim]);
        runs[victim].push(service);
    }
    println!("{tally:?}");
    let [chaotic, quiet] = runs;
    let above = service::compare(&quiet, &chaotic);
    // Where the lane shares its core with the hand's threads it is slower, and that says nothing.
    assert!(above.is_empty() || !has_cores, "above the spread of the quiet runs: {above:?}");
}

#[test]
fn whatever_is_done_to_it_nothing_is_lost_and_it_comes_back_by_itself() {
    let (seconds, seed) = (number("CHAOS_SECONDS", SECONDS), number("CHAOS_SEED", SEED));
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    if seconds < LONG {
        run(vec![Plant::start(SYMBOLS, None)], 0, Duration::from_secs(seconds), &mut random, &mut tally);
    } else {
        measure(seconds, &mut random, &mut tally);
    }
    println!("{tally:?}");
    assert!(
        tally.found.cut_off <= tally.kills + tally.stops + tally.restarts,
        "lines are cut off without a kill: {tally:?}"
    );
    // A partition or two may come when both processes have just been killed.
    let is_felt = tally.found.engines_cut_off > 0 || tally.partitions.get(plant::ENGINE) < Some(&3);
    assert!(is_felt || !plant::has_python(), "partitions of the engine do not reach it: {tally:?}");
    assert!(tally.kills > 0 && tally.found.receipts > 0 && tally.found.outcomes > 0, "nothing has happened: {tally:?}");
}
