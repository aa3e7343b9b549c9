//! Any order of appends, flushes, stops, crashes and restarts against a list of what was committed.
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{Place, SEGMENT, Seen, append_group, assert_same, kill, segment_files};
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
    CleanStop,
    Kill,
    /// Dies with an uncommitted group of so many frames claimed.
    KillInGroup(u8),
    /// The machine dies; sectors behind the watermark reach the disk or not, by these bits.
    MachineDies {
        sectors: u64,
        old_mark: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![4 => 0_usize..300, 2 => 0_usize..5000, 1 => 15_000_usize..21_000];
    let step = prop_oneof![
        12 => prop::collection::vec(size, 1..=3).prop_map(Step::Append),
        2 => Just(Step::Publish),
        3 => Just(Step::Flush),
        2 => Just(Step::Prepare),
        4 => (0_u8..40).prop_map(Step::Follow),
        1 => Just(Step::CleanStop),
        1 => Just(Step::Kill),
        1 => (1_u8..6).prop_map(Step::KillInGroup),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(sectors, old_mark)| Step::MachineDies { sectors, old_mark }),
    ];
    prop::collection::vec(step, 1..80)
}

/// A log under test and what must be true of it.
struct Model {
    place: Place,
    settings: LogSettings,
    writer: Option<(Appender, LogKeeper)>,
    /// Everything committed, as far as it was not lost with a machine.
    committed: Vec<Seen>,
    /// What the follower has seen of it.
    follower: Tail,
    followed: Vec<Seen>,
    first_mark: Vec<u8>,
    generation: u64,
    tag: i64,
}

impl Model {
    fn new(durable: bool) -> Self {
        let place = Place::new();
        let settings = LogSettings { durable, ..place.settings() };
        let writer = recover(settings.clone(), 1).and_then(|log| log.activate()).expect("active");
        let follower = place.tail(Start::Oldest);
        let first_mark = fs::read(place.disk().mark()).expect("read");
        let (committed, followed) = (Vec::new(), Vec::new());
        Self { place, settings, writer: Some(writer), committed, follower, followed, first_mark, generation: 1, tag: 0 }
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
            Step::CleanStop => {
                let (appender, keeper) = self.writer.take().expect("a writer");
                drop(appender);
                keeper.close().expect("closed");
                let mut tail = self.place.tail(Start::Oldest);
                assert_same(&common::drain(&mut tail), &self.committed, "after a clean stop");
                tail.check_end().expect("a clean end");
                self.restart(self.committed.len());
            }
            Step::Kill => {
                let (appender, keeper) = self.writer.take().expect("a writer");
                kill(appender, keeper);
                self.restart(self.committed.len());
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
                kill(appender, keeper);
                self.restart(self.committed.len());
            }
            Step::MachineDies { sectors, old_mark } => self.machine_dies(*sectors, *old_mark),
        }
    }

    fn machine_dies(&mut self, mut sectors: u64, old_mark: bool) {
        let (appender, keeper) = self.writer.take().expect("a writer");
        let durable = keeper.durable();
        kill(appender, keeper);
        self.place.lose_memory();
        for path in segment_files(self.place.disk().disk_dir()) {
            let base: u64 =
                path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("a base");
            let mut bytes = fs::read(&path).expect("read");
            for (index, sector) in bytes.chunks_mut(512).enumerate() {
                let at = base + index as u64 * 512;
                sectors = sectors.rotate_left(1) ^ u64::from(sectors & 7 == 5);
                if at + 512 > durable && sectors & 1 == 0 {
                    let from = durable.saturating_sub(at) as usize;
                    sector[from..].fill(0);
                }
            }
            fs::write(&path, bytes).expect("written");
        }
        if old_mark {
            fs::write(self.place.disk().mark(), &self.first_mark).expect("written");
        }
        let kept = self.committed.iter().filter(|frame| frame.position < durable).count();
        self.generation += 1;
        self.restart(kept);
    }

    /// Recovers and starts; at least the first `kept` frames must be there, and nothing but what was committed.
    fn restart(&mut self, kept: usize) {
        let recovered = recover(self.settings.clone(), 1).unwrap_or_else(|fault| panic!("{fault}"));
        let mut tail = Tail::open_files(recovered.files(), Start::Oldest).expect("opened");
        let mut there = 0;
        while tail.position() < recovered.end() && tail.poll().expect("sound").is_some() {
            there += 1;
        }
        assert!(there >= kept, "{there} frames recovered of {kept} that must be there");
        assert!(there <= self.committed.len(), "a frame was invented");
        self.committed.truncate(there);
        assert!(self.committed.last().is_none_or(|frame| !frame.more), "half a group was recovered");
        let numbered = self.committed.iter().filter(|frame| frame.kind == 1).count() as u64;
        assert_eq!(recovered.last_seq(), numbered);
        let (appender, keeper) = recovered.activate().unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(appender.last_seq(), numbered);
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
                Err(LogFault::Rewound { to }) => {
                    self.followed.retain(|frame| frame.position < to);
                    self.follower = self.place.tail(Start::Position(to));
                }
                Err(fault) => panic!("{fault}"),
            }
        }
        if self.settings.durable {
            let durable = self.writer().1.durable();
            assert!(self.followed.last().is_none_or(|frame| frame.position < durable), "passed the watermark");
        }
    }

    /// The follower has seen what was committed; where a machine has died, once it was told.
    fn finish(mut self) {
        let (appender, keeper) = self.writer();
        common::sync(appender, keeper);
        // A tail of a live directory that was removed looks every 1024 idle polls.
        for _ in 0..3000 {
            self.follow(1);
        }
        self.follow(usize::MAX);
        assert_same(&self.followed, &self.committed, "the follower");
        for (index, frame) in self.committed.iter().enumerate().step_by(17) {
            let mut tail = self.place.tail(Start::Position(frame.position));
            assert_same(&common::drain(&mut tail), &self.committed[index..], "from a position");
        }
        assert!(self.committed.last().is_none_or(|frame| frame.position < 1000 * SEGMENT));
        let (appender, keeper) = self.writer.take().expect("a writer");
        drop(appender);
        keeper.close().expect("closed");
        let mut tail = self.place.tail(Start::Oldest);
        assert_same(&common::drain(&mut tail), &self.committed, "at the end");
        tail.check_end().expect("a clean end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases(64), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_what_was_committed(durable: bool, steps in steps()) {
        let mut model = Model::new(durable);
        for step in &steps {
            model.apply(step);
        }
        model.finish();
    }
}
