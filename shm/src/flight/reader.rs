//! Reads a flight file, of a process that lives or is dead; never disturbs it and never trusts a byte of it.
//!
//! Any thread of any process; allocates: cold. All offsets come from the layout and from counts that were checked against it; names are cut
//! to their fields, text that is no UTF-8 is replaced. As with a cnc file, who shortens it while it is mapped ends the reader.

use std::mem::offset_of;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::layout::{
    FLIGHT_MAGIC, FLIGHT_VERSION, FlightIdentity, FlightName, LANE_NAMES_AT, LANES_AT, LINK_NAMES_AT, MOMENT_BYTES,
    MOMENTS_AT, Moment, NAMES_MAX, RECEIPTS_AT, RUNS_AT, SAMPLES, SLOW_BYTES, SLOWEST, STAGE_NAMES_AT, STAGES_AT,
    STAMPS, Sample, SlowRecord, Stamp, WINDOW_NS, WINDOWS, flight_bytes, stamps_at,
};
use super::machine::{load_samples, moment};
use super::{CELL_BYTES, CYCLE_AT, FlightFault, POLLING_AT, THREAD_AT};
use crate::layout::get_text;
use crate::region::Region;
use crate::{slot, trail};

/// See the module.
#[derive(Debug)]
pub struct FlightReader {
    region: Region,
    identity: FlightIdentity,
}

/// A lane as it is found.
#[derive(Clone, Debug)]
pub struct LaneTrack {
    /// Its name.
    pub name: String,
    /// Its thread, 0 if it has not begun.
    pub thread: u64,
    /// When its last cycle began, ns since the Unix epoch; 0 if none has.
    pub cycle_ns: i64,
    /// Index of the stage that it is polling, or was when it died.
    pub polling: Option<usize>,
    /// Its last stamps, oldest first.
    pub stamps: Vec<Stamp>,
    /// How many it has made.
    pub stamped: u64,
    /// What the machine took from it, oldest first.
    pub samples: Vec<Sample>,
}

/// A stage as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// Index of its lane.
    pub lane: usize,
    /// How much it has taken in.
    pub taken: u64,
    /// How far it has come with what it hands on.
    pub given: u64,
}

/// Something slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowView {
    /// As its stage knew it.
    pub record: SlowRecord,
    /// What the machine did meanwhile; nothing is covered if nobody looked.
    pub moment: Moment,
}

impl FlightReader {
    /// Maps the file at `path` for reading and checks its header.
    ///
    /// # Errors
    /// It cannot be mapped, or magic, version, counts or lengths are not those of this program.
    pub fn open(path: &Path) -> Result<Self, FlightFault> {
        let region = Region::open_read(path, RUNS_AT).map_err(FlightFault::Region)?;
        let identity = check(&region)?;
        Ok(Self { region, identity })
    }

    /// The process that wrote it.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// The boot in which it was written.
    #[must_use]
    pub const fn boot_id(&self) -> [u8; 16] {
        self.identity.boot_id
    }

    /// When it was made, ns since the Unix epoch.
    #[must_use]
    pub const fn start_ns(&self) -> i64 {
        self.identity.start_ns
    }

    /// What stages may be blocked on.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        (0..self.identity.links as usize).map(|index| self.name(LINK_NAMES_AT, index).0).collect()
    }

    /// The stages, in the order of their indices.
    #[must_use]
    pub fn stages(&self) -> Vec<StageView> {
        let stage = |index| {
            let (name, lane) = self.name(STAGE_NAMES_AT, index);
            let [taken, given] = [0, 8].map(|at| self.word(STAGES_AT + index * CELL_BYTES + at));
            StageView { name, lane: lane as usize, taken, given }
        };
        (0..self.identity.stages as usize).map(stage).collect()
    }

    /// The lanes.
    #[must_use]
    pub fn lanes(&self) -> Vec<LaneTrack> {
        let mut samples = load_samples(&self.region, self.identity.lanes as usize);
        let lane = |(index, samples): (usize, &mut Vec<Sample>)| {
            let word = |at| self.word(LANES_AT + index * CELL_BYTES + at);
            let (stamps, stamped) = trail::load(&self.region, stamps_at(index), STAMPS);
            LaneTrack {
                name: self.name(LANE_NAMES_AT, index).0,
                thread: word(THREAD_AT),
                cycle_ns: word(CYCLE_AT).cast_signed(),
                polling: usize::try_from(word(POLLING_AT)).ok().and_then(|stage| stage.checked_sub(1)),
                stamps,
                stamped,
                samples: std::mem::take(samples),
            }
        };
        samples.iter_mut().enumerate().map(lane).collect()
    }

    /// The slowest runs, the slowest first.
    #[must_use]
    pub fn slow_runs(&self) -> Vec<SlowView> {
        self.slow(RUNS_AT, 0)
    }

    /// The slowest receipts, the slowest first.
    #[must_use]
    pub fn slow_receipts(&self) -> Vec<SlowView> {
        self.slow(RECEIPTS_AT, WINDOWS * SLOWEST)
    }

    fn slow(&self, at: usize, first_moment: usize) -> Vec<SlowView> {
        let samples = load_samples(&self.region, self.identity.lanes as usize);
        let view = |index| {
            let (version, record) = slot::load::<SlowRecord>(&self.region, at + index * SLOW_BYTES)?;
            let written = slot::load::<Moment>(&self.region, MOMENTS_AT + (first_moment + index) * MOMENT_BYTES);
            let written = written.map(|(_, moment)| moment).filter(|moment| moment.of == version);
            // Of what was slow just before the process died, or just now.
            Some(SlowView { record, moment: written.unwrap_or_else(|| moment(&samples, &record)) })
        };
        let mut found: Vec<SlowView> = (0..WINDOWS * SLOWEST).filter_map(view).collect();
        let window = |view: &SlowView| view.record.until_ns.div_euclid(WINDOW_NS);
        // The bank of a window that began keeps what an older one has left there.
        let newest = found.iter().map(window).max().unwrap_or(0);
        found.retain(|view| window(view) > newest.saturating_sub(WINDOWS as i64));
        found.sort_by_key(|view| (std::cmp::Reverse(view.record.latency_ns), view.record.seq));
        found.truncate(SLOWEST);
        found
    }

    fn name(&self, at: usize, index: usize) -> (String, u32) {
        let name: FlightName = self.region.load_record(at + index * size_of::<FlightName>());
        (get_text(&name.name, name.name_bytes as usize), name.lane)
    }

    fn word(&self, at: usize) -> u64 {
        self.region.atomic_u64(at).load(Ordering::Relaxed)
    }
}

/// Checks the header of a mapped file and returns it.
fn check(region: &Region) -> Result<FlightIdentity, FlightFault> {
    let fault = |field, found, expected| {
        Err(FlightFault::NotReadable { path: region.path().to_path_buf(), field, found, expected })
    };
    // No edge: the file got its name when the header was whole.
    let magic = region.atomic_u64(offset_of!(FlightIdentity, magic)).load(Ordering::Relaxed);
    if magic != u64::from_le_bytes(FLIGHT_MAGIC) {
        return fault("magic", magic, u64::from_le_bytes(FLIGHT_MAGIC));
    }
    let identity: FlightIdentity = region.load_record(0);
    for (field, count) in [("lanes", identity.lanes), ("stages", identity.stages), ("links", identity.links)] {
        if count as usize > NAMES_MAX {
            return fault(field, u64::from(count), NAMES_MAX as u64);
        }
    }
    let bytes = flight_bytes(identity.lanes as usize) as u64;
    let checks = [
        ("version", u64::from(identity.version), u64::from(FLIGHT_VERSION)),
        ("header_bytes", u64::from(identity.header_bytes), RUNS_AT as u64),
        ("file_bytes", identity.file_bytes, bytes),
        ("length of the file", region.len() as u64, bytes),
        ("stamps", u64::from(identity.stamps), STAMPS as u64),
        ("samples", u64::from(identity.samples), SAMPLES as u64),
        ("slowest", u64::from(identity.slowest), SLOWEST as u64),
        ("window_ns", identity.window_ns, WINDOW_NS.unsigned_abs()),
    ];
    for (field, found, expected) in checks {
        if found != expected {
            return fault(field, found, expected);
        }
    }
    Ok(identity)
}
