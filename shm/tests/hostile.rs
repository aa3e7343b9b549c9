//! No bytes of a cnc file make a reader panic; those of the header that matter are refused by name.

use std::path::Path;

use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::counters::{CounterDef, Kind};
use cutline_shm::layout::CNC_BYTES;
use cutline_shm::reader::CncReader;
use cutline_shm::status::State;

/// Reads everything there is to read.
fn read_all(reader: &CncReader) -> usize {
    let mut seen = reader.counters().map(|c| c.name.len() + c.label.len() + c.unit.len() + c.help.len()).sum::<usize>();
    for histogram in reader.histograms() {
        for q in [0.0, 0.5, 0.999, 1.0] {
            seen += usize::from(histogram.percentile(q).is_some());
        }
        seen += usize::from(histogram.mean().is_some()) + histogram.name.len();
    }
    seen += reader.errors().map(|e| e.text.len()).sum::<usize>();
    seen += reader.lanes().map(|l| l.name.len() + l.status.map_or(0, |s| s.reason.len())).sum::<usize>();
    seen += usize::from(reader.status().is_some()) + usize::from(reader.beat_ns() > 0);
    seen + reader.pid() as usize % 2 + reader.refused().errors as usize % 2 + reader.boot_id().len()
}

fn open_and_read(path: &Path, bytes: &[u8]) -> Result<usize, CncFault> {
    std::fs::write(path, bytes).expect("write");
    CncReader::open(path).map(|reader| read_all(&reader))
}

/// A file with something in every part.
fn good_file(path: &Path) -> Vec<u8> {
    let writer = CncWriter::create(path, 5).expect("create");
    let def = CounterDef { name: "n", unit: "u", help: "h", kind: Kind::Gauge };
    for label in ["a", "b", "c"] {
        writer.counter(&def, label).expect("room").set(3);
        writer.histogram(&def, label).expect("room").record(1000);
        writer.heartbeat(label, 6).expect("room").set_state(State::Running, "because", 7);
        writer.record_error(8, label);
    }
    writer.set_state(State::Running, "because", 9);
    // To be written over by its name.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("ours");
    std::fs::read(path).expect("read")
}

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn random_bytes_are_refused_and_with_a_good_header_survived() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cnc");
    let good = good_file(&path);
    let mut numbers = Numbers(7);
    for round in 0..8 {
        let mut bytes: Vec<u8> = Vec::with_capacity(CNC_BYTES);
        while bytes.len() < CNC_BYTES {
            bytes.extend(numbers.next().to_le_bytes());
        }
        if round % 2 == 1 {
            // All records committed, so that every one of them is really looked at.
            for word in bytes.chunks_exact_mut(4).skip(1024) {
                if word[0] % 2 == 0 {
                    word.copy_from_slice(&[1, 0, 0, 0]);
                }
            }
        }
        assert!(open_and_read(&path, &bytes).is_err());
        bytes[..128].copy_from_slice(&good[..128]);
        open_and_read(&path, &bytes).expect("the header is good");
        for fill in [0x00, 0x01, 0xff] {
            bytes[128..].fill(fill);
            open_and_read(&path, &bytes).expect("the header is good");
        }
    }
}

#[test]
fn lengths_and_commit_words_from_the_file_are_not_believed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cnc");
    let good = good_file(&path);
    // Every record committed and every length enormous: 1 in the commit words, 0xff everywhere else.
    let mut bytes = vec![0xff; CNC_BYTES];
    bytes[..128].copy_from_slice(&good[..128]);
    let mut commit = |at: usize| bytes[at..at + 4].copy_from_slice(&[1, 0, 0, 0]);
    (0..64).for_each(|index| commit(4_096 + index * 704));
    (0..4096).for_each(|index| commit(49_152 + index * 512));
    (0..64).for_each(|index| commit(2_408_448 + index * 9_856));
    open_and_read(&path, &bytes).expect("the header is good");
    let reader = CncReader::open(&path).expect("the header is good");
    assert_eq!((reader.counters().count(), reader.histograms().count()), (4096, 64));
    assert_eq!((reader.lanes().count(), reader.errors().count()), (64, 256));
    assert_eq!(reader.counters().next().map(|c| c.kind), Some(None), "no kind has that number");
    assert_eq!(reader.histograms().next().map(|h| h.count), Some(u64::MAX), "sums saturate");
    assert_eq!(reader.status(), None);
}

#[test]
fn every_truncation_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cnc");
    let good = good_file(&path);
    let mut lengths: Vec<usize> = (0..200).collect();
    lengths.extend((0..CNC_BYTES).step_by(99_991));
    lengths.extend([4095, 4096, 4097, CNC_BYTES - 1]);
    for len in lengths {
        let fault = open_and_read(&path, &good[..len]).expect_err("too short");
        assert!(fault.to_string().contains(&path.display().to_string()), "{fault}");
    }
    let mut long = good.clone();
    long.push(0);
    let fault = open_and_read(&path, &long).expect_err("too long");
    assert!(matches!(fault, CncFault::NotReadable { field: "length of the file", .. }), "{fault}");
    open_and_read(&path, &good).expect("whole");
}

#[test]
fn each_header_byte_flipped_is_refused_where_it_matters_and_never_panics() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cnc");
    let mut bytes = good_file(&path);
    std::fs::write(&path, &bytes).expect("write");
    for at in 0..4096 {
        for flip in [0x01, 0x80, 0xff] {
            // In place: three megabytes a time would be slow.
            bytes[at] ^= flip;
            std::os::unix::fs::FileExt::write_all_at(
                &std::fs::OpenOptions::new().write(true).open(&path).expect("open"),
                &bytes[at..=at],
                at as u64,
            )
            .expect("write");
            let result = CncReader::open(&path).map(|reader| read_all(&reader));
            let field = match at {
                0..8 => Some("magic"),
                8..12 => Some("version"),
                12..16 => Some("header_bytes"),
                16..24 => Some("file_bytes"),
                56..60 => Some("lane_max"),
                60..64 => Some("counter_max"),
                64..68 => Some("histogram_max"),
                68..72 => Some("error_max"),
                _ => None,
            };
            match (field, result) {
                (None, Ok(_)) => {}
                (Some(field), Err(CncFault::NotReadable { field: found, .. })) => {
                    assert_eq!(found, field, "byte {at}")
                }
                (field, result) => {
                    panic!("byte {at} flipped by {flip:#x}: {field:?} gave {result:?}")
                }
            }
            bytes[at] ^= flip;
        }
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::OpenOptions::new().write(true).open(&path).expect("open"),
            &bytes[at..=at],
            at as u64,
        )
        .expect("write");
    }
}

#[test]
fn a_writer_killed_inside_a_status_change_leaves_the_last_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cnc");
    let mut bytes = good_file(&path);
    // The version says which slot is whole; the killed writer was filling the other one.
    let version = u64::from_le_bytes(bytes[256..264].try_into().expect("eight"));
    let other = 256 + 64 + ((version + 1) % 2) as usize * 256;
    bytes[other..other + 100].fill(0xee);
    std::fs::write(&path, &bytes).expect("write");
    let status = CncReader::open(&path).expect("open").status().expect("whole");
    assert_eq!((status.state, &*status.reason, status.changed_ns), (State::Running, "because", 9));
}
