#!/usr/bin/env python3
"""Independent checker of Cutline logs: from the receipts it makes the dumps that must be, and compares.

Written from CONTRACTS.md alone, sharing nothing with the Rust code: a fault must be made twice to go unseen. Given are
the receipts, the configs, and planned times as far as a cadence leaves them open. Made are ticks, symbol sets, cuts,
selection, counts, run ids, number and order of events, records, states and, for the scripted engine, every outcome; of
another engine's outcomes only the form is checked. Taken as recorded are times and attempts within their limits and the
outcomes in TAKEN. Dumps are those of a stopped process; `--runs` takes `dump runs --all` and `dump runs`. `--config`
holds sections of the first config frame. `--backfill`: ticks span the receipts, and all times of a run are equal.
"""
import argparse
import bisect
import collections
import hashlib
import itertools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vectors"))
from check_envelope_cases import Refused, envelope, is_int  # section 1 of the contract

TAKEN = ("engine_timeout", "engine_unavailable", "shutdown")
ENGINE_KINDS = (*TAKEN, "engine_failure", "engine_output_invalid", "hysteresis_state_failure")
REGIME_OUTPUT = {"symbol": str, "timestamp": int, "regime": str, "confidence": (int, float), "drivers": list,
                 "invalidations": list, "permissions": list}
HYSTERESIS = {"min_persistence_updates": 3, "min_confidence_for_flip": 0.6, "decay_factor": 0.85,
              "min_confidence_floor": 0.2, "update_interval_ms": 180000}
DIFFERENCES = []
Run = collections.namedtuple("Run", "identity planned counts snapshot config")


def same(a, b):
    """Equality of JSON values: numbers numerically, but true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def differ(where, expected, actual):
    DIFFERENCES.append(f"{where}\n  expected {json.dumps(expected)}\n  actual   {json.dumps(actual)}")


def compare(what, expected, actual, free=()):
    """Every field but the free ones, up to the first line that differs; null and absent mean the same."""
    for number, (wanted, made) in enumerate(itertools.zip_longest(expected, actual, fillvalue={}), 1):
        fields = sorted((wanted.keys() | made.keys()).difference(free))
        if wrong := [field for field in fields if not same(wanted.get(field), made.get(field))]:
            return [differ(f"{what} {number}: {field}", wanted.get(field), made.get(field)) for field in wrong]


def lines(path):
    """Yields the object of each line; one that is not canonical JSON is a difference of its own."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, 1):
            value = json.loads(text)
            canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
            if canonical + "\n" != text and "Infinity" not in canonical:  # Python has no number beyond f64
                differ(f"{path}:{number}: canonical form", canonical, text)
            yield value


class Inputs:
    """The receipts: ingest times by position, and by symbol what a cut needs of its events."""

    def __init__(self, path):
        self.times_ns, self.seqs, self.events, last = [], {}, {}, 0
        for seq, record in enumerate(lines(path), 1):
            ns, event = record["ingest_ts_ns"], record["event"]
            last = max(last, ns)
            compare(f"inputs {seq}, line", [dict(ingest_seq=seq, ingest_ts_ns=last, ingest_ts_ms=last // 1_000_000)],
                    [record], ["event"])
            self.times_ns.append(last)
            try:
                fields = envelope(event)
            except Refused:
                continue  # kept and counted, but without a symbol it is nobody's content
            timestamp = fields["snapshot_ts_ms"]  # None for all but SnapshotInputs
            content = (fields["event_type"], timestamp, event["normalized"] if timestamp is not None else None)
            self.seqs.setdefault(fields["symbol"], []).append(seq)
            self.events.setdefault(fields["symbol"], []).append(content)

    def cut(self, symbol, start, end, timestamp):
        """Counts by type, and `normalized` of the snapshot that the engine gets: the last that fits, or None."""
        seqs = self.seqs[symbol]
        events = self.events[symbol][bisect.bisect_left(seqs, start):bisect.bisect_right(seqs, end)]
        fitting = [normalized for _, at, normalized in events if at == timestamp]
        return dict(collections.Counter(event_type for event_type, *_ in events)), fitting[-1] if fitting else None


def first_planned(cadence, now):
    interval, delay = cadence["interval_ms"], cadence.get("delay_ms") or 0
    return now if cadence["mode"] == "timer" else (max(now - delay, 0) // interval + 1) * interval + delay


def next_planned(cadence, made, last, fresh, inputs, backfill):
    """The time of the next tick. Left open is only when a cadence begins: at the start, or `fresh` after a restart."""
    if last is not None and not fresh:
        return last + cadence["interval_ms"]
    if last is None and inputs.times_ns:  # the cadence begins before the first receipt, in a backfill with it
        latest = first_planned(cadence, inputs.times_ns[0] // 1_000_000)
        made = latest if backfill else min(made, latest)
    on_lattice = made if cadence["mode"] == "timer" else first_planned(cadence, made - 1)
    return on_lattice if last is None else max(on_lattice, last + 1)


def run_id_of(symbol, timestamp, cut_end, mode):
    return hashlib.sha256(f"{symbol}|{timestamp}|{cut_end}|{mode}".encode("utf-8", "surrogatepass")).hexdigest()


def decide_tick(planned, config, inputs, ends):
    """The tick frame and the runs of the tick, in order; moves the ends of the symbols' last cuts."""
    cadence, mode, symbols = config["scheduler"], config["engine"]["mode"], config["symbols"]
    timestamp = planned - (cadence["delay_ms"] if cadence["mode"] == "boundary" else 0)
    end = bisect.bisect_right(inputs.times_ns, planned * 1_000_000)
    listed = symbols["list"] if symbols["mode"] == "list" else inputs.seqs
    seen = [s for s, seqs in inputs.seqs.items() if seqs[0] <= end and s in listed][:symbols["max"]]
    runs = []
    for symbol in sorted(seen, key=lambda s: s.encode("utf-8", "surrogatepass")):
        start = ends[symbol] + 1 if symbol in ends else inputs.seqs[symbol][0]
        if start <= end:
            identity = dict(run_id=run_id_of(symbol, timestamp, end, mode), symbol=symbol, engine_mode=mode,
                            engine_timestamp_ms=timestamp, cut_kind=cadence["mode"], cut_start_ingest_seq=start,
                            cut_end_ingest_seq=end)
            runs.append(Run(identity, planned, *inputs.cut(symbol, start, end, timestamp), config))
            ends[symbol] = end
    return dict(frame="tick", planned_ts_ms=planned, engine_timestamp_ms=timestamp, cut_end_ingest_seq=end,
                runs=len(runs), skipped=len(seen) - len(runs)), runs


def decide(frames, inputs, backfill):
    """The runs log as it must be, and all runs in order; configs, clock steps and open planned times are given."""
    wanted, runs, ends, config, last, fresh = [], [], {}, None, None, False
    for frame in (f for f in frames if f["frame"] in ("config", "clock_step", "tick", "ticks_skipped")):
        kind = frame["frame"]
        if kind == "config":
            cadence = frame["scheduler"]
            fresh = config is not None and (cadence != config["scheduler"] or cadence["mode"] == "timer")
            config = frame
        if kind in ("config", "clock_step"):
            wanted.append(frame)
            continue
        first = frame["planned_ts_ms" if kind == "tick" else "from_planned_ts_ms"]
        planned = next_planned(cadence, first, last, fresh, inputs, backfill)
        last, fresh = first, False
        if kind == "tick":
            tick, made = decide_tick(first, config, inputs, ends)
            runs += made
            wanted.append({**tick, "planned_ts_ms": planned})
            wanted += [{**run.identity, "frame": "started", "planned_ts_ms": run.planned,
                        "counts_by_event_type": run.counts} for run in made]
        else:
            more = (frame["to_planned_ts_ms"] - first) // cadence["interval_ms"]
            last = first + more * cadence["interval_ms"]
            wanted.append({**frame, "from_planned_ts_ms": planned, "to_planned_ts_ms": last, "count": more + 1})
    if backfill and inputs.times_ns and last * 1_000_000 < inputs.times_ns[-1]:
        wanted.append({"frame": "tick", "planned_ts_ms": last + cadence["interval_ms"]})
    return wanted, runs


class EngineFailed(Exception):
    """Arguments: the kinds that the contract allows, and the detail, or None for any."""


def is_regime_output(value):
    return (isinstance(value, dict) and value.keys() == REGIME_OUTPUT.keys()
            and all(isinstance(value[k], t) and not isinstance(value[k], bool) for k, t in REGIME_OUTPUT.items())
            and all(isinstance(s, str) for k, t in REGIME_OUTPUT.items() if t is list for s in value[k]))


def scripted(run):
    """The scripted engine of the golden cases."""
    script = run.snapshot
    for key in ("market", "structure_levels", "script"):  # an absent or non-object sub-object is missing
        script = script.get(key) if isinstance(script, dict) else None
    raises = script.get("raise") if isinstance(script, dict) else True
    if raises:
        raise EngineFailed(("engine_failure",), raises if isinstance(raises, str) else None)
    output = {key: script.get(key) for key in ("regime", "confidence", "drivers", "invalidations")}
    output.update(symbol=run.identity["symbol"], timestamp=run.identity["engine_timestamp_ms"],
                  permissions=[output["regime"]])
    if not is_regime_output(output):
        raise EngineFailed(("engine_failure", "engine_output_invalid"), None)
    return output


def hysteresis(output, state, config):
    """Hysteresis v1: (decision, new state). State: stable output, last timestamp, candidate, its count."""
    stable, last, candidate, count = state
    now, regime, confidence = (output[k] for k in ("timestamp", "regime", "confidence"))
    if last is not None and now <= last:
        raise EngineFailed(("engine_failure", "hysteresis_state_failure"), None)
    gap = last is not None and now - last > config["update_interval_ms"]
    flipped = keep = False
    if not gap and stable is not None and stable["regime"] != regime:
        candidate, count = regime, count + 1 if candidate == regime else 1
        flipped = count >= config["min_persistence_updates"] and confidence >= config["min_confidence_for_flip"]
        keep = not flipped
    if keep:
        confidence = max(stable["confidence"] * config["decay_factor"] ** count, config["min_confidence_floor"])
    else:
        stable, candidate, count = output, None, 0
    transition = dict(stable_regime=stable["regime"], candidate_regime=candidate, candidate_count=count,
                      transition_active=keep, flipped=flipped, reset_due_to_gap=gap)
    return dict(selected_output=stable, effective_confidence=confidence, transition=transition), (
        stable, now, candidate, count)


def answer(run, recorded, kind, states):
    """(decision or None, regime output) of the run; `recorded` are its events' payloads by type, `kind` its failure."""
    engine, symbol, now = run.config["engine"], run.identity["symbol"], run.identity["engine_timestamp_ms"]
    if run.snapshot is None:
        raise EngineFailed(("missing_snapshot_inputs",), "missing SnapshotInputs")
    if kind in TAKEN or kind and engine["use"] != "scripted":
        raise EngineFailed(ENGINE_KINDS, None)
    if engine["use"] == "scripted" and engine["mode"] == "truth":
        return None, scripted(run)
    if engine["use"] == "scripted":
        settings = {**HYSTERESIS, **engine["hysteresis"]}
        decision, states[symbol] = hysteresis(scripted(run), states.get(symbol, (None, None, None, 0)), settings)
        return decision, decision["selected_output"]
    output = recorded["EngineRunCompleted"]["regime_output"]
    stable = engine["mode"] == "hysteresis" and output["timestamp"] < now
    if not is_regime_output(output) or output["symbol"] != symbol or output["timestamp"] != now and not stable:
        raise EngineFailed(("engine_output_invalid",), None)
    decision = recorded["HysteresisDecisionPublished"]["hysteresis_decision"] if engine["mode"] == "hysteresis" else {}
    return decision and {**decision, "selected_output": output}, output


def conclude(run, events, states):
    """The events, the record and the state or None that the run must have; `events` are the recorded ones."""
    recorded = {event["event_type"]: event.get("payload") for event in events}
    kind, detail = ((recorded.get("EngineRunFailed") or {}).get(field) for field in ("error_kind", "error_detail"))
    try:
        decision, output = answer(run, recorded, kind, states)
        bodies = [("HysteresisDecisionPublished", {"hysteresis_decision": decision})] if decision else []
        bodies.append(("EngineRunCompleted", {"regime_output": output}))
        failure = {}
    except EngineFailed as failed:
        kinds, text = failed.args
        failure = dict(error_kind=kind if kind in kinds else kinds[0], error_detail=detail if text is None else text)
        bodies = [("EngineRunFailed", failure)]
    common = dict(run.identity, schema="orchestrator_event", schema_version="1", counts_by_event_type=run.counts)
    record = dict(run.identity, planned_ts_ms=run.planned, status="failed" if failure else "completed", **failure,
                  attempts=events[-1]["attempt"] if events else None)
    state = {**{k: run.identity[k] for k in ("run_id", "symbol", "engine_timestamp_ms")},
             "engine_digest": run.config["engine_digest"]} if len(bodies) == 2 else None
    bodies.insert(0, ("EngineRunStarted", None))
    return [{**common, "event_type": name, "payload": body} for name, body in bodies], record, state


def check_times(run, events, record, restarts, backfill):
    """Attempts and times, which no contract fixes, keep within their bounds."""
    most = (1 if run.snapshot is None else run.config["engine"]["retry"]["max_attempts"]) + restarts
    for event in events:
        times = [run.planned, record["started_ts_ms"], record["completed_ts_ms"], event["published_ts_ms"]]
        apart = not all(map(is_int, times)) or times != sorted(times) or backfill and len(set(times)) > 1
        if apart or not is_int(event["attempt"]) or not 1 <= event["attempt"] <= most:
            where = f"run {event['run_id'][:12]} {event['event_type']}: planned, started, completed, published; attempt"
            differ(where, f"{'equal' if backfill else 'ascending'}; 1 to {most}", [times, event["attempt"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--inputs", "--outputs", "--states"):
        parser.add_argument(name, required=True)
    parser.add_argument("--runs", required=True, nargs="+")
    parser.add_argument("--config", type=pathlib.Path)
    parser.add_argument("--backfill", action="store_true")
    args = parser.parse_args()
    inputs, log = Inputs(args.inputs), [value for path in args.runs for value in lines(path)]
    frames, records = ([value for value in log if ("frame" in value) == framed] for framed in (True, False))
    given = json.loads(args.config.read_text(encoding="utf-8")) if args.config else {}
    sections = {name: {**frames[0][name], **section} for name, section in given.items() if isinstance(section, dict)}
    compare("config", [{**frames[0], **sections}], frames[:1])
    wanted, runs = decide(frames, inputs, args.backfill)
    compare("runs --all", wanted, frames, ("started_ts_ms",))
    events, own, states = list(lines(args.outputs)), collections.defaultdict(list), {}
    for event in events:
        own[event["run_id"]].append(event)
    concluded = [conclude(run, own[run.identity["run_id"]], states) for run in runs]
    compare("outputs", [event for made, _, _ in concluded for event in made], events, ("attempt", "published_ts_ms"))
    compare("runs", [record for _, record, _ in concluded], records, ("started_ts_ms", "completed_ts_ms"))
    compare("states", [state for *_, state in concluded if state], lines(args.states), ("state", "state_encoding"))
    restarts = sum(frame["frame"] == "config" for frame in frames) - 1
    for run, record in zip(runs, records):
        check_times(run, own[run.identity["run_id"]], record, restarts, args.backfill)
    print(*DIFFERENCES[:10], f"check: {len(DIFFERENCES) or 'no'} differences in {len(inputs.times_ns)} inputs, "
          f"{len(frames)} frames, {len(runs)} runs, {len(events)} events", sep="\n")
    return 1 if DIFFERENCES else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as fault:
        sys.exit(f"check: {DIFFERENCES[:1]}: a line lacks what the contract requires: {fault!r}")
