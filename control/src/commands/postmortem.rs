//! `cutline postmortem`: what a process did last, from what it left in memory. Reads the cnc file, the flight file and the ends of the logs,
//! of a process that lives or is dead, and changes nothing.

use std::fmt::Write;
use std::path::Path;

use cutline_journal::marks::read_marks;
use cutline_journal::{LogFiles, Start, Tail};
use cutline_shm::flight::{FlightReader, LaneTrack};
use cutline_shm::reader::CncReader;
use serde_json::{Value, json};

use super::flight::millis;
use super::survey::LOGS;
use super::{Failure, Outcome, canonical, flight, liveness, print, stat};
use crate::cli;

/// `cutline postmortem`
pub fn postmortem(args: &cli::Postmortem) -> Outcome {
    // One of the two may be gone or damaged: the other one tells all the same.
    let cnc = stat::open(&args.data);
    let flight = flight::open(&args.data);
    if let (Err(_), Err(failure)) = (&cnc, &flight) {
        return Err(Failure { message: failure.message.clone(), code: failure.code });
    }
    let mut value = json!({"faults": [], "logs": logs(&args.data)});
    match &cnc {
        Ok(cnc) => value["process"] = process(cnc),
        Err(failure) => value["faults"] = json!([failure.message]),
    }
    match &flight {
        Ok(flight) => value["flight"] = track(flight, args.stamps),
        Err(failure) => value["faults"] = json!([failure.message]),
    }
    if let (Ok(cnc), Ok(flight)) = (&cnc, &flight)
        && (cnc.pid() != flight.pid() || flight.start_ns() < cnc.start_ns())
    {
        let text = "the flight file is of another start than the counters: a start between the two was refused or is under way";
        value["faults"] = json!([text]);
    }
    if args.json { print(canonical(&value)) } else { print(text(&value)) }
}

/// What the cnc file says of the process.
fn process(cnc: &CncReader) -> Value {
    let status = cnc.status();
    let counters = cnc.counters().filter(|counter| counter.value > 0).map(
        |counter| json!({"name": counter.name, "label": counter.label, "value": counter.value, "unit": counter.unit}),
    );
    let mut errors: Vec<_> = cnc.errors().collect();
    errors.sort_by_key(|error| std::cmp::Reverse(error.last_ns));
    let errors = errors.into_iter().map(
        |error| json!({"text": error.text, "count": error.count, "first_ns": error.first_ns, "last_ns": error.last_ns}),
    );
    let beats = cnc.lanes().map(|lane| json!({"lane": lane.name, "beat_ns": lane.beat_ns}));
    json!({
        "pid": cnc.pid(), "start_ns": cnc.start_ns(), "beat_ns": cnc.beat_ns(),
        "state": status.as_ref().map(|status| status.state.name()),
        "reason": status.as_ref().map(|status| status.reason.as_str()),
        "trouble": liveness::trouble(cnc),
        "lanes": beats.collect::<Vec<_>>(),
        "counters": counters.collect::<Vec<_>>(),
        "errors": errors.collect::<Vec<_>>(),
    })
}

/// What the flight file says of lanes and stages.
fn track(flight: &FlightReader, most: usize) -> Value {
    let (stages, links) = (flight.stages(), flight.links());
    let stage = |index: usize| stages.get(index).map(|stage| stage.name.as_str());
    let lane = |lane: LaneTrack| {
        let last = lane.stamps.len().saturating_sub(most);
        let stamps = lane.stamps[last..].iter().map(|stamp| {
            let link = usize::from(stamp.link).checked_sub(1).map(|link| links.get(link));
            json!({
                "at_ns": stamp.at_ns, "stage": stage(stamp.stage.into()), "items": stamp.items, "taken": stamp.taken,
                "given": stamp.given, "blocked_on": link.map(|link| link.map_or("another link", String::as_str)),
            })
        });
        json!({
            "lane": lane.name, "thread": lane.thread, "cycle_ns": lane.cycle_ns, "polling": lane.polling.and_then(stage),
            "stamped": lane.stamped, "stamps": stamps.collect::<Vec<_>>(),
        })
    };
    let reached = stages.iter().map(|stage| json!({"stage": stage.name, "taken": stage.taken, "given": stage.given}));
    json!({
        "pid": flight.pid(), "lanes": flight.lanes().into_iter().map(lane).collect::<Vec<_>>(),
        "stages": reached.collect::<Vec<_>>(),
    })
}

/// Where each log ends.
fn logs(data: &Path) -> Vec<Value> {
    let end = |name: &&str| {
        let generation = read_marks(&LogFiles::find(data, name)).map(|marks| marks.generation()).ok();
        match Tail::open(data, name, Start::Now) {
            Ok(tail) => json!({"log": name, "position": tail.position(), "last_seq": tail.next_seq() - 1,
                "generation": generation, "fault": null}),
            Err(fault) => json!({"log": name, "position": null, "last_seq": null, "generation": generation,
                "fault": fault.to_string()}),
        }
    };
    LOGS.iter().map(end).collect()
}

/// The whole for people. Writing to a text cannot fail.
fn text(value: &Value) -> String {
    let mut out = String::new();
    for fault in items(&value["faults"]) {
        let _ = writeln!(out, "not all of it can be read: {}", word(fault));
    }
    if value["process"].is_object() {
        process_text(&value["process"], &mut out);
    }
    if value["flight"].is_object() {
        flight_text(&value["flight"], value["process"]["beat_ns"].as_i64(), &mut out);
    }
    for log in items(&value["logs"]) {
        let _ = match log["fault"].as_str() {
            Some(fault) => writeln!(out, "log {}: {fault}", word(&log["log"])),
            None => writeln!(
                out,
                "log {} ends at position {}, last seq {}, generation {}",
                word(&log["log"]),
                log["position"],
                log["last_seq"],
                log["generation"]
            ),
        };
    }
    out.truncate(out.trim_end().len());
    out
}

fn process_text(process: &Value, out: &mut String) {
    let (start_ns, beat_ns) = (process["start_ns"].as_i64().unwrap_or(0), process["beat_ns"].as_i64().unwrap_or(0));
    let state = process["state"].as_str().unwrap_or("in a state that cannot be read");
    let _ = writeln!(
        out,
        "process {} {state}, started at {} ms, last sign of life {} later",
        process["pid"],
        start_ns.div_euclid(1_000_000),
        millis(beat_ns.saturating_sub(start_ns))
    );
    for reason in [&process["trouble"], &process["reason"]].into_iter().filter_map(Value::as_str) {
        if !reason.is_empty() {
            let _ = writeln!(out, "  {reason}");
        }
    }
    for error in items(&process["errors"]) {
        let last_ns = error["last_ns"].as_i64().unwrap_or(0);
        let _ = writeln!(
            out,
            "error {} times, last {} before the last sign of life: {}",
            error["count"],
            millis(beat_ns.saturating_sub(last_ns)),
            word(&error["text"])
        );
    }
    for counter in items(&process["counters"]) {
        let (name, label) = (word(&counter["name"]), word(&counter["label"]));
        let _ = writeln!(out, "{name:<28} {label:<28} {:>16} {}", counter["value"], word(&counter["unit"]));
    }
}

fn flight_text(flight: &Value, beat_ns: Option<i64>, out: &mut String) {
    let mut stamps: Vec<(i64, &str, &Value)> = Vec::new();
    for lane in items(&flight["lanes"]) {
        let name = word(&lane["lane"]);
        let cycle_ns = lane["cycle_ns"].as_i64().unwrap_or(0);
        let at = match (&lane["polling"], cycle_ns) {
            (_, 0) => "had not begun".to_owned(),
            (Value::String(stage), _) => format!("was in stage {stage}, in a cycle that began at {cycle_ns} ns"),
            _ => format!("was between two cycles, the last of which began at {cycle_ns} ns"),
        };
        let beat = beat_ns.filter(|_| cycle_ns > 0).map(|beat_ns| cycle_ns.saturating_sub(beat_ns));
        let beat = beat.map(|ns| format!(", {} from the last sign of life", millis(ns))).unwrap_or_default();
        let _ = writeln!(out, "lane {name}, thread {}, {at}{beat}; {} stamps", lane["thread"], lane["stamped"]);
        stamps.extend(items(&lane["stamps"]).iter().map(|stamp| (stamp["at_ns"].as_i64().unwrap_or(0), name, stamp)));
    }
    for stage in items(&flight["stages"]) {
        let _ = writeln!(out, "stage {:<10} taken {}, given {}", word(&stage["stage"]), stage["taken"], stage["given"]);
    }
    // Lanes' stamps in the order of time; those of a lane stay in their own.
    stamps.sort_by_key(|(at_ns, ..)| *at_ns);
    let last_ns = stamps.last().map_or(0, |(at_ns, ..)| *at_ns);
    if !stamps.is_empty() {
        let _ = writeln!(out, "last stamps, before the last one of all at {last_ns} ns:");
    }
    for (at_ns, lane, stamp) in stamps {
        let blocked = stamp["blocked_on"].as_str().map(|link| format!("  blocked on {link}")).unwrap_or_default();
        let (ago, stage) = (millis(at_ns.saturating_sub(last_ns)), word(&stamp["stage"]));
        let _ = writeln!(
            out,
            "{ago:>16}  {lane:<10} {stage:<10} {:>6} items  taken {}  given {}{blocked}",
            stamp["items"], stamp["taken"], stamp["given"]
        );
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
