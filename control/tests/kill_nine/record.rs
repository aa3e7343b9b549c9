//! Every frame that was ever found committed in the three logs. Read again from the beginning after each kill: what was there stays, and
//! what is new is what was sent, in order.

use std::collections::HashMap;
use std::path::Path;

use cutline::model::frames::{NAME, NAME_SOURCE, OUTCOME, STARTED};
use cutline::model::receipt::RECEIPT;
use cutline_journal::layout::UNNUMBERED;
use cutline_journal::{Frame, LogFault, Start, Tail};

use crate::feed::{Sent, source};

/// See the module.
#[derive(Default)]
pub struct Record {
    inputs: Frames,
    runs: Frames,
    outputs: Frames,
    /// How many lines of each connection are in the log.
    taken: Vec<usize>,
}

/// The checksums of a log's frames: each covers sequence, position, times and payload.
#[derive(Default)]
struct Frames(Vec<u32>);

impl Frames {
    /// Reads a log whose process is dead; it must go on from what was found before.
    fn extend(&mut self, data: &Path, name: &str, mut each: impl FnMut(&Frame<'_>)) {
        let mut tail = match Tail::open(data, name, Start::Oldest) {
            Ok(tail) => tail,
            // Killed before there was anything.
            Err(LogFault::Absent(_)) if self.0.is_empty() => return,
            Err(fault) => panic!("{name}: {fault}"),
        };
        let (mut count, mut last_seq) = (0, 0);
        while let Some(frame) = tail.poll().unwrap_or_else(|fault| panic!("{name}: {fault}")) {
            if frame.header.kind & UNNUMBERED == 0 {
                assert_eq!(frame.header.seq, last_seq + 1, "{name}: a gap");
                last_seq += 1;
            }
            match self.0.get(count) {
                Some(&crc) => assert_eq!(crc, frame.header.crc, "{name}: frame {count} was another one before"),
                None => self.0.push(frame.header.crc),
            }
            count += 1;
            each(&frame);
        }
        assert_eq!(count, self.0.len(), "{name}: frames that were committed are gone");
    }
}

impl Record {
    /// Looks at everything that is there now.
    pub fn audit(&mut self, data: &Path, sent: &Sent) {
        let before = std::mem::take(&mut self.taken);
        let mut connections: HashMap<u32, usize> = HashMap::new();
        let taken = &mut self.taken;
        self.inputs.extend(data, "inputs", |frame| match frame.header.kind {
            NAME if frame.header.flags == NAME_SOURCE => {
                let name = str::from_utf8(frame.payload).expect("UTF-8");
                let connection = name.strip_prefix("feed-").and_then(|number| number.parse().ok()).expect("ours");
                assert_eq!(source(connection), name);
                connections.insert(frame.header.source, connection);
                taken.resize(taken.len().max(connection + 1), 0);
            }
            RECEIPT => {
                let connection = connections[&frame.header.source];
                let index = taken[connection];
                assert!(
                    sent.is(connection, index, frame.payload),
                    "connection {connection}: line {index} is another one"
                );
                taken[connection] += 1;
            }
            _ => {}
        });
        assert!(before.iter().zip(&self.taken).all(|(before, now)| before <= now));
        // Read before the runs: an outcome is of a run that was decided.
        let mut ended = Vec::new();
        self.outputs.extend(data, "outputs", |frame| {
            if frame.header.kind == OUTCOME {
                ended.push(frame.header.aux.cast_unsigned());
            }
        });
        let mut started = Vec::new();
        self.runs.extend(data, "runs", |frame| {
            if frame.header.kind == STARTED {
                started.push(frame.header.seq);
            }
        });
        assert!(started.starts_with(&ended), "each run ends once, in order, and none is invented or dropped");
    }

    /// The outputs log was made anew.
    pub fn forget_outputs(&mut self) {
        self.outputs = Frames::default();
    }

    /// Receipts found so far.
    pub fn receipts(&self) -> u64 {
        self.taken.iter().sum::<usize>() as u64
    }

    /// Frames of the runs and outputs logs found so far.
    pub fn decisions(&self) -> u64 {
        (self.runs.0.len() + self.outputs.0.len()) as u64
    }
}
