//! Counters in mapped memory: what one is, the handle that changes it, and what a reader sees.
//!
//! A [`Counter`] may be used from any thread, clones too; every operation is one relaxed atomic on a cache line of its
//! own, no syscall, no allocation. Which counters exist is decided by [`CncWriter`](crate::cnc::CncWriter), cold.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | M1 | `publish_meta`: commit word, Release | `load_meta`: commit word, Acquire | the metadata, which never changes again |
//!
//! A value says nothing of other memory, so that it needs no edge: counters and histograms are relaxed throughout.
#![forbid(unsafe_code)]

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytemuck::Zeroable;
use cutline_ring::edge;
use cutline_ring::sync::Edge;

use crate::layout::{COMMITTED, META_BYTES, METAS_AT, Meta, VALUE_BYTES, VALUES_AT, get_text, put_text};
use crate::region::Region;

const M1: Edge = edge!("meta_m1", "meta_m1_acquire");

/// Whether a value may fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A level: rises and falls.
    Gauge = 1,
    /// A total since the process began: never falls.
    Counter = 2,
}

impl Kind {
    /// The kind behind a word of a file, if it is one.
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Gauge),
            2 => Some(Self::Counter),
            _ => None,
        }
    }
}

/// What a counter or a histogram is; one table in the source has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterDef {
    /// Name, such as `ingest_receipts`; at most 64 bytes.
    pub name: &'static str,
    /// Unit, such as `events`, `bytes` or `ns`; at most 16 bytes.
    pub unit: &'static str,
    /// One sentence for people; at most 320 bytes.
    pub help: &'static str,
    /// Whether it may fall.
    pub kind: Kind,
}

/// Changes one value in the cnc file.
#[derive(Clone, Debug)]
pub struct Counter {
    region: Arc<Region>,
    at: usize,
}

impl Counter {
    pub(crate) fn new(region: Arc<Region>, index: usize) -> Self {
        Self { region, at: VALUES_AT + index * VALUE_BYTES }
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: u64) {
        self.region.atomic_u64(self.at).store(value, Ordering::Relaxed);
    }

    /// Adds to the value (wrapping, in 585 years at one per ns).
    #[inline]
    pub fn add(&self, amount: u64) {
        self.region.atomic_u64(self.at).fetch_add(amount, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn get(&self) -> u64 {
        self.region.atomic_u64(self.at).load(Ordering::Relaxed)
    }
}

/// One counter as a reader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterView {
    /// Name.
    pub name: String,
    /// Label, such as `source=binance,type=TradeTick`; may be empty.
    pub label: String,
    /// Unit.
    pub unit: String,
    /// One sentence for people.
    pub help: String,
    /// Whether it may fall; `None` if the file has something else there.
    pub kind: Option<Kind>,
    /// The value now.
    pub value: u64,
}

pub(crate) const fn meta_at(index: usize) -> usize {
    METAS_AT + index * META_BYTES
}

/// Writes the metadata at `at` and publishes it. The texts were checked to fit.
pub(crate) fn publish_meta(region: &Region, at: usize, def: &CounterDef, label: &str) {
    let mut meta = Meta { kind: def.kind as u32, ..Meta::zeroed() };
    meta.name_bytes = put_text(&mut meta.name, def.name) as u16;
    meta.unit_bytes = put_text(&mut meta.unit, def.unit) as u16;
    meta.label_bytes = put_text(&mut meta.label, label) as u16;
    meta.help_bytes = put_text(&mut meta.help, def.help) as u16;
    region.store_record(at, &meta);
    region.atomic_u32(at + offset_of!(Meta, commit)).store(COMMITTED, M1.release); // M1 release
}

/// The metadata at `at`, if it is published.
pub(crate) fn load_meta(region: &Region, at: usize) -> Option<Meta> {
    let commit = region.atomic_u32(at + offset_of!(Meta, commit)).load(M1.acquire); // M1 acquire
    (commit == COMMITTED).then(|| region.load_record(at))
}

pub(crate) fn load_counter(region: &Region, index: usize) -> Option<CounterView> {
    let meta = load_meta(region, meta_at(index))?;
    Some(CounterView {
        name: get_text(&meta.name, meta.name_bytes.into()),
        label: get_text(&meta.label, meta.label_bytes.into()),
        unit: get_text(&meta.unit, meta.unit_bytes.into()),
        help: get_text(&meta.help, meta.help_bytes.into()),
        kind: Kind::from_word(meta.kind),
        value: region.atomic_u64(VALUES_AT + index * VALUE_BYTES).load(Ordering::Relaxed),
    })
}
