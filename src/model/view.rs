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
/// A number beyond the range of a double (`1e999`) has no canonical form: a line that holds one is shown as it was received, and
/// a binary record as a DecodeFailure with its bytes.
///
/// # Errors
/// [`FormError`] for a receipt stored as decoded that is no event: no version of this program wrote it.
pub fn write_json_view(stored: &Stored<'_>, out: &mut Vec<u8>) -> Result<(), FormError> {
    if stored.flags & UNDECODED != 0 {
        write_failure(stored, out);
        return Ok(());
    }
    if stored.flags & BINARY != 0 {
        return binary::to_canonical_json(stored.payload, out).or_else(|error| match error {
            FormError::Canonical(CanonicalError::NumberOverflow) => {
                write_failure(stored, out);
                Ok(())
            }
            error => Err(error),
        });
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

/// The members stand in the order of their keys already.
fn write_failure(stored: &Stored<'_>, out: &mut Vec<u8>) {
    let kind = ErrorKind::from_flags(stored.flags).unwrap_or(ErrorKind::DecodeError);
    out.extend_from_slice(
        b"{\"event_type\":\"DecodeFailure\",\"exchange_ts_ms\":null,\"normalized\":{\"error_detail\":",
    );
    canonical::string(&error_detail(stored), out);
    out.extend_from_slice(b",\"error_kind\":");
    canonical::string(kind.name(), out);
    out.extend_from_slice(b"},\"raw_payload\":\"");
    base64::encode(stored.payload, out);
    out.extend_from_slice(b"\",\"raw_payload_encoding\":\"base64\",\"recv_ts_ms\":");
    canonical::i64(stored.ts_ms, out);
    out.extend_from_slice(b",\"schema\":");
    canonical::string(SCHEMA, out);
    out.extend_from_slice(b",\"schema_version\":");
    canonical::string(SCHEMA_VERSION, out);
    out.extend_from_slice(b",\"source_id\":");
    canonical::string(stored.source, out);
    out.extend_from_slice(b",\"symbol\":null}");
}

/// Why the receipt was refused.
fn error_detail(stored: &Stored<'_>) -> String {
    if stored.flags & TRUNCATED != 0 {
        return format!(
            "line of {} bytes exceeds ingest.line_max_bytes, first {} kept",
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
        Ok(_) if stored.flags & UNDECODED == 0 => CanonicalError::NumberOverflow.to_string(),
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
        assert!(shown.contains("beyond the range of a double") && shown.contains("DecodeFailure"), "{shown}");
    }
}
