//! A strict JSON scanner that borrows everything from the text it reads.
//!
//! RFC 8259 and nothing more: no NaN, no Infinity, no comment, no trailing comma, no byte order mark, and nothing after the
//! value but white space. Two limits of our own: nesting up to [`DEPTH_MAX`], and no lone surrogate escape (`"\ud800"`),
//! because such a string has no UTF-8 form and could be neither a symbol nor handed to an engine.
//!
//! Pure; any thread. It never allocates, recurses, panics or converts: numbers stay text, strings stay escaped until a caller asks.
//! A value is validated when an iterator yields it, so the text is known to be valid once [`Members::next`] has returned `None`.

mod bits;
mod exact;
mod grammar;
mod string;

pub use string::{Piece, Pieces, RawStr};

use core::fmt;
pub(crate) use exact::Exact;
pub(super) use grammar::{Refusal, Refused};

/// Deepest nesting of arrays and objects. The outermost one counts as 1, a scalar as nothing: `[[1]]` has depth 2.
pub const DEPTH_MAX: u32 = 64;

/// What is wrong with a text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was found or expected.
    pub what: &'static str,
    /// Byte offset in the scanned text, from 0.
    pub at: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl core::error::Error for Fault {}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number; its text says whether it is an integer.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A validated value as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawValue<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its exact source, without surrounding white space; a string's with both quotes.
    pub text: &'a str,
    /// A string with at least one backslash; false for every other kind.
    pub has_escapes: bool,
}

/// Where a validated value or key stands in its text: cheaper to keep than its source, of which few are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// As in [`RawValue`]; a key is a string.
    pub kind: Kind,
    pub has_escapes: bool,
    /// Its first byte; a string's is its quote.
    pub start: usize,
    /// The byte behind its last one.
    pub end: usize,
}

impl Place {
    #[inline]
    pub(crate) fn value<'a>(&self, text: &'a str) -> RawValue<'a> {
        // A place lies between ASCII characters of its text, so there is always something to get.
        let text = text.get(self.start..self.end).unwrap_or_default();
        RawValue { kind: self.kind, text, has_escapes: self.has_escapes }
    }

    /// The inside of a key.
    #[inline]
    pub(crate) fn key<'a>(&self, text: &'a str) -> RawStr<'a> {
        RawStr { raw: text.get(self.start + 1..self.end - 1).unwrap_or_default(), has_escapes: self.has_escapes }
    }
}

/// Why a number is not an integer as the contract means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInteger {
    /// Not a number, or one with a fraction or an exponent.
    Type,
    /// Digits alone, but outside the range of `i64`.
    Range,
}

impl<'a> RawValue<'a> {
    /// Scans a text that is one value, with white space around it at most.
    ///
    /// # Errors
    /// A [`Fault`] for the first byte that is not JSON.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        Self::parse_within(text, 0)
    }

    /// The same for a text that stands `depth` containers deep in a larger one, so that [`DEPTH_MAX`] counts from there.
    ///
    /// # Errors
    /// As [`RawValue::parse`].
    pub fn parse_within(text: &'a str, depth: u32) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let place = grammar::value::<Refused>(bytes, 0, depth).or_else(|_| grammar::value::<Fault>(bytes, 0, depth))?;
        grammar::end::<Fault>(bytes, place.end)?;
        Ok(place.value(text))
    }

    /// The string between the quotes; `None` for another kind.
    #[must_use]
    pub fn string(&self) -> Option<RawStr<'a>> {
        match self.kind {
            Kind::String => Some(RawStr { raw: self.text.get(1..self.text.len() - 1)?, has_escapes: self.has_escapes }),
            _ => None,
        }
    }

    /// The number if it is written `-?digits` and fits; `-0` is 0.
    ///
    /// # Errors
    /// [`NotInteger`]: another type or form (`1.0`, `1e3`), or out of range.
    pub fn integer(&self) -> Result<i64, NotInteger> {
        if self.kind != Kind::Number {
            return Err(NotInteger::Type);
        }
        if let Some(value) = up_to_sixteen_digits(self.text.as_bytes()) {
            return Ok(value);
        }
        if !self.is_integral() {
            return Err(NotInteger::Type);
        }
        // The grammar has left nothing else to fail.
        self.text.parse().map_err(|_| NotInteger::Range)
    }

    /// A number without fraction and exponent, of any size.
    #[must_use]
    pub fn is_integral(&self) -> bool {
        self.kind == Kind::Number && !self.text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
    }
}

/// The timestamps and sequences that every event has, eight digits at a step. `None` for anything but that many digits alone.
fn up_to_sixteen_digits(text: &[u8]) -> Option<i64> {
    const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let Some(first) = text.first_chunk() else {
        return text
            .iter()
            .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')));
    };
    let first = eight_digits(u64::from_le_bytes(*first))?;
    // The last eight bytes may overlap the first: what was read already lies in the low bytes, where 0 is a leading zero.
    let rest = text.len() - 8;
    let tens = TENS.get(rest)?;
    let read = u64::MAX.checked_shr(8 * rest as u32).unwrap_or(0);
    let last = u64::from_le_bytes(*text.last_chunk()?);
    let last = eight_digits(last & !read | ZEROS & read)?;
    i64::try_from(first * tens + last).ok()
}

/// `'0'` eight times.
const ZEROS: u64 = u64::MAX / 0xFF * b'0' as u64;

/// The number in eight digits, the highest in the lowest byte; `None` if one of them is no digit.
fn eight_digits(word: u64) -> Option<u64> {
    const HIGH: u64 = u64::MAX / 0xFF * 0x80;
    let digits = word ^ ZEROS;
    // A byte above 9 reaches the high bit, by itself or with 118 added. Carries come only out of bytes that fail anyway.
    if (digits | digits.wrapping_add(u64::MAX / 0xFF * (0x7F - 9))) & HIGH != 0 {
        return None;
    }
    // Neighbours join: digits to pairs, pairs to fours, fours to eight.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    Some((fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF)
}

/// Checks that a line may be JSON text at all: not empty, UTF-8, without a byte order mark.
///
/// # Errors
/// A [`Fault`] that says which of them it is not.
pub fn text(line: &[u8]) -> Result<&str, Fault> {
    if line.is_empty() {
        return Err(Fault { what: "empty line", at: 0 });
    }
    if line.starts_with(b"\xEF\xBB\xBF") {
        return Err(Fault { what: "byte order mark", at: 0 });
    }
    utf8(line)
}

/// Text as bytes, if it is UTF-8.
#[inline]
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    // The fast check says yes or no, the other one where.
    simdutf8::basic::from_utf8(bytes).or_else(|_| utf8_or_where_not(bytes))
}

#[cold]
fn utf8_or_where_not(bytes: &[u8]) -> Result<&str, Fault> {
    core::str::from_utf8(bytes).map_err(|error| Fault { what: "invalid UTF-8", at: error.valid_up_to() })
}

/// One member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key.
    pub key: RawStr<'a>,
    /// Its value.
    pub value: RawValue<'a>,
}

/// How far an iterator over a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    First,
    Later,
    Done,
}

/// Reads the members of an object in their order, duplicates included.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
    /// Containers around a value.
    depth: u32,
    progress: Progress,
}

/// Reads the elements of an array in their order.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a str,
    at: usize,
    progress: Progress,
}

impl<'a> Members<'a> {
    /// Opens a text that is one object, which counts as depth 1.
    ///
    /// # Errors
    /// A [`Fault`] if the text does not begin with an object.
    pub fn open(text: &'a str) -> Result<Self, Fault> {
        Self::open_within(text, 0)
    }

    /// The same for a text that stands `depth` containers deep in a larger one, so that [`DEPTH_MAX`] counts from there.
    ///
    /// # Errors
    /// A [`Fault`] if the text does not begin with an object.
    pub fn open_within(text: &'a str, depth: u32) -> Result<Self, Fault> {
        let at = grammar::open(text.as_bytes(), depth, b'{', "expected an object")?;
        Ok(Self { text, at, depth: depth + 1, progress: Progress::First })
    }

    /// The next member; `None` after the last one, once the rest of the text is known to be white space. After a fault or
    /// the end it stays at `None`.
    ///
    /// # Errors
    /// The first [`Fault`] of the text.
    #[allow(clippy::should_implement_trait)] // an Iterator would yield Option<Result>, which `?` cannot take apart
    pub fn next(&mut self) -> Result<Option<Member<'a>>, Fault> {
        let found = self.next_places()?;
        Ok(found.map(|(key, value)| Member { key: key.key(self.text), value: value.value(self.text) }))
    }

    /// As [`Members::next`], for who wants few of the members: where key and value stand in the text.
    #[inline(always)]
    pub(crate) fn next_places(&mut self) -> Result<Option<(Place, Place)>, Fault> {
        match self.next_place::<Refused>() {
            Ok(found) => Ok(found),
            Err(_) => self.next_fault(),
        }
    }

    /// What is wrong where nothing was read.
    #[cold]
    #[inline(never)]
    fn next_fault(&mut self) -> Result<Option<(Place, Place)>, Fault> {
        // A broken member is not passed by: the next call must not go on there.
        self.next_place::<Fault>().inspect_err(|_| self.progress = Progress::Done)
    }

    /// Where the next member's key and value stand. After a refusal nothing has moved.
    #[inline(always)]
    pub(super) fn next_place<E: Refusal>(&mut self) -> Result<Option<(Place, Place)>, E> {
        if self.progress == Progress::Done {
            return Ok(None);
        }
        let text = self.text.as_bytes();
        let (at, more) = grammar::entry(text, self.at, self.progress == Progress::First, b'}')?;
        if !more {
            self.progress = Progress::Done;
            return Ok(None);
        }
        let (key, at) = grammar::key(text, at)?;
        let value = grammar::value(text, at, self.depth)?;
        (self.at, self.progress) = (value.end, Progress::Later);
        Ok(Some((key, value)))
    }
}

impl<'a> Elements<'a> {
    /// Opens a text that is one array, which counts as depth 1.
    ///
    /// # Errors
    /// A [`Fault`] if the text does not begin with an array.
    pub fn open(text: &'a str) -> Result<Self, Fault> {
        let at = grammar::open(text.as_bytes(), 0, b'[', "expected an array")?;
        Ok(Self { text, at, progress: Progress::First })
    }

    /// The next element; as [`Members::next`].
    ///
    /// # Errors
    /// The first [`Fault`] of the text.
    #[allow(clippy::should_implement_trait)] // as above
    pub fn next(&mut self) -> Result<Option<RawValue<'a>>, Fault> {
        let found = match self.next_place::<Refused>() {
            Ok(found) => found,
            Err(_) => self.next_fault()?,
        };
        Ok(found.map(|value| value.value(self.text)))
    }

    #[cold]
    #[inline(never)]
    fn next_fault(&mut self) -> Result<Option<Place>, Fault> {
        self.next_place::<Fault>().inspect_err(|_| self.progress = Progress::Done)
    }

    #[inline(always)]
    fn next_place<E: Refusal>(&mut self) -> Result<Option<Place>, E> {
        if self.progress == Progress::Done {
            return Ok(None);
        }
        let text = self.text.as_bytes();
        let (at, more) = grammar::entry(text, self.at, self.progress == Progress::First, b']')?;
        if !more {
            self.progress = Progress::Done;
            return Ok(None);
        }
        let value = grammar::value(text, at, 1)?;
        (self.at, self.progress) = (value.end, Progress::Later);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests;
