//! Binary records of a simulated feed: what its lines say in the other form, and the same gone wrong, field by field.

use super::envelope::sections;
use super::plan::Plan;
use super::random::Random;
use crate::model::binary::encode_from_json;
use crate::model::envelope::Scratch;

/// The record of a line.
///
/// # Panics
/// If it is no event (a programmer's error).
#[must_use]
pub fn record_of(line: &[u8]) -> Vec<u8> {
    let (mut record, mut scratch) = (Vec::new(), Scratch::new());
    let encoded = encode_from_json(line, &mut scratch, &mut record);
    assert!(encoded.is_ok(), "every event has a record: {encoded:?} for {}", String::from_utf8_lossy(line));
    record
}

/// A record with something wrong in it, of which the next one's beginning is known all the same.
#[must_use]
pub fn hostile(random: &mut Random, mut record: Vec<u8>, plan: &Plan) -> Vec<u8> {
    let [_, symbol, _, payload, normalized, extras] = sections(&record).unwrap_or_default();
    match random.index(14) {
        // A later version, a bit that means nothing yet, a form and a type that nobody knows.
        0 => record[6] = 2,
        1 => record[7] |= 0x40,
        2 => record[30] = 1,
        3 => record[28] = 9,
        4 => record[8..10].copy_from_slice(&60_000_u16.to_le_bytes()),
        // Sections that are longer than all of memory, or shorter than what follows them.
        5 => record[16..20].copy_from_slice(&u32::MAX.to_le_bytes()),
        6 => record[12..14].fill(0),
        // Timestamps without their flags, or another than the text has.
        7 => record[7] = 0,
        8 => record[48..56].copy_from_slice(&random.draw().to_le_bytes()),
        // Texts that are none.
        9 => record[symbol.start] = 0xff,
        10 => record[payload.start] = 0xc0,
        11 => record[normalized.start] = b'[',
        // What the header says stands; inside of the braces nothing can be read.
        12 if extras.is_empty() => record = with_odd_normalized(record, normalized.end),
        12 => record[extras.start + 1] = b'}',
        _ => {
            let more = usize::try_from(plan.line_max_bytes).unwrap_or(0) + random.index(3_000);
            let len = record.len() + more;
            record.resize(len, b'x');
            set_len(&mut record);
        }
    }
    record
}

/// The record with two more bytes in `normalized`, which ends at `end`, that no object has there.
fn with_odd_normalized(mut record: Vec<u8>, end: usize) -> Vec<u8> {
    record.splice(end - 1..end - 1, *b"?}");
    let len = u32::from_le_bytes([record[20], record[21], record[22], record[23]]) + 2;
    record[20..24].copy_from_slice(&len.to_le_bytes());
    set_len(&mut record);
    record
}

fn set_len(record: &mut [u8]) {
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
    record[..4].copy_from_slice(&len.to_le_bytes());
}

/// What is no record, and behind which none can be found.
#[must_use]
pub fn no_record(random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..8 + random.index(3_000)).map(|at| b'0' + (at % 10) as u8).collect();
    match random.index(3) {
        0 => bytes[..6].copy_from_slice(b"\x37\0\0\0CL"),
        1 => bytes[..6].copy_from_slice(b"\0\0\0\0CL"),
        _ => {}
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::envelope::read;
    use super::*;

    #[test]
    fn what_is_hostile_is_refused_or_counts_by_its_header_alone() {
        let line = br#"{"schema":"raw_market_event","schema_version":"1","event_type":"TradeTick","source_id":"f0","symbol":"S","exchange_ts_ms":3,"recv_ts_ms":7,"raw_payload":"p","normalized":{}}"#;
        let (good, plan) = (record_of(line), Plan::plain());
        assert!(read(&good, true).expect("an event").event.is_some());
        let mut random = Random::new(1);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let envelope = read(&hostile(&mut random, good.clone(), &plan), true);
            assert!(envelope.as_ref().is_none_or(|envelope| envelope.event.is_none()), "{envelope:?}");
            seen.insert(envelope.is_some());
        }
        assert_eq!(seen.len(), 2, "some are refused and some are not");
    }
}
