//! Frames of a log's files, read and changed as docs/formats.md draws them, by nothing of Cutline's own.

use std::path::{Path, PathBuf};

/// Bytes of a segment's header, and of a frame's.
const HEADER_BYTES: usize = 64;
const SEAL: u8 = 0x7f;

/// A frame where it lies: file, offset, header and payload.
pub struct Found {
    pub file: PathBuf,
    pub offset: usize,
    pub header: [u8; HEADER_BYTES],
    pub payload: Vec<u8>,
}

impl Found {
    /// Its kind, without the bit for groups.
    pub fn kind(&self) -> u8 {
        self.header[4] & 0x7f
    }

    pub fn seq(&self) -> u64 {
        u64::from_le_bytes(self.header[8..16].try_into().unwrap())
    }

    pub fn position(&self) -> u64 {
        u64::from_le_bytes(self.header[16..24].try_into().unwrap())
    }

    pub fn aux(&self) -> i64 {
        i64::from_le_bytes(self.header[56..64].try_into().unwrap())
    }

    pub fn ts_ns(&self) -> i64 {
        i64::from_le_bytes(self.header[24..32].try_into().unwrap())
    }

    /// Writes another payload of the same length in its place, with a checksum that fits.
    pub fn lie(&self, payload: &[u8]) {
        assert_eq!(payload.len(), self.payload.len());
        let mut bare = self.header;
        bare[..4].fill(0);
        bare[52..56].fill(0);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bare), payload);
        let mut bytes = std::fs::read(&self.file).unwrap();
        bytes[self.offset + 52..self.offset + 56].copy_from_slice(&crc.to_le_bytes());
        bytes[self.offset + HEADER_BYTES..][..payload.len()].copy_from_slice(payload);
        std::fs::write(&self.file, bytes).unwrap();
    }
}

/// Segment files of a log on disk, in order.
pub fn segments(data: &str, log: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(format!("{data}/{log}")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    files.sort();
    files
}

/// Position of the first byte of a log on disk.
pub fn oldest(data: &str, log: &str) -> u64 {
    base(&segments(data, log)[0])
}

/// Position of a segment's first byte.
pub fn base(segment: &Path) -> u64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// All frames of a log on disk but seals, in order.
pub fn frames(data: &str, log: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for file in segments(data, log) {
        let bytes = std::fs::read(&file).unwrap();
        let mut offset = HEADER_BYTES;
        while let Some(header) = bytes.get(offset..offset + HEADER_BYTES) {
            let header: [u8; HEADER_BYTES] = header.try_into().unwrap();
            let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap()) as usize;
            if number(0) == 0 || header[4] == SEAL {
                break;
            }
            let payload = bytes[offset + HEADER_BYTES..][..number(48)].to_vec();
            found.push(Found { file: file.clone(), offset, header, payload });
            offset += number(0);
        }
    }
    found
}
