//! The flight file: what lanes did last, the slowest receipts and runs, and what the machine did meanwhile. Readable by any process,
//! while its writer lives and after it was killed.
//!
//! [`create`] makes it, cold, and takes it apart: each part has one writer, who owns it. Lanes have a [`LaneRecorder`] each, the stages
//! that know how long something took a [`Slowest`], and whoever tends the pipeline a [`MachineWriter`]. What they do is plain stores: no
//! lock, no system call, no allocation. Layout: [`layout`]; ordering edges: [`crate::trail`], [`crate::slot`]; counts that stand alone
//! need none.
#![forbid(unsafe_code)]

mod fault;
pub mod layout;
mod machine;
mod reader;
mod slowest;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytemuck::Zeroable;

pub use self::fault::FlightFault;
use self::layout::{
    FLIGHT_MAGIC, FLIGHT_VERSION, FlightIdentity, FlightName, LANE_NAMES_AT, LANES_AT, LINK_NAMES_AT, NAMES_MAX,
    RECEIPTS_AT, RUNS_AT, SAMPLES, SLOWEST, STAGE_NAMES_AT, STAGES_AT, STAMPS, Stamp, WINDOW_NS, flight_bytes,
    stamps_at,
};
pub use self::machine::MachineWriter;
pub use self::reader::{FlightReader, LaneTrack, SlowView, StageView};
pub use self::slowest::Slowest;
use crate::cnc::CncWriter;
use crate::layout::put_text;
use crate::owner::boot_id;
use crate::region::Region;
use crate::trail::Trail;

/// Where a lane's cell has what.
pub(crate) const CYCLE_AT: usize = 0;
pub(crate) const POLLING_AT: usize = 8;
pub(crate) const THREAD_AT: usize = 16;
/// Bytes of a cell of a stage or a lane.
pub(crate) const CELL_BYTES: usize = 64;

/// The names in a flight file, which are its shape.
#[derive(Clone, Debug, Default)]
pub struct FlightNames<'a> {
    /// The lanes.
    pub lanes: Vec<&'a str>,
    /// The stages, each with the index of its lane.
    pub stages: Vec<(&'a str, u32)>,
    /// What a stage may be blocked on.
    pub links: Vec<&'a str>,
}

/// A flight file's writers, one for each part.
#[derive(Debug)]
pub struct FlightParts {
    /// One for each lane.
    pub lanes: Vec<LaneRecorder>,
    /// For the slowest runs.
    pub runs: Slowest,
    /// For the slowest receipts.
    pub receipts: Slowest,
    /// For what the machine does meanwhile.
    pub machine: MachineWriter,
    /// How far stages have come, to be read.
    pub progress: StageProgress,
}

/// Makes the file `name` beside a cnc file, in place of a previous one, at `now_ns` (ns since the Unix epoch); beside one that is memory of
/// this process alone, such memory.
///
/// It is filled under another name first: a reader finds the old file or the new one, whole.
///
/// # Errors
/// More lanes, stages or links than [`NAMES_MAX`], or the machine refuses the file.
pub fn create(cnc: &CncWriter, name: &str, names: &FlightNames<'_>, now_ns: i64) -> Result<FlightParts, FlightFault> {
    for (what, count) in [("lanes", names.lanes.len()), ("stages", names.stages.len()), ("links", names.links.len())] {
        if count > NAMES_MAX {
            return Err(FlightFault::TooMany { what, count });
        }
    }
    let path = cnc.path().with_file_name(name);
    let bytes = flight_bytes(names.lanes.len());
    let region = if cnc.is_in_process() {
        let region = Region::in_process(&path, bytes).map_err(FlightFault::Region)?;
        begin(&region, names, now_ns)?;
        region
    } else {
        file(&path, bytes, names, now_ns)?
    };
    let region = Arc::new(region);
    let lane = |lane| LaneRecorder {
        stamps: Trail::new(Arc::clone(&region), stamps_at(lane), STAMPS),
        at: LANES_AT + lane * CELL_BYTES,
        region: Arc::clone(&region),
    };
    let [runs, receipts] = [RUNS_AT, RECEIPTS_AT].map(|at| Slowest::new(Arc::clone(&region), at));
    Ok(FlightParts {
        lanes: (0..names.lanes.len()).map(lane).collect(),
        machine: MachineWriter::new(Arc::clone(&region), names.lanes.len(), [runs.told(), receipts.told()]),
        runs,
        receipts,
        progress: StageProgress { region },
    })
}

/// Makes the file at `path`, whole before it has its name.
fn file(path: &Path, bytes: usize, names: &FlightNames<'_>, now_ns: i64) -> Result<Region, FlightFault> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let region = Region::create(&unfinished, bytes).map_err(FlightFault::Region)?;
    let done = begin(&region, names, now_ns).and_then(|()| region.populate_write().map_err(FlightFault::Region));
    let done = done.and_then(|()| {
        rustix::fs::rename(&unfinished, path)
            .map_err(|errno| FlightFault::Rename { path: path.to_path_buf(), errno: errno.raw_os_error() })
    });
    done.inspect_err(|_| {
        // Best effort: the fault matters more than the file that it leaves.
        let _ = rustix::fs::unlink(&unfinished);
    })?;
    Ok(region)
}

/// Writes identity and names.
#[allow(clippy::cast_possible_truncation)] // counts were checked, the others are constants
fn begin(region: &Region, names: &FlightNames<'_>, now_ns: i64) -> Result<(), FlightFault> {
    let identity = FlightIdentity {
        magic: FLIGHT_MAGIC,
        version: FLIGHT_VERSION,
        header_bytes: RUNS_AT as u32,
        file_bytes: region.len() as u64,
        pid: std::process::id(),
        lanes: names.lanes.len() as u32,
        boot_id: boot_id().map_err(FlightFault::Boot)?,
        start_ns: now_ns,
        stages: names.stages.len() as u32,
        links: names.links.len() as u32,
        stamps: STAMPS as u32,
        samples: SAMPLES as u32,
        slowest: SLOWEST as u32,
        reserved_0: 0,
        window_ns: WINDOW_NS.unsigned_abs(),
        reserved: [0; 40],
    };
    region.store_record(0, &identity);
    let put = |at: usize, index: usize, text: &str, lane: u32| {
        let mut name = FlightName { lane, ..FlightName::zeroed() };
        name.name_bytes = put_text(&mut name.name, text) as u32;
        region.store_record(at + index * size_of::<FlightName>(), &name);
    };
    names.links.iter().enumerate().for_each(|(index, name)| put(LINK_NAMES_AT, index, name, 0));
    names.stages.iter().enumerate().for_each(|(index, (name, lane))| put(STAGE_NAMES_AT, index, name, *lane));
    names.lanes.iter().enumerate().for_each(|(index, name)| put(LANE_NAMES_AT, index, name, 0));
    Ok(())
}

/// A lane's recorder, of that lane's thread.
#[derive(Debug)]
pub struct LaneRecorder {
    region: Arc<Region>,
    /// The lane's cell.
    at: usize,
    stamps: Trail,
}

impl LaneRecorder {
    /// The calling thread is the lane from here on. A system call: before the lane's first cycle.
    pub fn begin(&self) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.region.atomic_u64(self.at + THREAD_AT).store(u64::from(thread.unsigned_abs()), Ordering::Relaxed);
    }

    /// A cycle begins, whose time is this. One store.
    #[inline]
    pub fn cycle(&self, at_ns: i64) {
        self.region.atomic_u64(self.at + CYCLE_AT).store(at_ns.cast_unsigned(), Ordering::Relaxed);
    }

    /// This stage is polled from here on, if any: what a lane that stands still, or died, was at. One store.
    #[inline]
    pub fn polling(&self, stage: Option<u8>) {
        let word = stage.map_or(0, |stage| u64::from(stage) + 1);
        self.region.atomic_u64(self.at + POLLING_AT).store(word, Ordering::Relaxed);
    }

    /// A stage did something, or is blocked anew: the stamp, and how far the stage has come. Seven stores.
    #[inline]
    pub fn stamp(&mut self, stamp: &Stamp) {
        let at = STAGES_AT + usize::from(stamp.stage) * CELL_BYTES;
        self.region.atomic_u64(at).store(stamp.taken, Ordering::Relaxed);
        self.region.atomic_u64(at + 8).store(stamp.given, Ordering::Relaxed);
        self.stamps.record(stamp);
    }
}

/// How far stages have come, as their last stamps say. Any thread; each word is right for itself.
#[derive(Clone, Debug)]
pub struct StageProgress {
    region: Arc<Region>,
}

impl StageProgress {
    /// What this stage has taken in and handed on.
    #[must_use]
    pub fn of(&self, stage: u8) -> [u64; 2] {
        let at = STAGES_AT + usize::from(stage) % NAMES_MAX * CELL_BYTES;
        [at, at + 8].map(|at| self.region.atomic_u64(at).load(Ordering::Relaxed))
    }
}
