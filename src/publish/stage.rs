//! The publish stage: the one writer of the outputs log, which is the fan-out.
//!
//! ```text
//! results ─► [Started, (Hysteresis, Completed) | Failed, OUTCOME, (STATE)] as one group ─► outputs log ─► followers
//! ```
//!
//! A run's frames become visible by one store, in the order the runs were decided or as they end. Followers cannot be noticed from here.

use cutline_journal::{Appender, Descriptor, planted};
use cutline_ring::bytes;

use crate::cut::counts::RUN_HEAD_MAX_BYTES;
use crate::invoke::result::{ResultOrder, RunResult};
use crate::model::frames::{EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS, EVENT_STARTED, OUTCOME, STATE};
use crate::model::frames::{Failure, RunHeader};
use crate::plane::gate::PublishGate;
use crate::plane::stage::{Progress, Reached, Stage};
use crate::sequence::stage::TimeSource;

/// Most runs per poll.
const BATCH: u32 = 64;

/// What the publish stage counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishCounts {
    /// Runs that completed.
    pub completed: u64,
    /// Runs that failed, by [`Failure`] number minus one.
    pub failed: [u64; 7],
    /// Events by kind: started, completed, failed, hysteresis.
    pub events: [u64; 4],
    /// Bytes appended to the outputs log.
    pub bytes: u64,
}

/// A run that was published, with the times that it was seen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// When its tick was planned, Unix ms.
    pub planned_ts_ms: i64,
    /// When it was taken up for its first call, Unix ms.
    pub started_ts_ms: i64,
    /// When it was decided, ns since the Unix epoch.
    pub decided_ns: i64,
    /// When its last call was over, ns since the Unix epoch.
    pub ended_ns: i64,
    /// When it was handed on, ns since the Unix epoch.
    pub completed_ns: i64,
    /// When it was published, ns since the Unix epoch.
    pub published_ns: i64,
    /// Sequence of its STARTED frame.
    pub started_seq: u64,
    /// Id of its symbol.
    pub symbol: u32,
    /// Engine calls.
    pub attempts: u32,
    /// [`Failure`] as a number, 0 = none.
    pub failure: u8,
}

/// Told of each published run, on the stage's lane.
pub trait PublishObserver: Send {
    /// A run was published.
    fn published(&mut self, run: &Published);
    /// The counts so far, at this time.
    fn counts(&mut self, counts: &PublishCounts, now_ns: i64);
}

/// See the module.
pub struct PublishStage {
    /// One from each invoke stage.
    results: Vec<bytes::Consumer<Descriptor>>,
    order: ResultOrder,
    /// Number of the run that comes next in run order.
    next: u32,
    outputs: Appender,
    time: TimeSource,
    gate: PublishGate,
    counts: PublishCounts,
    /// Runs published.
    published: u64,
    observer: Box<dyn PublishObserver>,
    done: bool,
}

impl PublishStage {
    /// A publish stage; `gate` is told when the outputs log takes nothing more.
    #[must_use]
    pub fn new(
        results: Vec<bytes::Consumer<Descriptor>>,
        order: ResultOrder,
        outputs: Appender,
        time: TimeSource,
        gate: PublishGate,
        observer: Box<dyn PublishObserver>,
    ) -> Self {
        let counts = PublishCounts::default();
        Self { results, order, next: 0, outputs, time, gate, counts, published: 0, observer, done: false }
    }

    /// The link whose first result comes next.
    fn next_link(&mut self) -> Option<usize> {
        // A single invoke stage hands on in the right order.
        if let [only] = &mut self.results[..] {
            return only.peek().map(|_| 0);
        }
        let (links, next) = (self.results.len(), self.next);
        match self.order {
            ResultOrder::Run => self.results.iter_mut().position(|link| {
                RunResult::peek(link).is_some_and(|result| result.ordinal == next || planted!(StaleOrder))
            }),
            // Each link gets its turn to be the first.
            ResultOrder::Symbol => {
                (0..links).map(|turn| (next as usize + turn) % links).find(|&link| self.results[link].peek().is_some())
            }
        }
    }

    fn publish_next(&mut self, now_ns: i64) -> Option<bool> {
        let link = self.next_link()?;
        let result = RunResult::peek(&mut self.results[link])?;
        let published_ns = match self.time {
            TimeSource::Clock => now_ns.max(result.completed_ns),
            TimeSource::Receipts => result.completed_ns,
        };
        let run = result.run();
        if !append_outcome(&mut self.outputs, &result, &run, published_ns) {
            return Some(false);
        }
        if planted!(OutcomeTwice) && result.started_seq % 32 == 9 {
            append_outcome(&mut self.outputs, &result, &run, published_ns);
        }
        self.counts.events[0] += 1;
        match Failure::from_number(run.failure) {
            Some(failure) => {
                self.counts.failed[failure as usize - 1] += 1;
                self.counts.events[2] += 1;
            }
            None => {
                self.counts.completed += 1;
                self.counts.events[1] += 1;
                self.counts.events[3] += u64::from(!result.decision.is_empty());
            }
        }
        self.observer.published(&Published {
            planned_ts_ms: run.planned_ts_ms,
            started_ts_ms: result.started_ts_ms,
            decided_ns: result.decided_ns,
            ended_ns: result.ended_ns,
            completed_ns: result.completed_ns,
            published_ns,
            started_seq: result.started_seq,
            symbol: result.symbol_id,
            attempts: run.attempts,
            failure: run.failure,
        });
        self.published += 1;
        self.next = self.next.wrapping_add(1);
        self.results[link].advance();
        Some(true)
    }
}

/// Appends everything that a run leaves in the outputs log; false if there is no room now.
pub(crate) fn append_outcome(
    outputs: &mut Appender,
    result: &RunResult<'_>,
    run: &RunHeader,
    published_ns: i64,
) -> bool {
    let RunResult { head, body, decision, engine, state, .. } = *result;
    let failed = run.failure != 0;
    let has_decision = !failed && !decision.is_empty();
    // An empty part costs a little too.
    let ended = [head, body];
    let ended = if failed { &ended[..] } else { &ended[..1] };
    let ended_len: usize = ended.iter().map(|part| part.len()).sum();
    let group_bytes = Descriptor::frame_bytes(head.len())
        + Descriptor::frame_bytes(head.len() + body.len())
        + Descriptor::frame_bytes(ended_len)
        + if has_decision {
            Descriptor::frame_bytes(head.len() + decision.len())
                + Descriptor::frame_bytes(head.len() + engine.len() + state.len())
        } else {
            0
        };
    let Ok(mut group) = outputs.group(group_bytes) else { return false };
    let header = |kind| Descriptor {
        kind,
        ts_ns: published_ns,
        ts_ms: run.engine_timestamp_ms,
        symbol: result.symbol_id,
        aux: result.started_seq.cast_signed(),
        ..Descriptor::default()
    };
    if failed {
        // What comes first does not yet know how the run ended.
        let begun = RunHeader { failure: 0, ..*run };
        group.push_more(header(EVENT_STARTED), &[bytemuck::bytes_of(&begun), &head[size_of::<RunHeader>()..]]);
    } else {
        group.push_more(header(EVENT_STARTED), &[head]);
    }
    if has_decision {
        group.push_more(header(EVENT_HYSTERESIS), &[head, decision]);
    }
    let last_event = if failed { EVENT_FAILED } else { EVENT_COMPLETED };
    group.push_more(header(last_event), &[head, body]);
    let outcome = Descriptor { ts_ns: result.completed_ns, ts_ms: result.started_ts_ms, ..header(OUTCOME) };
    if has_decision {
        group.push_more(outcome, ended);
        group.push(header(STATE), &[head, engine, state]);
    } else {
        group.push(outcome, ended);
    }
    group.commit();
    true
}

/// Largest group that a run leaves in the outputs log, bytes.
#[must_use]
pub const fn outcome_max_bytes(output_max_bytes: usize, state_max_bytes: usize) -> usize {
    3 * Descriptor::frame_bytes(RUN_HEAD_MAX_BYTES)
        + 2 * Descriptor::frame_bytes(RUN_HEAD_MAX_BYTES + output_max_bytes)
        + Descriptor::frame_bytes(RUN_HEAD_MAX_BYTES + 32 + state_max_bytes)
}

impl Stage for PublishStage {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        let ended = self.results.iter().all(bytes::Consumer::is_disconnected);
        let mut did = 0;
        let progress = loop {
            if did == BATCH {
                break Progress::Did(did);
            }
            match self.publish_next(now_ns) {
                Some(true) => did += 1,
                Some(false) => break Progress::Blocked("outputs log").after(did),
                None => {
                    self.done = ended && did == 0;
                    break Progress::Idle.after(did);
                }
            }
        };
        if did > 0 {
            self.outputs.publish();
        }
        self.gate.note(matches!(progress, Progress::Blocked(_)), now_ns);
        progress
    }

    /// Runs published, and where the outputs log ends.
    fn reached(&self) -> Reached {
        Reached { taken: self.published, given: self.outputs.position() }
    }

    fn housekeep(&mut self, now_ns: i64) {
        self.counts.bytes = self.outputs.position();
        self.observer.counts(&self.counts, now_ns);
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

const _: () = assert!(Failure::Shutdown as usize == 7);
