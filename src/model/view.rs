//! How `dump inputs` shows a stored receipt: its event as canonical JSON, whatever form it came in.
//!
//! A line that was no v1 envelope becomes a DecodeFailure event with the stored bytes in `raw_payload`; why it was refused is
//! not stored but found again by reading it once more. Pure; cold; allocates.

use super::base64;
use super::binary::{self, FormError};
use super::canonical::{self, CanonicalError};
use super::envelope::{self, Detail, SCHEMA, SCHEMA_VERSION, Scratch};
use super::json;
use super::receipt::{BINARY, ErrorKind, TRUNCATED, UNDECODED};

/// What the inputs log holds of one receipt.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The frame's flags, of `receipt`.
    pub flags: u8,
    /// The frame's payload: the line or record as received.
    pub payload: &'a [u8],
    /// Name of the frame's source.
    pub source: &'a str,
    /// The frame's `ts_ms`, which is `recv_ts_ms`.
    pub ts_ms: i64,
    /// The frame's `aux`: of a truncated line its true length in bytes.
    pub aux: i64,
}

/// Appends the event of a stored receipt as canonical JSON, without a line feed. After an error `out` is as it was.
///
/// A number beyond the range of a double (`1e999`) has no canonical form: a line that holds one is shown as it was received. A
/// binary record that holds one, or whose texts turn out to be no JSON only now that they are read, is shown with what its header
/// says, by which it was cut and counted, the reason in `normalized`, and all its bytes in `raw_payload`.
///
/// # Errors
/// [`FormError`] for a receipt stored as decoded that is no event: no version of this program wrote it.
pub fn write_json_view(stored: &Stored<'_>, out: &mut Vec<u8>) -> Result<(), FormError> {
    if stored.flags & UNDECODED != 0 {
        let kind = ErrorKind::from_flags(stored.flags).unwrap_or(ErrorKind::DecodeError);
        let shown = Shown {
            event_type: "DecodeFailure",
            exchange_ts_ms: None,
            recv_ts_ms: stored.ts_ms,
            source: stored.source,
            symbol: None,
        };
        shown.write(kind, &error_detail(stored), stored.payload, out);
        return Ok(());
    }
    if stored.flags & BINARY != 0 {
        let Err(error) = binary::to_canonical_json(stored.payload, out) else { return Ok(()) };
        let mut scratch = Scratch::new();
        let header =
            binary::decode(stored.payload, &mut scratch).map_err(|rejection| FormError::Rejected(rejection.detail))?;
        let kind = match error {
            FormError::Rejected(detail) => detail.kind(),
            FormError::Canonical(_) => ErrorKind::DecodeError,
        };
        let shown = Shown {
            event_type: header.event_type,
            exchange_ts_ms: header.exchange_ts_ms,
            recv_ts_ms: header.recv_ts_ms,
            source: header.source_id,
            symbol: Some(header.symbol),
        };
        shown.write(kind, &error.to_string(), stored.payload, out);
        return Ok(());
    }
    let text = json::text(stored.payload).map_err(|fault| FormError::Rejected(Detail::Syntax(fault)))?;
    canonical::canonicalize(text, out).or_else(|error| match error {
        CanonicalError::NumberOverflow => {
            out.extend_from_slice(text.trim_ascii().as_bytes());
            Ok(())
        }
        error => Err(FormError::Canonical(error)),
    })
}

/// What stands around the bytes of a receipt that cannot be shown as the event it should have been.
struct Shown<'a> {
    event_type: &'a str,
    exchange_ts_ms: Option<i64>,
    recv_ts_ms: i64,
    source: &'a str,
    symbol: Option<&'a str>,
}

impl Shown<'_> {
    /// The members stand in the order of their keys already.
    fn write(&self, kind: ErrorKind, detail: &str, bytes: &[u8], out: &mut Vec<u8>) {
        let text = |key: &str, value: Option<&str>, out: &mut Vec<u8>| {
            out.extend_from_slice(key.as_bytes());
            match value {
                Some(value) => canonical::string(value, out),
                None => out.extend_from_slice(b"null"),
            }
        };
        text("{\"event_type\":", Some(self.event_type), out);
        out.extend_from_slice(b",\"exchange_ts_ms\":");
        match self.exchange_ts_ms {
            Some(value) => canonical::i64(value, out),
            None => out.extend_from_slice(b"null"),
        }
        text(",\"normalized\":{\"error_detail\":", Some(detail), out);
        text(",\"error_kind\":", Some(kind.name()), out);
        out.extend_from_slice(b"},\"raw_payload\":\"");
        base64::encode(bytes, out);
        out.extend_from_slice(b"\",\"raw_payload_encoding\":\"base64\",\"recv_ts_ms\":");
        canonical::i64(self.recv_ts_ms, out);
        text(",\"schema\":", Some(SCHEMA), out);
        text(",\"schema_version\":", Some(SCHEMA_VERSION), out);
        text(",\"source_id\":", Some(self.source), out);
        text(",\"symbol\":", self.symbol, out);
        out.push(b'}');
    }
}

/// Why the receipt was refused.
fn error_detail(stored: &Stored<'_>) -> String {
    if stored.flags & TRUNCATED != 0 {
        let what = if stored.flags & BINARY != 0 { "record" } else { "line" };
        return format!(
            "{what} of {} bytes exceeds ingest.line_max_bytes, first {} kept",
            stored.aux,
            stored.payload.len()
        );
    }
    let mut scratch = Scratch::new();
    let read = if stored.flags & BINARY != 0 {
        binary::decode(stored.payload, &mut scratch)
    } else {
        envelope::scan(stored.payload, &mut scratch)
    };
    match read {
        Err(rejection) => rejection.to_string(),
        Ok(_) => "refused by the version that received it; this version would accept it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::receipt::SNAPSHOT;

    const LINE: &str = r#"{"zz":1.50,"schema":"raw_market_event","schema_version":"1","event_type":"SnapshotInputs","source_id":"v","symbol":"B\u00e9","exchange_ts_ms":null,"recv_ts_ms":-5,"raw_payload":"AAEC","raw_payload_encoding":"base64","normalized":{"timestamp_ms":1,"timestamp_ms":180000}}"#;
    const CANONICAL: &str = r#"{"event_type":"SnapshotInputs","exchange_ts_ms":null,"normalized":{"timestamp_ms":180000},"raw_payload":"AAEC","raw_payload_encoding":"base64","recv_ts_ms":-5,"schema":"raw_market_event","schema_version":"1","source_id":"v","symbol":"B\u00e9","zz":1.5}"#;

    fn view(flags: u8, payload: &[u8], aux: i64) -> String {
        let mut out = Vec::new();
        write_json_view(&Stored { flags, payload, source: "feed-1", ts_ms: 7, aux }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_forms_of_an_event_look_the_same() {
        let mut record = Vec::new();
        binary::encode_from_json(LINE.as_bytes(), &mut Scratch::new(), &mut record).unwrap();
        assert_eq!(view(SNAPSHOT, LINE.as_bytes(), 180_000), CANONICAL);
        assert_eq!(view(SNAPSHOT | BINARY, &record, 180_000), CANONICAL);
    }

    #[test]
    fn a_refused_line_says_why_again() {
        let line = LINE.replace("\"symbol\"", "\"sym\"");
        assert_eq!(
            view(ErrorKind::MissingRequiredField.to_flags(), line.as_bytes(), 0).replace(
                &{
                    let mut coded = Vec::new();
                    base64::encode(line.as_bytes(), &mut coded);
                    String::from_utf8(coded).unwrap()
                },
                "B64"
            ),
            r#"{"event_type":"DecodeFailure","exchange_ts_ms":null,"normalized":{"error_detail":"missing symbol","error_kind":"missing_required_field"},"raw_payload":"B64","raw_payload_encoding":"base64","recv_ts_ms":7,"schema":"raw_market_event","schema_version":"1","source_id":"feed-1","symbol":null}"#
        );
        for (flags, payload, aux, detail) in [
            (ErrorKind::DecodeError.to_flags(), &b""[..], 0, "empty line at byte 0"),
            (
                ErrorKind::DecodeError.to_flags() | TRUNCATED,
                b"{\"a",
                70_000,
                "line of 70000 bytes exceeds ingest.line_max_bytes, first 3 kept",
            ),
            (ErrorKind::DecodeError.to_flags() | BINARY, b"CL", 0, "binary record shorter than its header"),
            (
                ErrorKind::SchemaMismatch.to_flags(),
                LINE.as_bytes(),
                0,
                "refused by the version that received it; this version would accept it",
            ),
        ] {
            let shown = view(flags, payload, aux);
            assert!(shown.contains(&format!("\"error_detail\":\"{detail}\"")), "{shown}");
            let mut again = Vec::new();
            canonical::canonicalize(&shown, &mut again).unwrap();
            assert_eq!(again, shown.as_bytes(), "the view is canonical");
        }
    }

    #[test]
    fn a_line_with_a_number_that_canonical_json_cannot_hold_is_shown_as_received() {
        let line = LINE.replace("1.50", "1e999");
        assert!(envelope::scan(line.as_bytes(), &mut Scratch::new()).is_ok(), "the scanner is no validator of numbers");
        assert_eq!(view(0, line.as_bytes(), 0), line);
        let mut record = Vec::new();
        binary::encode_from_json(line.as_bytes(), &mut Scratch::new(), &mut record).unwrap();
        let shown = view(BINARY, &record, 0);
        assert!(shown.contains("beyond the range of a double") && shown.contains("SnapshotInputs"), "{shown}");
    }

    #[test]
    fn a_record_whose_texts_are_no_json_after_all_is_shown_as_it_was_counted() {
        let line = LINE.replace("SnapshotInputs", "TradeTick").replace("timestamp_ms\":180000", "price\":1.5");
        let mut record = Vec::new();
        binary::encode_from_json(line.as_bytes(), &mut Scratch::new(), &mut record).unwrap();
        let at = record.windows(3).position(|window| window == b"1.5").unwrap();
        record[at + 1] = b',';
        assert!(binary::decode(&record, &mut Scratch::new()).is_ok(), "the header is the envelope");
        let shown = view(BINARY, &record, 0);
        assert!(
            shown.contains(r#""error_detail":"normalized: expected a key at byte 28","error_kind":"decode_error""#),
            "{shown}"
        );
        assert!(
            shown.starts_with(r#"{"event_type":"TradeTick""#) && shown.ends_with(r#""symbol":"B\u00e9"}"#),
            "{shown}"
        );
        let mut bytes = Vec::new();
        base64::encode(&record, &mut bytes);
        assert!(
            shown.contains(&format!(r#""raw_payload":"{}""#, String::from_utf8(bytes).unwrap())),
            "no byte is lost"
        );
        let mut again = Vec::new();
        canonical::canonicalize(&shown, &mut again).unwrap();
        assert_eq!(again, shown.as_bytes(), "the view is canonical");
    }
}
