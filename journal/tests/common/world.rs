//! Three logs kept by hand on a simulated disk, what is known of them from outside, and what the contract says must be true of
//! them after somebody has died.
#![allow(dead_code, missing_docs)] // every test file uses its part

use std::path::Path;
use std::sync::Arc;

use cutline_journal::keeper::{FlushSettings, Keeper};
use cutline_journal::layout::{SEAL, SEGMENT_HEADER_BYTES, UNNUMBERED};
use cutline_journal::recover::{LogSettings, Recovered, recover};
use cutline_journal::sim::SimDisk;
use cutline_journal::{Appender, Descriptor, LogFault, LogFiles, Start, Tail, Watermarks};
use tempfile::TempDir;

pub const SEGMENT: u64 = 64 * 1024;
pub const NAMES: [&str; 3] = ["inputs", "runs", "outputs"];
/// Enough for each log to go through a segment or two.
pub const ROUNDS: u64 = 15;

/// A frame that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub position: u64,
    pub end: u64,
    pub seq: u64,
    pub payload: Vec<u8>,
    pub more: bool,
    /// Frames of the inputs log that this one may refer to.
    pub refers: usize,
}

/// What is known of a log from outside.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub committed: Vec<Frame>,
    /// The furthest durable watermark that followers could have read.
    pub told: u64,
    pub generation: u64,
}

/// Three logs: their memory, and what is known of them.
pub struct World {
    pub live: TempDir,
    pub known: [Known; 3],
    pub number: u64,
}

/// Their writers.
pub struct Writers {
    pub appenders: Vec<Appender>,
    pub keeper: Keeper,
    pub watermarks: Vec<Watermarks>,
}

impl World {
    pub fn new() -> Self {
        let live = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
        Self { live, known: Default::default(), number: 0 }
    }

    pub fn data() -> &'static Path {
        Path::new("/sim/data")
    }

    pub fn settings(&self, disk: &SimDisk, name: &'static str) -> LogSettings {
        LogSettings {
            name,
            data: Self::data().to_owned(),
            live: self.live.path().to_owned(),
            segment_bytes: SEGMENT,
            live_segments: 3,
            capacity_bytes: 0,
            durable: name == "outputs",
            disk: Arc::new(disk.clone()),
        }
    }

    pub fn files(&self, disk: &SimDisk, name: &str) -> LogFiles {
        LogFiles::new(Self::data(), Some(self.live.path()), name).through(Arc::new(disk.clone()))
    }

    pub fn recover(&self, disk: &SimDisk) -> Result<Vec<Recovered>, LogFault> {
        NAMES.iter().enumerate().map(|(index, name)| recover(self.settings(disk, name), 77 + index as u64)).collect()
    }

    /// Takes note of what followers can read of `log` now.
    pub fn hear(&mut self, log: usize, watermarks: &Watermarks) {
        self.known[log].told = self.known[log].told.max(watermarks.durable());
    }

    pub fn activate(&mut self, disk: &SimDisk, recovered: Vec<Recovered>) -> Result<Writers, LogFault> {
        let (mut appenders, mut keepers, mut watermarks) = (Vec::new(), Vec::new(), Vec::new());
        for (log, recovered) in recovered.into_iter().enumerate() {
            let (appender, keeper) = recovered.activate()?;
            let heard = Watermarks::open(&self.files(disk, NAMES[log]))?.expect("a head");
            self.hear(log, &heard);
            self.known[log].generation = Tail::open_files(self.files(disk, NAMES[log]), Start::Oldest)?.generation();
            appenders.push(appender);
            keepers.push(keeper);
            watermarks.push(heard);
        }
        let settings = FlushSettings { interval: std::time::Duration::ZERO, bytes: 0 };
        Ok(Writers { appenders, keeper: Keeper::new(keepers, settings), watermarks })
    }

    pub fn start(&mut self, disk: &SimDisk) -> Result<Writers, LogFault> {
        let recovered = self.recover(disk)?;
        self.activate(disk, recovered)
    }

    /// Appends a group of frames of these sizes.
    pub fn append(&mut self, writers: &mut Writers, log: usize, sizes: &[usize]) -> Result<(), LogFault> {
        let bytes = sizes.iter().map(|&len| Descriptor::frame_bytes(len)).sum();
        let refers = self.known[0].committed.len();
        for _ in 0..3 {
            let Ok(mut group) = writers.appenders[log].group(bytes) else {
                self.keep(writers, Keeper::flush)?;
                self.keep(writers, Keeper::prepare)?;
                continue;
            };
            for (index, &len) in sizes.iter().enumerate() {
                self.number += 1;
                let mut payload = vec![self.number.to_le_bytes()[0]; len];
                payload.iter_mut().zip(self.number.to_le_bytes()).for_each(|(byte, number)| *byte = number);
                let more = index + 1 < sizes.len();
                let kind = if self.number.is_multiple_of(4) { UNNUMBERED | 1 } else { 1 };
                let header = Descriptor { kind, aux: self.number.cast_signed(), ..Descriptor::default() };
                let push = if more { cutline_journal::Group::push_more } else { cutline_journal::Group::push };
                let Descriptor { position, seq, length, .. } = push(&mut group, header, &[&payload]);
                let end = position + u64::from(length);
                self.known[log].committed.push(Frame { position, end, seq, payload, more, refers });
            }
            group.commit();
            return Ok(());
        }
        panic!("{} stays blocked", NAMES[log]);
    }

    /// A step of the keeper; the watermarks may have moved also where it fails.
    pub fn keep(
        &mut self,
        writers: &mut Writers,
        step: impl Fn(&mut Keeper) -> Result<(), LogFault>,
    ) -> Result<(), LogFault> {
        writers.appenders.iter().for_each(Appender::publish);
        let outcome = step(&mut writers.keeper);
        for log in 0..3 {
            self.hear(log, &writers.watermarks[log]);
        }
        outcome
    }

    pub fn round(&mut self, writers: &mut Writers, round: u64) -> Result<(), LogFault> {
        let size = usize::try_from(round * 2711 % 7000).expect("small");
        self.append(writers, 0, &[size])?;
        self.append(writers, 0, &[300, 7000 - size])?;
        if round.is_multiple_of(2) {
            self.append(writers, 1, &[size / 2])?;
        }
        if round % 3 == 1 {
            self.append(writers, 1, &[5000, 40])?;
            self.append(writers, 2, &[20, size, 0])?;
        }
        self.keep(writers, Keeper::prepare)?;
        match round % 4 {
            0 | 3 => self.keep(writers, Keeper::flush),
            1 => self.keep(writers, Keeper::zero_ahead),
            _ => Ok(()),
        }
    }

    pub fn stop(&mut self, writers: Writers) -> Result<(), LogFault> {
        let Writers { appenders, keeper, watermarks } = writers;
        drop(appenders);
        let outcome = keeper.close();
        for (log, watermarks) in watermarks.iter().enumerate() {
            self.hear(log, watermarks);
        }
        outcome
    }

    /// A first start, work, a clean stop, a second start, and work, until the disk stops.
    pub fn live(&mut self, disk: &SimDisk) -> Result<(), LogFault> {
        let mut writers = self.start(disk)?;
        for round in 0..ROUNDS {
            self.round(&mut writers, round)?;
        }
        self.stop(writers)?;
        let mut writers = self.start(disk)?;
        for round in ROUNDS..ROUNDS + 5 {
            self.round(&mut writers, round)?;
        }
        Ok(())
    }
}

/// The frames of a log that was recovered and not activated.
pub fn read(recovered: &Recovered) -> Vec<Frame> {
    let mut tail = match Tail::open_files(recovered.files(), Start::Oldest) {
        Err(LogFault::Absent(_)) => return Vec::new(),
        opened => opened.unwrap_or_else(|fault| panic!("{fault}")),
    };
    let mut frames = Vec::new();
    while tail.position() < recovered.end() {
        let Some(frame) = tail.poll().unwrap_or_else(|fault| panic!("{fault}")) else { break };
        frames.push(seen(&frame));
    }
    frames
}

pub fn seen(frame: &cutline_journal::Frame<'_>) -> Frame {
    let Descriptor { position, seq, length, .. } = frame.header;
    let (end, payload) = (position + u64::from(length), frame.payload.to_vec());
    Frame { position, end, seq, payload, more: frame.more, refers: 0 }
}

pub fn same(frame: &Frame, committed: &Frame) -> bool {
    *frame == Frame { refers: 0, ..committed.clone() }
}

/// Checks what was found of each log; `all`: nothing that was committed may be lost.
pub fn check_found(world: &World, recovered: &[Recovered], disk: &SimDisk, all: bool) {
    let mut kept_inputs = 0;
    for (log, recovered) in recovered.iter().enumerate() {
        let name = NAMES[log];
        let found = read(recovered);
        let known = &world.known[log];
        assert!(found.len() <= known.committed.len(), "{name}: a frame was invented");
        let differs = found.iter().zip(&known.committed).position(|(found, committed)| !same(found, committed));
        assert_eq!(differs, None, "{name}: not what was committed");
        assert!(found.last().is_none_or(|frame| !frame.more), "{name}: half a group");
        let durable = known.committed.iter().filter(|frame| frame.position < known.told).count();
        assert!(found.len() >= durable, "{name}: {} frames found, {durable} were told to be on disk", found.len());
        assert!(
            !all || found.len() == known.committed.len(),
            "{name}: {} of {} frames",
            found.len(),
            known.committed.len()
        );
        let behind = behind(disk, name, recovered.end());
        assert_eq!(recovered.torn_bytes > 0, behind, "{name}: {} bytes cut off", recovered.torn_bytes);
        if log == 0 {
            kept_inputs = found.len();
        }
        let unfounded = known.committed[..found.len()].iter().find(|frame| frame.refers > kept_inputs);
        assert!(unfounded.is_none(), "{name}: refers to inputs that were lost: {unfounded:?}");
    }
}

/// Whether anything was written to a log's disk files behind `end`. The header of a segment that the log ends in and the seal
/// that finishes it are no content.
pub fn behind(disk: &SimDisk, name: &str, end: u64) -> bool {
    let folder = World::data().join(name);
    disk.files().into_iter().any(|(path, bytes)| {
        let base: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let Some(base) = base.filter(|_| path.parent() == Some(&folder)) else { return false };
        let ends_here = base <= end && end < base + SEGMENT;
        let mut from = if ends_here { usize::try_from(end - base).expect("small") } else { 0 };
        if from <= SEGMENT_HEADER_BYTES as usize && ends_here {
            from = SEGMENT_HEADER_BYTES as usize;
        }
        if ends_here && bytes.get(from + 4) == Some(&SEAL) {
            from += 64;
        }
        base + SEGMENT > end && bytes.len() > from && bytes[from..] != vec![0; bytes.len() - from]
    })
}

/// What was not found is gone: nobody asks for it any more.
pub fn forget_lost(world: &mut World, recovered: &[Recovered]) {
    for (known, recovered) in world.known.iter_mut().zip(recovered) {
        known.committed.retain(|frame| frame.position < recovered.end());
    }
}

/// The logs go on: what was found is there, what is appended comes behind it, and a follower from before either goes on or is
/// told.
pub fn check_going_on(world: &mut World, disk: &SimDisk, recovered: Vec<Recovered>) {
    let ends: Vec<u64> = recovered.iter().map(Recovered::end).collect();
    let before = world.known.clone();
    forget_lost(world, &recovered);
    let mut writers = world.activate(disk, recovered).unwrap_or_else(|fault| panic!("{fault}"));
    for (log, known) in before.iter().enumerate() {
        let cut = known.committed.len() > world.known[log].committed.len();
        let grown = world.known[log].generation > known.generation;
        assert!(grown || !cut, "{}: lost frames, and is still of generation {}", NAMES[log], known.generation);
        for position in [known.told, known.committed.last().map_or(0, |frame| frame.end)] {
            if known.generation == 0 {
                continue;
            }
            let start = Start::Resume { position, generation: known.generation };
            let opened = Tail::open_files(world.files(disk, NAMES[log]), start);
            let lost = known.committed.iter().any(|frame| frame.position >= ends[log] && frame.position < position);
            match opened.map(|_| ()) {
                Ok(()) => assert!(!lost, "{}: at {position}, and not told of a loss", NAMES[log]),
                Err(LogFault::Rewound { to }) => {
                    assert!(
                        lost && position > known.told,
                        "{}: at {position}, told of a loss that is none",
                        NAMES[log]
                    );
                    let next_segment = ends[log].next_multiple_of(SEGMENT) + SEGMENT_HEADER_BYTES;
                    assert!(
                        to == ends[log] || to == next_segment,
                        "{}: ends at {}, sent to {to}",
                        NAMES[log],
                        ends[log]
                    );
                }
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    for round in 100..103 {
        world.round(&mut writers, round).unwrap_or_else(|fault| panic!("{fault}"));
    }
    world.stop(writers).unwrap_or_else(|fault| panic!("{fault}"));
    for (log, name) in NAMES.iter().enumerate() {
        let mut tail =
            Tail::open_files(world.files(disk, name), Start::Oldest).unwrap_or_else(|fault| panic!("{fault}"));
        let committed = &world.known[log].committed;
        for frame in committed {
            let found = tail.poll().unwrap_or_else(|fault| panic!("{fault}")).map(|frame| seen(&frame));
            assert!(found.is_some_and(|found| same(&found, frame)), "{name}: after going on, at {}", frame.position);
        }
        assert!(tail.poll().unwrap_or_else(|fault| panic!("{fault}")).is_none(), "{name}: more than was committed");
        tail.check_end().unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

/// Recovers, checks, goes on, checks.
pub fn check(world: &mut World, disk: &SimDisk, all: bool) {
    let recovered = world.recover(disk).unwrap_or_else(|fault| panic!("{fault}"));
    check_found(world, &recovered, disk, all);
    check_going_on(world, disk, recovered);
}

impl World {
    /// Takes note of what followers can read of any log that has a head.
    pub fn listen(&mut self, disk: &SimDisk) {
        for (log, name) in NAMES.iter().enumerate() {
            if let Some(watermarks) = Watermarks::open(&self.files(disk, name)).expect("readable") {
                self.hear(log, &watermarks);
            }
        }
    }

    /// The same, after its machine has died.
    pub fn without_memory(&self) -> Self {
        Self { known: self.known.clone(), number: self.number, ..Self::new() }
    }
}

/// Says where it was, if the checks inside do not hold.
pub fn at<T>(place: &str, disk: &SimDisk, act: impl FnOnce() -> T) -> T {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    outcome.unwrap_or_else(|panic| {
        eprintln!("--- {place}; the last steps on the disk:");
        disk.trace().iter().rev().take(12).rev().for_each(|step| eprintln!("    {step}"));
        std::panic::resume_unwind(panic)
    })
}
