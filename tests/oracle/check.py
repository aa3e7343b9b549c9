#!/usr/bin/env python3
"""Independent checker of Cutline logs: reads what `cutline dump` prints, recomputes it from the contracts, compares.

Written from CONTRACTS.md alone, sharing nothing with the Rust code: a fault must be made twice to go unseen.
The receipts and the planned times of the tick frames are taken as given. Recomputed are the tick lattice, symbol sets,
cut ranges, selection, counts, run ids, order and number of events and, for the scripted engine, every outcome.
Taken as recorded, because no log can tell: attempts, and outcomes engine_timeout, engine_unavailable, shutdown.

  check.py --inputs F --runs F [F] --outputs F [--states F] --config F.json [--allow-open]

`--runs` takes `dump runs --all` (every frame) and optionally plain `dump runs` (records), together or as two files.
`--config` holds the expected settings in the shape of a config frame, optionally with `first_now_ms` and
`publish: {order: run|symbol}`. `--allow-open` counts runs without outcome instead of failing (a dump of a live log).
Exit 0 and one summary line, or exit 1 and the first 10 differences.
"""
import argparse
import json
import sys

from decisions import IDENTITY, Inputs, check_started, decide
from lines import DIFFERENCES, check_order, differ, expect, is_int, lines
from scripted import HYSTERESIS, hysteresis, scripted

TAKEN = {"engine_timeout", "engine_unavailable", "shutdown"}


def outcome_of(run, recorded, states, where):
    """Checks the outcome of one run against its recorded events; returns 1 if it was taken as recorded."""
    failure = next((e.get("payload") for e in recorded if e.get("event_type") == "EngineRunFailed"), None)
    failure = failure if isinstance(failure, dict) else {}
    kind, types = failure.get("error_kind"), [e.get("event_type") for e in recorded]
    bodies = {e.get("event_type"): e.get("payload") for e in recorded}
    good = ["EngineRunStarted", "EngineRunCompleted"]
    if run["engine_mode"] == "hysteresis":
        good.insert(1, "HysteresisDecisionPublished")
    bad, wanted = ["EngineRunStarted", "EngineRunFailed"], {"EngineRunStarted": None}
    taken = types == bad and kind in TAKEN
    if taken:
        wanted["EngineRunFailed"] = {"error_kind": kind, "error_detail": failure.get("error_detail")}
    elif run["chosen"] is None:
        wanted["EngineRunFailed"] = {"error_kind": "missing_snapshot_inputs", "error_detail": "missing SnapshotInputs"}
    elif run["engine"]["use"] == "scripted":
        output, kinds, detail = scripted(run)
        decided = None
        if output is not None and run["engine_mode"] == "hysteresis":
            settings = {**HYSTERESIS, **(run["engine"].get("hysteresis") or {})}
            decided = hysteresis(output, states.get(run["symbol"]), settings)
            if decided is None:
                output, kinds, detail = None, ("engine_failure", "hysteresis_state_failure"), None
        if output is None:
            wanted["EngineRunFailed"] = {"error_kind": kind if kind in kinds else kinds[0],
                                         "error_detail": failure.get("error_detail") if detail is None else detail}
        elif decided is not None:
            states[run["symbol"]] = decided[1]
            wanted["HysteresisDecisionPublished"] = {"hysteresis_decision": decided[0]}
            wanted["EngineRunCompleted"] = {"regime_output": decided[0]["selected_output"]}
        else:
            wanted["EngineRunCompleted"] = {"regime_output": output}
    elif types == bad:  # another engine's failure: any kind but the one that says it was never called
        wanted["EngineRunFailed"] = {"error_kind": "engine_failure" if kind == "missing_snapshot_inputs" or not kind else kind,
                                     "error_detail": failure.get("error_detail")}
    else:
        decision = (bodies.get(good[1]) or {}).get("hysteresis_decision") or {}
        final = (bodies.get("EngineRunCompleted") or {}).get("regime_output")
        if not isinstance(final, dict):
            differ(f"{where}: regime_output", "an object", final)
        elif len(good) == 3:
            expect(f"{where}: selected output", decision.get("selected_output"), final)
        wanted.update((e, bodies.get(e)) for e in good)
    expect(f"{where}: events", bad if "EngineRunFailed" in wanted else good, types)
    for event_type, body in wanted.items():
        if event_type in bodies:
            expect(f"{where} {event_type}: payload", body, bodies[event_type])
    return int(taken)


def check_outputs(path, runs, restarts, order, allow_open):
    """Returns {run_id: events}, the number of events, open runs and outcomes taken as recorded."""
    groups, sequence, previous, newest, total, taken, states = {}, [], None, {}, 0, 0, {}
    for number, event in lines(path):
        where, run_id, total = f"outputs line {number}", event.get("run_id"), total + 1
        if run_id not in runs:
            differ(f"{where}: run_id", "a run that was decided", run_id)
            continue
        if run_id != previous and run_id in groups:
            differ(f"{where}: {event.get('event_type')}", "each run's events together, once", run_id)
        elif run_id != previous:
            sequence.append(run_id)
        previous, run, where = run_id, runs[run_id], f"{where} {run_id[:12]} {event.get('event_type')}"
        groups.setdefault(run_id, []).append(event)
        expect(f"{where}: schema", ["orchestrator_event", "1"], [event.get("schema"), event.get("schema_version")])
        for field in IDENTITY:
            expect(f"{where}: {field}", run[field], event.get(field))
        expect(f"{where}: counts_by_event_type", run["counts"], event.get("counts_by_event_type") or {})
        limit = 1 if run["chosen"] is None else (run["engine"].get("retry") or {}).get("max_attempts", 1)
        if not is_int(event.get("attempt")) or not 1 <= event["attempt"] <= max(limit, 1) + restarts:
            differ(f"{where}: attempt", f"1..{max(limit, 1) + restarts}", event.get("attempt"))
        timestamp = event.get("engine_timestamp_ms") or 0
        if timestamp < newest.get(run["symbol"], timestamp):
            differ(f"{where}: engine_timestamp_ms", f">= {newest[run['symbol']]}", timestamp)
        newest[run["symbol"]] = timestamp
    present = [r for r in runs if r in groups or not allow_open]
    for only in ([None] if order == "run" else {r["symbol"]: 0 for r in runs.values()}):
        pick = [[r for r in ids if only in (None, runs[r]["symbol"])] for ids in (present, sequence)]
        check_order(f"outputs, order of runs{f' of {only}' if only else ''}", *pick)
    for run_id, run in runs.items():
        if run_id in groups:
            taken += outcome_of(run, groups[run_id], states, f"run {run_id[:12]} ({run['symbol']} {run['engine_timestamp_ms']})")
        elif not allow_open:
            differ(f"run {run_id[:12]} ({run['symbol']} {run['engine_timestamp_ms']})", "one outcome", "none")
    return groups, total, len(runs) - len(groups), taken


def check_records(records, runs, groups):
    """EngineRunRecord, the view of the latest status, against the decisions and the outcomes."""
    check_order("run records", list(runs), [r.get("run_id") for _, r in records])
    for number, record in records:
        where, run = f"run record line {number} {str(record.get('run_id'))[:12]}", runs.get(record.get("run_id"))
        if run is None:
            continue  # already a difference of order
        final = groups.get(run["run_id"], [{}])[-1]
        status = {"EngineRunCompleted": "completed", "EngineRunFailed": "failed"}.get(final.get("event_type"), "started")
        failure = final.get("payload") if status == "failed" and isinstance(final.get("payload"), dict) else {}
        wanted = {**{f: run[f] for f in (*IDENTITY, "planned_ts_ms")}, "status": status,
                  "error_kind": failure.get("error_kind"), "error_detail": failure.get("error_detail")}
        if status != "started":
            wanted["attempts"] = final.get("attempt")
            times = [run["planned_ts_ms"], record.get("started_ts_ms"), record.get("completed_ts_ms")]
            for event in groups[run["run_id"]]:
                chain = times + [event.get("published_ts_ms")]
                if not all(map(is_int, chain)) or chain != sorted(chain):
                    differ(f"{where}: planned, started, completed, published", "integers that never decrease", chain)
        for field, value in wanted.items():
            expect(f"{where}: {field}", value, record.get(field))


def check_states(path, runs, groups):
    """A hysteresis run that completed has one state; a failed one none, or its predecessor's unchanged."""
    seen, latest = set(), {}
    for number, line in lines(path):
        run_id, where = line.get("run_id"), f"states line {number}"
        run, final = runs.get(run_id), groups.get(run_id, [{}])[-1].get("event_type")
        if run is None or run_id in seen or run["engine_mode"] != "hysteresis":
            differ(f"{where}: run_id", "a hysteresis run with an outcome, once", run_id)
            continue
        seen.add(run_id)
        for field in ("symbol", "engine_timestamp_ms"):
            expect(f"{where}: {field}", run[field], line.get(field))
        if final != "EngineRunCompleted" and line.get("state") != latest.get(run["symbol"]):
            differ(f"{where}: state after {final}", latest.get(run["symbol"]), line.get("state"))
        latest[run["symbol"]] = line.get("state")
    for run_id, events in groups.items():
        if runs[run_id]["engine_mode"] == "hysteresis" and events[-1].get("event_type") == "EngineRunCompleted" and run_id not in seen:
            differ(f"states: run {run_id[:12]}", "one state", "none")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--runs", required=True, nargs="+")
    parser.add_argument("--outputs", required=True)
    parser.add_argument("--states")
    parser.add_argument("--config", required=True)
    parser.add_argument("--allow-open", action="store_true")
    args = parser.parse_args()
    with open(args.config, encoding="utf-8") as file:
        given = json.load(file)
    inputs, log = Inputs(args.inputs), [entry for path in args.runs for entry in lines(path)]
    frames = [entry for entry in log if "frame" in entry[1]]
    runs, restarts, ticks = decide(frames, inputs, given)
    check_started(frames, runs, restarts)
    order = (given.get("publish") or {}).get("order", "run")
    groups, total, unfinished, taken = check_outputs(args.outputs, runs, restarts, order, args.allow_open)
    records = [entry for entry in log if "frame" not in entry[1]]
    if records:
        check_records(records, runs, groups)
    if args.states:
        check_states(args.states, runs, groups)
    for where, expected, actual in DIFFERENCES[:10]:
        print(f"{where}\n  expected {json.dumps(expected)}\n  actual   {json.dumps(actual)}")
    if DIFFERENCES:
        print(f"check: {len(DIFFERENCES)} differences, the first {min(10, len(DIFFERENCES))} shown")
        return 1
    failed = sum(e[-1]["event_type"] == "EngineRunFailed" for e in groups.values())
    print(f"check: ok: {len(inputs.times_ns)} inputs, {ticks} ticks, {len(runs)} runs ({len(groups) - failed} completed, "
          f"{failed} failed, {unfinished} open; {taken} outcomes taken as recorded), {total} outputs")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyError, TypeError, AttributeError) as fault:
        last = fault.__traceback__
        while last.tb_next:
            last = last.tb_next
        sys.exit(f"check: a line lacks what the contract requires: {fault!r} at {last.tb_frame.f_code.co_name}:{last.tb_lineno}")
