//! The least that following a checksummed log in another process can cost, written by hand: a file in memory, mapped and touched by
//! both sides beforehand, of frames whose length comes last. No segments, no recovery, no keeper, nothing that stops it.
//!
//! ```text
//! 0       4       8            16                    64                      a multiple of 64
//! +-------+-------+------------+----------------------+-----------------------+
//! | length| crc   | number     | zero                 | payload               |
//! +-------+-------+------------+----------------------+-----------------------+
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, copy_nonoverlapping};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use super::{Link, Message, Side, Spec};
use crate::commands::{Failure, cannot};
use crate::drive::{Receiver, Sender, WRONG};

/// Bytes of a header, and what frames are rounded to.
const LINE: usize = 64;
/// Where the checked part of a frame begins.
const CHECKED_FROM: usize = 8;

pub struct Limit {
    tx: LimitTx,
    receive_on: PathBuf,
}

pub struct LimitTx {
    map: Map,
    at: usize,
    number: u64,
    message: Message,
    payload: usize,
}

pub struct LimitRx {
    map: Map,
    at: usize,
}

/// A mapped file, the whole of it, every page touched.
struct Map {
    base: NonNull<u8>,
    len: usize,
}

impl Map {
    fn of(file: &File, len: usize, protection: ProtFlags, touch: Advice, path: &Path) -> Result<Self, Failure> {
        let refused = |error: rustix::io::Errno| cannot("map", path)(error.into());
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let mapped = unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, file, 0) };
        let base = NonNull::new(mapped.map_err(refused)?.cast());
        let map = Self { base: base.ok_or_else(|| Failure::machine("a mapping at address zero"))?, len };
        // SAFETY: the mapping is ours and as long as this; touching its pages changes nothing in them.
        unsafe { madvise(map.base.as_ptr().cast(), len, touch) }.map_err(refused)?;
        Ok(map)
    }

    /// The length word of the frame at `at`, if the file goes on for so long.
    #[inline]
    fn word(&self, at: usize, frame: usize) -> Option<&AtomicU32> {
        if at + frame > self.len {
            return None;
        }
        // SAFETY: in bounds, aligned to 64 as all frames are, mapped as long as `self`, and only ever accessed as an atomic.
        Some(unsafe { AtomicU32::from_ptr(self.base.add(at).cast().as_ptr()) })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping any more. A refusal would leave it until the process ends.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn path(spec: &Spec, direction: &str) -> PathBuf {
    spec.folder.join(format!("{direction}-limit"))
}

fn frame_bytes(payload: usize) -> usize {
    LINE + payload.next_multiple_of(LINE)
}

impl Link for Limit {
    const NAME: &str = "limit";
    type Tx = LimitTx;
    type Rx = LimitRx;

    fn open(side: Side, spec: &Spec) -> Result<Self, Failure> {
        let [send_on, receive_on] = side.names();
        let path_of = path(spec, send_on);
        let messages = spec.round_trips + if side == Side::Near { spec.stream } else { 0 };
        let len = messages as usize * frame_bytes(spec.payload);
        let file = File::options().read(true).write(true).create_new(true).open(&path_of);
        let file = file.map_err(cannot("create", &path_of))?;
        file.set_len(len as u64).map_err(cannot("lengthen", &path_of))?;
        let protection = ProtFlags::READ.union(ProtFlags::WRITE);
        let map = Map::of(&file, len, protection, Advice::LinuxPopulateWrite, &path_of)?;
        let tx = LimitTx { map, at: 0, number: 0, message: Message::new(spec.payload), payload: spec.payload };
        Ok(Self { tx, receive_on: path(spec, receive_on) })
    }

    fn connect(self) -> Result<(LimitTx, LimitRx), Failure> {
        let path = &self.receive_on;
        let file = File::open(path).map_err(cannot("open", path))?;
        let len = file.metadata().map_err(cannot("look at", path))?.len() as usize;
        let map = Map::of(&file, len, ProtFlags::READ, Advice::LinuxPopulateRead, path)?;
        Ok((self.tx, LimitRx { map, at: 0 }))
    }
}

impl Sender for LimitTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        let frame = frame_bytes(self.payload);
        let Some(length) = self.map.word(self.at, frame) else { return false };
        let payload = self.message.numbered(seq);
        self.number += 1;
        let mut header = [0; LINE];
        header[CHECKED_FROM..CHECKED_FROM + 8].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[CHECKED_FROM..]), payload);
        header[4..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        // SAFETY: the frame is in bounds; its bytes behind the length word are nobody else's until that is stored.
        unsafe {
            let to = self.map.base.add(self.at).as_ptr();
            copy_nonoverlapping(header[4..].as_ptr(), to.add(4), LINE - 4);
            copy_nonoverlapping(payload.as_ptr(), to.add(LINE), payload.len());
        }
        length.store((LINE + payload.len()) as u32, Ordering::Release);
        self.at += frame;
        true
    }
}

impl Receiver for LimitRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let length = self.map.word(self.at, LINE)?.load(Ordering::Acquire) as usize;
        if length == 0 {
            return None;
        }
        if length < LINE || self.at + length > self.map.len {
            return Some(WRONG);
        }
        // SAFETY: in bounds; the writer stored the length after these bytes and never writes them again.
        let frame = unsafe { std::slice::from_raw_parts(self.map.base.add(self.at + 4).as_ptr(), length - 4) };
        let (crc, checked) = frame.split_at(CHECKED_FROM - 4);
        self.at += length.next_multiple_of(LINE);
        let is_whole = crc == crc32c::crc32c(checked).to_le_bytes();
        Some(if is_whole { Message::number(&checked[LINE - CHECKED_FROM..]) } else { WRONG })
    }
}
