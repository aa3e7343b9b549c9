//! The disk fails in every way it can while three logs are kept: nothing that followers were told of is lost, nothing is
//! served that was not committed, and when the faults stop everything goes on by itself.
//!
//! A test run takes a few seeds. A soak takes as many as one likes:
//! `DISK_FAULT_SEEDS=5000 cargo test --release -p cutline-journal --test disk_faults`
#![allow(missing_docs)]

#[path = "common/world.rs"]
mod world;

use std::path::Path;

use cutline_journal::keeper::Keeper;
use cutline_journal::recover::Recovered;
use cutline_journal::sim::{Faults, SimDisk};
use cutline_journal::{LogFault, Start, Tail};
use world::{NAMES, SEGMENT, World, at, check, read, same};

const ROOT: &str = "/sim";

fn seeds(few: u64) -> u64 {
    std::env::var("DISK_FAULT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(few)
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % limit
    }

    /// Never, seldom or often.
    fn chance(&mut self) -> u32 {
        [0, 0, 30, 8, 3][usize::try_from(self.below(5)).expect("small")]
    }

    /// What a disk does that says so. Two thirds of them have room enough.
    fn honest(&mut self) -> Faults {
        Faults {
            capacity_bytes: (self.below(3) == 0).then(|| 9 * SEGMENT + self.below(12 * SEGMENT)),
            write_one_in: self.chance(),
            short_write_one_in: self.chance(),
            sync_one_in: self.chance(),
            slow_sync_one_in: 4,
            slow_sync_ns: 1_000,
            open_one_in: self.chance(),
            read_one_in: self.chance(),
            name_one_in: self.chance(),
            memory_one_in: self.chance(),
            ..Faults::default()
        }
    }
}

/// A fault that the operating system, or what stands in for it, has answered with.
fn is_refusal(fault: &LogFault) -> bool {
    matches!(fault, LogFault::Io { .. } | LogFault::Region(_))
}

/// Works until the disk or memory refuses, some times over. How often it did.
fn work_with_faults(world: &mut World, disk: &SimDisk, faults: Faults, rounds: u64) -> (Option<world::Writers>, u64) {
    let mut refused = 0;
    disk.set_faults(faults);
    let mut writers = None;
    for round in 0..rounds {
        let outcome = match &mut writers {
            None => world.start(disk).map(|started| writers = Some(started)),
            Some(writers) => world.round(writers, round),
        };
        if let Err(fault) = outcome {
            assert!(is_refusal(&fault), "{fault}");
            refused += 1;
        }
    }
    (writers, refused)
}

#[test]
fn a_disk_that_fails_and_recovers_loses_nothing_and_holds_up_nothing() {
    let mut refused = 0;
    for seed in 0..seeds(40) {
        let mut dice = Dice(seed);
        let disk = SimDisk::new(Path::new(ROOT), seed);
        let mut world = World::new();
        at(&format!("seed {seed}"), &disk, || {
            let (writers, faults) = work_with_faults(&mut world, &disk, dice.honest(), 24);
            refused += faults;
            disk.set_faults(Faults::default());
            let mut writers = writers.unwrap_or_else(|| world.start(&disk).expect("nothing is wrong any more"));
            for round in 50..56 {
                world.round(&mut writers, round).unwrap_or_else(|fault| panic!("{fault}"));
            }
            world.keep(&mut writers, Keeper::flush).unwrap_or_else(|fault| panic!("{fault}"));
            for (log, known) in world.known.iter().enumerate() {
                let end = known.committed.last().map_or(0, |frame| frame.end);
                assert!(known.told >= end, "{}: {end} is not told to be on disk", NAMES[log]);
            }
            world.stop(writers).unwrap_or_else(|fault| panic!("{fault}"));
            check(&mut world, &disk.restarted(), true);
        });
    }
    assert!(refused > 100, "{refused} faults only");
}

#[test]
fn a_disk_that_fails_until_somebody_dies_loses_nothing_that_was_told() {
    for seed in 0..seeds(40) {
        let mut dice = Dice(!seed);
        let disk = SimDisk::new(Path::new(ROOT), seed);
        let mut world = World::new();
        at(&format!("seed {seed}"), &disk, || {
            let rounds = 2 + dice.below(25);
            drop(work_with_faults(&mut world, &disk, dice.honest(), rounds));
            world.listen(&disk.restarted());
            if seed.is_multiple_of(2) {
                check(&mut world.without_memory(), &disk.power_lost(seed), false);
            } else {
                check(&mut world, &disk.restarted(), true);
            }
        });
    }
}

/// What lies is the medium, and nothing says so: then a log is refused, or what it serves was committed.
#[test]
fn a_disk_that_lies_is_never_believed() {
    let mut refused = 0;
    for seed in 0..seeds(60) {
        let mut dice = Dice(seed << 7);
        let disk = SimDisk::new(Path::new(ROOT), seed);
        let mut world = World::new();
        at(&format!("seed {seed}"), &disk, || {
            let faults = Faults { misdirect_one_in: [0, 4, 20][dice.below(3) as usize], ..Faults::default() };
            drop(work_with_faults(&mut world, &disk, faults, 6 + dice.below(20)));
            let (world, image) = (world.without_memory(), disk.power_lost(seed));
            image.set_faults(Faults {
                flip_one_in: if faults.misdirect_one_in == 0 { 12 } else { 0 },
                ..Faults::default()
            });
            match world.recover(&image) {
                Ok(recovered) => served(&world, &recovered),
                Err(fault) => {
                    refused += 1;
                    assert!(matches!(&fault, LogFault::Corrupt(bad) if bad.path.starts_with(ROOT)), "{fault}");
                }
            }
        });
    }
    assert!(refused > 5, "{refused} refused");
}

/// Everything that can be read was committed, as far as it can be read.
fn served(world: &World, recovered: &[Recovered]) {
    for (log, recovered) in recovered.iter().enumerate() {
        let Ok(mut tail) = Tail::open_files(recovered.files(), Start::Oldest) else { continue };
        for committed in &world.known[log].committed {
            match tail.poll() {
                Ok(Some(frame)) => {
                    assert!(same(&world::seen(&frame), committed), "{}: not what was committed", NAMES[log]);
                }
                Ok(None) => break,
                Err(LogFault::Corrupt(_)) => break,
                Err(fault) => panic!("{fault}"),
            }
        }
    }
}

/// What cannot be read is there all the same: a start is refused, or finds everything.
#[test]
fn a_read_that_fails_is_not_taken_for_the_end() {
    let disk = SimDisk::new(Path::new(ROOT), 1);
    let mut world = World::new();
    drop(work_with_faults(&mut world, &disk, Faults::default(), 26));
    let (world, disk) = (world.without_memory(), disk.power_lost(1));
    let ends = |recovered: Vec<Recovered>| recovered.iter().map(Recovered::end).collect::<Vec<_>>();
    let whole = ends(world.recover(&disk).unwrap_or_else(|fault| panic!("{fault}")));
    let (mut refused, mut found) = (0, 0);
    for chance in [5, 20, 50, 100, 200] {
        disk.set_faults(Faults { read_one_in: chance, open_one_in: chance, ..Faults::default() });
        for _ in 0..seeds(40) {
            match world.recover(&disk) {
                Err(fault) => {
                    refused += 1;
                    assert!(matches!(fault, LogFault::Io { .. }), "one in {chance}: {fault}");
                    let text = fault.to_string();
                    assert!(!text.contains("os error 24") || text.contains("ulimit -n"), "{text}");
                }
                Ok(recovered) => {
                    found += 1;
                    disk.set_faults(Faults::default());
                    assert_eq!(ends(recovered), whole, "one in {chance}");
                    disk.set_faults(Faults { read_one_in: chance, open_one_in: chance, ..Faults::default() });
                }
            }
        }
    }
    assert!(refused > 20 && found > 20, "{refused} refused, {found} found");
}

/// A wrong bit below the mark, in any file of the log: refused, with the file and the place, by who opens it and by who
/// verifies it.
#[test]
fn a_wrong_bit_in_what_is_on_disk_is_named() {
    for seed in 0..seeds(60) {
        let mut dice = Dice(seed);
        let disk = SimDisk::new(Path::new(ROOT), seed);
        let mut world = World::new();
        drop(work_with_faults(&mut world, &disk, Faults::default(), 26));
        let (world, disk) = (world.without_memory(), disk.power_lost(seed));
        let files = world.files(&disk, NAMES[0]);
        let promised = cutline_journal::marks::read_marks(&files).expect("readable").promised();
        assert!(promised > SEGMENT, "some segments are finished");
        let position = dice.below(promised);
        let (base, offset) = (position / SEGMENT * SEGMENT, position % SEGMENT);
        let path = files.disk_segment(base);
        assert!(disk.flip(&path, offset, 1 << dice.below(8)));
        let opened = world.recover(&disk).map(|found| read(&found[0]).len()).expect_err("a wrong bit");
        let verified = Tail::open_files(files, Start::Oldest).and_then(|mut tail| {
            while tail.poll()?.is_some() {}
            tail.check_end()
        });
        for fault in [opened, verified.expect_err("a wrong bit")] {
            let LogFault::Corrupt(bad) = fault else { panic!("{fault}") };
            assert_eq!(bad.path, path, "{bad}");
            assert!(bad.offset <= offset && bad.position == base + bad.offset, "byte {offset}: {bad}");
            let frame =
                world.known[0].committed.iter().find(|frame| frame.position <= position && position < frame.end);
            assert!(
                frame.is_none_or(|frame| frame.position == bad.position && frame.seq == bad.seq),
                "{frame:?}: {bad}"
            );
        }
    }
}
