//! The sequencer: the one writer of the inputs log and the one clock of the data plane.
//!
//! ```text
//! drafts (bytes ring) ─► intern names ─► stamp ingest_ts ─► inputs log ─► descriptors (ring) ─► cut
//! ```
//!
//! Its time travels with the events: a receipt's `ts_ns`, and a watermark when nothing arrives. A watermark W promises
//! that every later receipt is stamped W or later, so that cuts never depend on thread timing.

use cutline_journal::{Appender, Descriptor, planted};
use cutline_ring::{bytes, spsc};

use super::names::{EVENT_TYPE_MAX_BYTES, NameTables, Names};
use super::tally::Tally;
use crate::model::frames::{NAME, NAME_EVENT_TYPE, NAME_SOURCE, NAME_SYMBOL};
use crate::model::receipt::{Draft, EVENT_TYPE_UNKNOWN, RECEIPT, UNDECODED};
use crate::plane::stage::{Progress, Reached, Stage};

/// Kind of a watermark on the ring to the cut stage: `ts_ns` is the promise. Never in a log.
pub const WATERMARK: u8 = 0x20;

/// Most receipts per poll, so that a lane's other stages get their turn.
const BATCH: u32 = 128;
/// Most descriptors that one receipt sends on: three names and itself.
const DESCRIPTORS_MAX: usize = 4;
/// Least time between two watermarks, ns; bounds how late a tick in silence can be.
const WATERMARK_INTERVAL_NS: i64 = 20_000;

/// Where time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The lane's clock.
    Clock,
    /// The receipts' own `recv_ts_ms`: backfill.
    Receipts,
}

/// What the sequencer counts. Plain numbers of one lane, published by [`Stage::housekeep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceCounts {
    /// Receipts appended to the inputs log.
    pub receipts: u64,
    /// Their payload, bytes.
    pub payload_bytes: u64,
    /// Receipts whose `recv_ts_ms` went back and were stamped with the time before (backfill).
    pub clamped: u64,
    /// Receipts kept without a symbol of their own because `symbols.max` were already known.
    pub symbols_over_max: u64,
    /// 1 while a receipt waits because the inputs log is at its capacity, 0 otherwise.
    pub held_back: u64,
}

/// A receipt that took long, with the times that it was seen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowReceipt {
    /// When its adapter says that it received it, Unix ms.
    pub recv_ts_ms: i64,
    /// When it was read from its source, ns since the Unix epoch.
    pub read_ns: i64,
    /// When it was stamped, and so in the inputs log, ns since the Unix epoch.
    pub ingest_ns: i64,
    /// Its `ingest_seq`.
    pub seq: u64,
    /// Id of its symbol.
    pub symbol: u32,
    /// Id of its source.
    pub source: u32,
}

/// Told what the sequencer counts; called on the stage's lane.
pub trait SequenceObserver: Send {
    /// The counts so far, at a low rate; `names` has the sources' names.
    fn counts(&mut self, counts: &SequenceCounts, tally: &Tally, names: &NameTables);
    /// Receipts that take longer than this from `recv_ts_ms` to the log, ns, are to be told. Asked at a low rate.
    fn slow_from_ns(&mut self, _now_ns: i64) -> i64 {
        i64::MAX
    }
    /// One did. Returns what is to be told from now on.
    fn slow(&mut self, _receipt: &SlowReceipt) -> i64 {
        i64::MAX
    }
}

/// See the module.
pub struct SequenceStage {
    drafts: bytes::Consumer<Descriptor>,
    inputs: Appender,
    cut: spsc::Producer<Descriptor>,
    names: NameTables,
    time: TimeSource,
    last_ns: i64,
    watermark_ns: i64,
    counts: SequenceCounts,
    tally: Tally,
    /// Slower receipts are told to the observer.
    slow_from_ns: i64,
    observer: Box<dyn SequenceObserver>,
    done: bool,
}

/// A name of a draft: known by its id, or to be defined along with the receipt.
#[derive(Clone, Copy)]
enum Interned {
    Known(u32),
    New(u32),
}

impl Interned {
    #[inline]
    fn of(names: &Names, name: &[u8]) -> Self {
        if name.is_empty() {
            return Self::Known(0);
        }
        names.get(name).map_or_else(|| Self::unknown(names, name), Self::Known)
    }

    /// A name that is no text, which ingest never writes, is read as none.
    #[cold]
    fn unknown(names: &Names, name: &[u8]) -> Self {
        if names.has_room() && str::from_utf8(name).is_ok() { Self::New(names.next_id()) } else { Self::Known(0) }
    }

    #[inline]
    fn id(self) -> u32 {
        match self {
            Self::Known(id) | Self::New(id) => id,
        }
    }

    fn is_new(self) -> bool {
        matches!(self, Self::New(_))
    }
}

/// A name with the frame that defines it, should it be new.
type Definition<'a> = (Interned, &'a [u8], Descriptor);

impl SequenceStage {
    /// A sequencer that goes on after `last_ns`, the latest time already used in any log, with the names already defined.
    #[must_use]
    pub fn new(
        drafts: bytes::Consumer<Descriptor>,
        inputs: Appender,
        cut: spsc::Producer<Descriptor>,
        names: NameTables,
        time: TimeSource,
        last_ns: i64,
        observer: Box<dyn SequenceObserver>,
    ) -> Self {
        Self {
            drafts,
            inputs,
            cut,
            names,
            time,
            last_ns,
            watermark_ns: i64::MIN,
            counts: SequenceCounts::default(),
            tally: Tally::default(),
            slow_from_ns: i64::MAX,
            observer,
            done: false,
        }
    }

    /// Appends the next draft; `None` if there is none.
    fn sequence_one(&mut self, now_ns: i64) -> Option<Progress> {
        let (draft, payload) = self.drafts.peek()?;
        let Draft { line, symbol, source, event_type } = Draft::of(&draft, payload);
        let stamp_ns = match self.time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts if draft.flags & UNDECODED != 0 => self.last_ns.max(0),
            TimeSource::Receipts => draft.ts_ms.saturating_mul(1_000_000),
        };
        let ts_ns = if planted!(TimeGoesBack) { stamp_ns } else { stamp_ns.max(self.last_ns) };

        let symbol_id = Interned::of(&self.names.symbols, symbol);
        let source_id = Interned::of(&self.names.sources, source);
        let type_id = match draft.event_type {
            EVENT_TYPE_UNKNOWN if event_type.len() > EVENT_TYPE_MAX_BYTES => Interned::Known(0),
            EVENT_TYPE_UNKNOWN => Interned::of(&self.names.event_types, event_type),
            known => Interned::Known(u32::from(known)),
        };
        let receipt = Descriptor {
            kind: RECEIPT,
            flags: draft.flags,
            event_type: u16::try_from(type_id.id()).unwrap_or(0),
            ts_ns,
            ts_ms: if draft.flags & UNDECODED != 0 { ts_ns.div_euclid(1_000_000) } else { draft.ts_ms },
            symbol: symbol_id.id(),
            source: source_id.id(),
            aux: draft.aux,
            ..Descriptor::default()
        };
        if symbol_id.is_new() || source_id.is_new() || type_id.is_new() {
            let name = Descriptor { kind: NAME, ts_ns, ..Descriptor::default() };
            let definitions = [
                (symbol_id, symbol, Descriptor { flags: NAME_SYMBOL, symbol: receipt.symbol, ..name }),
                (source_id, source, Descriptor { flags: NAME_SOURCE, source: receipt.source, ..name }),
                (type_id, event_type, Descriptor { flags: NAME_EVENT_TYPE, event_type: receipt.event_type, ..name }),
            ];
            if !append_with_names(&mut self.inputs, &mut self.cut, &mut self.names, definitions, receipt, line) {
                return Some(self.held_back());
            }
        } else {
            let Ok(written) = self.inputs.append(receipt, line) else {
                return Some(self.held_back());
            };
            hand_on(&mut self.cut, written);
        }

        self.counts.receipts += 1;
        self.counts.payload_bytes += line.len() as u64;
        self.tally.note(receipt.source, receipt.event_type, receipt.flags);
        self.counts.clamped += u64::from(stamp_ns < self.last_ns && self.time == TimeSource::Receipts);
        self.counts.symbols_over_max += u64::from(receipt.symbol == 0 && !symbol.is_empty());
        self.last_ns = ts_ns;
        // A time that is no time may wrap around here; who is told looks again.
        if ts_ns.wrapping_sub(receipt.ts_ms.wrapping_mul(1_000_000)) > self.slow_from_ns {
            self.tell_slow(&receipt, draft.ts_ns);
        }
        self.drafts.advance();
        Some(Progress::Did(1))
    }

    #[cold]
    fn tell_slow(&mut self, receipt: &Descriptor, read_ns: i64) {
        self.slow_from_ns = self.observer.slow(&SlowReceipt {
            recv_ts_ms: receipt.ts_ms,
            read_ns,
            ingest_ns: receipt.ts_ns,
            seq: self.inputs.last_seq(),
            symbol: receipt.symbol,
            source: receipt.source,
        });
    }

    #[cold]
    fn held_back(&mut self) -> Progress {
        self.counts.held_back = u64::from(self.inputs.is_at_capacity());
        Progress::Blocked("inputs log")
    }

    /// Tells the cut stage how late it is when no receipt does.
    fn watermark(&mut self, now_ns: i64) {
        let due = now_ns > self.last_ns && now_ns >= self.watermark_ns.saturating_add(WATERMARK_INTERVAL_NS);
        // Only into an empty ring: what waits there will be followed by a later one.
        if self.time == TimeSource::Clock && !planted!(LostWatermark) && due && self.cut.free() == self.cut.capacity() {
            let mark = Descriptor { kind: WATERMARK, ts_ns: now_ns, ..Descriptor::default() };
            if self.cut.push(mark).is_ok() {
                self.last_ns = now_ns;
                self.watermark_ns = now_ns;
            }
        }
    }
}

/// Appends a receipt and the definitions of what is new in it as one group; false if there is no room, with nothing done.
#[cold]
fn append_with_names(
    inputs: &mut Appender,
    cut: &mut spsc::Producer<Descriptor>,
    names: &mut NameTables,
    definitions: [Definition<'_>; 3],
    receipt: Descriptor,
    line: &[u8],
) -> bool {
    let new = definitions.iter().filter(|(id, ..)| id.is_new());
    let definition_bytes: usize = new.clone().map(|(_, name, _)| Descriptor::frame_bytes(name.len())).sum();
    let Ok(mut group) = inputs.group(definition_bytes + Descriptor::frame_bytes(line.len())) else {
        return false;
    };
    for &(_, name, frame) in new {
        hand_on(cut, group.push_more(frame, &[name]));
        names.define(frame.flags, str::from_utf8(name).unwrap_or_default());
    }
    let written = group.push(receipt, &[line]);
    group.commit();
    hand_on(cut, written);
    true
}

fn hand_on(cut: &mut spsc::Producer<Descriptor>, descriptor: Descriptor) {
    let written = cut.write(descriptor);
    debug_assert!(written.is_ok(), "room was checked before");
}

impl Stage for SequenceStage {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        let ended = self.drafts.is_disconnected();
        self.counts.held_back = 0;
        let mut did = 0;
        let progress = loop {
            if did == BATCH {
                break Progress::Did(did);
            }
            if !self.cut.has_room(DESCRIPTORS_MAX) {
                break Progress::Blocked("cuts").after(did);
            }
            match self.sequence_one(now_ns) {
                Some(Progress::Did(_)) => did += 1,
                Some(blocked) => break blocked.after(did),
                None => {
                    if did == 0 {
                        self.done = ended;
                        self.watermark(now_ns);
                    }
                    break Progress::Idle.after(did);
                }
            }
        };
        if did > 0 {
            self.inputs.publish();
            self.cut.publish();
        }
        if did == 1 {
            self.cut.demote_last();
        }
        progress
    }

    /// Receipts taken, and the last `ingest_seq`.
    fn reached(&self) -> Reached {
        Reached { taken: self.counts.receipts, given: self.inputs.last_seq() }
    }

    fn housekeep(&mut self, now_ns: i64) {
        self.observer.counts(&self.counts, &self.tally, &self.names);
        // In a backfill nothing is late: the receipts' own time is the clock.
        if self.time == TimeSource::Clock {
            self.slow_from_ns = self.observer.slow_from_ns(now_ns);
        }
    }

    fn links_used(&mut self, tell: &mut dyn FnMut(usize)) {
        tell(self.cut.used_bytes());
    }

    /// What was received is kept, though it makes the log longer than it may be: nobody reads the sources any more.
    fn stop(&mut self, _now_ns: i64) {
        self.inputs.lift_capacity();
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
