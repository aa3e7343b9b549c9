//! The one writer of a cnc file: makes it, and hands out counters, histograms and heartbeats in it.
//!
//! One per process, whose directory it owns (see [`Owner`](crate::owner::Owner)). Registering, [`CncWriter::set_state`]
//! and [`CncWriter::record_error`] take a short lock and may allocate: cold threads, and lanes before they start. What
//! they hand out takes no lock. The file stays when the writer is dropped or killed: that is what it is for.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::counters::{Counter, CounterDef, meta_at, publish_meta};
use crate::errors::{Noted, publish_error, repeat_error};
use crate::heartbeat::Heartbeat;
use crate::histograms::{Histogram, histogram_at};
use crate::layout::{
    CNC_BYTES, CNC_MAGIC, CNC_VERSION, COUNTER_MAX, COUNTERS_REFUSED_AT, ERROR_MAX, ERROR_TEXT_MAX_BYTES,
    ERRORS_DROPPED_AT, HEADER_BEAT_AT, HEADER_BYTES, HEADER_STATUS_AT, HELP_MAX_BYTES, HISTOGRAM_MAX,
    HISTOGRAMS_REFUSED_AT, Identity, LABEL_MAX_BYTES, LANE_MAX, LANE_NAME_MAX_BYTES, LANES_REFUSED_AT, NAME_MAX_BYTES,
    UNIT_MAX_BYTES,
};
use crate::owner::{OwnerFault, boot_id};
use crate::region::{Region, RegionFault};
use crate::status::{self, State};

/// Writes a cnc file.
#[derive(Debug)]
pub struct CncWriter {
    region: Arc<Region>,
    path: PathBuf,
    tables: Mutex<Tables>,
}

/// What was registered so far: the file is written from this and never read back.
#[derive(Debug, Default)]
struct Tables {
    counters: BTreeMap<(&'static str, Box<str>), (usize, CounterDef)>,
    histograms: BTreeMap<(&'static str, Box<str>), (usize, CounterDef)>,
    lanes: Vec<Box<str>>,
    errors: BTreeMap<Box<str>, usize>,
}

/// Why a cnc file could not be made, extended or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CncFault {
    /// The file could not be made or mapped.
    Region(RegionFault),
    /// The boot id could not be read.
    Boot(OwnerFault),
    /// The finished file could not be given its name.
    Rename {
        /// The name.
        path: PathBuf,
        /// The system's error number.
        errno: i32,
    },
    /// No room for another one.
    Full {
        /// What there is no room for.
        what: &'static str,
        /// How many there is room for.
        max: usize,
        /// Which one was refused.
        name: String,
    },
    /// A text does not fit.
    TooLong {
        /// What the text is.
        what: &'static str,
        /// Bytes it may have.
        max_bytes: usize,
        /// The text.
        text: String,
    },
    /// The same name and label with another unit, help or kind.
    Redefined {
        /// Name and label.
        name: String,
    },
    /// This lane has its heartbeat already.
    LaneTaken {
        /// The lane.
        lane: String,
    },
    /// Not a cnc file, or not one that this program can read.
    NotReadable {
        /// The file.
        path: PathBuf,
        /// The field of the header that is not as it must be.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it must be.
        expected: u64,
    },
}

impl CncWriter {
    /// Makes the file at `path`, in place of a previous one, with the process as starting at `now_ns` (ns since the
    /// Unix epoch).
    ///
    /// It is filled under the name `path` + `.new` and then renamed: a reader finds the old file or the new one, whole.
    ///
    /// # Errors
    /// The file cannot be made (see [`Region::create`]) or renamed, or the boot id cannot be read.
    pub fn create(path: &Path, now_ns: i64) -> Result<Self, CncFault> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let region = Region::create(&unfinished, CNC_BYTES).map_err(CncFault::Region)?;
        let begun = begin(&region, now_ns);
        let done = begun.and_then(|()| region.populate_write().map_err(CncFault::Region)).and_then(|()| {
            rustix::fs::rename(&unfinished, path)
                .map_err(|errno| CncFault::Rename { path: path.to_path_buf(), errno: errno.raw_os_error() })
        });
        done.inspect_err(|_| {
            // Best effort: the fault matters more than the file that it leaves.
            let _ = rustix::fs::unlink(&unfinished);
        })?;
        Ok(Self { region: Arc::new(region), path: path.to_path_buf(), tables: Mutex::default() })
    }

    /// The same in memory of this process alone, which nobody else reads: for simulations.
    ///
    /// # Errors
    /// No memory, or the boot id cannot be read.
    pub fn in_process(name: &Path, now_ns: i64) -> Result<Self, CncFault> {
        let region = Region::in_process(name, CNC_BYTES).map_err(CncFault::Region)?;
        begin(&region, now_ns)?;
        Ok(Self { region: Arc::new(region), path: name.to_path_buf(), tables: Mutex::default() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is memory of this process alone.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        !self.region.is_file()
    }

    /// The counter of this name and label, made if it is new. The label has at most 96 bytes, such as
    /// `source=binance,type=TradeTick`.
    ///
    /// # Errors
    /// No room (also counted in the file), a text that does not fit, or the same name and label defined otherwise.
    pub fn counter(&self, def: &CounterDef, label: &str) -> Result<Counter, CncFault> {
        check_texts(def, label)?;
        let mut tables = self.lock();
        let index = self.register(&mut tables.counters, &COUNTERS, def, label)?;
        Ok(Counter::new(Arc::clone(&self.region), index))
    }

    /// The histogram of this name and label, made if it is new.
    ///
    /// # Errors
    /// As [`CncWriter::counter`].
    pub fn histogram(&self, def: &CounterDef, label: &str) -> Result<Histogram, CncFault> {
        check_texts(def, label)?;
        let mut tables = self.lock();
        let index = self.register(&mut tables.histograms, &HISTOGRAMS, def, label)?;
        Ok(Histogram::new(Arc::clone(&self.region), index))
    }

    /// The one heartbeat of this lane, starting at `now_ns`. The name has at most 56 bytes.
    ///
    /// # Errors
    /// The lane has one already, no room (also counted in the file), or a name that does not fit.
    pub fn heartbeat(&self, lane: &str, now_ns: i64) -> Result<Heartbeat, CncFault> {
        check_text("lane name", lane, LANE_NAME_MAX_BYTES)?;
        let mut tables = self.lock();
        if tables.lanes.iter().any(|taken| &**taken == lane) {
            return Err(CncFault::LaneTaken { lane: lane.to_owned() });
        }
        let index = tables.lanes.len();
        if index == LANE_MAX {
            self.region.atomic_u64(LANES_REFUSED_AT).fetch_add(1, Ordering::Relaxed);
            return Err(CncFault::Full { what: "lanes", max: LANE_MAX, name: lane.to_owned() });
        }
        tables.lanes.push(lane.into());
        Ok(Heartbeat::publish(Arc::clone(&self.region), index, lane, now_ns))
    }

    /// Says that the process, apart from its lanes, is alive at `now_ns` (ns since the Unix epoch). One store, no lock.
    #[inline]
    pub fn beat(&self, now_ns: i64) {
        self.region.atomic_u64(HEADER_BEAT_AT).store(now_ns.cast_unsigned(), Ordering::Relaxed);
    }

    /// Sets the state of the process and why it is not ready (empty: nothing to say; more than 240 bytes are cut).
    pub fn set_state(&self, state: State, reason: &str, now_ns: i64) {
        let _one_at_a_time = self.lock();
        status::store(&self.region, HEADER_STATUS_AT, state, reason, now_ns);
    }

    /// Counts an error by its text, of which the first 240 bytes count. Leave out of the text what differs each time.
    pub fn record_error(&self, now_ns: i64, text: &str) -> Noted {
        let text = &text[..text.floor_char_boundary(ERROR_TEXT_MAX_BYTES)];
        let mut tables = self.lock();
        if let Some(index) = tables.errors.get(text) {
            repeat_error(&self.region, *index, now_ns);
            return Noted::Again;
        }
        let index = tables.errors.len();
        if index == ERROR_MAX {
            self.region.atomic_u64(ERRORS_DROPPED_AT).fetch_add(1, Ordering::Relaxed);
            return Noted::Dropped;
        }
        publish_error(&self.region, index, text, now_ns);
        tables.errors.insert(text.into(), index);
        Noted::First
    }

    fn register(
        &self,
        table: &mut BTreeMap<(&'static str, Box<str>), (usize, CounterDef)>,
        place: &Place,
        def: &CounterDef,
        label: &str,
    ) -> Result<usize, CncFault> {
        let key = (def.name, Box::from(label));
        if let Some((index, known)) = table.get(&key) {
            let same = known == def;
            return if same { Ok(*index) } else { Err(CncFault::Redefined { name: full_name(def, label) }) };
        }
        let index = table.len();
        if index == place.max {
            self.region.atomic_u64(place.refused_at).fetch_add(1, Ordering::Relaxed);
            return Err(CncFault::Full { what: place.what, max: place.max, name: full_name(def, label) });
        }
        publish_meta(&self.region, (place.meta_at)(index), def, label);
        table.insert(key, (index, *def));
        Ok(index)
    }

    /// The tables are whole between any two statements, so a panic elsewhere while they were locked harms nothing.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where metadata of one sort goes.
struct Place {
    what: &'static str,
    max: usize,
    refused_at: usize,
    meta_at: fn(usize) -> usize,
}

const COUNTERS: Place = Place { what: "counters", max: COUNTER_MAX, refused_at: COUNTERS_REFUSED_AT, meta_at };
const HISTOGRAMS: Place =
    Place { what: "histograms", max: HISTOGRAM_MAX, refused_at: HISTOGRAMS_REFUSED_AT, meta_at: histogram_at };

/// Writes the header: the process is starting at `now_ns`.
fn begin(region: &Region, now_ns: i64) -> Result<(), CncFault> {
    let identity = Identity {
        magic: CNC_MAGIC,
        version: CNC_VERSION,
        header_bytes: HEADER_BYTES as u32,
        file_bytes: CNC_BYTES as u64,
        pid: std::process::id(),
        reserved_0: 0,
        boot_id: boot_id().map_err(CncFault::Boot)?,
        start_ns: now_ns,
        lane_max: LANE_MAX as u32,
        counter_max: COUNTER_MAX as u32,
        histogram_max: HISTOGRAM_MAX as u32,
        error_max: ERROR_MAX as u32,
        reserved_1: [0; 56],
    };
    region.store_record(0, &identity);
    region.atomic_u64(HEADER_BEAT_AT).store(now_ns.cast_unsigned(), Ordering::Relaxed);
    status::store(region, HEADER_STATUS_AT, State::Starting, "", now_ns);
    Ok(())
}

fn full_name(def: &CounterDef, label: &str) -> String {
    format!("{}{{{label}}}", def.name)
}

fn check_texts(def: &CounterDef, label: &str) -> Result<(), CncFault> {
    check_text("name", def.name, NAME_MAX_BYTES)?;
    check_text("unit", def.unit, UNIT_MAX_BYTES)?;
    check_text("help", def.help, HELP_MAX_BYTES)?;
    check_text("label", label, LABEL_MAX_BYTES)
}

fn check_text(what: &'static str, text: &str, max_bytes: usize) -> Result<(), CncFault> {
    if text.len() <= max_bytes {
        return Ok(());
    }
    Err(CncFault::TooLong { what, max_bytes, text: text.to_owned() })
}

/// Checks the header of a mapped file and returns it.
pub(crate) fn check_identity(region: &Region) -> Result<Identity, CncFault> {
    let fault = |field, found, expected| {
        Err(CncFault::NotReadable { path: region.path().to_path_buf(), field, found, expected })
    };
    // No edge: the file got its name when the header was whole.
    let magic = region.atomic_u64(offset_of!(Identity, magic)).load(Ordering::Relaxed);
    if magic != u64::from_le_bytes(CNC_MAGIC) {
        return fault("magic", magic, u64::from_le_bytes(CNC_MAGIC));
    }
    let identity: Identity = region.load_record(0);
    let checks = [
        ("version", u64::from(identity.version), u64::from(CNC_VERSION)),
        ("header_bytes", u64::from(identity.header_bytes), HEADER_BYTES as u64),
        ("file_bytes", identity.file_bytes, CNC_BYTES as u64),
        ("length of the file", region.len() as u64, CNC_BYTES as u64),
        ("lane_max", u64::from(identity.lane_max), LANE_MAX as u64),
        ("counter_max", u64::from(identity.counter_max), COUNTER_MAX as u64),
        ("histogram_max", u64::from(identity.histogram_max), HISTOGRAM_MAX as u64),
        ("error_max", u64::from(identity.error_max), ERROR_MAX as u64),
    ];
    for (field, found, expected) in checks {
        if found != expected {
            return fault(field, found, expected);
        }
    }
    Ok(identity)
}

impl fmt::Display for CncFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(fault) => fault.fmt(f),
            Self::Boot(fault) => fault.fmt(f),
            Self::Rename { path, errno } => write!(
                f,
                "{}: could not give the finished cnc file its name: {}; the name must be free or a file",
                path.display(),
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::Full { what, max, name } => {
                write!(f, "{name}: the cnc file has room for {max} {what} and all are taken; use fewer labels or lanes")
            }
            Self::TooLong { what, max_bytes, text } => {
                write!(f, "{what} {text:?} has {} bytes and may have {max_bytes}; shorten it", text.len())
            }
            Self::Redefined { name } => {
                write!(f, "{name}: registered before with another unit, help or kind; one definition per name")
            }
            Self::LaneTaken { lane } => {
                write!(f, "lane {lane:?} has its heartbeat already; give each lane its own name")
            }
            Self::NotReadable { path, field, found, expected } => write!(
                f,
                "{}: not a cnc file of version {CNC_VERSION}: {field} is {found:#x} and must be {expected:#x}; \
                 check the path, or use the cutline of the release that wrote it",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CncFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Region(fault) => Some(fault),
            Self::Boot(fault) => Some(fault),
            _ => None,
        }
    }
}
