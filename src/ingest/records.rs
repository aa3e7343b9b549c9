//! Framing of binary records: chunks of any size in, complete records out as slices of one fixed buffer.
//!
//! The counterpart of the line splitter with the same calls; sans-I/O, on the ingest lane, no allocation after `new`.
//! Each record says its own length (`model::binary::frame`). One longer than `record_max_bytes` keeps its first
//! `record_max_bytes` and its true length, as an over-long line does. Where no record begins there is no way to find the
//! next: everything received becomes one piece that is not whole, and [`RecordSplitter::is_broken`] says that the connection
//! must be closed.

use super::buffer::{Buffer, Found, Piece};
use crate::model::binary::{self, Framing};

/// Splits a byte stream into records. See the module's text for the rules.
#[derive(Debug)]
pub struct RecordSplitter {
    buffer: Buffer,
    record_max_bytes: usize,
    read_max_bytes: usize,
    found: Option<Found>,
    /// Bytes of the current over-long record that are gone already.
    dropped_bytes: u64,
    finished: bool,
    broken: bool,
}

impl RecordSplitter {
    /// A splitter for records of at most `record_max_bytes`, receiving at most `read_max_bytes` at a time.
    #[must_use]
    pub fn new(record_max_bytes: usize, read_max_bytes: usize) -> Self {
        // A header must fit even if no record may be that long: only then can it be refused.
        let read_max_bytes = read_max_bytes.max(binary::HEADER_BYTES);
        Self::over(Buffer::new(record_max_bytes, read_max_bytes), record_max_bytes, read_max_bytes)
    }

    /// As new, for another stream, with the same buffer.
    #[must_use]
    pub fn renewed(self) -> Self {
        Self::over(self.buffer.emptied(), self.record_max_bytes, self.read_max_bytes)
    }

    fn over(buffer: Buffer, record_max_bytes: usize, read_max_bytes: usize) -> Self {
        Self { buffer, record_max_bytes, read_max_bytes, found: None, dropped_bytes: 0, finished: false, broken: false }
    }

    /// Room for the next chunk; never empty once [`RecordSplitter::peek`] has returned `None` on an unbroken stream.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.space(self.read_max_bytes)
    }

    /// `bytes` were received into [`RecordSplitter::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.buffer.filled(bytes);
    }

    /// The stream has ended: an incomplete record becomes a piece that is not whole.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// A length was broken: nothing behind the last piece can be framed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The next record, the same one until it is consumed; `None` = more bytes are needed, or the stream is broken.
    pub fn peek(&mut self) -> Option<Piece<'_>> {
        if self.found.is_none() {
            self.found = self.find();
        }
        self.found.map(|found| found.piece(&self.buffer))
    }

    /// Drops the piece that [`RecordSplitter::peek`] returned; without one it does nothing.
    pub fn consume(&mut self) {
        if let Some(found) = self.found.take() {
            self.buffer.take(found.advance);
            self.dropped_bytes = 0;
        }
    }

    fn find(&mut self) -> Option<Found> {
        let pending = self.buffer.pending();
        if self.broken || pending.is_empty() {
            return None;
        }
        match binary::frame(pending, self.record_max_bytes) {
            Framing::Record(bytes) => {
                Some(Found { keep: bytes, advance: bytes, true_len_bytes: bytes as u64, whole: true })
            }
            Framing::TooLong(bytes) => self.step_over(bytes as u64),
            Framing::NeedMore(_) => self.finished.then(|| self.everything()),
            Framing::Broken(_) => {
                self.broken = true;
                Some(self.everything())
            }
        }
    }

    /// An over-long record: its piece once all of it has gone by, until then its start alone is kept.
    fn step_over(&mut self, record_bytes: u64) -> Option<Found> {
        let pending = self.buffer.pending().len();
        let received = self.dropped_bytes + pending as u64;
        if received >= record_bytes {
            // What lies behind its end is the next record's. It came with the last read, so it is all still pending.
            let advance = pending - (received - record_bytes) as usize;
            let keep = advance.min(self.record_max_bytes);
            return Some(Found { keep, advance, true_len_bytes: record_bytes, whole: true });
        }
        if self.finished {
            return Some(self.everything());
        }
        // The prefix says how long it is, and is asked again.
        let kept = self.record_max_bytes.max(binary::PREFIX_BYTES);
        if pending > kept {
            self.dropped_bytes += (pending - kept) as u64;
            self.buffer.keep(kept);
        }
        None
    }

    /// All that is pending, as a piece that is no record.
    fn everything(&self) -> Found {
        let bytes = self.buffer.pending().len();
        let true_len_bytes = self.dropped_bytes + bytes as u64;
        Found { keep: bytes.min(self.record_max_bytes), advance: bytes, true_len_bytes, whole: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as far as framing looks: length, magic, version, and whatever.
    fn record(content: &[u8]) -> Vec<u8> {
        let length = binary::HEADER_BYTES + content.len();
        let mut record = u32::try_from(length).expect("short").to_le_bytes().to_vec();
        record.extend_from_slice(&binary::MAGIC);
        record.push(binary::VERSION);
        record.resize(binary::HEADER_BYTES, 0);
        record.extend_from_slice(content);
        record
    }

    type Seen = (Vec<u8>, u64, bool);

    /// At what is no record, where its stream broke off, and then renewed.
    fn renewed(record_max_bytes: usize, read_max_bytes: usize) -> RecordSplitter {
        let mut splitter = RecordSplitter::new(record_max_bytes, read_max_bytes);
        for _ in 0..3 {
            let space = splitter.space();
            space.fill(b'?');
            let bytes = space.len();
            splitter.filled(bytes);
            assert!(splitter.peek().is_some());
        }
        splitter.finish();
        assert!(splitter.is_broken());
        splitter.renewed()
    }

    fn split(stream: &[u8], chunks: &[usize], record_max_bytes: usize, read_max_bytes: usize) -> (Vec<Seen>, bool) {
        let new = split_by(RecordSplitter::new(record_max_bytes, read_max_bytes), stream, chunks);
        assert_eq!(split_by(renewed(record_max_bytes, read_max_bytes), stream, chunks), new, "renewed is as new");
        new
    }

    fn split_by(mut splitter: RecordSplitter, stream: &[u8], chunks: &[usize]) -> (Vec<Seen>, bool) {
        let mut seen = Vec::new();
        let mut drain = |splitter: &mut RecordSplitter| {
            while let Some(piece) = splitter.peek() {
                seen.push((piece.bytes.to_vec(), piece.true_len_bytes, piece.whole));
                splitter.consume();
            }
        };
        let mut rest = stream;
        let mut turn = 0;
        while !rest.is_empty() && !splitter.is_broken() {
            let space = splitter.space();
            assert!(!space.is_empty(), "room for at least one byte");
            let n = chunks[turn % chunks.len()].min(space.len()).min(rest.len());
            turn += 1;
            space[..n].copy_from_slice(&rest[..n]);
            splitter.filled(n);
            rest = &rest[n..];
            drain(&mut splitter);
        }
        splitter.finish();
        drain(&mut splitter);
        (seen, splitter.is_broken())
    }

    #[test]
    fn a_broken_length_ends_the_stream_in_one_piece() {
        let bad = b"\x05\0\0\0CL\x01\0and more";
        let stream = [&record(b"ok")[..], bad].concat();
        let (seen, broken) = split(&stream, &[stream.len()], 64, 200);
        assert!(broken);
        assert_eq!(seen, [(record(b"ok"), 58, true), (bad.to_vec(), 16, false)]);
    }

    #[test]
    fn what_is_no_record_at_all_keeps_its_start_and_its_length() {
        let (seen, broken) = split(&[b'?'; 100], &[100], 60, 100);
        assert!(broken);
        assert_eq!(seen, [(vec![b'?'; 60], 100, false)]);
    }

    #[test]
    fn a_record_above_the_limit_keeps_its_start_and_its_length_and_the_stream_goes_on() {
        for long in [10, 500, 5000] {
            let long = record(&vec![7; long]);
            let stream = [&long[..], &record(b"next")].concat();
            for (chunk, read_max_bytes) in [(1, 64), (4, 64), (70, 64), (stream.len(), 8192)] {
                let (seen, broken) = split(&stream, &[chunk], 65, read_max_bytes);
                assert!(!broken);
                assert_eq!(seen, [(long[..65].to_vec(), long.len() as u64, true), (record(b"next"), 60, true)]);
            }
        }
        assert_eq!(
            split(&record(&[7; 10]), &[4], 66, 64).0,
            [(record(&[7; 10]), 66, true)],
            "66 bytes are not too long"
        );
    }

    #[test]
    fn a_disconnect_inside_a_record_above_the_limit_keeps_its_start_and_what_came() {
        let long = record(&[7; 500]);
        assert_eq!(split(&long[..400], &[30], 65, 64).0, [(long[..65].to_vec(), 400, false)]);
        assert_eq!(split(&long[..60], &[30], 65, 64).0, [(long[..60].to_vec(), 60, false)]);
    }

    #[test]
    fn a_disconnect_inside_a_record_keeps_its_bytes() {
        let whole = record(b"0123456789");
        for cut in 1..whole.len() {
            let (seen, broken) = split(&whole[..cut], &[3], 100, 4);
            assert!(!broken);
            assert_eq!(seen, [(whole[..cut].to_vec(), cut as u64, false)]);
        }
    }

    proptest! {
        #[test]
        fn records_survive_any_chunking(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20),
            chunks in proptest::collection::vec(1usize..90, 1..20),
            record_max_bytes in binary::HEADER_BYTES..binary::HEADER_BYTES + 90,
            read_max_bytes in 1usize..90,
        ) {
            let stream: Vec<u8> = contents.iter().flat_map(|content| record(content)).collect();
            let expected: Vec<Seen> = contents.iter().map(|content| {
                let record = record(content);
                let bytes = record.len() as u64;
                (record[..record.len().min(record_max_bytes)].to_vec(), bytes, true)
            }).collect();
            prop_assert_eq!(split(&stream, &chunks, record_max_bytes, read_max_bytes), (expected, false));
        }
    }
}
