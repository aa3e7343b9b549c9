//! The three logs of a backfill frame by frame, changed, and written anew with checksums that hold: what somebody could do who can
//! write the files.

use std::fs;

use cutline::sim::mirror::LOGS;
use cutline::sim::plan::{Lanes, Plan};
use cutline_journal::disk::os_disk;
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Descriptor, Start, Tail};

use crate::capture::Capture;
use crate::pipeline_place::{Folder, backfill, plan};

/// A frame, and whether it belongs to a group that goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loose {
    pub(crate) header: Descriptor,
    pub(crate) payload: Vec<u8>,
    pub(crate) more: bool,
}

/// The frames of inputs, runs and outputs.
pub(crate) type Logs = [Vec<Loose>; 3];

/// A plan whose captures reach everything that a frame can be about.
pub(crate) fn template_plan(keeps_state: bool) -> Plan {
    let mut plan = plan(1);
    plan.keeps_state = keeps_state;
    plan.interval_ms = 20;
    plan.delay_ms = keeps_state.then_some(7);
    plan.listed = false;
    plan
}

/// The logs of a capture with some of everything in it.
pub(crate) fn template(folder: &Folder, plan: &Plan) -> Logs {
    let mut operations: Vec<u8> =
        (0..30_u8).flat_map(|at| [at.wrapping_mul(37) % 0xe0, 7 + at % 5, 8 + at % 4, at * 7]).collect();
    operations.extend_from_slice(b"\xffno envelope\n");
    let capture = Capture::render(plan, &operations);
    backfill(folder, plan, Lanes::One, &[], &capture.bytes);
    LOGS.map(|name| {
        let mut tail = Tail::open(&folder.data(), name, Start::Oldest).unwrap_or_else(|fault| panic!("{fault}"));
        let mut frames = Vec::new();
        while let Some(frame) = tail.poll().unwrap_or_else(|fault| panic!("{fault}")) {
            frames.push(Loose { header: frame.header, payload: frame.payload.to_vec(), more: frame.more });
        }
        frames
    })
}

/// Changes one frame as five bytes say: what, which frame of all three logs (2), where in it, and to what. Returns the log.
pub(crate) fn damage(logs: &mut Logs, [what, low, high, place, value]: [u8; 5]) -> usize {
    let total: usize = logs.iter().map(Vec::len).sum();
    let mut at = usize::from(u16::from_le_bytes([low, high])) % total.max(1);
    let mut log = 0;
    while log < 2 && at >= logs[log].len() {
        at -= logs[log].len();
        log += 1;
    }
    let frames = &mut logs[log];
    if frames.is_empty() {
        return log;
    }
    at %= frames.len();
    match what % 16 {
        0 => drop(frames.remove(at)),
        1 => frames.insert(at, frames[at].clone()),
        2 => {
            let other = (at + 1 + usize::from(place)) % frames.len();
            frames.swap(at, other);
        }
        3 => {
            let other = usize::from(place) % frames.len();
            frames[at].payload = frames[other].payload.clone();
        }
        other => change(&mut frames[at], other, usize::from(place), value),
    }
    log
}

fn change(frame: &mut Loose, what: u8, place: usize, value: u8) {
    let Loose { header, payload, more } = frame;
    let (len, wide) = (payload.len(), extreme(value));
    match what {
        4 if len > 0 => payload[place % len] ^= value,
        5 => payload.truncate(place % (len + 1)),
        6 => payload.resize(len + place, value),
        // Seals and groups are the appender's to write.
        7 => header.kind = (value & 0x7f).min(0x7e),
        8 => header.flags = value,
        9 => header.symbol = wide as u32,
        10 => (header.source, header.event_type) = (wide as u32, wide as u16),
        11 => header.ts_ns = wide.cast_signed(),
        12 => header.ts_ms = wide.cast_signed(),
        13 => {
            header.aux = if place & 1 == 0 {
                wide.cast_signed()
            } else {
                header.aux.wrapping_add(i64::from(value.cast_signed()))
            }
        }
        14 => {
            if let Some(word) = payload.get_mut(place * 8..).and_then(<[u8]>::first_chunk_mut) {
                *word = wide.to_le_bytes();
            }
        }
        15 if place < 16 => *more = !*more,
        _ => {
            if let Some(word) = payload.get_mut(place % 64 * 4..).and_then(<[u8]>::first_chunk_mut) {
                *word = (wide as u32).to_le_bytes();
            }
        }
    }
}

/// A number that is likely to be one too many.
fn extreme(value: u8) -> u64 {
    match value {
        0xff => u64::MAX,
        0xfe => i64::MAX.cast_unsigned(),
        0xfd => i64::MIN.cast_unsigned(),
        0xfc => u64::from(u32::MAX),
        0xfb => 1 << 40,
        other => u64::from(other),
    }
}

/// Writes the logs as those of a process that stopped cleanly; false if there is a group in them that no log takes.
pub(crate) fn write(folder: &Folder, logs: &Logs) -> bool {
    folder.clear();
    for part in ["data", "live"] {
        fs::create_dir_all(folder.path().join(part)).expect("a folder");
    }
    LOGS.iter().zip(logs).all(|(name, frames)| write_log(settings(folder, name), frames))
}

pub(crate) fn settings(folder: &Folder, name: &'static str) -> LogSettings {
    LogSettings {
        name,
        data: folder.data(),
        live: folder.path().join("live"),
        segment_bytes: 65_536,
        live_segments: 3,
        capacity_bytes: 0,
        durable: false,
        disk: os_disk(),
    }
}

fn write_log(settings: LogSettings, frames: &[Loose]) -> bool {
    let opened = recover(settings, 7).and_then(|log| log.activate());
    let (mut appender, mut keeper) = opened.unwrap_or_else(|fault| panic!("an empty log: {fault}"));
    let mut rest = frames;
    while !rest.is_empty() {
        let len = rest.iter().position(|frame| !frame.more).map_or(rest.len(), |last| last + 1);
        let (group, behind) = rest.split_at(len);
        let bytes: usize = group.iter().map(|frame| Descriptor::frame_bytes(frame.payload.len())).sum();
        if bytes > 32_768 {
            return false;
        }
        let Ok(mut claimed) = appender.group(bytes) else {
            appender.publish();
            while keeper.flush(keeper.visible()).unwrap_or_else(|fault| panic!("{fault}")) {}
            keeper.prepare().unwrap_or_else(|fault| panic!("{fault}"));
            continue;
        };
        for (index, frame) in group.iter().enumerate() {
            let parts: [&[u8]; 1] = [&frame.payload];
            if index + 1 < len {
                claimed.push_more(frame.header, &parts);
            } else {
                claimed.push(frame.header, &parts);
            }
        }
        claimed.commit();
        rest = behind;
    }
    appender.publish();
    drop(appender);
    keeper.close().unwrap_or_else(|fault| panic!("{fault}"));
    true
}
