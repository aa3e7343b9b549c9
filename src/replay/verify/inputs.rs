//! The inputs log as a replay reads it: receipts up to a tick's time, into the cut state.

use cutline_journal::{Descriptor, LogFault, Tail};

use super::Window;
use super::evidence::Content;
use crate::cut::state::CutState;
use crate::model::frames::NAME;
use crate::model::receipt::RECEIPT;
use crate::sequence::names::NameTables;

/// The log, and the frame read ahead of the coming tick.
pub(super) struct Inputs {
    pub tail: Tail,
    ahead: Option<(Descriptor, Vec<u8>)>,
    pub read: Receipts,
}

/// What the receipts taken in so far say.
pub(super) struct Receipts {
    pub names: NameTables,
    pub cut: CutState,
    /// Time of the last one, Unix ms.
    pub last_ms: i64,
    /// Latest time of any frame, Unix ns; `i64::MIN` before the first.
    pub last_ns: i64,
    /// Position behind the last one, or where reading began.
    pub behind: u64,
    /// How many there were, those before the window apart.
    pub inside: u64,
    pub before: u64,
    pub content: Option<Content>,
}

impl Inputs {
    pub fn new(tail: Tail, names: NameTables, cut: CutState, content: Option<Content>) -> Self {
        let (last_ns, behind) = (i64::MIN, tail.position());
        let read = Receipts { names, cut, last_ms: i64::MIN, last_ns, behind, inside: 0, before: 0, content };
        Self { tail, ahead: None, read }
    }

    /// Takes in what is stamped at or before `until_ns`.
    pub fn take(&mut self, until_ns: i64, window: &Window) -> Result<(), LogFault> {
        if let Some((header, payload)) = self.ahead.take_if(|(header, _)| header.ts_ns <= until_ns) {
            self.read.accept(&header, &payload, window);
        }
        while self.ahead.is_none() {
            let Some(frame) = self.tail.poll()? else { break };
            if frame.header.ts_ns > until_ns {
                self.ahead = Some((frame.header, frame.payload.to_vec()));
            } else {
                self.read.accept(&frame.header, frame.payload, window);
            }
        }
        Ok(())
    }
}

impl Receipts {
    fn accept(&mut self, header: &Descriptor, payload: &[u8], window: &Window) {
        let ms = header.ts_ns.div_euclid(1_000_000);
        let before = window.is_before(header.seq, ms);
        self.last_ns = self.last_ns.max(header.ts_ns);
        match header.kind {
            NAME => self.names.define(header.flags, str::from_utf8(payload).unwrap_or_default()),
            RECEIPT => {
                self.cut.receipt(header, &self.names);
                self.last_ms = ms;
                self.behind = header.position + u64::from(header.length);
                *(if before { &mut self.before } else { &mut self.inside }) += 1;
            }
            _ => {}
        }
        if let Some(content) = self.content.as_mut().filter(|_| !before) {
            content.add(header, payload);
        }
    }
}
