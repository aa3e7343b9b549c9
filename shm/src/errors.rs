//! Distinct errors in mapped memory: each text once, how often, first and last time. They outlive the process.
//!
//! Written through [`CncWriter::record_error`](crate::cnc::CncWriter::record_error), which takes a short lock: cold
//! threads, and lanes only on the way to stopping. Bounded: when full, a new text is counted as dropped and not stored.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | X1 | `publish_error`, `repeat_error`: count, Release | `load_error`: count, Acquire | the text; the last time of that count, or a later one |
#![forbid(unsafe_code)]

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use bytemuck::Zeroable;
use cutline_ring::edge;
use cutline_ring::sync::Edge;

use crate::layout::{ERROR_BYTES, ERRORS_AT, ErrorRecord, get_text, put_text};
use crate::region::Region;

const X1: Edge = edge!("error_x1", "error_x1_acquire");

/// What became of an error that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// This text for the first time: worth a log line.
    First,
    /// Seen before: counted.
    Again,
    /// No room for another text: only counted as dropped.
    Dropped,
}

/// One distinct error as a reader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorView {
    /// The text.
    pub text: String,
    /// How often.
    pub count: u64,
    /// First time, ns since the Unix epoch.
    pub first_ns: i64,
    /// Last time, ns since the Unix epoch.
    pub last_ns: i64,
}

const fn error_at(index: usize) -> usize {
    ERRORS_AT + index * ERROR_BYTES
}

/// Stores a new text at `index` and publishes it by its count.
pub(crate) fn publish_error(region: &Region, index: usize, text: &str, now_ns: i64) {
    let mut record = ErrorRecord { first_ns: now_ns, last_ns: now_ns, ..ErrorRecord::zeroed() };
    record.text_bytes = put_text(&mut record.text, text) as u32;
    let at = error_at(index);
    region.store_record(at, &record);
    region.atomic_u64(at + offset_of!(ErrorRecord, count)).store(1, X1.release); // X1 release
}

/// Counts the text at `index` once more.
pub(crate) fn repeat_error(region: &Region, index: usize, now_ns: i64) {
    let at = error_at(index);
    region.atomic_u64(at + offset_of!(ErrorRecord, last_ns)).store(now_ns.cast_unsigned(), Ordering::Relaxed);
    region.atomic_u64(at + offset_of!(ErrorRecord, count)).fetch_add(1, X1.release); // X1 release
}

pub(crate) fn load_error(region: &Region, index: usize) -> Option<ErrorView> {
    let at = error_at(index);
    let count = region.atomic_u64(at + offset_of!(ErrorRecord, count)).load(X1.acquire); // X1 acquire
    if count == 0 {
        return None;
    }
    let record: ErrorRecord = region.load_record(at);
    let text = get_text(&record.text, record.text_bytes as usize);
    Some(ErrorView { text, count, first_ns: record.first_ns, last_ns: record.last_ns })
}
