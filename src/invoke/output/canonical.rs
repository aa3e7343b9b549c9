//! The check of a `RegimeOutput` in canonical form without keys of the engine's own, which is what most engines write: its text is
//! known but for seven values. Pure; on the invoke lane.

use super::may_overflow;
use crate::model::json::{Exact, Kind};

/// The timestamp, ms, of such an output for this symbol with nothing wrong in it. `None` says nothing: the text is then to be read in full.
pub(super) fn timestamp_of(text: &str, symbol: &str) -> Option<i64> {
    let mut text = Exact::new(text);
    text.take(r#"{"confidence":"#)?;
    let confidence = text.value()?;
    if confidence.kind != Kind::Number || may_overflow(confidence.text) {
        return None;
    }
    text.take(r#","drivers":["#)?;
    strings(&mut text)?;
    text.take(r#","invalidations":["#)?;
    strings(&mut text)?;
    text.take(r#","permissions":["#)?;
    strings(&mut text)?;
    text.take(r#","regime":"#)?;
    text.value()?.string()?;
    text.take(r#","symbol":"#)?;
    let names_symbol = text.value()?.string()?.is(symbol);
    text.take(r#","timestamp":"#)?;
    let timestamp_ms = text.value()?.integer().ok()?;
    text.take("}")?;
    (names_symbol && text.is_over()).then_some(timestamp_ms)
}

/// Takes the rest of a list of strings.
#[inline]
fn strings(text: &mut Exact<'_>) -> Option<()> {
    if text.take("]").is_some() {
        return Some(());
    }
    loop {
        text.value()?.string()?;
        if text.take("]").is_some() {
            return Some(());
        }
        text.take(",")?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{finite_numbers, regime_output};
    use super::*;

    const OUTPUT: &str = r#"{"confidence":0.25,"drivers":["a","b\u00e9"],"invalidations":[],"permissions":["1e999"],"regime":"R","symbol":"A\u00e9","timestamp":1700000000000}"#;

    fn in_full(text: &str) -> Option<i64> {
        finite_numbers(text, "").and_then(|()| regime_output(text, "Aé", "", 2)).ok()
    }

    #[test]
    fn a_canonical_output_is_taken_and_any_other_form_is_left_alone() {
        assert_eq!(timestamp_of(OUTPUT, "Aé"), Some(1_700_000_000_000));
        assert_eq!(timestamp_of(&OUTPUT.replace("A\\u00e9", "Aé"), "Aé"), Some(1_700_000_000_000));
        for (from, to) in [
            ("Aé", "A"),
            (",\"d", ", \"d"),
            (":0.25", ": 0.25"),
            ("[]", "[ ]"),
            ("}", ",\"x\":1}"),
            ("}", "} "),
            ("0.25", "1e9"),
            ("0.25", "\"0.25\""),
            ("[\"a\"", "[1"),
            ("\"R\"", "null"),
            ("1700000000000", "1.0"),
            ("{", "{\"a\":1,"),
        ] {
            let other = OUTPUT.replace("A\\u00e9", "Aé").replacen(from, to, 1);
            assert_eq!(timestamp_of(&other, "Aé"), None, "{other}");
        }
    }

    #[test]
    fn what_is_taken_is_what_the_full_check_takes_whatever_byte_is_another_or_gone() {
        let mut taken = 0;
        for at in 0..OUTPUT.len() {
            for byte in
                [None, Some(b'"'), Some(b'\\'), Some(b'7'), Some(b'.'), Some(b'e'), Some(b','), Some(b']'), Some(1)]
            {
                let mut bytes = OUTPUT.as_bytes().to_vec();
                bytes.splice(at..=at, byte);
                let Ok(changed) = str::from_utf8(&bytes) else { continue };
                let found = timestamp_of(changed, "Aé");
                assert!(found.is_none() || found == in_full(changed), "{changed}");
                taken += u32::from(found.is_some());
            }
        }
        assert!(taken > 100, "only {taken} changes leave it canonical");
    }
}
