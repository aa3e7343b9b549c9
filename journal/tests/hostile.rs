//! Files that hold anything: a fault at most, never a panic, never without end.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{LOG_ID, Place, SEGMENT, append, assert_same, drain, sync, write_clean_log};
use cutline_journal::layout::{HEAD_MAGIC, Mark, SegmentHeader};
use cutline_journal::recover::recover;
use cutline_journal::{Lookup, Start, Tail};
use proptest::prelude::*;

/// Opens and reads in every way; what comes does not matter, that it comes to an end does.
fn try_everything(place: &Place, positions: &[u64]) {
    let starts = [Start::Oldest, Start::Now, Start::Seq(0), Start::Seq(7), Start::Seq(u64::MAX)];
    let starts = starts.into_iter().chain(positions.iter().map(|&position| Start::Position(position)));
    for files in [place.files(), place.disk()] {
        for start in starts.clone() {
            let Ok(mut tail) = Tail::open_files(files.clone(), start) else { continue };
            let mut frames = 0;
            for _ in 0..3 {
                while let Ok(Some(frame)) = tail.poll() {
                    frames += frame.payload.len().min(1) + 1;
                    assert!(frames < 100_000, "frames without end");
                }
            }
            let _ = (tail.check_end(), tail.place(), tail.position(), tail.next_seq(), tail.at_seal());
        }
        let mut lookup = Lookup::new(files, SEGMENT);
        for &position in positions {
            let _ = lookup.frame(position);
        }
    }
    match recover(place.settings(), LOG_ID) {
        Ok(recovered) => {
            let _ = (recovered.end(), recovered.last_seq(), recovered.damaged_mark());
            let _ = Tail::open_files(recovered.files(), Start::Oldest).map(|mut tail| tail.poll().is_ok());
            if let Ok((appender, keeper)) = recovered.activate() {
                place.kill(appender, keeper);
            }
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

/// All files of a log, in memory and on disk.
fn all_files(place: &Place) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = [place.disk().disk_dir(), &place.live.path().join("outputs")]
        .into_iter()
        .filter(|dir| dir.exists())
        .flat_map(|dir| fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path()))
        .collect();
    all.sort();
    all
}

/// A log whose process was killed: two segments flushed, memory beyond.
fn killed_log(place: &Place) -> Vec<u64> {
    let (mut appender, mut keeper) = place.start();
    let mut positions = vec![0, 1, 63, 64, 65, SEGMENT, SEGMENT + 64, 3 * SEGMENT, u64::MAX, u64::MAX - SEGMENT];
    for tag in 0..60 {
        let frame = append(&mut appender, &mut keeper, tag, (tag as usize * 401) % 5000);
        if tag % 11 == 0 {
            positions.push(frame.position);
        }
        if tag == 50 {
            sync(&appender, &mut keeper);
        }
    }
    place.kill(appender, keeper);
    positions
}

#[derive(Clone, Debug)]
enum Damage {
    /// Random bytes at a place.
    Bytes(usize, usize, u64),
    /// One word of a header's fields, with its checksum put right where there is one.
    Field(usize, usize, u64),
    Resize(usize, usize),
    Empty(usize),
    Remove(usize),
    Copy(usize, usize),
    Rename(usize, u64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![Just(0_u64), Just(u64::MAX), Just(1 << 63), Just(SEGMENT), 0_u64..4096, any::<u64>()];
    let name = prop_oneof![
        Just(u64::MAX),
        Just(1_u64),
        Just(u64::MAX - SEGMENT + 1),
        (0_u64..9).prop_map(|n| n * SEGMENT),
        any::<u64>()
    ];
    prop_oneof![
        4 => (any::<usize>(), 0_usize..70_000, any::<u64>()).prop_map(|(file, at, seed)| Damage::Bytes(file, at, seed)),
        4 => (any::<usize>(), 0_usize..8, word).prop_map(|(file, field, word)| Damage::Field(file, field, word)),
        1 => (any::<usize>(), 0_usize..200_000).prop_map(|(file, len)| Damage::Resize(file, len)),
        1 => any::<usize>().prop_map(Damage::Empty),
        1 => any::<usize>().prop_map(Damage::Remove),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Damage::Copy(from, to)),
        1 => (any::<usize>(), name).prop_map(|(file, base)| Damage::Rename(file, base)),
    ]
}

fn apply(place: &Place, damage: &Damage) {
    let files = all_files(place);
    files.iter().for_each(|file| common::unlock(file));
    let pick = |index: &usize| files.get(index % files.len().max(1)).cloned();
    match damage {
        Damage::Bytes(file, at, seed) => {
            let Some(path) = pick(file) else { return };
            let mut bytes = fs::read(&path).expect("read");
            if bytes.is_empty() {
                return;
            }
            let at = at % bytes.len();
            let noise = common::payload(*seed as i64, (*seed % 300) as usize + 1);
            for (byte, noise) in bytes[at..].iter_mut().zip(noise) {
                *byte = noise;
            }
            fs::write(path, bytes).expect("written");
        }
        Damage::Field(file, field, word) => {
            let Some(path) = pick(file) else { return };
            let mut bytes = fs::read(&path).expect("read");
            let at = field * 8;
            if bytes.len() < at + 8 {
                return;
            }
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            put_checksums_right(&path, &mut bytes);
            fs::write(path, bytes).expect("written");
        }
        Damage::Resize(file, len) => {
            let Some(path) = pick(file) else { return };
            let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
            file.set_len(*len as u64).expect("resized");
        }
        Damage::Empty(file) => {
            let Some(path) = pick(file) else { return };
            fs::write(path, []).expect("written");
        }
        Damage::Remove(file) => {
            let Some(path) = pick(file) else { return };
            fs::remove_file(path).expect("removed");
        }
        Damage::Copy(from, to) => {
            let (Some(from), Some(to)) = (pick(from), pick(to)) else { return };
            if from != to {
                fs::copy(from, to).expect("copied");
            }
        }
        Damage::Rename(file, base) => {
            let Some(path) = pick(file) else { return };
            let to = path.with_file_name(format!("{base:020}.seg"));
            fs::rename(path, to).expect("renamed");
        }
    }
}

fn put_checksums_right(path: &Path, bytes: &mut [u8]) {
    if path.ends_with("mark") {
        for slot in bytes.chunks_mut(512).filter(|slot| slot.len() == 512) {
            let mark: Mark = bytemuck::pod_read_unaligned(&slot[..size_of::<Mark>()]);
            let oldest = u64::from_le_bytes(slot[304..312].try_into().expect("eight bytes"));
            slot.copy_from_slice(&mark.seal(Some(oldest)));
        }
    } else if path.extension().is_some() {
        let header: SegmentHeader = bytemuck::pod_read_unaligned(&bytes[..64]);
        let mut fresh = SegmentHeader::new(header.log_id, header.base, header.first_seq, header.segment_bytes);
        fresh.reserved = header.reserved;
        bytes[..64].copy_from_slice(bytemuck::bytes_of(&fresh));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases(40), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_logs_never_panic(clean: bool, damages in prop::collection::vec(damage(), 1..5)) {
        let place = Place::new();
        let positions = killed_log(&place);
        if clean {
            let (appender, keeper) = place.start();
            drop(appender);
            keeper.close().expect("closed");
        }
        for damage in &damages {
            apply(&place, damage);
        }
        try_everything(&place, &positions);
        // And what recovery has made of it.
        try_everything(&place, &positions[..2]);
    }

    #[test]
    fn random_files_never_panic(seed: u64, sizes in prop::collection::vec(0_usize..70_000, 6), magic: bool) {
        let place = Place::new();
        fs::create_dir_all(place.disk().disk_dir()).expect("made");
        fs::create_dir_all(place.live.path().join("outputs")).expect("made");
        let paths = [
            place.disk().disk_segment(0),
            place.disk().disk_segment(SEGMENT),
            place.disk().mark(),
            place.files().live_segment(0).expect("a name"),
            place.files().live_segment(SEGMENT).expect("a name"),
            place.files().head().expect("a name"),
        ];
        for (index, (path, size)) in paths.iter().zip(sizes).enumerate() {
            let mut bytes = common::payload(seed as i64 + index as i64, size);
            if magic && bytes.len() > 300 && path.ends_with("head") {
                bytes[..8].copy_from_slice(&HEAD_MAGIC);
                bytes[264..272].fill(0);
            }
            if magic && bytes.len() >= 64 && index < 2 {
                let header = SegmentHeader::new(seed | 1, index as u64 * SEGMENT, 1 + index as u64, SEGMENT);
                bytes[..64].copy_from_slice(bytemuck::bytes_of(&header));
            }
            fs::write(path, bytes).expect("written");
        }
        try_everything(&place, &[0, 64, 4096, SEGMENT, u64::MAX]);
    }
}

#[test]
fn a_folder_or_a_pipe_in_place_of_a_file_is_a_fault() {
    for name in ["mark", "00000000000000000000.seg", "00000000000000065536.seg"] {
        let place = Place::new();
        let positions = killed_log(&place);
        for dir in [place.disk().disk_dir().to_owned(), place.live.path().join("outputs")] {
            let path = dir.join(name);
            let _ = fs::remove_file(&path);
            fs::create_dir_all(&path).expect("made");
        }
        let head = place.files().head().expect("a name");
        fs::remove_file(&head).expect("removed");
        fs::create_dir(&head).expect("made");
        try_everything(&place, &positions);
    }
}

/// Files made ahead of need hold zeros. They are no segments yet.
#[test]
fn segments_made_ahead_confuse_nobody() {
    let place = Place::new();
    fs::create_dir_all(place.disk().disk_dir()).expect("made");
    let ahead =
        |base: u64, len: u64| fs::write(place.disk().disk_segment(base), vec![0; len as usize]).expect("written");
    // Nothing but files made ahead: there is no log yet.
    ahead(0, SEGMENT);
    ahead(SEGMENT, 0);
    let absent = Tail::open(place.data.path(), "outputs", Start::Now).map(|_| ()).expect_err("no log");
    assert!(matches!(absent, cutline_journal::LogFault::Absent(_)), "{absent}");
    assert_eq!((place.recover().last_seq(), place.recover().torn_bytes), (0, 0));

    let wrote = write_clean_log(&place, 50);
    let last = wrote.last().expect("some").position / SEGMENT * SEGMENT;
    ahead(last + SEGMENT, SEGMENT);
    ahead(last + 2 * SEGMENT, 0);
    ahead(last + 5 * SEGMENT, 17);
    let (seen, mut tail) = place.read_all();
    assert_same(&seen, &wrote, "oldest");
    tail.check_end().expect("a clean end");
    assert!(drain(&mut place.tail(Start::Now)).is_empty());
    assert_eq!(drain(&mut place.tail(Start::Seq(wrote[20].seq))).last(), wrote.last());
    assert_eq!(drain(&mut place.tail(Start::Position(wrote[45].position))).len(), wrote.len() - 45);
    let recovered = place.recover();
    assert_eq!(recovered.torn_bytes, 0);
    let (mut appender, mut keeper) = recovered.activate().expect("active");
    let more: Vec<_> = (500..600).map(|tag| append(&mut appender, &mut keeper, tag, 3000)).collect();
    assert_same(&drain(&mut tail), &more, "a tail from before");
}
