//! The power is lost, or the process dies, after every single step that the logs take on their disk.
//!
//! Three logs are kept by hand on a simulated disk. What must be true afterwards is taken from the contract alone: a frame
//! that followers were told is on disk is there; what is there was committed, in order and in whole groups; a log never
//! refers to what an earlier one has lost; what was cut off is counted, and whoever had read it is told. A process that dies
//! loses nothing at all. All of it also if the next start dies after any of its own steps.
//!
//! A test run tries each step once or a few times. A soak tries each with as many seeds as one likes:
//! `POWER_LOSS_SEEDS=200 cargo test --release -p cutline-journal --test power_loss`
#![allow(missing_docs)]

#[path = "common/world.rs"]
mod world;

use std::path::Path;

use cutline_journal::sim::SimDisk;
use world::{World, at, check, check_found, forget_lost};

/// A start of the three logs takes about so many.
const STEPS_OF_A_START: u64 = 80;

fn seeds(few: u64) -> u64 {
    std::env::var("POWER_LOSS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(few)
}

/// The same life up to the step `stop`.
fn lived(stop: u64) -> (World, SimDisk) {
    let disk = SimDisk::new(Path::new("/sim"), 1);
    disk.stop_at(stop);
    let mut world = World::new();
    let outcome = world.live(&disk);
    assert_eq!(outcome.is_err(), disk.is_stopped(), "the life ends where the disk does: {outcome:?}");
    (world, disk)
}

fn steps_of_a_life() -> u64 {
    lived(u64::MAX).1.steps()
}

#[test]
fn power_is_lost_after_any_step() {
    for stop in 0..steps_of_a_life() {
        let (world, disk) = lived(stop);
        for seed in 0..seeds(1) {
            let image = disk.power_lost(stop << 20 | seed);
            at(&format!("step {stop}, seed {seed}"), &disk, || check(&mut world.without_memory(), &image, false));
        }
    }
    println!("{} crash images, each recovered and gone on with", steps_of_a_life() * seeds(1));
}

#[test]
fn a_process_dies_after_any_step() {
    for stop in 0..steps_of_a_life() {
        let (mut world, disk) = lived(stop);
        at(&format!("step {stop}"), &disk, || check(&mut world, &disk.restarted(), true));
    }
    println!("{} dead processes, each recovered and gone on with", steps_of_a_life());
}

/// A start dies after any of its own steps: after a power loss or a crash before it, by a power loss or a crash.
#[test]
fn a_start_dies_after_any_step() {
    for stop in 0..steps_of_a_life() {
        for seed in 0..seeds(1) {
            let pick = stop * 31 + seed * 97;
            die_twice(stop, seed, pick / 4 % STEPS_OF_A_START, pick & 1 == 0, pick & 2 == 0);
        }
    }
    println!(
        "{} images of a start that died in its turn, each recovered and gone on with",
        steps_of_a_life() * seeds(1)
    );
}

fn die_twice(stop: u64, seed: u64, again: u64, first_is_power: bool, second_is_power: bool) {
    let image =
        |disk: &SimDisk, seed: u64, is_power: bool| if is_power { disk.power_lost(seed) } else { disk.restarted() };
    let (lived, disk) = lived(stop);
    let first = image(&disk, stop << 20 | seed, first_is_power);
    let mut world = if first_is_power { lived.without_memory() } else { lived };
    let place = format!("step {stop}, seed {seed}, then {again}; power {first_is_power}, then {second_is_power}");
    at(&place, &first, || {
        let recovered = world.recover(&first).unwrap_or_else(|fault| panic!("{fault}"));
        check_found(&world, &recovered, &first, !first_is_power);
        // What lies on the medium has to stay there, whoever was told of it.
        forget_lost(&mut world, &recovered);
        drop(recovered);
        first.stop_at(again);
        let started = world.start(&first);
        assert!(started.is_ok() || first.is_stopped(), "{:?}", started.err());
        world.listen(&first);
        drop(started);
        let second = image(&first, seed, second_is_power);
        let mut world = if second_is_power { world.without_memory() } else { world };
        check(&mut world, &second, first_is_power || !second_is_power);
    });
}
