//! Reads a cnc file, of a process that lives or is dead; never disturbs it and never trusts a byte of it.
//!
//! Any thread of any process; each call copies what is there now into values of its own, so it allocates: cold. It
//! never panics, whatever the file contains: all offsets come from the layout, none from the file; lengths from the
//! file are cut to their fields; text that is no UTF-8 is replaced. The one thing it cannot survive is a file that is
//! shortened while it is mapped (SIGBUS); no Cutline process shortens a file, a new one gets the name instead.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::cnc::{CncFault, check_identity};
use crate::counters::{CounterView, load_counter};
use crate::errors::{ErrorView, load_error};
use crate::heartbeat::{LaneView, load_lane};
use crate::histograms::{HistogramView, load_histogram};
use crate::layout::{
    COUNTER_MAX, COUNTERS_REFUSED_AT, ERROR_MAX, ERRORS_DROPPED_AT, HEADER_BEAT_AT, HEADER_BYTES, HEADER_STATUS_AT,
    HISTOGRAM_MAX, HISTOGRAMS_REFUSED_AT, Identity, LANE_MAX, LANES_REFUSED_AT,
};
use crate::region::Region;
use crate::status::{self, Status};

/// Reads a cnc file.
#[derive(Debug)]
pub struct CncReader {
    region: Region,
    identity: Identity,
}

/// How many of each were refused because the file was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Heartbeats.
    pub lanes: u64,
    /// Counters.
    pub counters: u64,
    /// Histograms.
    pub histograms: u64,
    /// Errors whose text was new.
    pub errors: u64,
}

impl CncReader {
    /// Maps the file at `path` for reading and checks its header.
    ///
    /// # Errors
    /// It cannot be mapped, or magic, version, lengths or capacities are not those of this program.
    pub fn open(path: &Path) -> Result<Self, CncFault> {
        let region = Region::open_read(path, HEADER_BYTES).map_err(CncFault::Region)?;
        let identity = check_identity(&region)?;
        Ok(Self { region, identity })
    }

    /// The process that wrote it.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// The boot in which it was written; of another boot, the process is certainly dead.
    #[must_use]
    pub const fn boot_id(&self) -> [u8; 16] {
        self.identity.boot_id
    }

    /// When the process started, ns since the Unix epoch.
    #[must_use]
    pub const fn start_ns(&self) -> i64 {
        self.identity.start_ns
    }

    /// Last sign of life of the process, ns since the Unix epoch.
    #[must_use]
    pub fn beat_ns(&self) -> i64 {
        self.region.atomic_u64(HEADER_BEAT_AT).load(Ordering::Relaxed).cast_signed()
    }

    /// State of the process; `None` if the file is damaged there.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        status::load(&self.region, HEADER_STATUS_AT)
    }

    /// What the file had no room for.
    #[must_use]
    pub fn refused(&self) -> Refused {
        let word = |at| self.region.atomic_u64(at).load(Ordering::Relaxed);
        Refused {
            lanes: word(LANES_REFUSED_AT),
            counters: word(COUNTERS_REFUSED_AT),
            histograms: word(HISTOGRAMS_REFUSED_AT),
            errors: word(ERRORS_DROPPED_AT),
        }
    }

    /// The lanes, in the order in which they were registered.
    pub fn lanes(&self) -> impl Iterator<Item = LaneView> + '_ {
        (0..LANE_MAX).map_while(|index| load_lane(&self.region, index))
    }

    /// The counters, in the order in which they were registered.
    pub fn counters(&self) -> impl Iterator<Item = CounterView> + '_ {
        (0..COUNTER_MAX).map_while(|index| load_counter(&self.region, index))
    }

    /// The value of one counter, if there is one of this name and label.
    #[must_use]
    pub fn counter(&self, name: &str, label: &str) -> Option<u64> {
        self.counters().find(|counter| counter.name == name && counter.label == label).map(|counter| counter.value)
    }

    /// The histograms, in the order in which they were registered.
    pub fn histograms(&self) -> impl Iterator<Item = HistogramView> + '_ {
        (0..HISTOGRAM_MAX).map_while(|index| load_histogram(&self.region, index))
    }

    /// The distinct errors, in the order in which they first happened.
    pub fn errors(&self) -> impl Iterator<Item = ErrorView> + '_ {
        (0..ERROR_MAX).map_while(|index| load_error(&self.region, index))
    }
}
