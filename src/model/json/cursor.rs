//! The grammar: a place in a text that moves over one value, key or bracket at a time.
//!
//! A loop over a stack of bits instead of recursion; every index is checked or stands behind a check.

use super::string::{RawStr, decode_escape, escape_fault};
use super::{DEPTH_MAX, Fault, Kind, RawValue};

/// Bit `d - 1` of a word remembers whether the container at depth `d` is an object.
type Shape = u64;
const _: () = assert!(DEPTH_MAX <= Shape::BITS);

/// How far an iterator over a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    First,
    Later,
    Done,
}

/// A place in a text. Every method leaves `at` behind what it read.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Containers open around `at`.
    pub(super) depth: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    pub(super) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { what, at: self.at })
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub(super) fn space(&mut self) {
        // Compact texts have none: one comparison.
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.more_space();
        }
    }

    #[cold]
    fn more_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { self.fault("text after the value") }
    }

    pub(super) fn open(&mut self, bracket: u8, expected: &'static str) -> Result<(), Fault> {
        self.space();
        if self.peek() != Some(bracket) {
            return self.fault(expected);
        }
        self.deeper()
    }

    /// Steps over an opening bracket.
    fn deeper(&mut self) -> Result<(), Fault> {
        if self.depth >= DEPTH_MAX {
            return self.fault("nesting deeper than 64");
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Between two entries of the container that an iterator reads: is there another one?
    pub(super) fn step(&mut self, progress: &mut Progress, close: u8) -> Result<bool, Fault> {
        let before = core::mem::replace(progress, Progress::Done);
        if before == Progress::Done {
            return Ok(false);
        }
        self.space();
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.end()?;
                Ok(false)
            }
            Some(b',') if before == Progress::Later => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(_) if before == Progress::First => Ok(true),
            _ => self.fault(expected_after(close == b'}')),
        }
    }

    /// Reads a key, the colon and the space after it.
    pub(super) fn key(&mut self) -> Result<RawStr<'a>, Fault> {
        let start = self.at + 1;
        let (has_escapes, end) = self.skip_key()?;
        match self.text.get(start..end) {
            Some(raw) => Ok(RawStr { raw, has_escapes }),
            None => self.fault("expected a key"),
        }
    }

    /// The same without taking it out: whether it has escapes, and where it ends.
    #[inline]
    fn skip_key(&mut self) -> Result<(bool, usize), Fault> {
        if self.peek() != Some(b'"') {
            return self.fault("expected a key");
        }
        let has_escapes = self.skip_string()?;
        let end = self.at - 1;
        self.space();
        if self.peek() != Some(b':') {
            return self.fault("expected ':'");
        }
        self.at += 1;
        self.space();
        Ok((has_escapes, end))
    }

    /// Reads one value of any kind, everything inside it included.
    pub(super) fn value(&mut self) -> Result<RawValue<'a>, Fault> {
        let start = self.at;
        let (kind, has_escapes) = match self.peek() {
            Some(b'{') => (Kind::Object, self.container()?),
            Some(b'[') => (Kind::Array, self.container()?),
            _ => self.scalar()?,
        };
        match self.text.get(start..self.at) {
            Some(text) => Ok(RawValue { kind, text, has_escapes }),
            None => self.fault("expected a value"),
        }
    }

    fn scalar(&mut self) -> Result<(Kind, bool), Fault> {
        match self.peek() {
            Some(b'"') => Ok((Kind::String, self.skip_string()?)),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| (Kind::Number, false)),
            Some(b't') => self.literal("true").map(|()| (Kind::Bool, false)),
            Some(b'f') => self.literal("false").map(|()| (Kind::Bool, false)),
            Some(b'n') => self.literal("null").map(|()| (Kind::Null, false)),
            _ => self.fault("expected a value"),
        }
    }

    /// Reads an array or object to its end: a loop over a stack of bits instead of recursion. Returns false (`has_escapes`).
    fn container(&mut self) -> Result<bool, Fault> {
        let outside = self.depth;
        let mut shape: Shape = 0;
        loop {
            // At a value, or at the end of an empty container.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.deeper()?;
                    let bit = 1 << (self.depth - 1);
                    let object = open == b'{';
                    shape = if object { shape | bit } else { shape & !bit };
                    if self.peek() != Some(if object { b'}' } else { b']' }) {
                        if object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                _ => {
                    self.scalar()?;
                }
            }
            // Behind a value: close what ends here, then go on behind a comma.
            loop {
                self.space();
                let object = shape >> (self.depth - 1) & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    _ => return self.fault(expected_after(object)),
                }
                self.at += 1;
                self.depth -= 1;
                if self.depth == outside {
                    return Ok(false);
                }
            }
        }
    }

    /// Steps over a string and says whether it has escapes.
    fn skip_string(&mut self) -> Result<bool, Fault> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        let mut has_escapes = false;
        loop {
            at = find_special(bytes, at);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    at += match bytes.get(at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        _ => match decode_escape(&bytes[at..]) {
                            Some((_, len)) => len,
                            None => {
                                return Err(Fault { what: escape_fault(&bytes[at..]), at });
                            }
                        },
                    };
                }
                Some(_) => {
                    return Err(Fault { what: "control character in a string", at });
                }
                None => return self.fault("string without end"),
            }
        }
        self.at = at + 1;
        Ok(has_escapes)
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return self.fault("leading zero in a number");
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += len;
        if len == 0 { self.fault("expected a digit") } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fault("expected a value");
        }
        self.at += word.len();
        Ok(())
    }
}

/// The first byte from `from` on that a string cannot simply contain: a quote, a backslash or a control character. The length
/// of `bytes` if there is none. Eight bytes at a step: the strings of an event are short or full of escapes, and
/// the start of a vector search costs more there than it saves.
pub(super) fn find_special(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES << 7;
    let mut at = from;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // x - n with x < n borrows into the high bit. The borrow may mark bytes above the first found, never below it.
        let found = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    at + tail.iter().position(special).unwrap_or(tail.len())
}

fn expected_after(object: bool) -> &'static str {
    if object { "expected ',' or '}'" } else { "expected ',' or ']'" }
}
