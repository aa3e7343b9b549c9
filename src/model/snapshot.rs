//! What an engine sees: symbol, timestamp and twenty-five fields, each with its JSON or *missing*.
//!
//! A [`Snapshot`] borrows from the selected `SnapshotInputs` receipt and from nothing else. Pure; any thread; building it
//! allocates nothing. It never fabricates: a field that the event does not carry is [`Field::Missing`], which is not null.

use super::canonical::{self, CanonicalError};
use super::json::{self, Fault, Kind, Members};

/// A sub-object of a `SnapshotInputs` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `context`.
    Context,
    /// `derivatives`.
    Derivatives,
    /// `flow`.
    Flow,
    /// `market`.
    Market,
}

const CONTEXT: [&str; 5] = ["alt_breadth", "beta_to_btc", "btc_regime", "eth_regime", "rs_vs_btc"];
const DERIVATIVES: [&str; 8] = [
    "funding_rate",
    "funding_slope",
    "funding_z",
    "liquidation_intensity",
    "oi_accel",
    "oi_slope_med",
    "oi_slope_short",
    "open_interest",
];
const FLOW: [&str; 4] = ["aggressive_volume_ratio", "cvd", "cvd_efficiency", "cvd_slope"];
const MARKET: [&str; 8] =
    ["acceptance_score", "atr", "atr_z", "price", "range_expansion", "structure_levels", "sweep_score", "vwap"];

/// Fields of a snapshot.
pub const FIELDS: usize = CONTEXT.len() + DERIVATIVES.len() + FLOW.len() + MARKET.len();

impl Section {
    /// All of them, in canonical order.
    pub const ALL: [Self; 4] = [Self::Context, Self::Derivatives, Self::Flow, Self::Market];

    /// Its key in the event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Derivatives => "derivatives",
            Self::Flow => "flow",
            Self::Market => "market",
        }
    }

    /// The contract's fields of this section, in canonical order.
    #[must_use]
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Context => &CONTEXT,
            Self::Derivatives => &DERIVATIVES,
            Self::Flow => &FLOW,
            Self::Market => &MARKET,
        }
    }

    /// Where its fields begin in a snapshot's table.
    const fn start(self) -> usize {
        match self {
            Self::Context => 0,
            Self::Derivatives => CONTEXT.len(),
            Self::Flow => CONTEXT.len() + DERIVATIVES.len(),
            Self::Market => CONTEXT.len() + DERIVATIVES.len() + FLOW.len(),
        }
    }
}

/// One field of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// The event does not carry it.
    #[default]
    Missing,
    /// Its value as JSON, exactly as received; null is `Json("null")`.
    Json(&'a str),
}

/// JSON form of [`Field::Missing`]: the engine contract's own marker.
pub const MISSING_JSON: &str = "{\"__xray_missing__\":true}";

/// The input of one engine call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// The instrument.
    pub symbol: &'a str,
    /// The run's engine timestamp, ms.
    pub timestamp_ms: i64,
    fields: [Field<'a>; FIELDS],
}

impl<'a> Snapshot<'a> {
    /// A snapshot of an event that carries nothing.
    #[must_use]
    pub const fn empty(symbol: &'a str, timestamp_ms: i64) -> Self {
        Self { symbol, timestamp_ms, fields: [Field::Missing; FIELDS] }
    }

    /// The snapshot in `normalized`, the raw JSON object of the selected event.
    ///
    /// Of duplicate keys the last wins, whole sub-objects included. A sub-object that is absent or no object leaves its fields
    /// missing; keys that the contract does not know are dropped.
    ///
    /// # Errors
    /// A [`Fault`] if the bytes are not one JSON object, which cannot happen to an event that was stored as a v1 envelope.
    pub fn from_normalized(symbol: &'a str, timestamp_ms: i64, normalized: &'a [u8]) -> Result<Self, Fault> {
        let mut snapshot = Self::empty(symbol, timestamp_ms);
        let mut members = Members::open(json::text(normalized)?)?;
        while let Some(member) = members.next()? {
            let Some(section) = Section::ALL.into_iter().find(|section| member.key.is(section.name())) else {
                continue;
            };
            // A later sub-object replaces an earlier one as a whole.
            let fields = snapshot.section_mut(section);
            fields.fill(Field::Missing);
            if member.value.kind == Kind::Object {
                read_section(section, member.value.text, fields)?;
            }
        }
        Ok(snapshot)
    }

    /// The fields of a section, in the order of [`Section::fields`].
    #[must_use]
    pub fn section(&self, section: Section) -> &[Field<'a>] {
        let start = section.start();
        &self.fields[start..start + section.fields().len()]
    }

    fn section_mut(&mut self, section: Section) -> &mut [Field<'a>] {
        let start = section.start();
        &mut self.fields[start..start + section.fields().len()]
    }

    /// One field; `None` if the contract has no field of this name there.
    #[must_use]
    pub fn field(&self, section: Section, name: &str) -> Option<Field<'a>> {
        let at = section.fields().iter().position(|field| *field == name)?;
        self.section(section).get(at).copied()
    }

    /// One field's JSON; `None` if it is missing or there is no such field.
    #[must_use]
    pub fn json(&self, section: Section, name: &str) -> Option<&'a str> {
        match self.field(section, name)? {
            Field::Missing => None,
            Field::Json(text) => Some(text),
        }
    }

    /// One field as a number; `None` if it is missing, null, of another type, or beyond the range of a double.
    #[must_use]
    pub fn number(&self, section: Section, name: &str) -> Option<f64> {
        let text = self.json(section, name)?;
        // JSON's numbers alone begin so; what `f64` parses besides ("inf", "nan") does not.
        if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        // The integer 0, as in canonical JSON; a double's parser would keep the sign.
        let text = if text == "-0" { "0" } else { text };
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Appends the snapshot as canonical JSON, with [`MISSING_JSON`] where a field is missing. Cold: it allocates for nested objects.
    ///
    /// # Errors
    /// [`CanonicalError`] if a field holds a number without a canonical form; `out` is then as it was.
    pub fn write_canonical(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        let before = out.len();
        let written = self.write_sections(out);
        if written.is_err() {
            out.truncate(before);
            return written;
        }
        out.extend_from_slice(b"\"symbol\":");
        canonical::string(self.symbol, out);
        out.extend_from_slice(b",\"timestamp\":");
        canonical::i64(self.timestamp_ms, out);
        out.push(b'}');
        Ok(())
    }

    fn write_sections(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.push(b'{');
        for section in Section::ALL {
            canonical::string(section.name(), out);
            out.push(b':');
            let mut before = b'{';
            for (name, field) in section.fields().iter().zip(self.section(section)) {
                out.push(before);
                before = b',';
                canonical::string(name, out);
                out.push(b':');
                match field {
                    Field::Missing => out.extend_from_slice(MISSING_JSON.as_bytes()),
                    Field::Json(text) => canonical::canonicalize(text, out)?,
                }
            }
            out.extend_from_slice(b"},");
        }
        Ok(())
    }
}

fn read_section<'a>(section: Section, text: &'a str, fields: &mut [Field<'a>]) -> Result<(), Fault> {
    let mut members = Members::open(text)?;
    while let Some(member) = members.next()? {
        let known = section.fields().iter().zip(fields.iter_mut()).find(|(name, _)| member.key.is(name));
        if let Some((_, field)) = known {
            *field = Field::Json(member.value.text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(normalized: &str) -> Snapshot<'_> {
        Snapshot::from_normalized("BTCUSDT", 180_000, normalized.as_bytes()).unwrap()
    }

    #[test]
    fn golden_snapshot_with_missing() {
        let golden = include_str!("../../tests/vectors/snapshot_with_missing.json").trim_end();
        // The golden file is a snapshot; as an event it lacks what carries the marker.
        let mut event: serde_json::Value = serde_json::from_str(golden).unwrap();
        for section in Section::ALL {
            event[section.name()].as_object_mut().unwrap().retain(|_, value| value.get("__xray_missing__").is_none());
        }
        let without_flow = event["flow"].as_object().unwrap().is_empty();
        assert!(without_flow);
        event.as_object_mut().unwrap().remove("flow");
        let normalized = event.to_string();
        let snapshot = Snapshot::from_normalized("BTCUSDT", 1_767_225_600_000, normalized.as_bytes()).unwrap();
        let mut out = b"before".to_vec();
        snapshot.write_canonical(&mut out).unwrap();
        assert_eq!(core::str::from_utf8(&out).unwrap(), format!("before{golden}"));
    }

    #[test]
    fn tables_are_canonical_and_complete() {
        assert!(Section::ALL.iter().map(|section| section.name()).is_sorted());
        let total: usize = Section::ALL.iter().map(|section| section.fields().len()).sum();
        assert_eq!((FIELDS, total), (25, 25));
        for section in Section::ALL {
            assert!(section.fields().is_sorted(), "{}", section.name());
        }
    }

    #[test]
    fn missing_null_and_zero_differ() {
        let snapshot = of(r#"{"timestamp_ms":1,"market":{"price":null,"atr":0,"vwap":1.5e2}}"#);
        let market = |name| snapshot.field(Section::Market, name);
        assert_eq!(market("price"), Some(Field::Json("null")));
        assert_eq!(market("atr"), Some(Field::Json("0")));
        assert_eq!(market("atr_z"), Some(Field::Missing));
        assert_eq!(market("cvd"), None, "a field of another section");
        let number = |name| snapshot.number(Section::Market, name);
        assert_eq!(
            [number("price"), number("atr"), number("vwap"), number("atr_z")],
            [None, Some(0.0), Some(150.0), None]
        );
    }

    #[test]
    fn a_sub_object_that_is_none_leaves_its_fields_missing() {
        for flow in ["null", "[]", "7", "\"cvd\"", "true"] {
            let event = format!(r#"{{"flow":{flow},"context":{{"rs_vs_btc":1}}}}"#);
            let snapshot = of(&event);
            assert!(snapshot.section(Section::Flow).iter().all(|field| *field == Field::Missing), "{flow}");
            assert_eq!(snapshot.number(Section::Context, "rs_vs_btc"), Some(1.0));
        }
        assert_eq!(of("{}"), Snapshot::empty("BTCUSDT", 180_000));
    }

    #[test]
    fn the_last_duplicate_wins_as_a_whole() {
        let snapshot = of(r#"{"flow":{"cvd":1,"cvd_slope":2},"flow":{"cvd":3,"cvd":4}}"#);
        assert_eq!(snapshot.number(Section::Flow, "cvd"), Some(4.0));
        assert_eq!(snapshot.field(Section::Flow, "cvd_slope"), Some(Field::Missing));
        assert_eq!(of(r#"{"flow":{"cvd":1},"flow":null}"#), Snapshot::empty("BTCUSDT", 180_000));
        assert_eq!(of(r#"{"flow":null,"flow":{"cvd":1}}"#).number(Section::Flow, "cvd"), Some(1.0));
    }

    #[test]
    fn keys_match_unescaped_and_unknown_ones_are_dropped() {
        let snapshot =
            of(r#"{"\u0066low":{"cv\u0064":1,"extra":2},"cvd":9,"market":{"cvd":3,"Price":1}, "more":{"cvd":5}}"#);
        assert_eq!(snapshot.number(Section::Flow, "cvd"), Some(1.0));
        let present =
            Section::ALL.iter().flat_map(|section| snapshot.section(*section)).filter(|f| **f != Field::Missing);
        assert_eq!(present.count(), 1);
    }

    #[test]
    fn only_numbers_are_numbers() {
        for other in ["\"1\"", "true", "[1]", "{}", "1e999", "-1e999", "\"inf\""] {
            let event = format!(r#"{{"flow":{{"cvd":{other}}}}}"#);
            assert_eq!(of(&event).number(Section::Flow, "cvd"), None, "{other}");
        }
    }

    #[test]
    fn minus_zero_is_the_integer_zero_and_minus_zero_point_zero_is_not() {
        let snapshot = of(r#"{"flow":{"cvd":-0,"cvd_slope":-0.0}}"#);
        let sign = |name| snapshot.number(Section::Flow, name).map(f64::is_sign_negative);
        assert_eq!((sign("cvd"), sign("cvd_slope")), (Some(false), Some(true)));
    }

    #[test]
    fn nested_values_become_canonical() {
        let snapshot = of(r#"{"market":{"structure_levels":{ "b" : 1e16, "a":[ "é" ] }}}"#);
        let mut out = Vec::new();
        snapshot.write_canonical(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#""structure_levels":{"a":["\u00e9"],"b":1e+16}"#), "{text}");
    }

    #[test]
    fn faults_are_values() {
        for bad in [&b"[]"[..], b"", b"{\"market\":{]}", b"{\"market\":{\"price\":NaN}}", b"{\"a\":\"\xFF\"}"] {
            assert!(Snapshot::from_normalized("S", 0, bad).is_err());
        }
        let mut out = b"before".to_vec();
        assert!(of(r#"{"flow":{"cvd":1e999}}"#).write_canonical(&mut out).is_err());
        assert_eq!(out, b"before");
    }
}
