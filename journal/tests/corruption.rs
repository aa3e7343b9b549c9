//! A byte that is not what was written is found and named, wherever it is.
#![allow(missing_docs)]

mod common;

use std::path::{Path, PathBuf};

use common::{
    LOG_ID, Place, SEGMENT, Seen, append, corruption, drain, flip, overwrite, segment_files, sync, write_clean_log,
};
use cutline_journal::fault::Corruption;
use cutline_journal::frame::header_crc;
use cutline_journal::layout::MARK_SLOT_BYTES;
use cutline_journal::recover::recover;
use cutline_journal::{Descriptor, LogFault, Start, Tail};

/// What a tail that reads everything and checks the end has to say.
fn verify(place: &Place) -> Result<Vec<Seen>, LogFault> {
    let mut tail = Tail::open_files(place.disk(), Start::Oldest)?;
    let mut seen = Vec::new();
    while let Some(frame) = tail.poll()? {
        seen.push(Seen::of(&frame));
    }
    tail.check_end()?;
    Ok(seen)
}

fn recovery(place: &Place) -> Result<(), LogFault> {
    recover(place.settings(), LOG_ID).map(|_| ())
}

/// Borders of what lies in the segment at `base`: header, frames, seal or unused space.
fn borders(wrote: &[Seen], base: u64) -> Vec<u64> {
    let mut inside = wrote.iter().filter(|frame| frame.position / SEGMENT * SEGMENT == base);
    let mut borders = vec![0];
    borders.extend(inside.clone().map(|frame| frame.position - base));
    borders.extend(inside.next_back().map(|frame| frame.position - base + Descriptor::frame_bytes(frame.len) as u64));
    borders
}

fn assert_names(fault: LogFault, path: &Path, at: u64, borders: &[u64], unused_from: Option<u64>, who: &str) {
    let found: Corruption = corruption(fault);
    assert_eq!(found.path, path, "{who}, byte {at}: {found}");
    let region = borders.iter().rev().find(|&&border| border <= at).copied().expect("a border");
    let expected = if unused_from.is_some_and(|from| at >= from) { at } else { region };
    // Unused space is looked at from its first byte on, the commit word where a frame would be.
    assert_eq!(found.offset, expected, "{who}, byte {at}: {found}");
}

#[test]
fn every_flipped_byte_of_a_segment_is_named() {
    let place = Place::new();
    let wrote = write_clean_log(&place, 90);
    let files = segment_files(place.disk().disk_dir());
    assert!(files.len() >= 3, "sealed segments and a last one");
    assert!(verify(&place).expect("sound") == wrote);
    let mut flips = 0;
    for (index, path) in files.iter().enumerate() {
        let base = index as u64 * SEGMENT;
        let borders = borders(&wrote, base);
        let unused_from = (index + 1 == files.len()).then(|| *borders.last().expect("some"));
        // Every byte of some headers, one in sixteen of the others, and every 1021st of everything.
        let near = borders
            .iter()
            .flat_map(|&border| border..(border + 64).min(SEGMENT))
            .filter(|at| (index == 1 && *at < 2048) || at % 16 == 0);
        let mut offsets: Vec<u64> = near.chain((0..SEGMENT).step_by(1021)).chain([SEGMENT - 1]).collect();
        offsets.sort_unstable();
        offsets.dedup();
        for at in offsets {
            let mask = 1 << (at % 8) as u8;
            flip(path, at, mask);
            let fault =
                verify(&place).err().unwrap_or_else(|| panic!("byte {at} of {} passed the tail", path.display()));
            assert_names(fault, path, at, &borders, unused_from, "tail");
            let fault =
                recovery(&place).err().unwrap_or_else(|| panic!("byte {at} of {} passed recovery", path.display()));
            assert_names(fault, path, at, &borders, unused_from, "recovery");
            flip(path, at, mask);
            flips += 1;
        }
    }
    assert!(flips > 500, "{flips}");
    assert!(verify(&place).expect("sound again") == wrote);
    recovery(&place).expect("sound again");
}

#[test]
fn every_flipped_byte_of_the_mark_is_named() {
    let place = Place::new();
    let wrote = write_clean_log(&place, 20);
    let path = place.disk().mark();
    for at in 0..2 * MARK_SLOT_BYTES as u64 {
        flip(&path, at, 0x10);
        let found = corruption(verify(&place).expect_err("named"));
        assert_eq!((&found.path, found.offset), (&path, at / 512 * 512), "{found}");
        // One slot may be torn by a crash, so recovery goes on with the other, which says the same, and tells.
        let recovered = place.recover();
        assert_eq!(recovered.damaged_mark().expect("told").offset, at / 512 * 512);
        assert_eq!(
            (recovered.torn_bytes, recovered.last_seq()),
            (0, wrote.iter().filter(|frame| frame.kind == 1).count() as u64)
        );
        flip(&path, at, 0x10);
    }
    for bytes in [0, 100, 511, 700, 1023, 1025, 5000] {
        let whole = std::fs::read(&path).expect("read");
        let mut other = whole.clone();
        other.resize(bytes, 0);
        std::fs::write(&path, &other).expect("written");
        let named = verify(&place).err().or(recovery(&place).err()).unwrap_or_else(|| panic!("{bytes} bytes pass"));
        assert_eq!(corruption(named).path, path, "{bytes} bytes");
        std::fs::write(&path, &whole).expect("written");
    }
    recovery(&place).expect("sound again");
}

#[test]
fn without_a_mark_that_can_be_read_a_log_with_frames_is_refused() {
    for how in ["both slots damaged", "gone", "gone with the last segment", "of another log"] {
        let place = Place::new();
        write_clean_log(&place, 60);
        let path = place.disk().mark();
        match how {
            "gone" => std::fs::remove_file(&path).expect("removed"),
            "gone with the last segment" => {
                std::fs::remove_file(&path).expect("removed");
                let last = segment_files(place.disk().disk_dir()).pop().expect("a segment");
                std::fs::remove_file(last).expect("removed");
            }
            "of another log" => {
                let other = Place::new();
                let log = recover(other.settings(), LOG_ID + 1).and_then(|log| log.activate()).expect("active");
                drop(log);
                std::fs::copy(other.disk().mark(), &path).map(|_| ()).expect("copied");
            }
            _ => {
                flip(&path, 9, 1);
                flip(&path, 512 + 9, 1);
            }
        }
        assert_eq!(corruption(recovery(&place).expect_err(how)).path, path, "{how}");
        assert_eq!(corruption(verify(&place).expect_err(how)).path, path, "{how}");
    }
}

#[test]
fn a_zeroed_length_word_below_the_mark_is_named() {
    let place = Place::new();
    let wrote = write_clean_log(&place, 60);
    let mut places: Vec<(PathBuf, u64)> = Vec::new();
    for path in segment_files(place.disk().disk_dir()) {
        let base: u64 =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok()).expect("a base");
        let borders = borders(&wrote, base);
        let last = wrote.last().expect("some").position / SEGMENT * SEGMENT == base;
        let count = borders.len() - usize::from(last); // at the end of the last segment there is no seal
        places.extend(borders[1..count].iter().map(|&border| (path.clone(), border)));
    }
    for (path, at) in places {
        let before = std::fs::read(&path).expect("read");
        overwrite(&path, at, &[0; 4]);
        for fault in [verify(&place).expect_err("tail"), recovery(&place).expect_err("recovery")] {
            let found = corruption(fault);
            assert_eq!((&found.path, found.offset), (&path, at), "{found}");
        }
        overwrite(&path, at, &before[at as usize..at as usize + 4]);
    }
    assert!(verify(&place).expect("sound again") == wrote);
}

#[test]
fn a_missing_or_empty_segment_is_named() {
    let place = Place::new();
    write_clean_log(&place, 90);
    let files = segment_files(place.disk().disk_dir());
    for path in &files[1..] {
        let before = std::fs::read(path).expect("read");
        for how in ["gone", "zeros", "short"] {
            match how {
                "gone" => std::fs::remove_file(path).expect("removed"),
                "zeros" => std::fs::write(path, vec![0; before.len()]).expect("written"),
                _ => std::fs::write(path, &before[..70]).expect("written"),
            }
            for fault in [verify(&place).expect_err("tail"), recovery(&place).expect_err("recovery")] {
                assert_eq!(&corruption(fault).path, path, "{how}");
            }
            std::fs::write(path, &before).expect("written");
        }
    }
    // All of them gone.
    for path in &files {
        std::fs::remove_file(path).expect("removed");
    }
    assert!(matches!(Tail::open_files(place.disk(), Start::Oldest), Err(LogFault::Absent(_))));
    let text = recovery(&place).expect_err("refused").to_string();
    assert!(text.contains("no segment") && text.contains("outputs"), "{text}");
}

#[test]
fn a_segment_that_is_missing_under_a_living_or_dead_writer_is_named_and_nobody_waits_for_it() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    for tag in 0..150 {
        append(&mut appender, &mut keeper, tag, 3000);
    }
    sync(&appender, &mut keeper);
    let files = segment_files(place.disk().disk_dir());
    let (missing, aside) = (&files[2], place.data.path().join("aside"));
    let in_memory = place.files().live_segment(2 * SEGMENT).expect("a live directory");
    assert!(!in_memory.exists() && files.len() > 4, "only the disk has it");
    let gone = |tail: &mut Tail| loop {
        match tail.poll() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it waits for what was there"),
            Err(fault) => break corruption(fault),
        }
    };
    let mut behind = place.tail(Start::Oldest);
    std::fs::rename(missing, &aside).expect("renamed");
    assert_eq!(&gone(&mut behind).path, missing, "a follower that is behind");
    assert_eq!(&gone(&mut place.tail(Start::Oldest)).path, missing, "one that comes now");
    place.kill(appender, keeper);
    assert_eq!(&gone(&mut behind).path, missing, "once its writer is dead");
    assert_eq!(&corruption(recovery(&place).expect_err("recovery")).path, missing);
    std::fs::rename(&aside, missing).expect("renamed");
    assert_eq!(drain(&mut behind).last().map(|frame| frame.tag), Some(149), "and it goes on once it is back");
}

#[test]
fn segments_of_another_log_or_in_another_order_are_named() {
    let place = Place::new();
    write_clean_log(&place, 90);
    let files = segment_files(place.disk().disk_dir());
    let before = std::fs::read(&files[1]).expect("read");
    std::fs::copy(&files[0], &files[1]).expect("copied");
    assert_eq!(corruption(verify(&place).expect_err("tail")).path, files[1]);
    let other = Place::new();
    let (mut appender, mut keeper) =
        recover(other.settings(), LOG_ID + 1).and_then(|log| log.activate()).expect("active");
    for tag in 0..90 {
        append(&mut appender, &mut keeper, tag, 3000);
    }
    drop(appender);
    keeper.close().expect("closed");
    std::fs::copy(segment_files(other.disk().disk_dir())[1].clone(), &files[1]).expect("copied");
    let found = corruption(recovery(&place).expect_err("recovery"));
    assert_eq!((&found.path, found.offset), (&files[1], 0));
    assert!(found.what.contains("another log"), "{found}");
    std::fs::write(&files[1], before).expect("written");
    recovery(&place).expect("sound again");
}

/// A process crash leaves two copies of what was flushed. They must be the same.
#[test]
fn two_committed_copies_that_differ_are_named() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let wrote: Vec<Seen> = (0..20).map(|tag| append(&mut appender, &mut keeper, tag * 3, 200)).collect();
    sync(&appender, &mut keeper);
    let durable = keeper.durable();
    let above = append(&mut appender, &mut keeper, 99, 200);
    assert_eq!(above.position, durable);
    place.kill(appender, keeper);
    let disk = place.disk().disk_segment(0);
    let live = place.files().live_segment(0).expect("live");

    for frame in [&wrote[0], &wrote[11], &wrote[19]] {
        // In memory: the checksum tells. On disk: the comparison.
        for (path, at) in [(&live, frame.position + 70), (&disk, frame.position + 70), (&disk, frame.position + 3)] {
            flip(path, at, 4);
            let found = corruption(recovery(&place).expect_err("named"));
            assert_eq!(&found.path, path, "{found}");
            assert!((frame.position..=at).contains(&found.offset), "{found}");
            flip(path, at, 4);
        }
        // On disk a whole frame that is sound by itself, but another.
        let before = std::fs::read(&disk).expect("read");
        let at = frame.position as usize;
        let mut other: Descriptor = bytemuck::pod_read_unaligned(&before[at..at + 64]);
        other.ts_ns += 1;
        other.crc = crc32c::crc32c_append(header_crc(&other), &before[at + 64..at + 64 + frame.len]);
        overwrite(&disk, frame.position, bytemuck::bytes_of(&other));
        let found = corruption(recovery(&place).expect_err("named"));
        assert_eq!(found.path, disk);
        assert!((frame.position..frame.position + 64).contains(&found.offset), "{found}");
        assert!(found.what.contains(&live.display().to_string()), "both files are named: {found}");
        overwrite(&disk, frame.position, &before[at..at + 64]);
    }
    // Behind the mark disk may hold anything: memory is the truth there.
    overwrite(&disk, above.position + 64, &[9; 100]);
    let recovered = place.recover();
    assert_eq!(recovered.last_seq(), above.seq);
}

/// Memory that ends before the place where the log was visible, or on disk, has lost something.
#[test]
fn memory_that_lost_frames_is_named() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let wrote: Vec<Seen> = (0..20).map(|tag| append(&mut appender, &mut keeper, tag * 3, 200)).collect();
    sync(&appender, &mut keeper);
    let above = append(&mut appender, &mut keeper, 99, 200);
    appender.publish();
    place.kill(appender, keeper);
    let live = place.files().live_segment(0).expect("live");
    for frame in [&above, &wrote[7]] {
        let before = std::fs::read(&live).expect("read");
        let at = frame.position as usize;
        overwrite(&live, frame.position, &[0; 4]);
        let found = corruption(recovery(&place).expect_err("named"));
        assert_eq!((&found.path, found.offset), (&live, frame.position), "{found}");
        overwrite(&live, frame.position, &before[at..at + 4]);
    }
    // The whole memory copy gone, its head still there: what was flushed is on disk, the rest is lost.
    std::fs::remove_file(&live).expect("removed");
    let found = corruption(recovery(&place).expect_err("named"));
    assert_eq!(found.offset, above.position, "{found}");
}

/// A tail that follows a running writer, and reads what has left memory from disk, finds damage there too.
#[test]
fn a_follower_of_a_running_writer_finds_damage_on_disk() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    for tag in 0..120 {
        append(&mut appender, &mut keeper, tag * 3, 3000);
    }
    sync(&appender, &mut keeper);
    let path = place.disk().disk_segment(0);
    assert!(!place.files().live_segment(0).expect("a name").exists(), "retired from memory");
    let mut wait = place.tail(Start::Oldest);
    wait.poll().expect("sound").expect("a frame");
    let at = wait.position();
    for (offset, bytes) in [(at, &[0; 4][..]), (at + 100, &[1, 2, 3, 4, 5])] {
        let before = std::fs::read(&path).expect("read");
        overwrite(&path, offset, bytes);
        let mut tail = place.tail(Start::Oldest);
        tail.poll().expect("sound").expect("a frame");
        for _ in 0..3 {
            let found = corruption(tail.poll().map(|frame| frame.is_some()).expect_err("named"));
            assert_eq!((&found.path, found.offset), (&path, at), "{found}");
            assert_eq!(tail.position(), at, "the tail stays where it is");
        }
        overwrite(&path, offset, &before[offset as usize..offset as usize + bytes.len()]);
        assert!(tail.poll().expect("sound again").is_some(), "and goes on when the disk answers rightly");
    }
}
