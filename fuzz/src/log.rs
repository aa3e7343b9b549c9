//! A log whose files were damaged: tails and recovery never panic, never serve a frame that was not written, and either serve
//! everything or name the place.
//!
//! Frames that match their checksum by design are not made here: noise follows from a seed, so that no input can be steered to
//! a forged checksum.

use std::cell::RefCell;
use std::fs;

use cutline_journal::recover::{Recovered, recover};
use cutline_journal::{LogFault, LogFiles, Start, Tail};

use crate::log_place::{End, LOG_ID, Place, Wrote, append, noise};

/// Most damages of one input: fewer than a log has files, so that not all of it can be gone.
const DAMAGES_MAX: usize = 3;
/// Polls after the first without a frame: a tail that is idle looks around now and then.
const IDLE_POLLS: usize = 3;

thread_local! {
    static PLACES: [RefCell<Place>; 2] = [End::Stopped, End::Killed].map(|end| RefCell::new(Place::new(end)));
}

/// `data`: which log and whether to write on (1 byte), where to start a tail (3 bytes), damages of 5 bytes each.
pub fn check(data: &[u8]) {
    let Some(([how, start @ ..], damages)) = data.split_first_chunk::<4>() else { return };
    PLACES.with(|places| {
        let place = places[usize::from(how & 1)].borrow();
        let damages: Vec<Damage> =
            damages.chunks_exact(5).take(DAMAGES_MAX).map(|bytes| Damage::new(bytes, &place)).collect();
        for damage in &damages {
            damage.apply(&place);
        }
        let damages = Damages::found(&place, &damages);
        read_from(&place, *start);
        match place.end {
            End::Stopped => check_stopped(&place, &damages),
            End::Killed => check_killed(&place, &damages),
        }
        if how & 2 != 0 {
            write_on(&place);
            place.mend_all();
        } else {
            damages.changed.iter().for_each(|&file| place.mend(file));
        }
    });
}

/// One damage of one file.
struct Damage {
    file: usize,
    at: usize,
    how: How,
}

enum How {
    Flip(u8),
    Noise(usize),
    Zeros(usize),
    /// A block of another place of the same file, or of the next file: a write that went astray.
    Stray(usize, usize),
    Resize,
    Remove,
}

impl Damage {
    fn new(bytes: &[u8], place: &Place) -> Self {
        let (how, arg) = (bytes[0], usize::from(bytes[4]));
        let how = match how % 12 {
            0..6 => How::Flip(1 << (arg % 8)),
            6 | 7 => How::Noise(arg + 1),
            8 => How::Zeros((arg + 1) * 16),
            9 => How::Stray(arg % 2, arg / 2 * 512),
            10 => How::Resize,
            _ => How::Remove,
        };
        let at = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        Self { file: usize::from(bytes[1]) % place.files.len(), at, how }
    }

    fn apply(&self, place: &Place) {
        let path = &place.files[self.file].path;
        // Removed by an earlier damage: then it is empty now.
        let mut bytes = fs::read(path).unwrap_or_default();
        let at = self.at % bytes.len().max(1);
        let replace =
            |bytes: &mut Vec<u8>, by: &[u8]| bytes[at..].iter_mut().zip(by).for_each(|(old, new)| *old = *new);
        match self.how {
            How::Flip(mask) => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= mask),
            How::Noise(len) => replace(&mut bytes, &noise((self.at << 8 | len) as u64, len)),
            How::Zeros(len) => replace(&mut bytes, &vec![0; len]),
            How::Stray(next, from) => {
                let source = &place.files[(self.file + next) % place.files.len()].bytes;
                let from = &source[from % source.len()..];
                replace(&mut bytes, &from[..from.len().min(512)]);
            }
            How::Resize => bytes.resize(self.at, 0),
            How::Remove => {
                let _ = fs::remove_file(path);
                return;
            }
        }
        fs::write(path, bytes).expect("written");
    }
}

/// What has become of the files in the end.
struct Damages {
    changed: Vec<usize>,
    /// Nothing but up to three bits flipped: no checksum can miss that.
    flips_only: bool,
}

impl Damages {
    fn found(place: &Place, damages: &[Damage]) -> Self {
        let changed = (0..place.files.len())
            .filter(|&file| fs::read(&place.files[file].path).ok().as_ref() != Some(&place.files[file].bytes));
        Self { changed: changed.collect(), flips_only: damages.iter().all(|damage| matches!(damage.how, How::Flip(_))) }
    }

    fn touch(&self, place: &Place, name: &str) -> bool {
        self.changed.iter().any(|&file| place.files[file].path.ends_with(name))
    }

    fn touch_segments(&self, place: &Place) -> bool {
        self.changed.iter().any(|&file| place.files[file].path.extension().is_some())
    }
}

/// Frames that a tail served: from where to where in `place.wrote`.
type Served = std::ops::Range<usize>;

/// Reads on to the end or a fault, and holds every frame to what was written.
fn drain(tail: &mut Tail, wrote: &[&Wrote]) -> (Option<Served>, Option<LogFault>) {
    let mut served: Option<Served> = None;
    let mut idle = 0;
    loop {
        match tail.poll() {
            Ok(Some(frame)) => {
                let at = match &served {
                    Some(served) => served.end,
                    None => wrote
                        .iter()
                        .position(|wrote| wrote.header.position == frame.header.position)
                        .expect("a frame where none was written"),
                };
                let expected = wrote.get(at).expect("a frame behind the last that was written");
                let written =
                    (expected.header.seq, expected.header.position, expected.header.kind, expected.header.aux);
                let header = frame.header;
                assert_eq!((header.seq, header.position, header.kind, header.aux), written);
                assert_eq!((frame.payload, frame.more), (&*expected.payload, expected.more));
                served = Some(served.map_or(at, |served| served.start)..at + 1);
            }
            Ok(None) if idle < IDLE_POLLS => idle += 1,
            Ok(None) => return (served, None),
            Err(fault) => return (served, Some(fault)),
        }
    }
}

fn all(place: &Place) -> Vec<&Wrote> {
    place.wrote.iter().collect()
}

/// A fault says where, within this log.
fn assert_names(place: &Place, fault: &LogFault) {
    assert!(!fault.to_string().is_empty());
    match fault {
        LogFault::Corrupt(found) => assert!(place.contains(&found.path) && !found.what.is_empty(), "{found}"),
        LogFault::Io { path, .. } | LogFault::Absent(path) => assert!(place.contains(path), "{fault}"),
        LogFault::Settings(_) | LogFault::Region(_) | LogFault::Lagged { .. } | LogFault::Rewound { .. } => {}
    }
}

/// Tails from anywhere, of all files and of the disk files alone: what they serve was written.
fn read_from(place: &Place, [how, low, high]: [u8; 3]) {
    let value = u64::from(u16::from_le_bytes([low, high]));
    let start = match how % 5 {
        0 => Start::Now,
        1 => Start::Oldest,
        2 => Start::Seq(value % 128),
        3 => Start::Position(value * 64),
        _ => Start::Position(value),
    };
    for files in [place.find(), place.disk()] {
        let fault = match Tail::open_files(files, start) {
            Ok(mut tail) => drain(&mut tail, &all(place)).1,
            Err(fault) => Some(fault),
        };
        fault.iter().for_each(|fault| assert_names(place, fault));
    }
}

/// A tail over everything, its end checked.
fn verify(place: &Place, files: LogFiles) -> Result<Option<Served>, LogFault> {
    let mut tail = Tail::open_files(files, Start::Oldest)?;
    match drain(&mut tail, &all(place)) {
        (_, Some(fault)) => Err(fault),
        (served, None) => tail.check_end().map(|()| served),
    }
}

/// Recovery, and what it lets a tail serve.
fn recovered(place: &Place) -> Result<(Recovered, Option<Served>), LogFault> {
    let recovered = recover(place.settings(), LOG_ID)?;
    let mut tail = Tail::open_files(recovered.files(), Start::Oldest)?;
    let (served, fault) = drain(&mut tail, &all(place));
    match fault {
        Some(LogFault::Corrupt(found)) if found.position >= recovered.end() => {}
        Some(fault) => panic!("recovery took the log for sound up to {}, but {fault}", recovered.end()),
        None => {}
    }
    Ok((recovered, served))
}

fn end_of(served: &Option<Served>) -> usize {
    served.as_ref().map_or(0, |served| served.end)
}

fn check_stopped(place: &Place, damages: &Damages) {
    let everything = place.wrote.len();
    match verify(place, place.disk()) {
        Ok(served) => {
            assert_eq!(end_of(&served), everything, "a tail ended early at {served:?} and said nothing");
            assert!(!damages.flips_only || damages.changed.is_empty(), "a flipped bit passed the tail");
        }
        Err(fault) => {
            assert!(!damages.changed.is_empty(), "a sound log was refused: {fault}");
            assert_names(place, &fault);
        }
    }
    match recovered(place) {
        Ok((recovered, served)) => {
            assert_eq!(end_of(&served), everything, "recovery ended early and said nothing");
            if damages.flips_only {
                assert!(!damages.touch_segments(place), "a flipped bit of a segment passed recovery");
                assert_eq!(recovered.damaged_mark().is_some(), damages.touch(place, "mark"));
            }
        }
        Err(fault) => {
            assert!(!damages.changed.is_empty(), "a sound log was refused: {fault}");
            assert_names(place, &fault);
        }
    }
}

/// With its memory the log is whole. Where the head or a mark is damaged memory may not count: then it is as after a crash of
/// the machine, and what a mark promised is there.
fn check_killed(place: &Place, damages: &Damages) {
    match recovered(place) {
        Ok((recovered, served)) => {
            let served = end_of(&served);
            let memory_counts = !damages.touch(place, "head") && !damages.touch(place, "mark");
            let promised = place.wrote.iter().take_while(|wrote| wrote.header.position < place.promised).count();
            let least = if memory_counts { place.wrote.len() } else { promised };
            assert!(
                served >= least,
                "recovery ended at {}, frame {served} of at least {least}, and said nothing",
                recovered.end()
            );
        }
        Err(fault) => {
            assert!(!damages.changed.is_empty(), "a sound log was refused: {fault}");
            assert_names(place, &fault);
        }
    }
}

/// What recovery takes for sound can be written on, and a tail reads it and what follows.
fn write_on(place: &Place) {
    let Ok(recovered) = recover(place.settings(), LOG_ID) else { return };
    let end = recovered.end();
    let (mut appender, keeper) = match recovered.activate() {
        Ok(active) => active,
        Err(fault) => return assert_names(place, &fault),
    };
    let more: Vec<Wrote> = (1000..1003).flat_map(|tag| append(&mut appender, tag, &[500, 0])).collect();
    let before = place.wrote.iter().filter(|wrote| wrote.header.position < end);
    let expected: Vec<&Wrote> = before.chain(&more).collect();
    let mut tail = Tail::open_files(place.find(), Start::Oldest).unwrap_or_else(|fault| panic!("{fault}"));
    let (served, fault) = drain(&mut tail, &expected);
    assert!(fault.is_none(), "behind a recovery up to {end}: {fault:?}");
    assert_eq!(end_of(&served), expected.len(), "behind a recovery up to {end}");
    drop((appender, keeper));
}
