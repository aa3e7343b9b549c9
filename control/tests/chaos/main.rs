//! Chaos: the real `cutline run` under load, with modules in three languages and a Python engine in processes, while a hand that a seed leads
//! kills, stops, starves and misconfigures it. No receipt is lost, the system comes back to healthy by itself, and a replay is the same.
//!
//! `CHAOS_SECONDS` and `CHAOS_SEED` say how long and by which seed. From [`LONG`] on it goes in rounds, each a quiet run and a chaotic one of
//! the same load with a core for the lane, and the time that it took per item is compared; it prints what it has done and found. What the hand does is the
//! seed's, what it meets is not: a failure need not come again.

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
use plant::Plant;
use service::Service;

/// What the environment may say otherwise.
const SECONDS: u64 = 1;
const SEED: u64 = 1;
/// From here on it is measured as well.
const LONG: u64 = 60;
/// Pairs of a quiet run and a chaotic one.
const ROUNDS: u64 = 5;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One run: started, under load for so long with or without the hand, well again, stopped, and proved.
fn run(length: Duration, is_apart: bool, hand: Option<&mut Random>, tally: &mut Tally) -> Service {
    let _isolation = is_apart.then(isolation::Isolation::start);
    let plant = Plant::start(is_apart);
    let load = plant.load();
    match hand {
        None => std::thread::sleep(length),
        Some(random) => Hand::new(&plant, random, tally).meddle(length),
    }
    let began = Instant::now();
    plant.wait_until_well();
    tally.well_after.push(began.elapsed());
    let service = Service::of(&plant.running);
    let sent = load.stop();
    plant.wait_until_taken(&sent);
    tally.found.add(&plant.prove(&sent));
    service
}

#[test]
fn whatever_is_done_to_it_nothing_is_lost_and_it_comes_back_by_itself() {
    let (seconds, seed) = (number("CHAOS_SECONDS", SECONDS), number("CHAOS_SEED", SEED));
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    if seconds < LONG {
        run(Duration::from_secs(seconds), false, Some(&mut random), &mut tally);
    } else {
        let length = Duration::from_secs(seconds / ROUNDS);
        let has_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let (mut quiet, mut chaotic) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            quiet.push(run(length, has_cores, None, &mut Tally::default()));
            chaotic.push(run(length, has_cores, Some(&mut random), &mut tally));
            println!("{tally:?}");
        }
        let above = service::compare(&quiet, &chaotic);
        // Where the lane shares its core with the hand's threads it is slower, and that says nothing.
        assert!(above.is_empty() || !has_cores, "above the spread of the quiet runs: {above:?}");
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
