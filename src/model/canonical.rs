//! Canonical JSON: byte for byte what Python's
//! `json.dumps(v, sort_keys=True, separators=(',', ':'), ensure_ascii=True, allow_nan=False)` writes.
//!
//! | value | form |
//! |---|---|
//! | object | keys in the order of their code points; of equal keys the last one stays |
//! | string | ASCII: `\" \\ \b \f \n \r \t`, everything else outside `' '..='~'` (DEL too) as `\uXXXX` in lower case, surrogate pairs above U+FFFF |
//! | integer | its digits, of any size; `-0` is `0` |
//! | float | shortest digits that read back the same; an exponent below 1e-4 and from 1e16 on, with a sign and two digits at least |
//!
//! `tests/vectors/canonical.jsonl`, made by Python itself, holds it to that. Pure; any thread; cold: [`canonicalize`] allocates per object
//! and recurses at most [`DEPTH_MAX`](super::json::DEPTH_MAX) deep. The small writers allocate only what `out` needs to grow.

use super::decimal;
use super::json::{Elements, Fault, Kind, Members, Piece, RawStr, RawValue};
use core::fmt::{self, Write as _};
use std::borrow::Cow;
use std::io::Write as _;

/// Why a text has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalError {
    /// It is not JSON, or nested too deeply.
    Syntax(Fault),
    /// It holds a float beyond the range of a double (`1e999`): Python would write `Infinity`, which is not JSON.
    NumberOverflow,
}

impl fmt::Display for CanonicalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(fault) => fault.fmt(f),
            Self::NumberOverflow => {
                f.write_str("a number is beyond the range of a double and has no canonical form; look at the raw bytes")
            }
        }
    }
}

impl core::error::Error for CanonicalError {}

impl From<Fault> for CanonicalError {
    fn from(fault: Fault) -> Self {
        Self::Syntax(fault)
    }
}

/// Appends the canonical form of the one JSON value in `raw`. After an error `out` is as it was.
///
/// # Errors
/// [`CanonicalError`].
pub fn canonicalize(raw: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let before = out.len();
    let done = RawValue::parse(raw).map_err(CanonicalError::from).and_then(|value| write_value(value, out));
    if done.is_err() {
        out.truncate(before);
    }
    done
}

fn write_value(value: RawValue<'_>, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value.kind {
        Kind::Null | Kind::Bool => out.extend_from_slice(value.text.as_bytes()),
        Kind::Number => number(value, out)?,
        Kind::String => {
            if let Some(string) = value.string() {
                raw_string(string, out);
            }
        }
        Kind::Array => array(value.text, out)?,
        Kind::Object => object(value.text, out)?,
    }
    Ok(())
}

fn array(text: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let mut elements = Elements::open(text)?;
    let mut before = b'[';
    while let Some(element) = elements.next()? {
        out.push(before);
        before = b',';
        write_value(element, out)?;
    }
    if before == b'[' {
        out.push(b'[');
    }
    out.push(b']');
    Ok(())
}

fn object(text: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let mut members = Members::open(text)?;
    let mut entries: Vec<(Cow<'_, str>, RawValue<'_>)> = Vec::new();
    while let Some(member) = members.next()? {
        entries.push((unescaped(member.key), member.value));
    }
    // UTF-8 sorts as its code points do. Stable, so that of equal keys the last one in the text stays the last.
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    out.push(b'{');
    let mut rest = entries.iter().peekable();
    while let Some((key, value)) = rest.next() {
        if rest.peek().is_some_and(|(next, _)| next == key) {
            continue;
        }
        string(key, out);
        out.push(b':');
        write_value(*value, out)?;
        if rest.peek().is_some() {
            out.push(b',');
        }
    }
    out.push(b'}');
    Ok(())
}

fn unescaped(string: RawStr<'_>) -> Cow<'_, str> {
    if !string.has_escapes {
        return Cow::Borrowed(string.raw);
    }
    let mut text = String::with_capacity(string.raw.len());
    // Unescaping never makes a string longer, so the limit cannot be met.
    let _complete = string.unescape(&mut text, usize::MAX);
    Cow::Owned(text)
}

fn number(value: RawValue<'_>, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if value.is_integral() {
        let digits = if value.text == "-0" { "0" } else { value.text };
        out.extend_from_slice(digits.as_bytes());
        return Ok(());
    }
    match value.text.parse() {
        Ok(number) => f64(number, out),
        Err(_) => Err(CanonicalError::NumberOverflow),
    }
}

fn raw_string(string: RawStr<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    for piece in string.pieces() {
        match piece {
            Piece::Run(run) => escaped(run, out),
            Piece::Char(char) => escaped(char.encode_utf8(&mut [0; 4]), out),
        }
    }
    out.push(b'"');
}

/// Appends a string with its quotes.
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, out);
    out.push(b'"');
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    let is_special = |byte: u8| !matches!(byte, b' '..=b'~') | matches!(byte, b'"' | b'\\');
    // Mostly nothing is special; to look at every byte, whatever is found, is to look at several at once.
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_special) {
        // The byte found is ASCII or begins a character, so both splits are at boundaries.
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        if let Some(char) = chars.next() {
            escape(char, out);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn escape(char: char, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match char {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        _ => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let digit = |shift: u32| HEX[(*unit >> shift & 15) as usize];
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends an integer.
pub fn i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    decimal::push(value.unsigned_abs(), out);
}

/// Appends a float as Python's `repr` does.
///
/// # Errors
/// [`CanonicalError::NumberOverflow`] for an infinity or NaN, with `out` untouched.
pub fn f64(value: f64, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if !value.is_finite() {
        return Err(CanonicalError::NumberOverflow);
    }
    let (mut shortest, mut nearest) = (Digits::default(), Digits::default());
    let _ = write!(shortest, "{value:e}");
    // Two strings of the shortest length can be equally near: Python then takes the even digit, `{:e}` the upper one. With a
    // precision Rust takes the even one too; but at a power of two that string may read back as the neighbour below.
    let precision =
        shortest.text().bytes().take_while(|&byte| byte != b'e').filter(u8::is_ascii_digit).count().saturating_sub(1);
    let _ = write!(nearest, "{value:.precision$e}");
    let text = if nearest.text().parse() == Ok(value) { nearest.text() } else { shortest.text() };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(positive) => ("-", positive),
        None => ("", mantissa),
    };
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.extend_from_slice(sign.as_bytes());
    if !(-4..16).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
        return Ok(());
    }
    if let Ok(exponent) = usize::try_from(exponent) {
        // The point moves right by `exponent` digits, through zeros if there are not enough.
        let whole = exponent.min(fraction.len());
        out.extend_from_slice(first.as_bytes());
        out.extend_from_slice(&fraction.as_bytes()[..whole]);
        out.resize(out.len() + exponent - whole, b'0');
        out.push(b'.');
        let after = &fraction.as_bytes()[whole..];
        out.extend_from_slice(if after.is_empty() { b"0" } else { after });
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        out.extend_from_slice(first.as_bytes());
        out.extend_from_slice(fraction.as_bytes());
    }
    Ok(())
}

/// A float as `d[.ddd]e[-]x` on the stack: a sign, 17 digits, a point and an exponent are 24 bytes at most.
#[derive(Default)]
struct Digits {
    bytes: [u8; 32],
    len: usize,
}

impl Digits {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> String {
        let mut out = Vec::new();
        canonicalize(raw, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_contract_s_own_examples() {
        for (raw, expected) in [
            ("1e16", "1e+16"),
            ("0.0000001", "1e-07"),
            ("-0.0", "-0.0"),
            ("1.0", "1.0"),
            ("-0", "0"),
            ("1e5", "100000.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("-1.5e-7", "-1.5e-07"),
            ("1e-999", "0.0"),
            ("-1e-999", "-0.0"),
            ("[ ]", "[]"),
            ("{ }", "{}"),
            ("[1, 2]", "[1,2]"),
            ("{\"b\":1,\"a\":{\"z\":[],\"y\":null},\"b\":2}", "{\"a\":{\"y\":null,\"z\":[]},\"b\":2}"),
            ("{\"a\":1,\"\\u0061\":2,\"c\":3}", "{\"a\":2,\"c\":3}"),
            ("{\"c\":3,\"a\":1,\"c\":4}", "{\"a\":1,\"c\":4}"),
        ] {
            assert_eq!(canonical(raw), expected, "{raw}");
        }
    }

    #[test]
    fn integers_are_whole() {
        for value in [0, -1, 10, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            i64(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }

    #[test]
    fn strings_are_ascii() {
        assert_eq!(
            canonical("\"\\/\\u0041\u{7f}\u{e9}\u{1f600}\\b\\u001f\""),
            "\"/A\\u007f\\u00e9\\ud83d\\ude00\\b\\u001f\""
        );
    }

    #[test]
    fn errors_leave_the_output_alone() {
        for raw in ["[1,1e999]", "[1,", "{\"a\":-1e400}"] {
            let mut out = b"x".to_vec();
            assert!(canonicalize(raw, &mut out).is_err(), "{raw}");
            assert_eq!(out, b"x");
        }
        assert_eq!(f64(f64::NAN, &mut Vec::new()), Err(CanonicalError::NumberOverflow));
    }
}
