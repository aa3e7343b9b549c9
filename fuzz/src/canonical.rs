//! Canonical JSON against a second writer over the tree that `serde_json` reads.

use cutline::model::canonical::{CanonicalError, canonicalize};

use crate::tree::{self, Number, Tree};

/// Holds the canonical form of `data`, if it is JSON, to Python's rules.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut out = b"before".to_vec();
    let done = canonicalize(text, &mut out);
    let canonical = out.strip_prefix(b"before").expect("what was there stays");
    match (tree::parse(text), done) {
        (None, Err(CanonicalError::Syntax(fault))) => {
            assert!(fault.at <= text.len());
            assert!(canonical.is_empty(), "after an error the output is as it was");
        }
        (Some(value), Err(CanonicalError::NumberOverflow)) => {
            assert!(!value.is_finite(), "refused without need: {text}");
            assert!(canonical.is_empty(), "after an error the output is as it was");
        }
        (Some(value), Ok(())) => {
            let canonical = std::str::from_utf8(canonical).expect("ASCII");
            assert_form(&value, canonical);
            assert_eq!(tree::parse(canonical).as_ref(), Some(&value), "{text} became {canonical}");
            let mut again = Vec::new();
            canonicalize(canonical, &mut again).expect("canonical form is JSON");
            assert_eq!(again, canonical.as_bytes(), "canonical twice is canonical once");
        }
        (value, done) => panic!("serde_json: {value:?}, canonical: {done:?}"),
    }
}

/// Holds `text` to be the canonical form of `value`, byte by byte.
pub(crate) fn assert_form(value: &Tree, text: &str) {
    let rest = step(value, text).unwrap_or_else(|| panic!("{text} is not the canonical form of {value:?}"));
    assert_eq!(rest, "", "text behind the canonical form");
}

/// What follows the canonical form of `value` in `text`.
fn step<'a>(value: &Tree, text: &'a str) -> Option<&'a str> {
    match value {
        Tree::Null => text.strip_prefix("null"),
        Tree::Bool(value) => text.strip_prefix(if *value { "true" } else { "false" }),
        Tree::String(value) => text.strip_prefix(&*quoted(value)),
        Tree::Number(Number::Integer(digits)) => text.strip_prefix(&**digits),
        Tree::Number(Number::Float(bits)) => step_float(f64::from_bits(*bits), text),
        Tree::Array(items) => {
            let mut rest = text.strip_prefix('[')?;
            for (index, item) in items.iter().enumerate() {
                rest = if index == 0 { rest } else { rest.strip_prefix(',')? };
                rest = step(item, rest)?;
            }
            rest.strip_prefix(']')
        }
        Tree::Object(members) => {
            let mut rest = text.strip_prefix('{')?;
            for (index, (key, member)) in members.iter().enumerate() {
                rest = if index == 0 { rest } else { rest.strip_prefix(',')? };
                rest = step(member, rest.strip_prefix(&*quoted(key))?.strip_prefix(':')?)?;
            }
            rest.strip_prefix('}')
        }
    }
}

fn quoted(value: &str) -> String {
    let mut out = String::from('"');
    for unit in value.encode_utf16() {
        match char::from_u32(unit.into()) {
            Some(plain @ ('"' | '\\')) => out.extend(['\\', plain]),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(plain @ ' '..='~') => out.push(plain),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out.push('"');
    out
}

/// Rust's `Debug` writes a float as `repr` does but for the exponent's form, and but for the last digit where two shortest
/// texts are equally near: so the value, the length and the form are compared, not the digits.
fn step_float(value: f64, text: &str) -> Option<&str> {
    let debug = format!("{value:?}");
    let expected = match debug.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => debug,
    };
    let (written, rest) = text.split_at_checked(expected.len())?;
    let same_form = written
        .bytes()
        .zip(expected.bytes())
        .all(|(written, expected)| written == expected || (written.is_ascii_digit() && expected.is_ascii_digit()));
    let same_value = written.parse::<f64>().is_ok_and(|read| read.to_bits() == value.to_bits());
    (same_form && same_value).then_some(rest)
}
