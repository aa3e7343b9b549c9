//! A strict JSON scanner that borrows everything from the text it reads.
//!
//! RFC 8259 and nothing more: no NaN, no Infinity, no comment, no trailing comma, no byte order mark, and nothing after the
//! value but white space. Two limits of our own: nesting up to [`DEPTH_MAX`], and no lone surrogate escape (`"\ud800"`),
//! because such a string has no UTF-8 form and could be neither a symbol nor handed to an engine.
//!
//! Pure; any thread. It never allocates, recurses, panics or converts: numbers stay text, strings stay escaped until a caller asks.
//! A value is validated when an iterator yields it, so the text is known to be valid once [`Members::next`] has returned `None`.

mod cursor;
mod string;

pub use string::{Piece, Pieces, RawStr};

use core::fmt;
use cursor::{Cursor, Progress};

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
        let mut cursor = Cursor::new(text);
        cursor.depth = depth;
        cursor.space();
        let value = cursor.value()?;
        cursor.end()?;
        Ok(value)
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
    core::str::from_utf8(line).map_err(|error| Fault { what: "invalid UTF-8", at: error.valid_up_to() })
}

/// One member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key.
    pub key: RawStr<'a>,
    /// Its value.
    pub value: RawValue<'a>,
}

/// Reads the members of an object in their order, duplicates included.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    cursor: Cursor<'a>,
    progress: Progress,
}

/// Reads the elements of an array in their order.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    cursor: Cursor<'a>,
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
        let mut cursor = Cursor::new(text);
        cursor.depth = depth;
        cursor.open(b'{', "expected an object")?;
        Ok(Self { cursor, progress: Progress::First })
    }

    /// The next member; `None` after the last one, once the rest of the text is known to be white space. After a fault or
    /// the end it stays at `None`.
    ///
    /// # Errors
    /// The first [`Fault`] of the text.
    #[allow(clippy::should_implement_trait)] // an Iterator would yield Option<Result>, which `?` cannot take apart
    pub fn next(&mut self) -> Result<Option<Member<'a>>, Fault> {
        let more = self.cursor.step(&mut self.progress, b'}')?;
        if !more {
            return Ok(None);
        }
        // Should this member be broken, the next call must not go on behind it.
        self.progress = Progress::Done;
        let key = self.cursor.key()?;
        let value = self.cursor.value()?;
        self.progress = Progress::Later;
        Ok(Some(Member { key, value }))
    }
}

impl<'a> Elements<'a> {
    /// Opens a text that is one array, which counts as depth 1.
    ///
    /// # Errors
    /// A [`Fault`] if the text does not begin with an array.
    pub fn open(text: &'a str) -> Result<Self, Fault> {
        let mut cursor = Cursor::new(text);
        cursor.open(b'[', "expected an array")?;
        Ok(Self { cursor, progress: Progress::First })
    }

    /// The next element; as [`Members::next`].
    ///
    /// # Errors
    /// The first [`Fault`] of the text.
    #[allow(clippy::should_implement_trait)] // as above
    pub fn next(&mut self) -> Result<Option<RawValue<'a>>, Fault> {
        let more = self.cursor.step(&mut self.progress, b']')?;
        if !more {
            return Ok(None);
        }
        self.progress = Progress::Done;
        let value = self.cursor.value()?;
        self.progress = Progress::Later;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests;
