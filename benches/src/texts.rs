//! What is done to the text of an event: the scan at the edge, the binary form's decode, and what a run does to its snapshot.

use std::hint::black_box;

use cutline::model::envelope::{Scratch, scan as scan_line};
use cutline::model::snapshot::Snapshot;
use cutline::model::{binary, canonical};

use crate::lines::{lines, records};
use crate::{Fault, Workload};

/// Something that is done to each of some texts; false if it went wrong.
struct PerText<F> {
    texts: Vec<Vec<u8>>,
    act: F,
}

impl<F: FnMut(&[u8]) -> bool> Workload for PerText<F> {
    fn ops(&self) -> u64 {
        self.texts.len() as u64
    }

    fn round(&mut self) -> u64 {
        let mut right = 0;
        for text in &self.texts {
            right += u64::from((self.act)(black_box(text)));
        }
        right
    }
}

/// A JSON line scanned.
pub fn scan() -> Result<Box<dyn Workload>, Fault> {
    let mut scratch = Scratch::new();
    let act = move |line: &[u8]| black_box(scan_line(line, &mut scratch)).is_ok();
    Ok(Box::new(PerText { texts: lines()?, act }))
}

/// A binary record decoded.
pub fn decode() -> Result<Box<dyn Workload>, Fault> {
    let mut scratch = Scratch::new();
    let act = move |record: &[u8]| black_box(binary::decode(record, &mut scratch)).is_ok();
    Ok(Box::new(PerText { texts: records()?, act }))
}

/// The `normalized` of a line in canonical form.
pub fn canonical() -> Result<Box<dyn Workload>, Fault> {
    let mut out = Vec::with_capacity(1 << 16);
    let act = move |normalized: &[u8]| {
        out.clear();
        let text = std::str::from_utf8(normalized).unwrap_or_default();
        canonical::canonicalize(text, &mut out).is_ok() && !black_box(&out).is_empty()
    };
    Ok(Box::new(PerText { texts: normalized(|_| true)?, act }))
}

/// The `normalized` of a SnapshotInputs read into the engine's input.
pub fn snapshot() -> Result<Box<dyn Workload>, Fault> {
    let act = |normalized: &[u8]| black_box(Snapshot::from_normalized("S00000USDT", 0, normalized)).is_ok();
    Ok(Box::new(PerText { texts: normalized(|event_type| event_type == "SnapshotInputs")?, act }))
}

fn normalized(wanted: impl Fn(&str) -> bool) -> Result<Vec<Vec<u8>>, Fault> {
    let mut scratch = Scratch::new();
    let mut found = Vec::new();
    for line in lines()? {
        let envelope = scan_line(&line, &mut scratch).map_err(|rejection| format!("{:?}", rejection.kind))?;
        if wanted(envelope.event_type) {
            found.push(envelope.normalized.as_bytes().to_vec());
        }
    }
    Ok(found)
}
