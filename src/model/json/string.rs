//! Strings as they stand in the text, and the way to their unescaped form without a buffer of our own.

/// The inside of a validated string, still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStr<'a> {
    /// The text between the quotes.
    pub raw: &'a str,
    /// At least one backslash; if not, `raw` is the string itself.
    pub has_escapes: bool,
}

/// A piece of a string on its way to its unescaped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A run without escapes.
    Run(&'a str),
    /// One escape.
    Char(char),
}

impl<'a> RawStr<'a> {
    /// The unescaped string, piece by piece.
    #[must_use]
    pub fn pieces(&self) -> Pieces<'a> {
        Pieces { rest: self.raw }
    }

    /// Whether the unescaped string equals `expected`.
    #[must_use]
    pub fn is(&self, expected: &str) -> bool {
        if !self.has_escapes {
            return self.raw == expected;
        }
        let mut rest = expected;
        for piece in self.pieces() {
            let left = match piece {
                Piece::Run(run) => rest.strip_prefix(run),
                Piece::Char(char) => rest.strip_prefix(char),
            };
            match left {
                Some(left) => rest = left,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Appends the unescaped string to `out`, unless `out` would become longer than `out_max_bytes`: then `false`, and `out`
    /// holds a part. A buffer with that capacity never allocates.
    #[must_use]
    pub fn unescape(&self, out: &mut String, out_max_bytes: usize) -> bool {
        for piece in self.pieces() {
            let len = match piece {
                Piece::Run(run) => run.len(),
                Piece::Char(char) => char.len_utf8(),
            };
            if out.len() + len > out_max_bytes {
                return false;
            }
            match piece {
                Piece::Run(run) => out.push_str(run),
                Piece::Char(char) => out.push(char),
            }
        }
        true
    }
}

/// Iterator of [`RawStr::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let bytes = self.rest.as_bytes();
        if bytes.is_empty() {
            return None;
        }
        let run = memchr::memchr(b'\\', bytes).unwrap_or(bytes.len());
        if run > 0 {
            let (head, tail) = self.rest.split_at(run);
            self.rest = tail;
            return Some(Piece::Run(head));
        }
        // Validated by the scanner; a string that was not is cut off at its bad escape.
        let (char, len) = decode_escape(bytes)?;
        self.rest = self.rest.get(len..)?;
        Some(Piece::Char(char))
    }
}

/// Reads the escape at the start of `bytes`, which begin with the backslash: the character and the bytes it took.
pub(super) fn decode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let plain = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let unit = hex4(bytes.get(2..6)?)?;
            if !(0xD800..0xDC00).contains(&unit) {
                // A lone low surrogate is no `char` and fails here.
                return Some((char::from_u32(unit)?, 6));
            }
            if bytes.get(6..8)? != b"\\u" {
                return None;
            }
            let low = hex4(bytes.get(8..12)?)?;
            if !(0xDC00..0xE000).contains(&low) {
                return None;
            }
            let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return Some((char::from_u32(code)?, 12));
        }
        _ => return None,
    };
    Some((plain, 2))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}

/// Names what is wrong with an escape that could not be read.
pub(super) fn escape_fault(bytes: &[u8]) -> &'static str {
    let surrogate = bytes.get(1) == Some(&b'u')
        && bytes.get(2..6).and_then(hex4).is_some_and(|unit| (0xD800..0xE000).contains(&unit));
    if surrogate { "lone surrogate escape" } else { "invalid escape" }
}
