//! The grammar: functions that take a place in a text to the one behind a value, key or bracket.
//!
//! A loop over a stack of bits instead of recursion; every index is checked or stands behind a check. Places are passed by value, so
//! that they stay in registers.
//!
//! **Faults are found twice.** Each function exists once and is compiled twice, by what it says about a fault: [`Refused`], which
//! weighs nothing, on the way that every good text takes; and, when that has refused, [`Fault`] for the same place again, to
//! say what and where. Strings and numbers are moreover first taken as nearly all of them are, by whole vectors (`bits`); what does not
//! go that way is read byte by byte, and that reading alone decides what is wrong.

use super::bits::{BLOCK, Block, STEP, digits, special};
use super::string::{decode_escape, escape_fault};
use super::{DEPTH_MAX, Fault, Kind, Place};

/// What a reading says about a fault.
pub(in crate::model) trait Refusal: Sized {
    fn new(what: &'static str, at: usize) -> Self;
}

/// A fault of which nothing is known but that there is one.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Refused;

impl Refusal for Refused {
    #[inline(always)]
    fn new(_what: &'static str, _at: usize) -> Self {
        Self
    }
}

impl Refusal for Fault {
    fn new(what: &'static str, at: usize) -> Self {
        Self { what, at }
    }
}

/// Bit `d - 1` of a word remembers whether the container at depth `d` is an object.
type Shape = u64;
const _: () = assert!(DEPTH_MAX <= Shape::BITS);

/// What [`peek`] sees behind the end. As a byte of the text it would be valid nowhere outside strings either.
const END: u8 = 0;

#[inline(always)]
fn peek(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(END)
}

/// Steps over white space. Compact texts have none, so it is only called where what was expected does not stand.
#[inline(never)]
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(peek(text, at), b' ' | b'\t' | b'\n' | b'\r') {
        at += 1;
    }
    at
}

/// Steps to `byte`, over white space if need be.
#[inline(always)]
fn expect<E: Refusal>(text: &[u8], mut at: usize, byte: u8, what: &'static str) -> Result<usize, E> {
    if peek(text, at) != byte {
        at = space(text, at);
        if peek(text, at) != byte {
            return Err(E::new(what, at));
        }
    }
    Ok(at)
}

/// Makes sure that nothing but white space follows.
#[inline(always)]
pub(super) fn end<E: Refusal>(text: &[u8], at: usize) -> Result<usize, E> {
    let at = if at == text.len() { at } else { space(text, at) };
    if at == text.len() { Ok(at) } else { Err(E::new("text after the value", at)) }
}

/// Steps over the bracket that opens the text's value, which stands `depth` containers deep.
pub(super) fn open(text: &[u8], depth: u32, bracket: u8, expected: &'static str) -> Result<usize, Fault> {
    let at = expect(text, 0, bracket, expected)?;
    deeper(text, at, depth)
}

/// Steps over an opening bracket.
#[inline(always)]
fn deeper<E: Refusal>(text: &[u8], at: usize, depth: u32) -> Result<usize, E> {
    if depth >= DEPTH_MAX {
        return Err(E::new("nesting deeper than 64", at));
    }
    let at = at + 1;
    Ok(if peek(text, at) <= b' ' { space(text, at) } else { at })
}

/// Steps to the next entry of the text's value, a container, or to white space before it; and says whether there is one.
#[inline(always)]
pub(super) fn entry<E: Refusal>(text: &[u8], mut at: usize, first: bool, close: u8) -> Result<(usize, bool), E> {
    if peek(text, at) <= b' ' {
        at = space(text, at);
    }
    match peek(text, at) {
        b',' if !first => Ok((at + 1, true)),
        byte if byte == close => Ok((end(text, at + 1)?, false)),
        _ if first && at < text.len() => Ok((at, true)),
        _ => Err(E::new(expected_after(close == b'}'), at)),
    }
}

/// Reads a key and the colon, with white space before each: the key, and the place behind.
#[inline(always)]
pub(super) fn key<E: Refusal>(text: &[u8], at: usize) -> Result<(Place, usize), E> {
    let start = expect(text, at, b'"', "expected a key")?;
    let end = string::<E>(text, start)?;
    let colon = expect(text, end.at(), b':', "expected ':'")?;
    Ok((Place { kind: Kind::String, has_escapes: end.has_escapes(), start, end: end.at() }, colon + 1))
}

/// Reads one value of any kind with white space before it, everything inside it included.
#[inline(always)]
pub(super) fn value<E: Refusal>(text: &[u8], at: usize, depth: u32) -> Result<Place, E> {
    let start = if peek(text, at) <= b' ' { space(text, at) } else { at };
    let place = |kind, end| Place { kind, has_escapes: false, start, end };
    match peek(text, start) {
        b'"' => {
            let end = string::<E>(text, start)?;
            Ok(Place { kind: Kind::String, has_escapes: end.has_escapes(), start, end: end.at() })
        }
        b'-' | b'0'..=b'9' => Ok(place(Kind::Number, number(text, start)?)),
        b'{' => Ok(place(Kind::Object, container(text, start, depth)?)),
        b'[' => Ok(place(Kind::Array, container(text, start, depth)?)),
        b'n' => Ok(place(Kind::Null, literal(text, start, "null")?)),
        b't' => Ok(place(Kind::Bool, literal(text, start, "true")?)),
        b'f' => Ok(place(Kind::Bool, literal(text, start, "false")?)),
        _ => Err(E::new("expected a value", start)),
    }
}

/// Reads an array or object to its end: a loop over a stack of bits instead of recursion.
#[inline(never)]
fn container<E: Refusal>(text: &[u8], mut at: usize, outside: u32) -> Result<usize, E> {
    let mut depth = outside;
    let mut shape: Shape = 0;
    let mut object = false;
    loop {
        // At an entry; of an object, at its key. The outermost bracket is entered with `object` false.
        if object {
            (_, at) = key::<E>(text, at)?;
        }
        let mut byte = peek(text, at);
        if byte <= b' ' {
            at = space(text, at);
            byte = peek(text, at);
        }
        match byte {
            b'"' => at = string::<E>(text, at)?.at(),
            b'-' | b'0'..=b'9' => at = number(text, at)?,
            b'{' | b'[' => {
                at = deeper(text, at, depth)?;
                object = byte == b'{';
                shape = shape & !(1 << depth) | Shape::from(object) << depth;
                depth += 1;
                if peek(text, at) != if object { b'}' } else { b']' } {
                    continue;
                }
            }
            b'n' => at = literal(text, at, "null")?,
            b't' => at = literal(text, at, "true")?,
            b'f' => at = literal(text, at, "false")?,
            _ => return Err(E::new("expected a value", at)),
        }
        // Behind a value: close what ends here, then go on behind a comma.
        loop {
            let mut byte = peek(text, at);
            if byte <= b' ' {
                at = space(text, at);
                byte = peek(text, at);
            }
            at += 1;
            match byte {
                b',' => break,
                b'}' if object => {}
                b']' if !object => {}
                _ => return Err(E::new(expected_after(object), at - 1)),
            }
            depth -= 1;
            if depth == outside {
                return Ok(at);
            }
            object = shape >> (depth - 1) & 1 == 1;
        }
    }
}

/// The place behind a string, and whether it has escapes, in one word.
#[derive(Clone, Copy)]
struct StringEnd(usize);

impl StringEnd {
    #[inline(always)]
    fn new(at: usize, has_escapes: bool) -> Self {
        // No slice is longer than isize::MAX.
        Self(at << 1 | usize::from(has_escapes))
    }

    #[inline(always)]
    fn at(self) -> usize {
        self.0 >> 1
    }

    #[inline(always)]
    fn has_escapes(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Steps over a string, from its quote on.
#[inline(always)]
fn string<E: Refusal>(text: &[u8], start: usize) -> Result<StringEnd, E> {
    let from = start + 1;
    // If none of these bytes is special, the next one may still be the quote.
    let at = from + (special(text, from) | 1 << STEP).trailing_zeros() as usize;
    if peek(text, at) == b'"' { Ok(StringEnd::new(at + 1, false)) } else { long_string(text, start, at) }
}

/// The same for a string that is longer than a step or has a backslash, which would be at `at`.
#[inline(never)]
fn long_string<E: Refusal>(text: &[u8], start: usize, at: usize) -> Result<StringEnd, E> {
    if at == start + 1 + STEP {
        // A long name, more often than a text of several blocks.
        let at = at + (special(text, at) | 1 << STEP).trailing_zeros() as usize;
        if peek(text, at) == b'"' {
            return Ok(StringEnd::new(at + 1, false));
        }
    }
    end_of_string(text, start + 1).map_or_else(|| string_by_bytes(text, start), Ok)
}

/// `None` if anything in the string is wrong. `from` is behind its quote.
#[inline(always)]
fn end_of_string(text: &[u8], from: usize) -> Option<StringEnd> {
    let mut at = from;
    let mut carry = 0;
    let mut has_escapes = false;
    // Up to here escapes are known to be good: the second half of a surrogate pair is read with the first.
    let mut read = from;
    while at < text.len() {
        let block = Block::at(text, at);
        let escaped = block.escaped(&mut carry);
        let stops = block.quotes & !escaped | block.controls;
        // All bits below the first stop; all if there is none.
        let inside = (stops & stops.wrapping_neg()).wrapping_sub(1);
        has_escapes |= block.backslashes & inside != 0;
        // Quotes and backslashes may always be escaped, and mostly nothing else is.
        let mut others = escaped & inside & !(block.quotes | block.backslashes);
        while others != 0 {
            let place = at + others.trailing_zeros() as usize;
            others &= others - 1;
            if place >= read {
                let (_, len) = decode_escape(text.get(place - 1..)?)?;
                read = place - 1 + len;
            }
        }
        if stops != 0 {
            let end = at + stops.trailing_zeros() as usize;
            return (peek(text, end) == b'"').then_some(StringEnd::new(end + 1, has_escapes));
        }
        at += BLOCK;
    }
    None
}

#[cold]
fn string_by_bytes<E: Refusal>(text: &[u8], start: usize) -> Result<StringEnd, E> {
    let mut at = start + 1;
    let mut has_escapes = false;
    loop {
        at += match text.get(at) {
            Some(b'"') => return Ok(StringEnd::new(at + 1, has_escapes)),
            Some(b'\\') => match decode_escape(&text[at..]) {
                Some((_, len)) => {
                    has_escapes = true;
                    len
                }
                None => return Err(E::new(escape_fault(&text[at..]), at)),
            },
            Some(..0x20) => return Err(E::new("control character in a string", at)),
            Some(_) => 1,
            None => return Err(E::new("string without end", start)),
        };
    }
}

/// Steps over a number.
#[inline(always)]
fn number<E: Refusal>(text: &[u8], start: usize) -> Result<usize, E> {
    let from = start + usize::from(peek(text, start) == b'-');
    let digits = digits(text, from);
    let whole = digits.trailing_ones();
    let mut len = whole;
    let mut good = whole == 1 || (whole > 1 && peek(text, from) != b'0');
    let mut next = peek(text, from + len as usize);
    if next == b'.' {
        let fraction = (digits >> len >> 1).trailing_ones();
        good &= fraction > 0;
        len += 1 + fraction;
        next = peek(text, from + len as usize);
    }
    // Behind the bytes that were looked at more digits may follow. An exponent is rare.
    if good && len < STEP as u32 && next | 0x20 != b'e' {
        Ok(from + len as usize)
    } else {
        number_by_bytes(text, start)
    }
}

#[inline(never)]
fn number_by_bytes<E: Refusal>(text: &[u8], start: usize) -> Result<usize, E> {
    let mut at = start + usize::from(peek(text, start) == b'-');
    if peek(text, at) == b'0' {
        at += 1;
        if peek(text, at).is_ascii_digit() {
            return Err(E::new("leading zero in a number", at));
        }
    } else {
        at = some_digits(text, at)?;
    }
    if peek(text, at) == b'.' {
        at = some_digits(text, at + 1)?;
    }
    if matches!(peek(text, at), b'e' | b'E') {
        at += 1;
        at += usize::from(matches!(peek(text, at), b'+' | b'-'));
        at = some_digits(text, at)?;
    }
    Ok(at)
}

fn some_digits<E: Refusal>(text: &[u8], start: usize) -> Result<usize, E> {
    let mut at = start;
    while peek(text, at).is_ascii_digit() {
        at += 1;
    }
    if at == start { Err(E::new("expected a digit", at)) } else { Ok(at) }
}

#[inline(always)]
fn literal<E: Refusal>(text: &[u8], start: usize, word: &'static str) -> Result<usize, E> {
    let end = start + word.len();
    if text.get(start..end) == Some(word.as_bytes()) { Ok(end) } else { Err(E::new("expected a value", start)) }
}

fn expected_after(object: bool) -> &'static str {
    if object { "expected ',' or '}'" } else { "expected ',' or ']'" }
}
