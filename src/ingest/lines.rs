//! NDJSON framing: chunks of any size in, complete lines out as slices of one fixed buffer.
//!
//! Sans-I/O: the owner receives into [`LineSplitter::space`], says how much came with [`LineSplitter::filled`], and
//! takes lines with [`LineSplitter::peek`] and [`LineSplitter::consume`]. A line that finds no room downstream simply
//! stays: `peek` returns it again. Runs on the ingest lane; never allocates after `new`, never loses a byte silently.
//!
//! A line ends at LF; one CR before the LF is not part of it. An empty line is a line. A line longer than
//! `line_max_bytes` keeps its first `line_max_bytes` and its true length. What follows the last LF when the stream
//! ends is a line too (a CR at its end stays: there is no LF behind it).

use memchr::memchr;

use super::buffer::{Buffer, Found, Piece};

/// Room that a buffer needs beyond the longest line: the CR and LF of a line that just fits.
pub const READ_BUFFER_MIN_BYTES: usize = 2;

/// Splits a byte stream into lines. See the module's text for the rules.
#[derive(Debug)]
pub struct LineSplitter {
    buffer: Buffer,
    line_max_bytes: usize,
    read_max_bytes: usize,
    /// Pending bytes already searched without finding a line end.
    searched: usize,
    found: Option<Found>,
    /// Bytes of the current over-long line that are gone already; not zero means that its kept part is complete.
    dropped_bytes: u64,
    last_dropped_is_cr: bool,
    finished: bool,
}

impl LineSplitter {
    /// A splitter for lines of at most `line_max_bytes`, receiving at most `read_max_bytes` at a time.
    #[must_use]
    pub fn new(line_max_bytes: usize, read_max_bytes: usize) -> Self {
        let read_max_bytes = read_max_bytes.max(READ_BUFFER_MIN_BYTES);
        Self::over(Buffer::new(line_max_bytes, read_max_bytes), line_max_bytes, read_max_bytes)
    }

    /// As new, for another stream, with the same buffer.
    #[must_use]
    pub fn renewed(self) -> Self {
        Self::over(self.buffer.emptied(), self.line_max_bytes, self.read_max_bytes)
    }

    fn over(buffer: Buffer, line_max_bytes: usize, read_max_bytes: usize) -> Self {
        Self {
            buffer,
            line_max_bytes,
            read_max_bytes,
            searched: 0,
            found: None,
            dropped_bytes: 0,
            last_dropped_is_cr: false,
            finished: false,
        }
    }

    /// Room for the next chunk; never empty once [`LineSplitter::peek`] has returned `None`.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.space(self.read_max_bytes)
    }

    /// `bytes` were received into [`LineSplitter::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.buffer.filled(bytes);
    }

    /// The stream has ended: what is left without LF becomes the last line.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next complete line, the same one until it is consumed; `None` = more bytes are needed.
    pub fn peek(&mut self) -> Option<Piece<'_>> {
        if self.found.is_none() {
            self.found = self.find();
        }
        self.found.map(|found| found.piece(&self.buffer))
    }

    /// Drops the line that [`LineSplitter::peek`] returned; without one it does nothing.
    pub fn consume(&mut self) {
        if let Some(found) = self.found.take() {
            self.buffer.take(found.advance);
            self.searched = 0;
            self.dropped_bytes = 0;
            self.last_dropped_is_cr = false;
        }
    }

    fn find(&mut self) -> Option<Found> {
        let pending = self.buffer.pending();
        if let Some(at) = memchr(b'\n', &pending[self.searched..]) {
            let line_end = self.searched + at;
            let before_is_cr = if self.dropped_bytes > 0 && line_end == self.line_max_bytes {
                self.last_dropped_is_cr
            } else {
                line_end > 0 && pending[line_end - 1] == b'\r'
            };
            let true_len_bytes = line_end as u64 + self.dropped_bytes - u64::from(before_is_cr);
            let keep = (line_end - usize::from(before_is_cr && self.dropped_bytes == 0)).min(self.line_max_bytes);
            return Some(Found { keep, advance: line_end + 1, true_len_bytes, whole: true });
        }
        self.searched = pending.len();
        if self.finished {
            return self.rest();
        }
        // One byte more than the maximum may still be the CR of a line that just fits; two may not.
        if pending.len() > self.line_max_bytes + 1 {
            self.last_dropped_is_cr = pending.last() == Some(&b'\r');
            self.dropped_bytes += (pending.len() - self.line_max_bytes) as u64;
            self.buffer.keep(self.line_max_bytes);
            self.searched = self.line_max_bytes;
        }
        None
    }

    fn rest(&self) -> Option<Found> {
        let rest = self.buffer.pending().len();
        let true_len_bytes = rest as u64 + self.dropped_bytes;
        (true_len_bytes > 0).then_some(Found {
            keep: rest.min(self.line_max_bytes),
            advance: rest,
            true_len_bytes,
            whole: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Line = (Vec<u8>, u64);

    fn drain(splitter: &mut LineSplitter, lines: &mut Vec<Line>) {
        loop {
            let again = splitter.peek().map(|piece| (piece.bytes.to_vec(), piece.true_len_bytes));
            let Some(piece) = splitter.peek() else { break };
            assert_eq!(again, Some((piece.bytes.to_vec(), piece.true_len_bytes)), "a line stays until it is consumed");
            lines.push((piece.bytes.to_vec(), piece.true_len_bytes));
            splitter.consume();
        }
    }

    /// In the middle of an over-long line that its stream broke off, and then renewed.
    fn renewed(line_max_bytes: usize, read_max_bytes: usize) -> LineSplitter {
        let mut splitter = LineSplitter::new(line_max_bytes, read_max_bytes);
        for _ in 0..=line_max_bytes {
            let space = splitter.space();
            space.fill(b'\r');
            let bytes = space.len();
            splitter.filled(bytes);
            assert!(splitter.peek().is_none());
        }
        splitter.finish();
        assert!(splitter.peek().is_some_and(|piece| piece.truncated()));
        splitter.renewed()
    }

    /// Feeds `stream` in chunks of the given sizes, repeated in a circle.
    fn split(stream: &[u8], chunks: &[usize], line_max_bytes: usize, read_max_bytes: usize) -> Vec<Line> {
        let new = split_by(LineSplitter::new(line_max_bytes, read_max_bytes), stream, chunks);
        assert_eq!(split_by(renewed(line_max_bytes, read_max_bytes), stream, chunks), new, "renewed is as new");
        new
    }

    fn split_by(mut splitter: LineSplitter, stream: &[u8], chunks: &[usize]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut rest = stream;
        let mut turn = 0;
        while !rest.is_empty() {
            let space = splitter.space();
            assert!(!space.is_empty(), "room for at least one byte");
            let n = chunks[turn % chunks.len()].min(space.len()).min(rest.len());
            turn += 1;
            space[..n].copy_from_slice(&rest[..n]);
            splitter.filled(n);
            rest = &rest[n..];
            drain(&mut splitter, &mut lines);
        }
        splitter.finish();
        drain(&mut splitter, &mut lines);
        lines
    }

    /// The contract, written without a buffer.
    fn naive(stream: &[u8], line_max_bytes: usize) -> Vec<Line> {
        let mut lines: Vec<Vec<u8>> = stream.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        let rest = lines.pop().unwrap_or_default();
        for line in &mut lines {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if !rest.is_empty() {
            lines.push(rest);
        }
        lines.into_iter().map(|line| (line[..line.len().min(line_max_bytes)].to_vec(), line.len() as u64)).collect()
    }

    #[test]
    fn every_split_in_two_gives_the_same_lines() {
        let stream = b"one\r\n\n{\"a\":1}\nexactly_10\nexactly_10\r\nlonger than ten\r\n\r\r\nrest\r";
        let expected = naive(stream, 10);
        assert_eq!(expected.len(), 8);
        assert_eq!(expected[5], (b"longer tha".to_vec(), 15));
        for at in 1..stream.len() {
            assert_eq!(split(stream, &[at, stream.len()], 10, 64), expected, "split at {at}");
        }
        assert_eq!(split(stream, &[1], 10, READ_BUFFER_MIN_BYTES), expected);
    }

    #[test]
    fn an_over_long_line_keeps_its_start_and_its_length() {
        let mut stream = vec![b'x'; 100_000];
        stream.extend_from_slice(b"\r\nnext\n");
        for chunk in [1, 7, 4096] {
            let lines = split(&stream, &[chunk], 16, 64);
            assert_eq!(lines, [(vec![b'x'; 16], 100_000), (b"next".to_vec(), 4)]);
        }
    }

    #[test]
    fn a_stream_that_ends_in_an_over_long_line_keeps_it() {
        assert_eq!(split(&[b'y'; 1000], &[9], 4, 4), [(b"yyyy".to_vec(), 1000)]);
    }

    #[test]
    fn an_empty_stream_has_no_line() {
        assert!(split(b"", &[1], 4, 4).is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_split(
            stream in proptest::collection::vec(
                prop_oneof![2 => Just(b'\n'), 2 => Just(b'\r'), 6 => any::<u8>()], 0..400),
            chunks in proptest::collection::vec(1usize..40, 1..20),
            line_max_bytes in 0usize..30,
            read_max_bytes in 1usize..50,
        ) {
            prop_assert_eq!(split(&stream, &chunks, line_max_bytes, read_max_bytes), naive(&stream, line_max_bytes));
        }
    }
}
