//! Retention: the keeper removes whole segments from a log's beginning when it is told that nothing needs them, and whoever misses one
//! is told.
#![allow(missing_docs)]

mod common;

use common::{Place, SEGMENT, Seen, append, assert_same, drain, segment_files, sync};
use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::{recover, recover_from};
use cutline_journal::{Appender, Blocked, Descriptor, LogFault, Lookup, Start, Tail};

/// Writes on until the log has come to a position, keeping it.
fn write_to(position: u64, log: &mut Appender, keeper: &mut LogKeeper, wrote: &mut Vec<Seen>) {
    while log.position() < position {
        let tag = wrote.len() as i64;
        wrote.push(append(log, keeper, tag, 900));
    }
    sync(log, keeper);
}

/// Segments on disk, oldest first.
fn on_disk(place: &Place) -> Vec<u64> {
    let files = segment_files(&place.data.path().join("outputs"));
    files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

fn retire_all(keeper: &mut LogKeeper) {
    // A few at a time.
    (0..10).for_each(|_| keeper.retire().unwrap());
}

fn lagged<T>(result: Result<T, LogFault>) -> u64 {
    match result {
        Err(LogFault::Lagged { oldest }) => oldest,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not told"),
    }
}

#[test]
fn only_whole_segments_that_are_on_disk_and_not_in_memory_go_and_only_when_told() {
    let place = Place::new();
    let (mut log, mut keeper) = place.start();
    let mut told = keeper.retirement();
    let mut wrote = Vec::new();
    write_to(9 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    retire_all(&mut keeper);
    assert_eq!(on_disk(&place)[0], 0, "nobody has said so");
    told.push(3 * SEGMENT - 1).unwrap();
    told.push(4 * SEGMENT + 17).unwrap();
    retire_all(&mut keeper);
    assert_eq!(on_disk(&place)[0], 4 * SEGMENT, "the newest word counts, and a segment that is needed in part stays");
    told.push(u64::MAX).unwrap();
    retire_all(&mut keeper);
    let in_memory = place.files().live_bases().unwrap()[0];
    assert_eq!(on_disk(&place)[0], in_memory);
    assert!(in_memory <= 9 * SEGMENT);
    let (seen, _) = place.read_all();
    let first = seen[0].position;
    assert!(first >= in_memory);
    assert_same(&seen, &wrote[wrote.iter().position(|wrote| wrote.position == first).unwrap()..], "what is kept");
}

#[test]
fn a_follower_behind_retention_is_told_where_to_go_on() {
    let place = Place::new();
    let (mut log, mut keeper) = place.start();
    let mut told = keeper.retirement();
    let mut wrote = Vec::new();
    write_to(SEGMENT / 2, &mut log, &mut keeper, &mut wrote);
    // One follows memory, one has not read anything, one begins late.
    let mut follower = place.tail(Start::Oldest);
    let mut seen = drain(&mut follower);
    let mut waiting = place.tail(Start::Oldest);
    write_to(8 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    told.push(5 * SEGMENT).unwrap();
    retire_all(&mut keeper);

    // What they have of a segment stays readable; then they are told, and again as often as they ask.
    let mut oldest = 0;
    for (name, tail) in [("follower", &mut follower), ("waiting", &mut waiting)] {
        let before = tail.position();
        while let Ok(Some(frame)) = tail.poll() {
            if name == "follower" {
                seen.push(Seen::of(&frame));
            }
        }
        assert!(before < SEGMENT && tail.position() < SEGMENT, "{name}");
        oldest = lagged(tail.poll().map(|_| ()));
        assert_eq!(oldest, 5 * SEGMENT, "{name}");
        assert_eq!(lagged(tail.poll().map(|_| ())), oldest, "{name}");
    }
    let gone = wrote.iter().position(|wrote| wrote.position > oldest).unwrap();
    let had = seen.len();
    assert!(had < gone);
    assert_same(&seen, &wrote[..had], "before");
    for start in [Start::Position(64), Start::Resume { position: 2 * SEGMENT + 64, generation: 1 }] {
        assert_eq!(lagged(Tail::open(place.data.path(), "outputs", start)), oldest);
    }
    for start in [Start::Position(oldest), Start::Oldest, Start::Seq(1)] {
        assert_same(&drain(&mut place.tail(start)), &wrote[gone..], "as told");
    }

    // After a stop the folder says it.
    let mut late = place.tail(Start::Oldest);
    drop(log);
    keeper.close().unwrap();
    assert_same(&drain(&mut late), &wrote[gone..], "also over a stop");
    assert_eq!(lagged(Tail::open(place.data.path(), "outputs", Start::Position(64))), oldest);
}

/// Found by `cutline sim --seed 837`: told to go on where retention had come to, a follower kept what had been taken back.
#[test]
fn who_looks_up_what_was_given_up_is_told_so_and_what_is_missing_otherwise_is_a_fault() {
    let place = Place::new();
    let (mut log, mut keeper) = place.start();
    let mut told = keeper.retirement();
    let mut wrote = Vec::new();
    write_to(9 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    told.push(4 * SEGMENT).unwrap();
    retire_all(&mut keeper);
    let mut lookup = Lookup::new(place.files(), SEGMENT);
    assert_eq!(lagged(lookup.frame(wrote[0].position)), 4 * SEGMENT);
    let kept = wrote.iter().find(|wrote| wrote.position > 4 * SEGMENT).unwrap();
    assert_eq!(Seen::of(&lookup.frame(kept.position).unwrap()), *kept);
    let lost = wrote.iter().find(|wrote| wrote.position > 5 * SEGMENT).unwrap();
    std::fs::remove_file(place.files().disk_segment(5 * SEGMENT)).unwrap();
    assert!(matches!(lookup.frame(lost.position), Err(LogFault::Io { .. })));
}

#[test]
fn who_has_read_what_was_taken_back_is_told_so_though_retention_has_come_further_since() {
    let place = Place::new();
    let (mut log, mut keeper) = place.start();
    let mut wrote = Vec::new();
    write_to(2 * SEGMENT, &mut log, &mut keeper, &mut wrote);
    let end = keeper.durable();
    for tag in 0..20 {
        append(&mut log, &mut keeper, tag, 900);
    }
    let mut follower = place.tail(Start::Oldest);
    drain(&mut follower);
    let position = follower.position();
    place.kill(log, keeper);
    place.lose_memory();

    let (mut log, mut keeper) = place.recover().activate().unwrap();
    let mut told = keeper.retirement();
    write_to(9 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    told.push(6 * SEGMENT).unwrap();
    retire_all(&mut keeper);
    let resumed = Tail::open(place.data.path(), "outputs", Start::Resume { position, generation: 1 }).map(|_| ());
    for rewound in [resumed, follower.prepare(), follower.poll().map(|_| ())] {
        assert!(matches!(rewound, Err(LogFault::Rewound { to }) if to == end), "{rewound:?}, the cut is at {end}");
    }
    assert_eq!(lagged(Tail::open(place.data.path(), "outputs", Start::Position(end))), 6 * SEGMENT);
}

#[test]
fn a_start_reads_from_where_it_is_told_and_refuses_what_is_not_there() {
    let place = Place::new();
    let (mut log, mut keeper) = place.start();
    let mut told = keeper.retirement();
    let mut wrote = Vec::new();
    write_to(8 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    told.push(3 * SEGMENT).unwrap();
    retire_all(&mut keeper);
    place.kill(log, keeper);
    place.lose_memory();

    let found = recover(place.settings(), 9).unwrap();
    assert_eq!((found.oldest(), found.last_seq()), (3 * SEGMENT, wrote.last().unwrap().seq));
    let at = wrote.iter().find(|wrote| wrote.position > 5 * SEGMENT).unwrap().position;
    // What lies before the segment of that place is not read: damage there is for its reader to find.
    common::flip(&place.disk().disk_segment(4 * SEGMENT), 2_000, 1);
    let from = |position: u64| recover_from(place.settings(), 9, Start::Resume { position, generation: 1 });
    let found = from(at).unwrap();
    assert_eq!((found.oldest(), found.last_seq()), (3 * SEGMENT, wrote.last().unwrap().seq));
    assert!(matches!(recover(place.settings(), 9), Err(LogFault::Corrupt(_))));
    assert_eq!(lagged(from(2 * SEGMENT + 64)), 3 * SEGMENT);
    assert!(matches!(from(at + 64), Err(LogFault::Rewound { .. })), "no frame begins there");
    assert!(matches!(from(20 * SEGMENT), Err(LogFault::Rewound { .. })), "behind the end");
    let (mut log, mut keeper) = found.activate().unwrap();
    write_to(9 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    let rest = wrote.iter().position(|wrote| wrote.position >= at).unwrap();
    assert_same(&drain(&mut place.tail(Start::Position(at))), &wrote[rest..], "it goes on");
}

#[test]
fn a_log_at_its_capacity_takes_more_once_retention_has_made_room() {
    let place = Place::new();
    let settings = cutline_journal::recover::LogSettings { capacity_bytes: 4 * SEGMENT, ..place.settings() };
    let (mut log, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).unwrap();
    let mut told = keeper.retirement();
    let bytes = vec![7; 900];
    let mut fill = |keeper: &mut LogKeeper| {
        loop {
            let header = Descriptor { kind: 1, ..Descriptor::default() };
            if log.append(header, &bytes).is_err() {
                sync(&log, keeper);
                if log.append(header, &bytes) == Err(Blocked) {
                    return log.position();
                }
            }
        }
    };
    let full = fill(&mut keeper);
    assert!(full <= 4 * SEGMENT && full > 4 * SEGMENT - 2_000, "{full}");
    told.push(2 * SEGMENT).unwrap();
    retire_all(&mut keeper);
    let more = fill(&mut keeper);
    let oldest = on_disk(&place)[0];
    assert!(oldest > 0 && more > full && more <= oldest + 4 * SEGMENT, "{more} from {oldest}");
    assert!(more > oldest + 4 * SEGMENT - 2_000);
}

#[test]
fn a_first_segment_that_is_missing_is_named_and_one_that_was_given_up_is_not() {
    let place = Place::new();
    let (mut log, mut keeper) = place.start();
    let mut told = keeper.retirement();
    let mut wrote = Vec::new();
    write_to(9 * SEGMENT + 5_000, &mut log, &mut keeper, &mut wrote);
    told.push(2 * SEGMENT).unwrap();
    retire_all(&mut keeper);
    drop(log);
    keeper.close().expect("closed");
    let end = place.recover().end();
    let files = place.disk();
    let missing = files.disk_segment(2 * SEGMENT);
    let bytes = std::fs::read(&missing).expect("there");
    std::fs::remove_file(&missing).expect("removed");
    let named = |fault: LogFault| match fault {
        LogFault::Corrupt(bad) => (bad.path, bad.position, bad.what),
        other => panic!("{other}"),
    };
    let (path, position, what) = named(recover(place.settings(), 1).err().expect("refused"));
    assert_eq!((path, position), (missing.clone(), 2 * SEGMENT), "{what}");
    assert!(what.contains("segment is missing"), "{what}");
    let from = Start::Position(4 * SEGMENT);
    let (path, ..) = named(recover_from(place.settings(), 1, from).err().expect("refused, though it is not read"));
    assert_eq!(path, missing);
    let mut tail = place.tail(Start::Oldest);
    drain(&mut tail);
    assert_eq!(named(tail.check_end().expect_err("said")).0, missing);
    // Put back it is as it was; and what comes back from the dead is no harm.
    std::fs::write(&missing, &bytes).expect("written");
    assert_eq!(place.recover().end(), end);
    std::fs::write(files.disk_segment(SEGMENT), zeroless(&bytes, SEGMENT)).expect("written");
    assert_eq!(recover_from(place.settings(), 1, Start::Position(2 * SEGMENT)).expect("fine").end(), end);
}

/// The bytes of a segment as one that lies elsewhere.
fn zeroless(bytes: &[u8], base: u64) -> Vec<u8> {
    use cutline_journal::layout::SegmentHeader;
    let header: SegmentHeader = bytemuck::pod_read_unaligned(&bytes[..64]);
    let header = SegmentHeader::new(header.log_id, base, 1, header.segment_bytes);
    [bytemuck::bytes_of(&header), &bytes[64..]].concat()
}
