//! Checkpoint files: what the logs say up to a place, so that a start need not read what lies before it, and retention may remove it.
//!
//! ```text
//! data/checkpoints/00000000000000131072.ckp      named by its place in the runs log
//! 0                64                                     64 + payload_bytes
//! ├ CheckpointFile ┼ payload: the data plane's, opaque here ┤
//! ```
//!
//! Each is written once, beside the ones before it; one that a crash has cut short does not match its checksum, and is none. Cold path
//! only: the logs' owner writes and removes them, anybody may read them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::{Pod, Zeroable, bytes_of};

use crate::crc;
use crate::disk::{Access, Disk};
use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::layout::to_usize;

/// First eight bytes of a checkpoint file.
pub const CHECKPOINT_MAGIC: [u8; 8] = *b"CUTLCKP1";
/// Folder of the checkpoint files in a data directory.
pub const CHECKPOINT_DIR: &str = "checkpoints";
/// Bytes of a checkpoint file's header.
pub const CHECKPOINT_HEADER_BYTES: usize = 64;
/// Longest payload that is read, bytes: what is longer was not written by us.
pub const CHECKPOINT_MAX_BYTES: u64 = 1 << 32;

/// Header of a checkpoint file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CheckpointFile {
    /// [`CHECKPOINT_MAGIC`].
    pub magic: [u8; 8],
    /// Place in the runs log, as in the file's name.
    pub place: u64,
    /// Bytes of the payload directly behind.
    pub payload_bytes: u64,
    /// Zero, kept for additions.
    pub reserved: [u8; 32],
    /// CRC32C of the payload.
    pub payload_crc: u32,
    /// CRC32C of the bytes before it.
    pub crc: u32,
}

const _: () = {
    assert!(size_of::<CheckpointFile>() == CHECKPOINT_HEADER_BYTES);
    assert!(core::mem::offset_of!(CheckpointFile, payload_bytes) == 16);
    assert!(core::mem::offset_of!(CheckpointFile, crc) == 60);
};

impl CheckpointFile {
    fn of(place: u64, payload: &[u8]) -> Self {
        let (payload_bytes, payload_crc) = (payload.len() as u64, crc::of(payload));
        let header = Self { magic: CHECKPOINT_MAGIC, place, payload_bytes, payload_crc, ..Self::default() };
        Self { crc: crc::of(&bytes_of(&header)[..60]), ..header }
    }
}

/// The checkpoint files of a data directory.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    files: LogFiles,
}

impl Checkpoints {
    /// Those of the data directory `data`, reached through `disk`.
    #[must_use]
    pub fn of(data: &Path, disk: Arc<dyn Disk>) -> Self {
        Self { files: LogFiles::new(data, None, CHECKPOINT_DIR).through(disk) }
    }

    /// Their places in the runs log, ascending; whether each is whole is found when it is read.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn places(&self) -> Result<Vec<u64>, LogFault> {
        let folder = self.files.disk_dir();
        let names = match self.files.disk().list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(LogFault::io("list", folder))?,
        };
        let place = |name: &str| name.strip_suffix(".ckp")?.parse().ok();
        let mut places: Vec<u64> = names.iter().filter_map(|name| place(name.to_str()?)).collect();
        places.sort_unstable();
        Ok(places)
    }

    /// Reads the payload of the checkpoint at `place`; `None` if there is none that is whole.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn read(&self, place: u64) -> Result<Option<Vec<u8>>, LogFault> {
        let path = self.path(place);
        match self.read_file(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(None),
            Err(error) => Err(LogFault::io("read", &path)(error)),
            Ok(read) => {
                Ok(read
                    .and_then(|(header, payload)| (header == CheckpointFile::of(place, &payload)).then_some(payload)))
            }
        }
    }

    fn read_file(&self, path: &Path) -> io::Result<Option<(CheckpointFile, Vec<u8>)>> {
        let file = self.files.disk().open(path, Access::Read)?;
        let mut bytes = [0; CHECKPOINT_HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        let header: CheckpointFile = bytemuck::pod_read_unaligned(&bytes);
        let fits = file.len_bytes()? == CHECKPOINT_HEADER_BYTES as u64 + header.payload_bytes.min(CHECKPOINT_MAX_BYTES);
        if header.magic != CHECKPOINT_MAGIC || !fits {
            return Ok(None);
        }
        let mut payload = vec![0; to_usize(header.payload_bytes)];
        file.read_exact_at(&mut payload, CHECKPOINT_HEADER_BYTES as u64)?;
        Ok(Some((header, payload)))
    }

    /// The first bytes of the payload of the checkpoint at `place`, not checked; `None` if it has not so many.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn read_start<const BYTES: usize>(&self, place: u64) -> Result<Option<[u8; BYTES]>, LogFault> {
        let path = self.path(place);
        let mut bytes = [0; BYTES];
        let file = self.files.disk().open(&path, Access::Read);
        match file.and_then(|file| file.read_exact_at(&mut bytes, CHECKPOINT_HEADER_BYTES as u64)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(None),
            Err(error) => Err(LogFault::io("read", &path)(error)),
            Ok(()) => Ok(Some(bytes)),
        }
    }

    /// Writes the checkpoint at `place` and waits until it is on disk with its name.
    ///
    /// # Errors
    /// The disk's; what was written by then is not whole.
    pub fn write(&self, place: u64, payload: &[u8]) -> Result<(), LogFault> {
        let (disk, folder, path) = (self.files.disk(), self.files.disk_dir(), self.path(place));
        disk.create_dir(folder).map_err(LogFault::io("create folder", folder))?;
        let file = disk.open(&path, Access::Create).map_err(LogFault::io("create", &path))?;
        let header = CheckpointFile::of(place, payload);
        let bytes = (CHECKPOINT_HEADER_BYTES + payload.len()) as u64;
        file.set_len(bytes).map_err(LogFault::io("size", &path))?;
        file.write_all_at(payload, CHECKPOINT_HEADER_BYTES as u64).map_err(LogFault::io("write", &path))?;
        file.write_all_at(bytes_of(&header), 0).map_err(LogFault::io("write", &path))?;
        file.sync_data().map_err(LogFault::io("flush", &path))?;
        disk.settle_names(folder)?;
        folder.parent().map_or(Ok(()), |data| disk.settle_names(data))
    }

    /// Removes the checkpoint at `place`, if it is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, place: u64) -> Result<(), LogFault> {
        self.files.disk().forget(&self.path(place))
    }

    /// The file of the checkpoint at `place`.
    #[must_use]
    pub fn path(&self, place: u64) -> PathBuf {
        self.files.disk_dir().join(format!("{place:020}.ckp"))
    }
}
