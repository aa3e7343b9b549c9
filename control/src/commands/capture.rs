//! A recorded capture as a stream of bytes, unpacked as it is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A capture being read: its unpacked bytes, how many packed ones there are (0 = not known) and how many were read.
pub struct Capture {
    pub reader: Box<dyn Read + Send>,
    pub total_bytes: u64,
    pub read: BytesRead,
}

/// Opens `path`, or standard input for `-`. Names that end in .gz or .zst are unpacked.
pub fn open(path: &Path) -> Result<Capture, Failure> {
    let read = BytesRead::default();
    let cannot = |error: io::Error| Failure::machine(format!("cannot open {}: {error}", path.display()));
    if path.as_os_str() == "-" {
        let inner = Counting { inner: io::stdin(), count: read.clone() };
        return Ok(Capture { reader: Box::new(inner), total_bytes: 0, read });
    }
    let file = File::open(path).map_err(cannot)?;
    let total_bytes = file.metadata().map_err(cannot)?.len();
    let counted = Counting { inner: io::BufReader::with_capacity(1 << 18, file), count: read.clone() };
    let reader: Box<dyn Read + Send> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(MultiGzDecoder::new(counted)),
        Some("zst") => Box::new(zstd::Decoder::new(counted).map_err(cannot)?),
        _ => Box::new(counted),
    };
    Ok(Capture { reader, total_bytes, read })
}
