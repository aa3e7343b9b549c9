//! A log that is cut off by hand, with the power lost after every step of it: it is as it was, or refused, or cut off, and cutting it off
//! again ends it where it was meant to end, with the logs behind it going on.
#![allow(missing_docs)]

#[path = "common/world.rs"]
mod world;

use std::path::Path;

use cutline_journal::sim::SimDisk;
use cutline_journal::truncate::{NewEnd, truncate};
use cutline_journal::{LogFault, LogFiles, Start, Tail};
use world::{Frame, World, at, check, read, same};

/// The log that is cut off; nothing that stays refers to what goes.
const LOG: usize = 2;

/// Logs that were stopped cleanly, and where the last of them is to end: in the middle, a segment and more before its end.
fn stopped() -> (World, SimDisk, NewEnd) {
    let disk = SimDisk::new(Path::new("/sim"), 1);
    let mut world = World::new();
    let mut writers = world.start(&disk).expect("starts");
    for round in 0..90 {
        world.round(&mut writers, round).expect("room");
    }
    world.stop(writers).expect("stops");
    let committed = &world.known[LOG].committed;
    let first_gone = (committed.len() / 3..).find(|&index| !committed[index - 1].more).expect("a group begins");
    let tail = Tail::open_files(files(&world, &disk), Start::Oldest).expect("a log");
    let position = committed[first_gone].position;
    let end = NewEnd { position, log_id: tail.log_id(), segment_bytes: tail.segment_bytes() };
    assert!(committed.last().expect("frames").position > end.base() + end.segment_bytes, "a whole segment goes");
    (world, disk, end)
}

fn files(world: &World, disk: &SimDisk) -> LogFiles {
    world.files(disk, world::NAMES[LOG])
}

/// What stays of the log.
fn kept(world: &World, end: NewEnd) -> Vec<Frame> {
    world.known[LOG].committed.iter().filter(|frame| frame.position < end.position).cloned().collect()
}

#[test]
fn power_lost_while_a_log_is_cut_off_leaves_what_can_be_cut_off_again() {
    let (world, whole, end) = stopped();
    let counted = whole.restarted();
    truncate(&files(&world, &counted), end).expect("a sound disk");
    let steps = counted.steps();
    assert!(steps > 8, "{steps}");
    let (mut refused, mut unchanged, mut done) = (0, 0, 0);
    for stop in 0..=steps {
        for seed in 0..3 {
            let disk = whole.restarted();
            disk.stop_at(stop);
            let outcome = truncate(&files(&world, &disk), end);
            assert_eq!(outcome.is_err(), stop < steps, "step {stop}: {outcome:?}");
            let image = disk.power_lost(stop << 8 | seed);
            at(&format!("step {stop}, seed {seed}"), &image, || {
                let mut world = world.without_memory();
                match world.recover(&image) {
                    Err(LogFault::Corrupt(_)) => refused += 1,
                    Err(fault) => panic!("{fault}"),
                    Ok(recovered) if recovered[LOG].end() == end.position => done += 1,
                    Ok(recovered) => {
                        assert_eq!(
                            read(&recovered[LOG]).len(),
                            world.known[LOG].committed.len(),
                            "a part of it is gone"
                        );
                        unchanged += 1;
                    }
                }
                truncate(&files(&world, &image), end).expect("a sound disk");
                let kept = kept(&world, end);
                let recovered = world.recover(&image).unwrap_or_else(|fault| panic!("{fault}"));
                let found = read(&recovered[LOG]);
                assert!(found.len() == kept.len() && found.iter().zip(&kept).all(|(found, kept)| same(found, kept)));
                drop(recovered);
                let log = &mut world.known[LOG];
                (log.committed, log.told) = (kept, end.position);
                log.generation += 1;
                check(&mut world, &image, true);
            });
        }
    }
    assert!(refused > 0 && unchanged > 0 && done > 0, "{refused} refused, {unchanged} unchanged, {done} done");
}
