//! Prepared input: binary records of a fixed size, and snapshots whose boundary can be set later.

use cutline::model::binary::encode_from_json;
use cutline::model::envelope::Scratch;

use crate::commands::Failure;

/// Bytes of a receipt's record.
pub const RECEIPT_BYTES: usize = 256;
/// Where a record's header has its receipt time, and its snapshot timestamp.
const RECV_TS_AT: usize = 40;
const SNAPSHOT_TS_AT: usize = 48;
/// What stands before a snapshot's timestamp in `normalized`.
const TIMESTAMP_KEY: &[u8] = b"\"timestamp_ms\":";
/// Boundaries have so many digits, from 2001 to 2286.
const DIGITS: usize = 13;
/// Boundary, and receipt time, until something else is set.
pub const ANY_BOUNDARY_MS: i64 = 1_700_000_000_000;

/// Name of a symbol; all have the same length.
pub fn symbol(index: u32) -> String {
    format!("SYM{index:05}")
}

fn head(event_type: &str, symbol: &str) -> String {
    format!(
        r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"{event_type}","source_id":"bench","symbol":"{symbol}","exchange_ts_ms":{ANY_BOUNDARY_MS},"recv_ts_ms":{ANY_BOUNDARY_MS}"#
    )
}

fn encode(line: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut scratch = Scratch::new();
    encode_from_json(line.as_bytes(), &mut scratch, out)
        .map_err(|rejection| Failure::logs(format!("a prepared receipt is refused: {:?}: {line}", rejection.kind)))
}

/// `count` trades of `symbols` symbols in turn, each of [`RECEIPT_BYTES`].
pub fn receipts(symbols: u32, count: u32) -> Result<Vec<u8>, Failure> {
    let trade = |number: u32, payload: &str| {
        let head = head("TradeTick", &symbol(number % symbols));
        format!(r#"{head},"raw_payload":"{payload}","normalized":{{"price":1.5,"quantity":2.0,"side":"buy"}}}}"#)
    };
    let mut empty = Vec::new();
    encode(&trade(0, ""), &mut empty)?;
    let room = RECEIPT_BYTES.saturating_sub(empty.len());
    let mut out = Vec::with_capacity(RECEIPT_BYTES * count as usize);
    for number in 0..count {
        encode(&trade(number, &format!("{number:0room$}")), &mut out)?;
    }
    if out.len() != RECEIPT_BYTES * count as usize {
        return Err(Failure::logs(format!("prepared receipts are not of {RECEIPT_BYTES} bytes each")));
    }
    Ok(out)
}

/// One SnapshotInputs of each symbol, for a boundary that is set before they are sent.
pub struct Snapshots {
    pub bytes: Vec<u8>,
    /// Where each record begins, and where it has its timestamp in the text.
    places: Vec<(usize, usize)>,
}

impl Snapshots {
    /// Of `symbols` symbols.
    pub fn new(symbols: u32) -> Result<Self, Failure> {
        let mut this = Self { bytes: Vec::new(), places: Vec::new() };
        for index in 0..symbols {
            let head = head("SnapshotInputs", &symbol(index));
            let script = r#"{"regime":"TREND_BUILD_UP","confidence":0.75,"drivers":["cvd"],"invalidations":[]}"#;
            let line = format!(
                r#"{head},"raw_payload":"","normalized":{{"timestamp_ms":{ANY_BOUNDARY_MS},"market":{{"structure_levels":{{"script":{script}}}}}}}}}"#
            );
            let start = this.bytes.len();
            encode(&line, &mut this.bytes)?;
            let record = &this.bytes[start..];
            let key = record.windows(TIMESTAMP_KEY.len()).position(|window| window == TIMESTAMP_KEY);
            let key = key.ok_or_else(|| Failure::logs("a prepared snapshot has no timestamp"))?;
            this.places.push((start, start + key + TIMESTAMP_KEY.len()));
        }
        Ok(this)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// Sets their boundary.
    pub fn set_boundary(&mut self, boundary_ms: i64) {
        let text = format!("{boundary_ms:0DIGITS$}");
        for &(start, digits) in &self.places {
            let header = start + SNAPSHOT_TS_AT;
            self.bytes[header..header + 8].copy_from_slice(&boundary_ms.to_le_bytes());
            self.bytes[digits..digits + DIGITS].copy_from_slice(text.as_bytes());
        }
    }

    /// Sets when they say that they were received, for a pipeline whose clock is driven by that.
    pub fn set_received(&mut self, received_ms: i64) {
        for &(start, _) in &self.places {
            let header = start + RECV_TS_AT;
            self.bytes[header..header + 8].copy_from_slice(&received_ms.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutline::model::binary::{Framing, decode, frame};

    #[test]
    fn prepared_records_are_v1_events_and_a_boundary_is_set_in_both_places() {
        let mut scratch = Scratch::new();
        let receipts = receipts(3, 10).unwrap_or_else(|failure| panic!("{}", failure.message));
        for record in receipts.chunks(RECEIPT_BYTES) {
            assert_eq!(frame(record, RECEIPT_BYTES), Framing::Record(RECEIPT_BYTES));
            assert_eq!(decode(record, &mut scratch).expect("an event").event_type, "TradeTick");
        }
        let mut snapshots = Snapshots::new(2).unwrap_or_else(|failure| panic!("{}", failure.message));
        snapshots.set_boundary(1_800_000_000_500);
        snapshots.set_received(1_800_000_000_499);
        let record = &snapshots.bytes[..snapshots.bytes.len() / 2];
        let event = decode(record, &mut scratch).expect("an event");
        assert_eq!((event.snapshot_ts_ms, event.recv_ts_ms), (Some(1_800_000_000_500), 1_800_000_000_499));
    }
}
