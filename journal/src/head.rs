//! The head file of a live log: who it is, and its watermarks. Made by recovery, mapped by everybody.
//!
//! | edge | from | to |
//! |---|---|---|
//! | E2 | [`Head::set_visible`] (appender) | [`Head::visible`] (keeper, before it copies to disk) |
//! | E3 | [`Head::set_durable`] (keeper, after a flush) | [`Head::durable`] (tails in durable mode) |
//! | E4 | [`Head::create`], magic stored last (recovery) | [`Head::open`] (tails) |
//! | E5 | [`Head::close`], after the disk files are whole | [`Head::is_closed`] (tails, before they turn to disk) |
//!
//! The identity never changes: another generation has another head, and the one before is closed.
//!
//! Opening is a syscall and belongs to cold code or to whoever owns a tail; the watermarks are plain atomics. Each edge has a
//! loom test (`loom_tests.rs`) that fails when one of its sides is weakened.

use std::path::Path;
use std::sync::Arc;

use cutline_ring::edge;
use cutline_ring::sync::{Edge, Ordering};
use cutline_shm::owner::boot_id;
use cutline_shm::region::Region;

use crate::disk::Disk;
use crate::fault::LogFault;
use crate::layout::{
    HEAD_BYTES, HEAD_CLOSED, HEAD_DURABLE, HEAD_DURABLE_MODE, HEAD_MAGIC, HEAD_OLDEST, HEAD_VISIBLE, HeadIdentity,
};

const E2: Edge = edge!("log_e2", "log_e2_acquire");
const E3: Edge = edge!("log_e3", "log_e3_acquire");
const E4: Edge = edge!("log_e4", "log_e4_acquire");
const E5: Edge = edge!("log_e5", "log_e5_acquire");

/// A mapped head file.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    region: Arc<Region>,
}

impl Head {
    /// Makes a head of a log that has none, with everything up to `position` visible and on disk; `identity.magic` and
    /// `identity.boot_id` are filled in.
    pub fn create(
        disk: &dyn Disk,
        path: &Path,
        identity: HeadIdentity,
        oldest: u64,
        position: u64,
    ) -> Result<Self, LogFault> {
        let region = disk.create_region(path, HEAD_BYTES)?;
        let identity = HeadIdentity { magic: [0; 8], boot_id: this_boot()?, ..identity };
        Ok(Self::begin(Arc::new(region), &identity, oldest, position))
    }

    /// A head in a region of zeros; `identity.magic` is zero.
    pub(crate) fn begin(region: Arc<Region>, identity: &HeadIdentity, oldest: u64, position: u64) -> Self {
        region.store_record(0, identity);
        let head = Self { region };
        head.set_watermarks(oldest, position);
        head.region.atomic_u64(0).store(u64::from_le_bytes(HEAD_MAGIC), E4.release); // E4 release
        head
    }

    /// A mapped head, if it is finished.
    pub(crate) fn finished(region: Arc<Region>) -> Option<Self> {
        let magic = region.atomic_u64(0).load(E4.acquire); // E4 acquire
        (magic == u64::from_le_bytes(HEAD_MAGIC)).then_some(Self { region })
    }

    /// Maps the head at `path`. `None` if there is none, it is not finished, it is closed, or it is of another boot: then
    /// nothing in memory counts.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, LogFault> {
        Self::checked(disk.open_region(path, HEAD_BYTES, false))
    }

    /// As [`Head::open`], to go on writing.
    pub fn open_write(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, LogFault> {
        Self::checked(disk.open_region(path, HEAD_BYTES, true))
    }

    fn checked(opened: Result<Region, cutline_shm::region::RegionFault>) -> Result<Option<Self>, LogFault> {
        let region = match opened {
            Ok(region) => region,
            Err(fault) if fault.is_not_made() => return Ok(None),
            Err(fault) => return Err(fault.into()),
        };
        let Some(head) = Self::finished(Arc::new(region)) else { return Ok(None) };
        let identity: HeadIdentity = head.region.load_record(0);
        let counts = !head.is_closed() && identity.boot_id == this_boot()?;
        Ok(counts.then_some(head))
    }

    /// Identity of the log.
    pub fn log_id(&self) -> u64 {
        self.region.load_record::<HeadIdentity>(0).log_id
    }

    /// Whether followers stop at the durable watermark.
    pub fn durable_mode(&self) -> bool {
        self.region.atomic_u64(HEAD_DURABLE_MODE).load(Ordering::Relaxed) == 1
    }

    /// See [`HeadIdentity::generation`].
    pub fn generation(&self) -> u64 {
        self.region.load_record::<HeadIdentity>(0).generation
    }

    /// Takes the same generation over after its writer's process has died.
    pub fn renew(&self, durable_mode: bool, oldest: u64, position: u64) {
        self.region.atomic_u64(HEAD_DURABLE_MODE).store(u64::from(durable_mode), Ordering::Relaxed);
        self.set_watermarks(oldest, position);
    }

    fn set_watermarks(&self, oldest: u64, position: u64) {
        self.region.atomic_u64(HEAD_OLDEST).store(oldest, Ordering::Relaxed);
        self.set_durable(position);
        self.set_visible(position);
    }

    pub fn set_visible(&self, position: u64) {
        self.region.atomic_u64(HEAD_VISIBLE).store(position, E2.release); // E2 release
    }

    pub fn visible(&self) -> u64 {
        self.region.atomic_u64(HEAD_VISIBLE).load(E2.acquire) // E2 acquire
    }

    pub fn set_durable(&self, position: u64) {
        self.region.atomic_u64(HEAD_DURABLE).store(position, E3.release); // E3 release
    }

    pub fn durable(&self) -> u64 {
        self.region.atomic_u64(HEAD_DURABLE).load(E3.acquire) // E3 acquire
    }

    /// What lies before `position` is about to be removed.
    pub fn set_oldest(&self, position: u64) {
        self.region.atomic_u64(HEAD_OLDEST).store(position, Ordering::Relaxed);
    }

    pub fn oldest(&self) -> u64 {
        // No edge: what it says of files, the files say themselves.
        self.region.atomic_u64(HEAD_OLDEST).load(Ordering::Relaxed)
    }

    /// This head counts no more: whoever has it mapped looks again what there is.
    pub fn close(&self) {
        self.region.atomic_u64(HEAD_CLOSED).store(1, E5.release); // E5 release
    }

    pub fn is_closed(&self) -> bool {
        self.region.atomic_u64(HEAD_CLOSED).load(E5.acquire) != 0 // E5 acquire
    }
}

fn this_boot() -> Result<[u8; 16], LogFault> {
    boot_id().map_err(|error| LogFault::Settings(error.to_string()))
}
