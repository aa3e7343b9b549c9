//! Any order of appends, flushes, stops, crashes and restarts against a list of what was committed.
//!
//! What is held to: a frame that was on disk is never lost, none that was only in memory is lost with a process, nothing
//! is invented, a group is there as a whole or not at all, and a follower past a cut is told `Rewound`, whether it lived
//! through it or comes back with the place and generation it had.
//!
//! A test run takes a few histories. A soak takes as many as one likes:
//! `PROPTEST_CASES=5000 cargo test --release -p cutline-journal --test model`
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{Place, SEGMENT, Seen, append_group, assert_same};
use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Appender, Descriptor, LogFault, Start, Tail};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// A group of frames of these sizes.
    Append(Vec<usize>),
    Publish,
    /// Publishes and flushes one step.
    Flush,
    Prepare,
    /// Reads some frames.
    Follow(u8),
    /// Another follower comes back to where it was, reads some frames, and goes.
    Resume(u8),
    CleanStop,
    Kill,
    /// Dies with an uncommitted group of so many frames claimed.
    KillInGroup(u8),
    MachineDies(MachineDies),
}

/// The machine dies while the keeper flushes.
#[derive(Clone, Debug)]
struct MachineDies {
    /// Which sectors of what was being written have reached the disk.
    sectors: u64,
    /// The mark on disk is the one of the last start.
    old_mark: bool,
    /// The owner cuts the log back to so many 256ths of what was recovered.
    cut_back: Option<u8>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Many frames of one size: after a cut, other frames then begin where lost ones did.
    let size = prop_oneof![4 => Just(100_usize), 3 => 0_usize..300, 2 => 0_usize..5000, 1 => 15_000_usize..21_000];
    let machine_dies = (any::<u64>(), any::<bool>(), prop::option::weighted(0.25, any::<u8>()))
        .prop_map(|(sectors, old_mark, cut_back)| Step::MachineDies(MachineDies { sectors, old_mark, cut_back }));
    let step = prop_oneof![
        12 => prop::collection::vec(size, 1..=3).prop_map(Step::Append),
        2 => Just(Step::Publish),
        3 => Just(Step::Flush),
        2 => Just(Step::Prepare),
        4 => (0_u8..40).prop_map(Step::Follow),
        2 => (0_u8..40).prop_map(Step::Resume),
        1 => Just(Step::CleanStop),
        1 => Just(Step::Kill),
        1 => (1_u8..6).prop_map(Step::KillInGroup),
        1 => machine_dies,
    ];
    prop::collection::vec(step, 1..80)
}

/// A follower that is away between its visits, and keeps where it was.
#[derive(Default)]
struct Visitor {
    seen: Vec<Seen>,
    position: u64,
    generation: u64,
}

impl Visitor {
    fn visit(&mut self, place: &Place, count: usize) {
        let start = Start::Resume { position: self.position, generation: self.generation };
        let mut tail = match Tail::open(place.data.path(), "outputs", start) {
            Err(LogFault::Rewound { to }) => {
                assert!(to < self.position, "told to go back from {} to {to}", self.position);
                self.seen.retain(|frame| frame.position < to);
                place.tail(Start::Position(to))
            }
            other => other.unwrap_or_else(|fault| panic!("{fault}")),
        };
        for _ in 0..count {
            let Some(frame) = tail.poll().unwrap_or_else(|fault| panic!("{fault}")) else { break };
            self.seen.push(Seen::of(&frame));
        }
        (self.position, self.generation) = (tail.position(), tail.generation());
    }
}

/// A log under test and what must be true of it.
struct Model {
    place: Place,
    settings: LogSettings,
    writer: Option<(Appender, LogKeeper)>,
    /// Everything committed, as far as it was not lost with a machine.
    committed: Vec<Seen>,
    follower: Tail,
    /// What the follower has seen of it.
    followed: Vec<Seen>,
    visitor: Visitor,
    /// The mark file as the last start wrote it.
    first_mark: Vec<u8>,
    generation: u64,
    /// The furthest that the log was ever on disk.
    durable_max: u64,
    tag: i64,
}

impl Model {
    fn new(durable: bool) -> Self {
        let place = Place::new();
        let settings = LogSettings { durable, ..place.settings() };
        let writer = recover(settings.clone(), 1).and_then(|log| log.activate()).expect("active");
        let follower = place.tail(Start::Oldest);
        let visitor =
            Visitor { position: follower.position(), generation: follower.generation(), ..Visitor::default() };
        let first_mark = fs::read(place.disk().mark()).expect("read");
        Self {
            place,
            settings,
            writer: Some(writer),
            committed: Vec::new(),
            follower,
            followed: Vec::new(),
            visitor,
            first_mark,
            generation: 1,
            durable_max: 0,
            tag: 0,
        }
    }

    fn writer(&mut self) -> &mut (Appender, LogKeeper) {
        self.writer.as_mut().expect("a writer")
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append(sizes) => {
                let frames: Vec<(i64, usize)> = sizes.iter().zip(self.tag..).map(|(&len, tag)| (tag, len)).collect();
                self.tag += sizes.len() as i64;
                let (appender, keeper) = self.writer();
                let wrote = append_group(appender, keeper, &frames);
                self.committed.extend(wrote);
            }
            Step::Publish => self.writer().0.publish(),
            Step::Flush => {
                let (appender, keeper) = self.writer();
                appender.publish();
                keeper.flush(keeper.visible()).expect("flushed");
            }
            Step::Prepare => self.writer().1.prepare().expect("prepared"),
            Step::Follow(count) => self.follow(usize::from(*count)),
            Step::Resume(count) => self.visitor.visit(&self.place, usize::from(*count)),
            Step::CleanStop => {
                let (appender, keeper) = self.writer.take().expect("a writer");
                drop(appender);
                keeper.close().expect("closed");
                let mut tail = self.place.tail(Start::Oldest);
                assert_same(&common::drain(&mut tail), &self.committed, "after a clean stop");
                tail.check_end().expect("a clean end");
                self.restart(self.committed.len(), None);
            }
            Step::Kill => {
                let (appender, keeper) = self.writer.take().expect("a writer");
                self.place.kill(appender, keeper);
                self.restart(self.committed.len(), None);
            }
            Step::KillInGroup(frames) => {
                let (mut appender, keeper) = self.writer.take().expect("a writer");
                let bytes = usize::from(*frames) * Descriptor::frame_bytes(100);
                if let Ok(mut group) = appender.group(bytes) {
                    for _ in 0..*frames {
                        group.push_more(common::header(-1, 1), &[&[0xff; 100]]);
                    }
                    std::mem::forget(group);
                }
                self.place.kill(appender, keeper);
                self.restart(self.committed.len(), None);
            }
            Step::MachineDies(how) => self.machine_dies(how),
        }
    }

    fn machine_dies(&mut self, how: &MachineDies) {
        let (appender, keeper) = self.writer.take().expect("a writer");
        appender.publish();
        let (durable, visible) = (keeper.durable(), keeper.visible());
        self.durable_max = self.durable_max.max(durable);
        self.place.kill(appender, keeper);
        write_some_sectors(&self.place, durable, visible, how.sectors);
        self.place.lose_memory();
        if how.old_mark {
            fs::write(self.place.disk().mark(), &self.first_mark).expect("written");
        }
        let kept = self.committed.iter().filter(|frame| frame.position < durable).count();
        self.generation += 1;
        self.restart(kept, how.cut_back);
    }

    /// Recovers and starts; at least the first `kept` frames must be there, and nothing but what was committed.
    fn restart(&mut self, kept: usize, cut_back: Option<u8>) {
        let mut recovered = recover(self.settings.clone(), 1).unwrap_or_else(|fault| panic!("{fault}"));
        let mut tail = Tail::open_files(recovered.files(), Start::Oldest).expect("opened");
        let mut there = 0;
        while tail.position() < recovered.end() && tail.poll().expect("sound").is_some() {
            there += 1;
        }
        assert!(there >= kept, "{there} frames recovered of {kept} that must be there");
        assert!(there <= self.committed.len(), "a frame was invented");
        self.committed.truncate(there);
        assert!(self.committed.last().is_none_or(|frame| !frame.more), "half a group was recovered");
        let numbered = |frames: &[Seen]| frames.iter().filter(|frame| frame.kind == 1).count() as u64;
        assert_eq!(recovered.last_seq(), numbered(&self.committed));
        if let Some(part) = cut_back {
            let mut keep = there * usize::from(part) / 256;
            while keep > 0 && self.committed[keep - 1].more {
                keep -= 1;
            }
            if let Some(cut) = self.committed.get(keep) {
                recovered.cut_back(cut.position, cut.seq);
                self.committed.truncate(keep);
            }
        }
        let (appender, keeper) = recovered.activate().unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(appender.last_seq(), numbered(&self.committed));
        self.writer = Some((appender, keeper));
        self.first_mark = fs::read(self.place.disk().mark()).expect("read");
        assert_eq!(self.place.generation(), self.generation);
        let mut tail = self.place.tail(Start::Oldest);
        assert_same(&common::drain(&mut tail), &self.committed, "after a restart");
    }

    fn follow(&mut self, count: usize) {
        for _ in 0..count {
            match self.follower.poll() {
                Ok(Some(frame)) => self.followed.push(Seen::of(&frame)),
                Ok(None) => break,
                Err(fault) => self.told(&fault),
            }
        }
        self.durable_max = self.durable_max.max(self.writer().1.durable());
        if self.settings.durable {
            let last = self.followed.last().map_or(0, |frame| frame.position);
            assert!(last < self.durable_max, "passed the watermark");
        }
    }

    /// The follower learns of a cut, and goes on from there.
    fn told(&mut self, fault: &LogFault) {
        let LogFault::Rewound { to } = *fault else { panic!("{fault}") };
        self.followed.retain(|frame| frame.position < to);
        self.follower = self.place.tail(Start::Position(to));
    }

    /// The followers have seen what was committed; where a machine has died, once they were told.
    fn finish(mut self) {
        let (appender, keeper) = self.writer();
        common::sync(appender, keeper);
        self.follow(usize::MAX);
        // Where a machine has died under it, it finds out when it looks.
        if let Err(fault) = self.follower.prepare() {
            self.told(&fault);
        }
        self.follow(usize::MAX);
        assert_same(&self.followed, &self.committed, "the follower");
        self.visitor.visit(&self.place, usize::MAX);
        assert_same(&self.visitor.seen, &self.committed, "the visitor");
        for (index, frame) in self.committed.iter().enumerate().step_by(17) {
            let mut tail = self.place.tail(Start::Position(frame.position));
            assert_same(&common::drain(&mut tail), &self.committed[index..], "from a position");
        }
        let (appender, keeper) = self.writer.take().expect("a writer");
        drop(appender);
        keeper.close().expect("closed");
        let mut tail = self.place.tail(Start::Oldest);
        assert_same(&common::drain(&mut tail), &self.committed, "at the end");
        tail.check_end().expect("a clean end");
    }
}

/// What the keeper would write next, from the durable watermark up to the visible one within a segment, reaches the disk
/// by sectors: those whose bit is 1, in any order, the others not at all.
fn write_some_sectors(place: &Place, durable: u64, visible: u64, mut sectors: u64) {
    let base = durable - durable % SEGMENT;
    let to = visible.min(base + SEGMENT);
    let memory = fs::read(place.files().live_segment(base).expect("a name")).unwrap_or_default();
    for at in (durable - durable % 512..to).step_by(512) {
        sectors = sectors.rotate_left(1) ^ u64::from(sectors & 7 == 5);
        if sectors & 1 == 1 {
            let (from, to) = (at.max(durable), (at + 512).min(to));
            let bytes = &memory[(from - base) as usize..(to - base) as usize];
            common::overwrite(&place.disk().disk_segment(base), from - base, bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases(40), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_what_was_committed(durable: bool, steps in steps()) {
        let mut model = Model::new(durable);
        for step in &steps {
            model.apply(step);
        }
        model.finish();
    }
}
