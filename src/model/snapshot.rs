//! What an engine sees: symbol, timestamp and twenty-five fields, each with its JSON or *missing*.
//!
//! A [`Snapshot`] borrows from the selected `SnapshotInputs` receipt and from nothing else. Pure; any thread; nothing here
//! allocates. It never fabricates: a field that the event does not carry is [`Field::Missing`], which is not null.
//!
//! Fields are read when the first one is asked for, all of them at once and only once: an engine that asks for none pays nothing.

mod section;

use core::cell::OnceCell;

pub use self::section::{FIELDS, Section};
use super::canonical::{self, CanonicalError};
use super::json::{self, Fault, Kind, Members};
use super::receipt::BINARY;
use super::{binary, envelope};

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

/// Every field of a snapshot, in the order of [`Section::ALL`] and [`Section::fields`].
type Fields<'a> = [Field<'a>; FIELDS];

const ALL_MISSING: Fields<'static> = [Field::Missing; FIELDS];

/// The input of one engine call.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The instrument.
    pub symbol: &'a str,
    /// The run's engine timestamp, ms.
    pub timestamp_ms: i64,
    source: Source<'a>,
    /// Filled when the first field is asked for.
    fields: OnceCell<Result<Fields<'a>, Fault>>,
}

/// What fields are read from.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// The raw JSON object.
    Normalized(&'a [u8]),
    /// A receipt that holds it: its frame's flags and payload.
    Receipt(u8, &'a [u8]),
    /// Nothing: the fields came without it.
    Fields,
}

impl<'a> Snapshot<'a> {
    /// A snapshot of an event that carries nothing.
    #[must_use]
    pub const fn empty(symbol: &'a str, timestamp_ms: i64) -> Self {
        Self::of(symbol, timestamp_ms, Source::Normalized(b"{}"))
    }

    /// The snapshot in `normalized`, the raw JSON object of the selected event, read at once.
    ///
    /// Of duplicate keys the last wins, whole sub-objects included. A sub-object that is absent or no object leaves its fields
    /// missing; keys that the contract does not know are dropped.
    ///
    /// # Errors
    /// A [`Fault`] if the bytes are not one JSON object, which cannot happen to an event that was stored as a v1 envelope.
    pub fn from_normalized(symbol: &'a str, timestamp_ms: i64, normalized: &'a [u8]) -> Result<Self, Fault> {
        let snapshot = Self::of(symbol, timestamp_ms, Source::Normalized(normalized));
        match snapshot.read() {
            Ok(_) => Ok(snapshot),
            Err(fault) => Err(fault),
        }
    }

    /// The snapshot in a stored SnapshotInputs, `flags` and `payload` its frame's. Nothing is read yet; see [`Snapshot::fault`].
    #[must_use]
    pub const fn of_receipt(symbol: &'a str, timestamp_ms: i64, flags: u8, payload: &'a [u8]) -> Self {
        Self::of(symbol, timestamp_ms, Source::Receipt(flags, payload))
    }

    /// A snapshot of these fields, in the order of [`Section::ALL`] and [`Section::fields`]: for an engine that is handed nothing else.
    /// Its event is not to be had ([`Snapshot::normalized`]).
    #[must_use]
    pub fn of_fields(symbol: &'a str, timestamp_ms: i64, fields: [Field<'a>; FIELDS]) -> Self {
        Self { symbol, timestamp_ms, source: Source::Fields, fields: OnceCell::from(Ok(fields)) }
    }

    const fn of(symbol: &'a str, timestamp_ms: i64, source: Source<'a>) -> Self {
        Self { symbol, timestamp_ms, source, fields: OnceCell::new() }
    }

    /// What kept the fields from being read when one was asked for: then all of them were said to be missing. Whoever made the
    /// snapshot of a receipt has to look before anything is believed that was made from it.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fields.get()?.as_ref().err().copied()
    }

    /// The raw JSON object that the fields are read from, `normalized` of the selected event: for an engine elsewhere, which reads it
    /// by the same rules ([`Snapshot::from_normalized`]).
    ///
    /// # Errors
    /// A [`Fault`] if the receipt cannot be read, which cannot happen to one that was stored, or if there is none
    /// ([`Snapshot::of_fields`]).
    pub fn normalized(&self) -> Result<&'a str, Fault> {
        self.source.normalized()
    }

    #[inline]
    fn read(&self) -> Result<&Fields<'a>, Fault> {
        self.fields.get_or_init(|| self.source.read()).as_ref().map_err(|fault| *fault)
    }

    /// The fields of a section, in the order of [`Section::fields`].
    #[must_use]
    pub fn section(&self, section: Section) -> &[Field<'a>] {
        let fields = self.read().unwrap_or(&ALL_MISSING);
        let start = section.start();
        &fields[start..start + section.fields().len()]
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

impl<'a> Source<'a> {
    fn normalized(self) -> Result<&'a str, Fault> {
        match self {
            Self::Normalized(bytes) => json::text(bytes),
            Self::Receipt(flags, record) if flags & BINARY != 0 => binary::normalized_of(record),
            Self::Receipt(_, line) => envelope::normalized_of(line),
            Self::Fields => Err(Fault { what: "a snapshot of fields has no event", at: 0 }),
        }
    }

    #[inline(never)]
    fn read(self) -> Result<Fields<'a>, Fault> {
        let normalized = self.normalized()?;
        let mut fields = ALL_MISSING;
        let mut members = Members::open(normalized)?;
        while let Some((key, value)) = members.next_places()? {
            let Some(section) = Section::named(key.key(normalized)) else { continue };
            let start = section.start();
            let of_section = &mut fields[start..start + section.fields().len()];
            // A later sub-object replaces an earlier one as a whole.
            of_section.fill(Field::Missing);
            if value.kind == Kind::Object {
                read_section(section, value.value(normalized).text, of_section)?;
            }
        }
        Ok(fields)
    }
}

fn read_section<'a>(section: Section, text: &'a str, fields: &mut [Field<'a>]) -> Result<(), Fault> {
    let mut members = Members::open(text)?;
    while let Some((key, value)) = members.next_places()? {
        if let Some(at) = section.position(key.key(text)) {
            fields[at] = Field::Json(value.value(text).text);
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

    /// How many fields are not missing.
    fn present(snapshot: &Snapshot<'_>) -> usize {
        let fields = Section::ALL.iter().flat_map(|section| snapshot.section(*section));
        fields.filter(|field| **field != Field::Missing).count()
    }

    #[test]
    fn every_field_is_found_by_its_own_name_and_no_other() {
        for section in Section::ALL {
            for (at, name) in section.fields().iter().enumerate() {
                let event = format!(r#"{{"{}":{{"{name}":1}}}}"#, section.name());
                let snapshot = of(&event);
                assert_eq!(snapshot.section(section)[at], Field::Json("1"), "{name}");
                assert_eq!(present(&snapshot), 1, "{name}");
                for cut in 0..name.len() {
                    let event =
                        format!(r#"{{"{}":{{"{}":1}}}}"#, section.name(), [&name[..cut], &name[cut + 1..]].concat());
                    // The one field whose name is another's with a letter less.
                    assert_eq!(
                        present(&of(&event)),
                        usize::from(section.fields().contains(&&*[&name[..cut], &name[cut + 1..]].concat()))
                    );
                }
            }
        }
    }

    #[test]
    fn a_stored_receipt_is_read_when_a_field_is_asked_for() {
        let line = |normalized: &str| {
            format!(
                r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"SnapshotInputs","source_id":"v","symbol":"S","exchange_ts_ms":null,"recv_ts_ms":1,"raw_payload":"\"normalized\":","normalized":{{}},"normalized":{normalized}}}"#
            )
        };
        let event = line(r#"{"timestamp_ms":1,"flow":{"cvd":1}}"#);
        let mut record = Vec::new();
        binary::encode_from_json(event.as_bytes(), &mut envelope::Scratch::new(), &mut record).unwrap();
        for (flags, payload) in [(0, event.as_bytes()), (BINARY, &record)] {
            let snapshot = Snapshot::of_receipt("S", 1, flags, payload);
            assert_eq!(snapshot.number(Section::Flow, "cvd"), Some(1.0));
            assert_eq!((present(&snapshot), snapshot.fault()), (1, None));
        }
        for (flags, payload) in [(0, &b"{}"[..]), (0, b"[]"), (BINARY, &record[..70]), (0, line("7").as_bytes())] {
            let snapshot = Snapshot::of_receipt("S", 1, flags, payload);
            assert_eq!(snapshot.fault(), None, "nothing was asked for");
            assert_eq!(snapshot.number(Section::Flow, "cvd"), None);
            assert!(snapshot.fault().is_some());
        }
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
        assert_eq!(present(&of("{}")), 0);
        assert_eq!(present(&Snapshot::empty("BTCUSDT", 180_000)), 0);
    }

    #[test]
    fn the_last_duplicate_wins_as_a_whole() {
        let snapshot = of(r#"{"flow":{"cvd":1,"cvd_slope":2},"flow":{"cvd":3,"cvd":4}}"#);
        assert_eq!(snapshot.number(Section::Flow, "cvd"), Some(4.0));
        assert_eq!(snapshot.field(Section::Flow, "cvd_slope"), Some(Field::Missing));
        assert_eq!(present(&of(r#"{"flow":{"cvd":1},"flow":null}"#)), 0);
        assert_eq!(of(r#"{"flow":null,"flow":{"cvd":1}}"#).number(Section::Flow, "cvd"), Some(1.0));
    }

    #[test]
    fn keys_match_unescaped_and_unknown_ones_are_dropped() {
        let snapshot =
            of(r#"{"\u0066low":{"cv\u0064":1,"extra":2},"cvd":9,"market":{"cvd":3,"Price":1}, "more":{"cvd":5}}"#);
        assert_eq!(snapshot.number(Section::Flow, "cvd"), Some(1.0));
        assert_eq!(present(&snapshot), 1);
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
