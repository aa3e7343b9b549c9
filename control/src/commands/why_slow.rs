//! `cutline why-slow`: the slowest runs and receipts that a process has seen, with where their time went and what the machine did
//! meanwhile. Of a process that lives or is dead; changes nothing.

mod cause;
mod join;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use cutline::model::frames::Failure as RunFailure;
use cutline_shm::errors::ErrorView;
use cutline_shm::flight::layout::SLOWEST;
use cutline_shm::flight::{FlightReader, SlowView};
use serde_json::{Value, json};

use self::cause::{Cause, Span};
use super::flight::millis;
use super::{Outcome, canonical, flight, print, stat};
use crate::cli;

/// `cutline why-slow`
pub fn why_slow(args: &cli::WhySlow) -> Outcome {
    let flight = flight::open(&args.data)?;
    // Without the counters there are no errors to be told; all else is in the flight file.
    let errors = stat::open(&args.data).map(|cnc| cnc.errors().collect()).unwrap_or_default();
    let lanes = flight.lanes().into_iter().map(|lane| lane.name).collect();
    let seen = Seen { data: &args.data, lanes, errors, start_ns: flight.start_ns() };
    let limit = args.limit.min(SLOWEST);
    let value = json!({
        "pid": flight.pid(),
        "runs": seen.kind(&slow(&flight, true), limit, true),
        "receipts": seen.kind(&slow(&flight, false), limit, false),
    });
    if args.json { print(canonical(&value)) } else { print(text(&value)) }
}

fn slow(flight: &FlightReader, runs: bool) -> Vec<SlowView> {
    if runs { flight.slow_runs() } else { flight.slow_receipts() }
}

/// What is known besides the slow ones themselves.
struct Seen<'a> {
    data: &'a Path,
    lanes: Vec<String>,
    errors: Vec<ErrorView>,
    start_ns: i64,
}

impl Seen<'_> {
    /// All that is told of runs, or of receipts.
    fn kind(&self, slow: &[SlowView], limit: usize, runs: bool) -> Value {
        let spans = |view: &SlowView| {
            if runs {
                cause::run_spans(&view.record, self.start_ns).to_vec()
            } else {
                cause::receipt_spans(&view.record).to_vec()
            }
        };
        let mut causes: BTreeMap<String, usize> = BTreeMap::new();
        for view in slow {
            *causes.entry(Cause::of(view, &spans(view)).text(&self.lanes)).or_default() += 1;
        }
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let causes = causes.into_iter().map(|(cause, count)| json!({"cause": cause, "count": count}));
        // Of those that were as slow, the one whose own call took longest first.
        let mut ranked: Vec<&SlowView> = slow.iter().collect();
        ranked.sort_by_key(|view| {
            let record = &view.record;
            (std::cmp::Reverse(record.latency_ns), record.begun_ns.saturating_sub(record.ended_ns), record.seq)
        });
        ranked.truncate(limit);
        let seqs: BTreeSet<u64> = ranked.iter().map(|view| view.record.seq).collect();
        let names = if runs { join::runs(self.data, &seqs) } else { join::receipts(self.data, &seqs) };
        let told = ranked.into_iter().map(|view| {
            let mut told = self.one(view, &spans(view), runs, slow);
            if let Some(told) = told.as_object_mut() {
                told.extend(names.get(&view.record.seq).cloned().unwrap_or_default());
            }
            told
        });
        json!({"kept": slow.len(), "causes": causes.collect::<Vec<_>>(), "slowest": told.collect::<Vec<_>>()})
    }

    fn one(&self, view: &SlowView, spans: &[Span], runs: bool, all: &[SlowView]) -> Value {
        let (record, moment) = (&view.record, &view.moment);
        let from_ns = record.until_ns.saturating_sub(record.latency_ns);
        let errors = self.errors.iter().filter(|error| {
            [error.first_ns, error.last_ns].iter().any(|at_ns| (from_ns..=record.until_ns).contains(at_ns))
        });
        let waiting = &record.waiting;
        let mut told = json!({
            "latency_ns": record.latency_ns, "from_ns": record.from_ns, "until_ns": record.until_ns, "seq": record.seq,
            "cause": Cause::of(view, spans).text(&self.lanes),
            "spans": spans.iter().map(|span| json!({"what": span.what, "ns": span.ns})).collect::<Vec<_>>(),
            "waiting": {"receipts": waiting.receipts, "cuts": waiting.cuts, "runs": waiting.runs, "calls": waiting.calls,
                "results": waiting.results},
            "machine": {"covered_ns": moment.covered_ns, "lane": self.lanes.get(moment.lane as usize),
                "waited_ns": moment.waited_ns, "preempted": moment.preempted, "minor_faults": moment.minor_faults,
                "major_faults": moment.major_faults, "steal_ns": moment.steal_ns},
            "errors": errors.map(|error| error.text.as_str()).collect::<Vec<_>>(),
        });
        if runs {
            told["attempts"] = record.attempts.into();
            told["failure"] =
                u8::try_from(record.failure).ok().and_then(RunFailure::from_number).map(RunFailure::name).into();
            told["stamps"] = json!({"planned_ns": record.from_ns, "decided_ns": record.decided_ns, "begun_ns": record.begun_ns,
                "ended_ns": record.ended_ns, "completed_ns": record.completed_ns, "published_ns": record.until_ns});
            // Calls on a lane are not timed one by one: those of a cycle begin and end together.
            let same = |other: &&SlowView| {
                let other = &other.record;
                (other.begun_ns, other.ended_ns) == (record.begun_ns, record.ended_ns) && other.seq != record.seq
            };
            told["same_cycle"] = all.iter().filter(same).count().into();
        } else {
            told["stamps"] =
                json!({"recv_ns": record.from_ns, "read_ns": record.begun_ns, "ingest_ns": record.until_ns});
        }
        told
    }
}

/// The whole for people. Writing to a text cannot fail.
fn text(value: &Value) -> String {
    let mut out = format!("process {}", value["pid"]);
    for what in ["runs", "receipts"] {
        let kind = &value[what];
        let _ = write!(out, "\nslowest {what}: {} kept", kind["kept"]);
        for cause in items(&kind["causes"]) {
            let _ = write!(out, "\n  {:>5}  {}", cause["count"].to_string(), word(&cause["cause"]));
        }
        for slow in items(&kind["slowest"]) {
            one_text(slow, &mut out);
        }
    }
    out
}

fn one_text(slow: &Value, out: &mut String) {
    let ns = |value: &Value| millis(value.as_i64().unwrap_or(0));
    let _ = write!(out, "\n{:>14}  {}  {}", ns(&slow["latency_ns"]), word(&slow["symbol"]), word(&slow["cause"]));
    if slow["same_cycle"].as_u64().is_some_and(|same| same > 0) {
        let _ = write!(out, " (of {} more calls in the same cycle)", slow["same_cycle"]);
    }
    let _ = match slow["run_id"].as_str() {
        Some(run_id) => write!(out, "\n{:16}run {run_id}, seq {}, {} calls", "", slow["seq"], slow["attempts"]),
        None => write!(out, "\n{:16}seq {}", "", slow["seq"]),
    };
    if let Some(failure) = slow["failure"].as_str() {
        let _ = write!(out, ", {failure}");
    }
    let spans = items(&slow["spans"]).iter().map(|span| format!("{} {}", word(&span["what"]), ns(&span["ns"])));
    let _ = write!(out, "\n{:16}{}", "", spans.collect::<Vec<_>>().join(", "));
    let waiting = &slow["waiting"];
    let _ = write!(
        out,
        "\n{:16}waiting: {} receipts, {} cuts, {} runs, {} calls, {} results",
        "", waiting["receipts"], waiting["cuts"], waiting["runs"], waiting["calls"], waiting["results"]
    );
    let machine = &slow["machine"];
    let _ = if machine["covered_ns"] == 0 {
        write!(out, "\n{:16}machine: nobody looked at that time", "")
    } else {
        write!(
            out,
            "\n{:16}machine: lane {} waited {} for its core, preempted {} times; faults {} minor, {} major; steal {}",
            "",
            word(&machine["lane"]),
            ns(&machine["waited_ns"]),
            machine["preempted"],
            machine["minor_faults"],
            machine["major_faults"],
            ns(&machine["steal_ns"])
        )
    };
    for error in items(&slow["errors"]) {
        let _ = write!(out, "\n{:16}error meanwhile: {}", "", word(error));
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
