//! Prepared receipts in both forms, whose times are set in place each time they are sent.

use cutline::ingest::Format;
use cutline::model::binary::encode_from_json;
use cutline::model::envelope::Scratch;

/// Any time of 13 digits; all that are ever set have as many.
pub const ANY_MS: i64 = 1_700_000_000_000;
const DIGITS: usize = 13;
/// Where the binary form has its times.
const BINARY_RECEIVED_AT: usize = 40;
const BINARY_SNAPSHOT_AT: usize = 48;
/// Event types outside the known vocabulary: as many as a cut counts apart.
pub const OTHER_TYPES: usize = 16;

/// Where a time stands.
enum Stamp {
    Text(usize),
    Word(usize),
}

/// One receipt as a feed sends it.
pub struct Record {
    pub bytes: Vec<u8>,
    received: Vec<Stamp>,
    boundary: Vec<Stamp>,
}

impl Record {
    fn new(line: &str, format: Format) -> Self {
        let mut bytes = Vec::new();
        let (mut received, mut boundary) = (Vec::new(), Vec::new());
        match format {
            Format::Ndjson => {
                bytes.extend_from_slice(line.as_bytes());
                bytes.push(b'\n');
                received.extend(digits_behind(&bytes, b"\"recv_ts_ms\":"));
            }
            Format::Binary => {
                encode_from_json(line.as_bytes(), &mut Scratch::new(), &mut bytes).expect("a v1 event");
                received.push(Stamp::Word(BINARY_RECEIVED_AT));
            }
        }
        boundary.extend(digits_behind(&bytes, b"\"timestamp_ms\":"));
        if format == Format::Binary && !boundary.is_empty() {
            boundary.push(Stamp::Word(BINARY_SNAPSHOT_AT));
        }
        Self { bytes, received, boundary }
    }

    /// Sets when it was received.
    pub fn receive_at(&mut self, ms: i64) {
        set(&mut self.bytes, &self.received, ms);
    }

    /// Sets the boundary of a snapshot.
    pub fn set_boundary(&mut self, ms: i64) {
        set(&mut self.bytes, &self.boundary, ms);
    }
}

fn digits_behind(bytes: &[u8], key: &[u8]) -> Option<Stamp> {
    let at = bytes.windows(key.len()).position(|window| window == key)?;
    Some(Stamp::Text(at + key.len()))
}

fn set(bytes: &mut [u8], stamps: &[Stamp], ms: i64) {
    for stamp in stamps {
        match *stamp {
            Stamp::Word(at) => bytes[at..at + 8].copy_from_slice(&ms.to_le_bytes()),
            Stamp::Text(at) => {
                let mut rest = ms.unsigned_abs();
                for digit in bytes[at..at + DIGITS].iter_mut().rev() {
                    *digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
            }
        }
    }
}

fn line(event_type: &str, source: &str, symbol: u32, payload: &str, normalized: &str) -> String {
    format!(
        r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"{event_type}","source_id":"{source}","symbol":"SYM{symbol:05}","exchange_ts_ms":{ANY_MS},"recv_ts_ms":{ANY_MS},"raw_payload":"{payload}","normalized":{normalized}}}"#
    )
}

const TRADE: &str = r#"{"price":1.5,"quantity":2.0,"side":"buy"}"#;

/// A trade of each symbol.
pub fn trades(symbols: u32, format: Format) -> Vec<Record> {
    (0..symbols).map(|symbol| Record::new(&line("TradeTick", "tape", symbol, "0123456789", TRADE), format)).collect()
}

/// Receipts of every symbol that cost more than a trade: types outside the vocabulary, and texts with escapes, also where
/// names stand.
pub fn oddities(symbols: std::ops::Range<u32>, format: Format) -> Vec<Record> {
    let of = |symbol| {
        let others = (0..OTHER_TYPES).map(move |other| {
            Record::new(&line(&format!("Other{other:02}"), "tape", symbol, r"{\u0022a\u0022:\n1}", TRADE), format)
        });
        others.chain([Record::new(&line("TradeTick", r"t\u0061pe", symbol, "", TRADE), format)])
    };
    symbols.flat_map(of).collect()
}

/// A SnapshotInputs of each symbol.
pub fn snapshots(symbols: u32, format: Format) -> Vec<Record> {
    let normalized = format!(r#"{{"timestamp_ms":{ANY_MS},"market":{{"price":1.5,"vwap":1.25}}}}"#);
    let lines = (0..symbols).map(|symbol| line("SnapshotInputs", "tape", symbol, "", &normalized));
    lines.map(|line| Record::new(&line, format)).collect()
}
