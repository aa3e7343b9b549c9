//! What child processes print, as lines: bounded in length, and in number per second.
//!
//! Nothing that a process prints can make it stand still, fill memory, or forge another line.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

/// Longest line that is taken over, bytes; the rest of a longer one is dropped.
const LINE_MAX_BYTES: usize = 1024;
/// Most bytes taken from a process in one go, so that one that floods is throttled and does not keep the warden busy.
const READ_MAX_BYTES: usize = 16 * 1024;
/// Bytes of one read.
const CHUNK_BYTES: usize = 4 * 1024;

/// Where a process printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What happens to child processes, for whoever keeps a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It was started.
    Started,
    /// A guard that this system does not have: the process runs without.
    Unguarded(&'a str),
    /// It takes calls; what it says of itself, canonical JSON.
    Ready(&'a str),
    /// It printed a line; `cut`: a part of a longer one.
    Printed {
        /// Where.
        stream: Stream,
        /// The line, without control characters.
        text: &'a str,
        /// Whether it was longer.
        cut: bool,
    },
    /// It printed so many lines more than are taken over in a second.
    Dropped(u64),
    /// There is none, for this reason.
    NotStarted(&'a str),
    /// It is gone, for this reason.
    Ended(&'a str),
}

/// Told of each event of an engine process, with the number of the process from 0 and its process id (0: none), on the warden's thread. It must not
/// wait for long.
pub type Listener = Box<dyn FnMut(usize, u32, Event<'_>) + Send>;

/// How many lines of a process are taken over.
#[derive(Debug)]
pub struct Allowance {
    lines_per_s: u32,
    second: Instant,
    used: u32,
    dropped: u64,
}

impl Allowance {
    /// So many in each second from now on.
    #[must_use]
    pub fn new(lines_per_s: u32, now: Instant) -> Self {
        Self { lines_per_s, second: now, used: 0, dropped: 0 }
    }

    /// Whether one more line is taken over; it is counted if not.
    pub fn take(&mut self) -> bool {
        let allowed = self.used < self.lines_per_s;
        if allowed {
            self.used += 1;
        } else {
            self.dropped += 1;
        }
        allowed
    }

    /// How many lines were dropped in the second that is over, if one is.
    pub fn over(&mut self, now: Instant, last: bool) -> Option<u64> {
        if !last && now.duration_since(self.second) < Duration::from_secs(1) {
            return None;
        }
        (self.second, self.used) = (now, 0);
        Some(std::mem::take(&mut self.dropped)).filter(|dropped| *dropped > 0)
    }
}

/// One of a process's streams.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    stream: Stream,
    line: Vec<u8>,
    /// The line goes on beyond what is kept.
    cut: bool,
    ended: bool,
}

impl<R: Read> Lines<R> {
    /// The lines of a stream that never waits.
    pub fn new(from: R, stream: Stream) -> Self {
        Self { from, stream, line: Vec::with_capacity(LINE_MAX_BYTES), cut: false, ended: false }
    }

    /// Where they come from.
    pub fn source(&self) -> &R {
        &self.from
    }

    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Hands on the lines that are there, as many as are allowed. True if there may be more.
    pub fn read(&mut self, allowance: &mut Allowance, listener: &mut dyn FnMut(Event<'_>)) -> bool {
        let mut chunk = [0; CHUNK_BYTES];
        for _ in 0..READ_MAX_BYTES / CHUNK_BYTES {
            match self.from.read(&mut chunk) {
                Ok(0) => {
                    self.ended = true;
                    return false;
                }
                Ok(len) => self.feed(&chunk[..len], allowance, listener),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.ended = true;
                    return false;
                }
            }
        }
        true
    }

    fn feed(&mut self, bytes: &[u8], allowance: &mut Allowance, listener: &mut dyn FnMut(Event<'_>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_MAX_BYTES - self.line.len();
            self.cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                self.finish(allowance, listener);
            }
        }
    }

    /// Hands on the line as far as it is there.
    pub fn finish(&mut self, allowance: &mut Allowance, listener: &mut dyn FnMut(Event<'_>)) {
        if (!self.line.is_empty() || self.cut) && allowance.take() {
            let text = printable(&self.line);
            listener(Event::Printed { stream: self.stream, text: &text, cut: self.cut });
        }
        self.line.clear();
        self.cut = false;
    }
}

/// The text of a line, with a replacement for whatever would do something to a terminal or to the log's own lines.
fn printable(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let replace = |c: char| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c };
    String::from_utf8_lossy(line).chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of what is printed at once, and how many were dropped.
    fn lines(bytes: &[u8], lines_per_s: u32) -> (Vec<(String, bool)>, Option<u64>) {
        let now = Instant::now();
        let mut allowance = Allowance::new(lines_per_s, now);
        let mut lines = Lines::new(bytes, Stream::Err);
        let mut seen = Vec::new();
        let mut listener = |event: Event<'_>| match event {
            Event::Printed { stream: Stream::Err, text, cut } => seen.push((text.to_owned(), cut)),
            other => panic!("{other:?}"),
        };
        while lines.read(&mut allowance, &mut listener) {}
        lines.finish(&mut allowance, &mut listener);
        assert!(lines.has_ended());
        assert_eq!(allowance.over(now, false), None, "within its second");
        (seen, allowance.over(now + Duration::from_secs(1), false))
    }

    #[test]
    fn lines_are_bounded_and_cannot_be_forged() {
        let kept = |text: &str| (text.to_owned(), false);
        let printed = b"one\r\n\n\x1b[31mtwo\ttab\rnot a line of its own\n\xFF\nno end";
        let expected = vec![
            kept("one"),
            kept("\u{FFFD}[31mtwo\ttab\u{FFFD}not a line of its own"),
            kept("\u{FFFD}"),
            kept("no end"),
        ];
        assert_eq!(lines(printed, 100), (expected, None));
        let long = ["x".repeat(100_000).as_str(), "\ny\n"].concat();
        assert_eq!(lines(long.as_bytes(), 100).0, [("x".repeat(LINE_MAX_BYTES), true), kept("y")]);
        assert_eq!(lines("x".repeat(LINE_MAX_BYTES).as_bytes(), 100).0, [kept(&"x".repeat(LINE_MAX_BYTES))]);
    }

    #[test]
    fn what_is_too_much_in_a_second_is_counted() {
        let (seen, dropped) = lines("line\n".repeat(10_000).as_bytes(), 7);
        assert_eq!((seen.len(), dropped), (7, Some(9_993)));
    }
}
