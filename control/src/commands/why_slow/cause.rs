//! Where the time of something slow went, and what is most likely to blame. Pure.

use cutline_shm::flight::SlowView;
use cutline_shm::flight::layout::SlowRecord;

/// A part of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// What happened in it.
    pub what: &'static str,
    /// How long, ns.
    pub ns: i64,
}

/// What took most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A lane was ready to run and had no core: the lane's index.
    Preempted(u32),
    /// The host took the machine's cores away.
    Steal,
    /// The longest span.
    Span(&'static str),
}

/// A run's way, from its tick on, or from the start of the process if that was later. The first call is known to the millisecond.
pub fn run_spans(record: &SlowRecord, start_ns: i64) -> [Span; 5] {
    let from_ns = record.from_ns.max(start_ns);
    let begun_ns = record.begun_ns.max(record.decided_ns);
    let span = |what, from_ns: i64, until_ns: i64| Span { what, ns: until_ns.saturating_sub(from_ns).max(0) };
    [
        span("decision", from_ns, record.decided_ns),
        span("waiting for its call", record.decided_ns, begun_ns),
        span(if record.attempts > 1 { "engine, called again" } else { "engine" }, begun_ns, record.ended_ns),
        span("waiting for earlier runs", record.ended_ns, record.completed_ns),
        span("publishing", record.completed_ns, record.until_ns),
    ]
}

/// A receipt's way, from when its adapter received it.
pub fn receipt_spans(record: &SlowRecord) -> [Span; 2] {
    let span = |what, from_ns: i64, until_ns: i64| Span { what, ns: until_ns.saturating_sub(from_ns).max(0) };
    [
        span("before it was read from its source", record.from_ns, record.begun_ns),
        span("between ingest and sequence", record.begun_ns, record.until_ns),
    ]
}

impl Cause {
    /// The machine, if it took half of the time or more; else the longest span.
    pub fn of(view: &SlowView, spans: &[Span]) -> Self {
        let half_ns = view.record.latency_ns.max(0).unsigned_abs() / 2;
        if view.moment.waited_ns > half_ns {
            return Self::Preempted(view.moment.lane);
        }
        if view.moment.steal_ns > half_ns {
            return Self::Steal;
        }
        Self::Span(spans.iter().max_by_key(|span| span.ns).map_or("unknown", |span| span.what))
    }

    /// For people, and for programs that count them.
    pub fn text(self, lanes: &[String]) -> String {
        match self {
            Self::Preempted(lane) => {
                format!("preempted: lane {}", lanes.get(lane as usize).map_or("unknown", String::as_str))
            }
            Self::Steal => "steal: the host took the cores away".to_owned(),
            Self::Span(what) => what.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cutline_shm::flight::layout::Moment;

    use super::*;

    const MS: i64 = 1_000_000;

    /// A run planned at 100 ms, with these stamps, ms.
    fn run([decided, begun, ended, completed, published]: [i64; 5]) -> SlowRecord {
        SlowRecord {
            latency_ns: (published - 100) * MS,
            from_ns: 100 * MS,
            decided_ns: decided * MS,
            begun_ns: begun * MS,
            ended_ns: ended * MS,
            completed_ns: completed * MS,
            until_ns: published * MS,
            attempts: 1,
            ..SlowRecord::default()
        }
    }

    fn cause(record: SlowRecord, moment: Moment) -> String {
        let view = SlowView { record, moment };
        Cause::of(&view, &run_spans(&record, 0)).text(&["main".to_owned()])
    }

    #[test]
    fn the_longest_span_is_named() {
        for (stamps, expected) in [
            ([150, 151, 152, 153, 154], "decision"),
            ([101, 151, 152, 153, 154], "waiting for its call"),
            ([101, 102, 152, 153, 154], "engine"),
            ([101, 102, 103, 153, 154], "waiting for earlier runs"),
            ([101, 102, 103, 104, 154], "publishing"),
        ] {
            let record = run(stamps);
            assert_eq!(cause(record, Moment::default()), expected);
            let sum: i64 = run_spans(&record, 0).iter().map(|span| span.ns).sum();
            assert_eq!(sum, record.latency_ns, "the spans are all of the latency");
        }
        let again = SlowRecord { attempts: 3, ..run([101, 102, 152, 153, 154]) };
        assert_eq!(cause(again, Moment::default()), "engine, called again");
    }

    #[test]
    fn the_machine_is_named_if_it_took_half_of_the_time() {
        let record = run([101, 102, 152, 153, 160]);
        let moment = |waited_ms: u64, steal_ms: u64| Moment {
            waited_ns: waited_ms * MS.unsigned_abs(),
            steal_ns: steal_ms * MS.unsigned_abs(),
            ..Moment::default()
        };
        assert_eq!(cause(record, moment(30, 30)), "engine");
        assert_eq!(cause(record, moment(31, 31)), "preempted: lane main");
        assert_eq!(cause(record, moment(30, 31)), "steal: the host took the cores away");
        assert_eq!(cause(record, Moment { lane: 9, ..moment(31, 0) }), "preempted: lane unknown");
    }

    #[test]
    fn stamps_that_make_no_sense_make_no_trouble() {
        let record = SlowRecord {
            latency_ns: i64::MIN,
            from_ns: i64::MIN,
            until_ns: i64::MAX,
            ended_ns: i64::MIN,
            ..run([0; 5])
        };
        assert!(run_spans(&record, 0).iter().chain(&receipt_spans(&record)).all(|span| span.ns >= 0));
        cause(record, Moment { waited_ns: u64::MAX, ..Moment::default() });
    }

    #[test]
    fn time_before_the_process_is_nobody_s_here() {
        let spans = run_spans(&run([150, 151, 152, 153, 154]), 149 * MS);
        assert_eq!(spans[0].ns, MS);
    }
}
