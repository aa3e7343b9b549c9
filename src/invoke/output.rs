//! Checks what an engine returned against CONTRACTS section 5, before anything of it is published.
//!
//! Pure; called by the invoke stage on its lane; allocates nothing unless it refuses. It never changes or completes an output:
//! the engine's bytes are stored as they are. Keys beyond the contract's pass, so that an engine may grow; of duplicate
//! keys the last counts. An accepted output always has a canonical form, also inside its event.

mod canonical;

use super::engine::{EngineFault, EngineFaultKind};
use crate::model::json::{self, Elements, Fault, Kind, Members, Place, RawValue};

/// Containers around an output in its event: the event and its payload. [`json::DEPTH_MAX`] counts from there.
const DEPTH_IN_EVENT: u32 = 2;

/// Checks a `RegimeOutput` of [`Engine::run`](super::engine::Engine::run): one JSON object for this symbol and exactly this timestamp (ms).
///
/// # Errors
/// `engine_output_invalid`, with what is wrong.
pub fn check_regime_output(bytes: &[u8], symbol: &str, timestamp_ms: i64) -> Result<(), EngineFault> {
    const WHAT: &str = "regime output";
    let text = text(bytes, WHAT)?;
    if canonical::timestamp_of(text, symbol) == Some(timestamp_ms) {
        return Ok(());
    }
    let output_ms = regime_output(text, symbol, WHAT, DEPTH_IN_EVENT)?;
    if output_ms != timestamp_ms {
        return invalid(WHAT, format_args!("timestamp is {output_ms}, the run's is {timestamp_ms}"));
    }
    finite_numbers(text, WHAT)
}

/// Checks a `HysteresisDecision` and returns its selected output, a slice of `bytes`.
///
/// The selected output may carry an older timestamp than the run's, in ms: that of the stable regime it keeps.
///
/// # Errors
/// `engine_output_invalid`, with what is wrong.
pub fn check_decision<'a>(bytes: &'a [u8], symbol: &str, timestamp_ms: i64) -> Result<&'a [u8], EngineFault> {
    const WHAT: &str = "hysteresis decision";
    let text = text(bytes, WHAT)?;
    let names = ["selected_output", "effective_confidence", "transition"];
    let [selected, confidence, transition] = members(text, &names, WHAT, DEPTH_IN_EVENT)?;
    expect(&selected, Kind::Object, WHAT, names[0])?;
    finite(&confidence, WHAT, names[1])?;
    expect(&transition, Kind::Object, WHAT, names[2])?;
    check_transition(transition.text)?;
    let selected_ms = regime_output(selected.text, symbol, "selected output", DEPTH_IN_EVENT + 1)?;
    if selected_ms > timestamp_ms {
        return invalid("selected output", format_args!("timestamp is {selected_ms}, after the run's {timestamp_ms}"));
    }
    finite_numbers(text, WHAT)?;
    Ok(selected.text.as_bytes())
}

fn check_transition(text: &str) -> Result<(), EngineFault> {
    const WHAT: &str = "transition";
    let names =
        ["stable_regime", "candidate_regime", "candidate_count", "transition_active", "flipped", "reset_due_to_gap"];
    let [stable, candidate, count, flags @ ..]: [_; 6] = members(text, &names, WHAT, DEPTH_IN_EVENT + 1)?;
    for (value, name) in [(&stable, names[0]), (&candidate, names[1])] {
        if !matches!(value.kind, Kind::String | Kind::Null) {
            return invalid(WHAT, format_args!("{name} is neither a string nor null"));
        }
    }
    if !count.integer().is_ok_and(|count| count >= 0) {
        return invalid(WHAT, format_args!("candidate_count is no count"));
    }
    for (value, name) in flags.iter().zip(&names[3..]) {
        expect(value, Kind::Bool, WHAT, name)?;
    }
    Ok(())
}

/// Checks everything of a `RegimeOutput` but its timestamp, which it returns.
fn regime_output(text: &str, symbol: &str, what: &str, depth: u32) -> Result<i64, EngineFault> {
    const NAMES: [&str; 7] = ["symbol", "timestamp", "regime", "confidence", "drivers", "invalidations", "permissions"];
    let [named, timestamp, regime, confidence, lists @ ..]: [_; 7] = members(text, &NAMES, what, depth)?;
    if !named.string().is_some_and(|named| named.is(symbol)) {
        return invalid(what, format_args!("symbol is not the run's"));
    }
    let Ok(timestamp_ms) = timestamp.integer() else {
        return invalid(what, format_args!("timestamp is no integer"));
    };
    expect(&regime, Kind::String, what, NAMES[2])?;
    finite(&confidence, what, NAMES[3])?;
    for (list, name) in lists.iter().zip(&NAMES[4..]) {
        if list.text == "[]" {
            continue;
        }
        expect(list, Kind::Array, what, name)?;
        let mut elements = Elements::open(list.text).or_else(|fault| syntax(what, fault))?;
        while let Some(element) = elements.next().or_else(|fault| syntax(what, fault))? {
            if element.kind != Kind::String {
                return invalid(what, format_args!("{name} holds something that is no string"));
            }
        }
    }
    Ok(timestamp_ms)
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, EngineFault> {
    json::text(bytes).or_else(|fault| syntax(what, fault))
}

/// The values of `names` in an object; all of them must be there. Compiled for each list of names, so that keys are compared as words.
#[inline(always)]
fn members<'a, const N: usize>(
    text: &'a str,
    names: &[&str; N],
    what: &str,
    depth: u32,
) -> Result<[RawValue<'a>; N], EngineFault> {
    let mut found = [None; N];
    find(text, names, &mut found, depth).or_else(|fault| syntax(what, fault))?;
    let mut values = [RawValue { kind: Kind::Null, text: "", has_escapes: false }; N];
    for ((value, place), name) in values.iter_mut().zip(found).zip(names) {
        let Some(place) = place else { return invalid(what, format_args!("{name} is not there")) };
        *value = place.value(text);
    }
    Ok(values)
}

/// Validates an object and finds where the values of `names` stand.
#[inline(always)]
fn find<const N: usize>(
    text: &str,
    names: &[&str; N],
    found: &mut [Option<Place>; N],
    depth: u32,
) -> Result<(), Fault> {
    let mut members = Members::open_within(text, depth)?;
    while let Some((key, value)) = members.next_places()? {
        let key = key.key(text);
        for (slot, name) in found.iter_mut().zip(names) {
            if name.len() == key.raw.len() && name.as_bytes() == key.raw.as_bytes() || key.has_escapes && key.is(name) {
                *slot = Some(value);
            }
        }
    }
    Ok(())
}

fn expect(value: &RawValue<'_>, kind: Kind, what: &str, name: &str) -> Result<(), EngineFault> {
    if value.kind == kind {
        return Ok(());
    }
    let expected = match kind {
        Kind::Null => "null",
        Kind::Bool => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a string",
        Kind::Array => "a list",
        Kind::Object => "an object",
    };
    invalid(what, format_args!("{name} is not {expected}"))
}

fn finite(value: &RawValue<'_>, what: &str, name: &str) -> Result<(), EngineFault> {
    expect(value, Kind::Number, what, name)?;
    if may_overflow(value.text) && !value.text.parse().is_ok_and(|number: f64| number.is_finite()) {
        return invalid(what, format_args!("{name} is beyond the range of a double"));
    }
    Ok(())
}

/// A number whose text has fewer bytes and no exponent is below 10^308.
const OVERFLOW_MIN_BYTES: usize = 309;

/// False only if no number in the text, in strings or outside, can be beyond the range of a double.
fn may_overflow(text: &str) -> bool {
    let bytes = text.as_bytes();
    // An exponent follows a digit. Every pair is looked at, whatever is found: that is several pairs at once.
    let exponents = bytes
        .iter()
        .zip(bytes.get(1..).unwrap_or_default())
        .fold(false, |found, (digit, exponent)| found | (digit.is_ascii_digit() & matches!(exponent, b'e' | b'E')));
    exponents || bytes.len() >= OVERFLOW_MIN_BYTES && has_long_run_of_digits(bytes)
}

/// False only if no [`OVERFLOW_MIN_BYTES`] digits follow each other.
fn has_long_run_of_digits(bytes: &[u8]) -> bool {
    // Looked at are so many bytes that of every such run three are.
    const LOOKS: usize = 3;
    let mut digits = 0;
    for byte in bytes.iter().step_by(OVERFLOW_MIN_BYTES / LOOKS) {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits == LOOKS {
            return true;
        }
    }
    false
}

/// Refuses floats like `1e999` anywhere, also under keys of the engine's own: nothing with one has a canonical form.
fn finite_numbers(validated: &str, what: &str) -> Result<(), EngineFault> {
    if !may_overflow(validated) {
        return Ok(());
    }
    let mut rest = validated;
    while let Some(at) = rest.find(|char: char| char == '"' || char == '-' || char.is_ascii_digit()) {
        let token = &rest[at..];
        let len = if token.starts_with('"') {
            string_bytes(token)
        } else {
            let len = token
                .find(|char: char| !matches!(char, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
                .unwrap_or(token.len());
            let number = &token[..len];
            let is_float = number.contains(['.', 'e', 'E']);
            if is_float && !number.parse().is_ok_and(|number: f64| number.is_finite()) {
                return invalid(what, format_args!("a number is beyond the range of a double"));
            }
            len
        };
        rest = &token[len..];
    }
    Ok(())
}

/// Bytes of the string that `token` begins with, both quotes included.
fn string_bytes(token: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in token.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    token.len()
}

#[cold]
fn syntax<T>(what: &str, fault: Fault) -> Result<T, EngineFault> {
    invalid(what, format_args!("{fault}"))
}

#[cold]
fn invalid<T>(what: &str, why: core::fmt::Arguments<'_>) -> Result<T, EngineFault> {
    Err(EngineFault::new(EngineFaultKind::EngineOutputInvalid, format!("{what}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"{"symbol":"A\u00e9","timestamp":5,"regime":"R","confidence":0.5,"drivers":["d"],"invalidations":[],"permissions":["R"]}"#;
    const TRANSITION: &str = r#"{"stable_regime":"R","candidate_regime":null,"candidate_count":0,"transition_active":false,"flipped":false,"reset_due_to_gap":false}"#;

    fn check(output: &str) -> Result<(), String> {
        check_regime_output(output.as_bytes(), "Aé", 5).map_err(|fault| {
            assert_eq!(fault.kind(), EngineFaultKind::EngineOutputInvalid);
            fault.detail().to_owned()
        })
    }

    fn decision(output: &str, transition: &str) -> String {
        format!(r#"{{"selected_output": {output} ,"effective_confidence":1,"transition":{transition}}}"#)
    }

    fn check_d(decision: &str, timestamp_ms: i64) -> Result<String, String> {
        check_decision(decision.as_bytes(), "Aé", timestamp_ms)
            .map(|selected| String::from_utf8(selected.to_vec()).unwrap())
            .map_err(|fault| fault.detail().to_owned())
    }

    #[test]
    fn an_output_as_the_contract_says_passes() {
        assert_eq!(check(OUTPUT), Ok(()));
        assert_eq!(check(&OUTPUT.replace("0.5", "1")), Ok(()), "an integer is a number");
        assert_eq!(check(&OUTPUT.replace("{\"sym", " {\"extra\":{\"a\":[1e9]},\"sym")), Ok(()), "keys of its own");
        assert_eq!(
            check(&OUTPUT.replace("\"timestamp\":5", "\"timestamp\":\"x\",\"timestamp\":5")),
            Ok(()),
            "the last wins"
        );
        assert_eq!(check(&OUTPUT.replace("\"d\"", "\"1e999\",\"\\\"1e999\"")), Ok(()), "no number in a string");
    }

    #[test]
    fn every_deviation_is_named() {
        for (from, to, detail) in [
            ("\"symbol\":\"A\\u00e9\"", "\"symbol\":\"B\"", "regime output: symbol is not the run's"),
            ("\"symbol\":\"A\\u00e9\"", "\"symbol\":1", "regime output: symbol is not the run's"),
            ("\"timestamp\":5", "\"timestamp\":6", "regime output: timestamp is 6, the run's is 5"),
            ("\"timestamp\":5", "\"timestamp\":4", "regime output: timestamp is 4, the run's is 5"),
            ("\"timestamp\":5", "\"timestamp\":5.0", "regime output: timestamp is no integer"),
            ("\"timestamp\":5", "\"timestamp\":5,\"timestamp\":null", "regime output: timestamp is no integer"),
            ("\"regime\":\"R\"", "\"regime\":null", "regime output: regime is not a string"),
            ("\"regime\":\"R\",", "", "regime output: regime is not there"),
            ("0.5", "\"0.5\"", "regime output: confidence is not a number"),
            ("0.5", "1e999", "regime output: confidence is beyond the range of a double"),
            ("0.5", "true", "regime output: confidence is not a number"),
            ("[\"d\"]", "null", "regime output: drivers is not a list"),
            ("[\"d\"]", "[\"d\",1]", "regime output: drivers holds something that is no string"),
            (
                "\"permissions\":[\"R\"]",
                "\"permissions\":[[]]",
                "regime output: permissions holds something that is no string",
            ),
            ("\"permissions\"", "\"permission\"", "regime output: permissions is not there"),
            ("{\"s", "{\"x\":[-1e999],\"s", "regime output: a number is beyond the range of a double"),
        ] {
            let bad = OUTPUT.replacen(from, to, 1);
            assert_ne!(bad, OUTPUT);
            assert_eq!(check(&bad).unwrap_err(), detail, "{bad}");
        }
    }

    #[test]
    fn a_number_too_large_is_found_at_any_place_and_of_any_length() {
        let beyond = format!("{}.0", "9".repeat(309));
        for before in 0..400 {
            let with = |number: &str| OUTPUT.replace("{\"s", &format!("{{\"{}\":[-{number}],\"s", "x".repeat(before)));
            assert!(check(&with(&beyond)).unwrap_err().contains("beyond the range"), "{before}");
            assert!(check(&with("1E309")).unwrap_err().contains("beyond the range"), "{before}");
            assert_eq!(check(&with(&beyond[1..])), Ok(()), "{before}");
            assert_eq!(check(&with(&"9".repeat(400))), Ok(()), "an integer of any size");
        }
        assert!(check(&OUTPUT.replace("0.5", &beyond)).unwrap_err().contains("confidence is beyond the range"));
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for bad in [
            "",
            "null",
            "[]",
            "{",
            &format!("{OUTPUT}x"),
            &OUTPUT.replace("0.5", "NaN"),
            &OUTPUT.replace("0.5", "Infinity"),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check_regime_output(b"\xFF", "A", 5).is_err());
        let nested = |depth| OUTPUT.replace("{\"s", &format!("{{\"x\":{}{},\"s", "[".repeat(depth), "]".repeat(depth)));
        assert_eq!(check(&nested(61)), Ok(()), "event, payload, output and 61 more");
        assert!(check(&nested(62)).unwrap_err().contains("nesting"));
    }

    #[test]
    fn a_decision_yields_its_selected_output() {
        let good = decision(OUTPUT, TRANSITION);
        assert_eq!(check_d(&good, 5).as_deref(), Ok(OUTPUT));
        assert_eq!(check_d(&good, 6).as_deref(), Ok(OUTPUT), "the stable output keeps its old timestamp");
        assert_eq!(check_d(&good, 4).unwrap_err(), "selected output: timestamp is 5, after the run's 4");
        let candidate = TRANSITION.replace("null", "\"S\"").replace(":0", ":3").replacen("false", "true", 1);
        assert_eq!(check_d(&decision(OUTPUT, &candidate), 9).as_deref(), Ok(OUTPUT));
    }

    #[test]
    fn every_deviation_of_a_decision_is_named() {
        let good = decision(OUTPUT, TRANSITION);
        for (from, to, detail) in [
            (
                "\"effective_confidence\":1",
                "\"effective_confidence\":null",
                "hysteresis decision: effective_confidence is not a number",
            ),
            ("\"effective_confidence\":1,", "", "hysteresis decision: effective_confidence is not there"),
            ("selected_output", "selected", "hysteresis decision: selected_output is not there"),
            ("\"regime\":\"R\"", "\"regime\":1", "selected output: regime is not a string"),
            ("\"candidate_count\":0", "\"candidate_count\":-1", "transition: candidate_count is no count"),
            ("\"candidate_count\":0", "\"candidate_count\":0.0", "transition: candidate_count is no count"),
            (
                "\"candidate_regime\":null",
                "\"candidate_regime\":0",
                "transition: candidate_regime is neither a string nor null",
            ),
            ("\"flipped\":false", "\"flipped\":null", "transition: flipped is not a boolean"),
            ("\"reset_due_to_gap\":false", "\"reset_due_to_gap\":0", "transition: reset_due_to_gap is not a boolean"),
            (",\"flipped\":false", "", "transition: flipped is not there"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(check_d(&bad, 5).unwrap_err(), detail, "{bad}");
        }
        assert_eq!(
            check_d(&decision("[]", TRANSITION), 5).unwrap_err(),
            "hysteresis decision: selected_output is not an object"
        );
        assert_eq!(check_d(&decision(OUTPUT, "7"), 5).unwrap_err(), "hysteresis decision: transition is not an object");
    }
}
