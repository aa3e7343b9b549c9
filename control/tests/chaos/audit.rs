//! What the inputs log has, against what was sent: of the direct connection every line once and in order, of the feed handler, which is killed,
//! every line at least once. Its connections overlap: what one that was killed has sent may be read after the first lines of the next one.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cutline::model::frames::{NAME, NAME_SOURCE, OUTCOME};
use cutline::model::receipt::RECEIPT;
use cutline_journal::layout::UNNUMBERED;
use cutline_journal::{Frame, Start, Tail};

use crate::load::{DIRECT, Sent, TAILED};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Receipts of both ways.
    pub receipts: u64,
    /// Those that were sent more than once.
    pub again: u64,
    /// Lines that were cut off when their sender was killed.
    pub cut_off: u64,
    /// Runs that ended.
    pub outcomes: u64,
    /// Those of them that the engine has answered.
    pub completed: u64,
    /// Events that the follower saw, all of them.
    pub followed: u64,
    /// Times that the network of an engine's process was seen to fail there.
    pub engines_cut_off: u64,
}

impl Found {
    /// Of one more run.
    pub fn add(&mut self, more: &Self) {
        self.receipts += more.receipts;
        self.again += more.again;
        self.cut_off += more.cut_off;
        self.outcomes += more.outcomes;
        self.completed += more.completed;
        self.followed += more.followed;
        self.engines_cut_off += more.engines_cut_off;
    }
}

fn each(data: &Path, log: &str, mut see: impl FnMut(&Frame<'_>)) {
    let mut tail = Tail::open(data, log, Start::Oldest).unwrap_or_else(|fault| panic!("{log}: {fault}"));
    let mut last_seq = 0;
    while let Some(frame) = tail.poll().unwrap_or_else(|fault| panic!("{log}: {fault}")) {
        if frame.header.kind & UNNUMBERED == 0 {
            assert_eq!(frame.header.seq, last_seq + 1, "{log}: a gap");
            last_seq += 1;
        }
        see(&frame);
    }
}

/// Looks at all of it.
pub fn of(data: &Path, sent: &Sent) -> Found {
    let (mut found, mut sources) = (Found::default(), HashMap::new());
    let (mut direct, mut seen) = (0, HashSet::new());
    let tailed: HashSet<u32> = sent.tailed.iter().copied().collect();
    each(data, "inputs", |frame| match frame.header.kind {
        NAME if frame.header.flags == NAME_SOURCE => {
            sources.insert(frame.header.source, String::from_utf8(frame.payload.to_vec()).expect("UTF-8"));
        }
        RECEIPT => {
            let (source, crc) = (sources[&frame.header.source].as_str(), crc32c::crc32c(frame.payload));
            if source == DIRECT {
                assert_eq!(sent.direct.get(direct), Some(&crc), "direct: line {direct} is another one, or gone");
                direct += 1;
            } else if source == TAILED && tailed.contains(&crc) {
                found.again += u64::from(!seen.insert(crc));
            } else {
                let text = String::from_utf8_lossy(frame.payload);
                let is_whole = serde_json::from_str::<serde_json::Value>(&text).is_ok();
                assert!(!is_whole, "{source}: a line that nobody has sent: {text}");
                found.cut_off += 1;
            }
        }
        _ => {}
    });
    assert_eq!((direct, seen.len()), (sent.direct.len(), tailed.len()), "receipts are lost");
    each(data, "outputs", |frame| found.outcomes += u64::from(frame.header.kind == OUTCOME));
    found.receipts = (direct + seen.len()) as u64;
    found
}
