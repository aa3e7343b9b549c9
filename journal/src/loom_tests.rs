//! Each ordering edge of the log in a model that loom runs through all interleavings and all values an atomic may return.
//!
//! Segments have room for three frames of one size and a seal: their commit words are loom's, and loom sees every other access
//! to them. The disk, which the keeper writes and tails read, is a cell of loom's.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p cutline-journal --lib loom_tests
//! RUSTFLAGS='--cfg loom --cfg weaken="log_e1"' cargo test -p cutline-journal --lib loom_tests     # must fail
//! tests/mutations.sh                                                                              # all of them
//! ```

use std::mem::offset_of;
use std::sync::Arc;

use bytemuck::Zeroable;
use cutline_shm::region::Region;
use loom::cell::UnsafeCell;
use loom::thread;

use crate::appender::Appender;
use crate::capacity::Capacity;
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::frame::{Frame, Look, look};
use crate::head::Head;
use crate::layout::{
    HEAD_BYTES, HEAD_CLOSED, HEAD_DURABLE, HEAD_OLDEST, HEAD_VISIBLE, HeadIdentity, SEGMENT_HEADER_BYTES,
};
use crate::segment::{LiveSegment, SegmentBytes};
use crate::source::Source;

/// A frame with eight bytes of payload.
const FRAME: usize = 2 * DESCRIPTOR_BYTES;
const FIRST: usize = SEGMENT_HEADER_BYTES as usize;
const SEGMENT: usize = FIRST + 3 * FRAME + DESCRIPTOR_BYTES;

fn region(len: usize) -> Region {
    let dir = tempfile::tempdir_in("/dev/shm").expect("shared memory");
    Region::create_new(&dir.path().join("file"), len).expect("room")
}

/// A segment of zeros.
fn segment(base: u64) -> LiveSegment {
    let words: Vec<_> = (FIRST..SEGMENT).step_by(FRAME).collect();
    LiveSegment { base, region: Arc::new(region(SEGMENT).modelled(&words, &[], 0..SEGMENT)) }
}

/// The memory of a head.
fn head_memory() -> Arc<Region> {
    let log_id = offset_of!(HeadIdentity, log_id);
    let words = [0, log_id, HEAD_VISIBLE, HEAD_DURABLE, HEAD_OLDEST, HEAD_CLOSED];
    Arc::new(region(HEAD_BYTES).modelled(&[], &words, 0..0))
}

fn head() -> Head {
    Head::begin(head_memory(), &HeadIdentity { log_id: 7, ..HeadIdentity::zeroed() }, 0, FIRST as u64)
}

/// The writer of a log in `current`, and `next` after it.
fn appender(current: &LiveSegment, next: Option<&LiveSegment>, head: &Head) -> Appender {
    let (mut prepared, arrivals) = rtrb::RingBuffer::new(1);
    if let Some(next) = next {
        prepared.push(next.clone()).expect("room for one");
    }
    Appender::new(7, current.clone(), (FIRST, 1), Capacity::new(0), arrivals, head.clone())
}

fn header(tag: i64) -> Descriptor {
    Descriptor { kind: 1, aux: tag, ..Descriptor::default() }
}

/// Tags of the frames from `offset` on that are committed, as a tail finds them: nothing that it finds may be wrong.
fn tags(segment: &LiveSegment, mut offset: usize, mut seq: u64) -> Vec<i64> {
    let mut tags = Vec::new();
    loop {
        match look(segment, segment.base, offset, Some(seq)) {
            Look::Frame(stored) => {
                let frame = Frame::view(segment, offset, stored).expect("inside of the segment");
                assert_eq!(frame.payload, &frame.header.aux.to_le_bytes()[..frame.payload.len()]);
                tags.push(frame.header.aux);
                (offset, seq) = (offset + stored.length as usize, seq + 1);
            }
            Look::Empty | Look::Sealed => return tags,
            Look::Bad(what) => panic!("{what} at {offset}"),
        }
    }
}

/// E1: who sees a commit word sees the frame, and finds nothing but what was written.
#[test]
fn e1_commit_to_frame() {
    loom::model(|| {
        let (segment, head) = (segment(0), head());
        let mut appender = appender(&segment, None, &head);
        let writing = thread::spawn(move || {
            for tag in 1..=2_i64 {
                appender.append(header(tag), &tag.to_le_bytes()).expect("room");
            }
        });
        let seen = tags(&segment, FIRST, 1);
        assert!([&[][..], &[1], &[1, 2]].contains(&&seen[..]), "{seen:?}");
        writing.join().unwrap();
        assert_eq!(tags(&segment, FIRST, 1), [1, 2]);
    });
}

/// E1: a group is seen as a whole or not at all, by its first commit word.
#[test]
fn e1_commit_to_group() {
    loom::model(|| {
        let (segment, head) = (segment(0), head());
        let mut appender = appender(&segment, None, &head);
        let writing = thread::spawn(move || {
            let mut group = appender.group(2 * FRAME).expect("room");
            group.push_more(header(1), &[&1_i64.to_le_bytes()]);
            group.push(header(2), &[&2_i64.to_le_bytes()]);
            group.commit();
        });
        let seen = tags(&segment, FIRST, 1);
        assert!(seen.is_empty() || seen == [1, 2], "{seen:?}");
        writing.join().unwrap();
    });
}

/// E1: who sees a seal sees the header of the segment behind it.
#[test]
fn e1_seal_to_next_segment() {
    loom::model(|| {
        let (current, next, head) = (segment(0), segment(SEGMENT as u64), head());
        let mut appender = appender(&current, Some(&next), &head);
        // What is left is a header's room.
        for tag in 1..=3_i64 {
            appender.append(header(tag), &tag.to_le_bytes()).expect("room");
        }
        let writing = thread::spawn(move || {
            appender.append(header(4), &4_i64.to_le_bytes()).expect("a prepared segment");
        });
        let end = FIRST + 3 * FRAME;
        match look(&current, 0, end, Some(4)) {
            Look::Sealed => {
                let bytes = Source::Live(next.clone());
                assert!(bytes.slice(0, FIRST).expect("inside").iter().any(|&byte| byte != 0), "its header is written");
                let seen = tags(&next, FIRST, 4);
                assert!(seen.is_empty() || seen == [4], "{seen:?}");
            }
            Look::Empty => {}
            other => panic!("{other:?}"),
        }
        writing.join().unwrap();
    });
}

/// E2: who sees a visible position may copy all that lies before it.
#[test]
fn e2_visible_to_copy() {
    loom::model(|| {
        let (segment, head) = (segment(0), head());
        let mut appender = appender(&segment, None, &head);
        let writing = thread::spawn(move || {
            appender.append(header(1), &1_i64.to_le_bytes()).expect("room");
            appender.publish();
        });
        let visible = usize::try_from(head.visible()).unwrap();
        assert!(visible == FIRST || visible == FIRST + FRAME);
        let copy = segment.slice(0, visible).expect("inside").to_vec();
        assert!(copy[FIRST..].is_empty() || copy[FIRST] != 0, "the copy holds the frame's length");
        writing.join().unwrap();
    });
}

/// What is on disk, as far as the model goes.
struct Disk(UnsafeCell<u64>);

// SAFETY: loom checks that no two threads are at the cell at once.
unsafe impl Send for Disk {}
// SAFETY: as above.
unsafe impl Sync for Disk {}

impl Disk {
    fn write(&self, position: u64) {
        // SAFETY: loom checks that nobody else is at the cell.
        self.0.with_mut(|disk| unsafe { *disk = position });
    }

    fn read(&self) -> u64 {
        // SAFETY: loom checks that nobody writes.
        self.0.with(|disk| unsafe { *disk })
    }
}

/// E3: who sees a durable position finds it on disk.
#[test]
fn e3_durable_to_disk() {
    loom::model(|| {
        let (head, disk) = (head(), Arc::new(Disk(UnsafeCell::new(0))));
        let (keeper, kept) = (head.clone(), Arc::clone(&disk));
        let keeping = thread::spawn(move || {
            kept.write(500);
            keeper.set_durable(500);
        });
        if head.durable() == 500 {
            assert_eq!(disk.read(), 500);
        }
        keeping.join().unwrap();
    });
}

/// E4: who finds a head finished sees its identity and its watermarks.
#[test]
fn e4_magic_to_head() {
    loom::model(|| {
        let memory = head_memory();
        let made = Arc::clone(&memory);
        let making = thread::spawn(move || {
            let identity = HeadIdentity { log_id: 7, ..HeadIdentity::zeroed() };
            drop(Head::begin(made, &identity, 64, 500));
        });
        if let Some(head) = Head::finished(memory) {
            assert_eq!((head.log_id(), head.oldest(), head.durable(), head.visible()), (7, 64, 500, 500));
        }
        making.join().unwrap();
    });
}

/// E5: who sees a head closed finds everything on disk.
#[test]
fn e5_closed_to_disk() {
    loom::model(|| {
        let (head, disk) = (head(), Arc::new(Disk(UnsafeCell::new(0))));
        let (keeper, kept) = (head.clone(), Arc::clone(&disk));
        let keeping = thread::spawn(move || {
            kept.write(500);
            keeper.close();
        });
        if head.is_closed() {
            assert_eq!(disk.read(), 500);
        }
        keeping.join().unwrap();
    });
}
