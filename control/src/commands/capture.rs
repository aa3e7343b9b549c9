//! A recorded capture as a stream of bytes, unpacked as it is read.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;

use super::Failure;

/// Bytes read so far, for a progress bar.
#[derive(Clone, Default)]
pub struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counting<R> {
    inner: R,
    count: BytesRead,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Why a capture was not read to its end, once that has happened.
#[derive(Clone, Default)]
pub struct ReadFailure(Arc<Mutex<Option<String>>>);

impl ReadFailure {
    /// The failure, if there was one.
    pub fn check(&self, path: &Path) -> Result<(), Failure> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(error) => Err(Failure::machine(format!(
                "{} was not read to its end: {error}; what came before is kept: repair the file and start again with another --data",
                path.display()
            ))),
        }
    }
}

struct Noting {
    inner: Box<dyn Read + Send>,
    failed: ReadFailure,
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| {
            if error.kind() != ErrorKind::Interrupted {
                *self.failed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        })
    }
}

/// A capture being read: its unpacked bytes, how many packed ones there are (0 = not known), how many were read, and why no
/// more can be.
pub struct Capture {
    pub reader: Box<dyn Read + Send>,
    pub total_bytes: u64,
    pub read: BytesRead,
    pub failed: ReadFailure,
}

/// Opens `path`, or standard input for `-`. Names that end in .gz or .zst are unpacked.
pub fn open(path: &Path) -> Result<Capture, Failure> {
    let (read, failed) = (BytesRead::default(), ReadFailure::default());
    let noting = |inner| Box::new(Noting { inner, failed: failed.clone() });
    let cannot = |error: io::Error| Failure::machine(format!("cannot open {}: {error}", path.display()));
    if path.as_os_str() == "-" {
        let inner = Box::new(Counting { inner: io::stdin(), count: read.clone() });
        return Ok(Capture { reader: noting(inner), total_bytes: 0, read, failed });
    }
    let file = File::open(path).map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    if found.is_dir() {
        return Err(cannot(ErrorKind::IsADirectory.into()));
    }
    let counted = Counting { inner: io::BufReader::with_capacity(1 << 18, file), count: read.clone() };
    let reader: Box<dyn Read + Send> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(MultiGzDecoder::new(counted)),
        Some("zst") => Box::new(zstd::Decoder::new(counted).map_err(cannot)?),
        _ => Box::new(counted),
    };
    Ok(Capture { reader: noting(reader), total_bytes: found.len(), read, failed })
}
