//! The scripted engine of the golden cases: says what `market.structure_levels.script` tells it to say.
//!
//! A truthy `raise` (in Python's sense) fails the run with that text; otherwise regime, confidence, drivers and invalidations
//! are echoed and the permissions are the regime alone. A script that is missing or unusable fails the run and says why.

use crate::regime_output::{Part, RegimeOutput, number};
use crate::truth::Truth;
use cutline::invoke::engine::{EngineFault, EngineFaultKind};
use cutline::model::canonical;
use cutline::model::json::{Elements, Fault, Kind, Members, RawValue};
use cutline::model::snapshot::{Section, Snapshot};

pub(crate) struct Scripted;

impl Truth for Scripted {
    const IDENTITY: &'static str = "cutline-engines/scripted/1";

    fn judge(&self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        let script = script(snapshot)?;
        let [raise, regime, confidence, drivers, invalidations] =
            values(script, ["raise", "regime", "confidence", "drivers", "invalidations"])?;
        if let Some(raise) = raise.filter(is_truthy) {
            return Err(EngineFault::new(EngineFaultKind::EngineFailure, python_text(&raise)));
        }
        let Some(regime) = regime.filter(|regime| regime.kind == Kind::String) else {
            return failure("the script's regime is not a string");
        };
        let Some(confidence) = confidence.as_ref().and_then(number) else {
            return failure("the script's confidence is not a finite number");
        };
        let Some(drivers) = drivers.filter(is_list_of_strings) else {
            return failure("the script's drivers are not a list of strings");
        };
        let Some(invalidations) = invalidations.filter(is_list_of_strings) else {
            return failure("the script's invalidations are not a list of strings");
        };
        RegimeOutput {
            confidence,
            drivers: Part::Json(drivers.text),
            invalidations: Part::Json(invalidations.text),
            permissions: Part::JsonInList(regime.text),
            regime: Part::Json(regime.text),
        }
        .write(snapshot.symbol, snapshot.timestamp_ms, output)
        .or_else(|error| failure(error.to_string()))
    }
}

/// The text of the script, an object.
fn script<'a>(snapshot: &Snapshot<'a>) -> Result<&'a str, EngineFault> {
    let Some(levels) = snapshot.json(Section::Market, "structure_levels").filter(|levels| levels.starts_with('{'))
    else {
        return failure("missing script: market.structure_levels is missing or no object");
    };
    match values(levels, ["script"])? {
        [Some(script)] if script.kind == Kind::Object => Ok(script.text),
        [Some(_)] => failure("missing script: market.structure_levels.script is no object"),
        [None] => failure("missing script: market.structure_levels has no script"),
    }
}

/// The last values of these keys in an object.
fn values<'a, const N: usize>(object: &'a str, keys: [&str; N]) -> Result<[Option<RawValue<'a>>; N], EngineFault> {
    let mut found = [None; N];
    let mut members = Members::open(object).or_else(broken)?;
    while let Some(member) = members.next().or_else(broken)? {
        if let Some(at) = keys.iter().position(|key| member.key.is(key)) {
            found[at] = Some(member.value);
        }
    }
    Ok(found)
}

/// Python's `bool(value)`.
fn is_truthy(value: &RawValue<'_>) -> bool {
    let inside = || value.text.get(1..value.text.len().saturating_sub(1)).unwrap_or_default();
    match value.kind {
        Kind::Null => false,
        Kind::Bool => value.text == "true",
        Kind::Number => value.text.parse() != Ok(0.0_f64),
        Kind::String => !inside().is_empty(),
        Kind::Array | Kind::Object => !inside().trim().is_empty(),
    }
}

/// Python's `str(value)` of a truthy string, number or `True`; a list or object as canonical JSON.
fn python_text(value: &RawValue<'_>) -> String {
    if let Some(string) = value.string() {
        let mut text = String::with_capacity(string.raw.len());
        let _complete = string.unescape(&mut text, usize::MAX);
        return text;
    }
    if value.kind == Kind::Bool {
        return "True".to_owned();
    }
    let mut text = Vec::new();
    match canonical::canonicalize(value.text, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        // A number beyond a double: what was received says it best.
        Err(_) => value.text.to_owned(),
    }
}

fn is_list_of_strings(value: &RawValue<'_>) -> bool {
    let Ok(mut elements) = Elements::open(value.text) else { return false };
    loop {
        match elements.next() {
            Ok(Some(element)) if element.kind == Kind::String => {}
            Ok(None) => return true,
            _ => return false,
        }
    }
}

fn broken<T>(fault: Fault) -> Result<T, EngineFault> {
    failure(format!("the script is not JSON: {fault}"))
}

fn failure<T>(detail: impl Into<String>) -> Result<T, EngineFault> {
    Err(EngineFault::new(EngineFaultKind::EngineFailure, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(levels: &str) -> Result<String, EngineFault> {
        let normalized = format!("{{\"market\":{{\"structure_levels\":{levels}}}}}");
        judge_event(&normalized)
    }

    fn judge_event(normalized: &str) -> Result<String, EngineFault> {
        let snapshot = Snapshot::from_normalized("S\u{e9}", 7, normalized.as_bytes()).unwrap();
        let mut output = Vec::new();
        Scripted.judge(&snapshot, &mut output)?;
        cutline::invoke::output::check_regime_output(&output, "S\u{e9}", 7).unwrap();
        Ok(String::from_utf8(output).unwrap())
    }

    fn raised(raise: &str) -> String {
        let fault = judge(&format!("{{\"script\":{{\"raise\":{raise}}}}}")).unwrap_err();
        assert_eq!(fault.kind(), EngineFaultKind::EngineFailure);
        fault.detail().to_owned()
    }

    const GOOD: &str = r#"{"script":{"regime":"R\u0041","confidence":1e-7,"drivers":["d", "\u00e9"],"invalidations":[],"raise":RAISE}}"#;

    #[test]
    fn a_script_is_echoed_canonically() {
        let expected = r#"{"confidence":1e-07,"drivers":["d","\u00e9"],"invalidations":[],"permissions":["RA"],"regime":"RA","symbol":"S\u00e9","timestamp":7}"#;
        for falsy in ["null", "false", "0", "-0", "0.0", "-0e9", "\"\"", "[ ]", "{}"] {
            assert_eq!(judge(&GOOD.replace("RAISE", falsy)).as_deref(), Ok(expected), "{falsy}");
        }
    }

    #[test]
    fn a_truthy_raise_fails_with_its_text() {
        assert_eq!(raised("\"engine boom\""), "engine boom");
        assert_eq!(raised("\"a\\n\\u00e9\""), "a\n\u{e9}");
        for (raise, text) in [
            ("true", "True"),
            ("1", "1"),
            ("-0.50", "-0.5"),
            ("\" \"", " "),
            ("\"0\"", "0"),
            ("[0]", "[0]"),
            ("{\"a\": 1}", "{\"a\":1}"),
            ("1e999", "1e999"),
        ] {
            assert_eq!(raised(raise), text);
        }
        assert_eq!(raised(&format!("\"{}\"", "x".repeat(300))).len(), 256);
    }

    #[test]
    fn a_missing_script_is_an_engine_failure() {
        for levels in ["{}", "null", "[]", "\"script\"", "{\"script\":null}", "{\"script\":[]}"] {
            let fault = judge(levels).unwrap_err();
            assert_eq!(fault.kind(), EngineFaultKind::EngineFailure, "{levels}");
            assert!(fault.detail().starts_with("missing script"), "{levels}: {fault}");
        }
        for event in ["{}", "{\"market\":{}}", "{\"market\":null}"] {
            assert!(judge_event(event).unwrap_err().detail().starts_with("missing script"), "{event}");
        }
    }

    #[test]
    fn an_unusable_script_says_what_is_wrong() {
        let good = GOOD.replace("RAISE", "null");
        for (from, to, part) in [
            ("\"R\\u0041\"", "1", "regime"),
            ("1e-7", "null", "confidence"),
            ("1e-7", "1e999", "confidence"),
            ("[\"d\", ", "[1, ", "drivers"),
            ("\"invalidations\":[]", "\"invalid\":[]", "invalidations"),
        ] {
            let fault = judge(&good.replace(from, to)).unwrap_err();
            assert_eq!(fault.kind(), EngineFaultKind::EngineFailure);
            assert!(fault.detail().contains(part), "{to}: {fault}");
        }
    }
}
