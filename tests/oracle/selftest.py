#!/usr/bin/env python3
"""Self-test of check.py: the golden cases, in the form that `cutline dump` prints, must pass; each lie must be found.

A checker that never fails is worth nothing, so every corruption names the text that its report must contain.
Needs the golden cases in $CUTLINE_SHARED/golden, by default ../shared/golden; exit 77 (skipped) without them.
"""
import collections
import concurrent.futures
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from check import first_planned, run_id_of

HERE = pathlib.Path(__file__).resolve().parent
CASES = ("v1_boundary_truth_scripted", "v1_boundary_hysteresis_nogap_scripted")


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dump_form(folder):
    """A golden folder as the dump of a backfill: {inputs, runs, records, outputs, states, config}, lists of objects."""
    golden = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    cadence, mode = golden["scheduler"], golden["engine_mode"]
    inputs = [{**r, "ingest_ts_ns": r["ingest_ts_ms"] * 1_000_000} for r in read(folder / "raw_input_buffer.jsonl")]
    records, outputs = read(folder / "engine_run_records.jsonl"), read(folder / "orchestrator_events.jsonl")
    config = {
        "scheduler": {"mode": "boundary", "interval_ms": cadence["boundary_interval_ms"],
                      "delay_ms": cadence["boundary_delay_ms"]},
        "symbols": {"mode": "seen", "list": [], "max": 1024},
        "engine": {"use": "scripted", "mode": mode, "hysteresis": golden["hysteresis_config"] or {},
                   "retry": {"max_attempts": 1}},
        "engine_digest": "d1",
    }
    runs, members, delay = [{"frame": "config", **config}], collections.defaultdict(list), cadence["boundary_delay_ms"]
    for record in records:
        members[record["planned_ts_ms"]].append(record)
    counts = {}
    for record in records:
        # Naive on purpose: every receipt of the cut is looked at for every run.
        cut = inputs[record["cut_start_ingest_seq"] - 1:record["cut_end_ingest_seq"]]
        counts[record["run_id"]] = dict(collections.Counter(
            r["event"]["event_type"] for r in cut if r["event"]["symbol"] == record["symbol"]))
        record["started_ts_ms"] = record["completed_ts_ms"] = record["planned_ts_ms"]
    begin, interval = inputs[0]["ingest_ts_ms"], cadence["boundary_interval_ms"]
    first = next(p for p in range(begin + 1, begin + 1 + interval) if (p - delay) % interval == 0)
    for planned in range(first, records[-1]["planned_ts_ms"] + 1, interval):
        ended = sum(r["ingest_ts_ms"] <= planned for r in inputs)
        runs.append({"frame": "tick", "planned_ts_ms": planned, "engine_timestamp_ms": planned - delay,
                     "cut_end_ingest_seq": ended, "runs": len(members[planned]), "skipped": 0})
        for record in members[planned]:
            fields = ("run_id", "symbol", "engine_timestamp_ms", "engine_mode", "cut_kind", "cut_start_ingest_seq",
                      "cut_end_ingest_seq", "planned_ts_ms", "started_ts_ms")
            runs.append({"frame": "started", "counts_by_event_type": counts[record["run_id"]],
                         **{f: record[f] for f in fields}})
    planned, states = {r["run_id"]: r["planned_ts_ms"] for r in records}, []
    for event in outputs:
        event["counts_by_event_type"] = counts[event["run_id"]]
        event["published_ts_ms"] = planned[event["run_id"]]
        if event["event_type"] == "HysteresisDecisionPublished":
            states.append({**{f: event[f] for f in ("run_id", "symbol", "engine_timestamp_ms")},
                           "engine_digest": "d1", "state": f"s{len(states)}"})
    return {"inputs": inputs, "runs": runs, "records": records, "outputs": outputs, "states": states,
            "config": copy.deepcopy(config)}


def check(dump, *options):
    """Runs check.py on a dump; returns (exit code, what it printed)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("inputs", "runs", "records", "outputs", "states"):
            text = "".join(json.dumps(v, sort_keys=True, separators=(",", ":")) + "\n" for v in dump[name])
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "config").write_text(json.dumps(dump["config"]), encoding="utf-8")
        command = [sys.executable, HERE / "check.py", "--runs", folder / "runs", folder / "records"]
        for name in ("inputs", "outputs", "states", "config"):
            command += [f"--{name}", folder / name]
        command += [] if "--live" in options else ["--backfill"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


def of(rows, nth=0, **fields):
    """Index of the nth row that has these fields."""
    return [i for i, row in enumerate(rows) if all(row.get(k) == v for k, v in fields.items())][nth]


def edit(name, row, field, change, nth=0):
    """A corruption: one field of the nth row that has these fields is changed."""
    def apply(dump):
        target = dump[name][of(dump[name], nth, **row)]
        target[field] = change(target.get(field)) if callable(change) else change
    return apply


def move(name, row, by):
    """A corruption: the first such row changes places with the one `by` further."""
    def apply(dump):
        i = of(dump[name], **row)
        dump[name][i], dump[name][i + by] = dump[name][i + by], dump[name][i]
    return apply


def drop(name, row, nth=0):
    return lambda dump: dump[name].pop(of(dump[name], nth, **row))


def repeat(name, row):
    return lambda dump: dump[name].append(dict(dump[name][of(dump[name], **row)]))


def other_snapshot(dump):
    """The later of two fitting snapshots is not the one the output was made from: give the earlier one its script."""
    by_key = collections.defaultdict(list)
    for record in dump["inputs"]:
        event = record["event"]
        if event["event_type"] == "SnapshotInputs":
            by_key[event["symbol"], event["normalized"]["timestamp_ms"]].append(record)
    cuts = {(r["symbol"], r["engine_timestamp_ms"]): r for r in dump["records"] if r["status"] == "completed"}
    for key, fitting in by_key.items():
        run = cuts.get(key)
        if run is None:
            continue
        inside = [r for r in fitting if run["cut_start_ingest_seq"] <= r["ingest_seq"] <= run["cut_end_ingest_seq"]]
        scripts = [r["event"]["normalized"]["market"]["structure_levels"].get("script") for r in inside]
        if len(inside) > 1 and "regime" in scripts[0] and scripts[0] != scripts[-1]:
            script = scripts[0]
            wrong = dict(symbol=key[0], timestamp=key[1], permissions=[script["regime"]], **script)
            for event in dump["outputs"]:
                if event["run_id"] == run["run_id"] and event["event_type"] == "EngineRunCompleted":
                    event["payload"] = {"regime_output": wrong}
            return
    raise AssertionError("the case has no run with two snapshots to choose from")


def second_outcome(dump):
    """A failure published right behind a completion."""
    i = of(dump["outputs"], event_type="EngineRunCompleted")
    extra = {**dump["outputs"][i], "event_type": "EngineRunFailed",
             "payload": {"error_kind": "engine_failure", "error_detail": "again"}}
    dump["outputs"].insert(i + 1, extra)


def float_timestamp(dump):
    """1.0 is not a JSON integer: the snapshot no longer fits, so the recorded completion is wrong."""
    done = dump["records"][of(dump["records"], status="completed")]
    for record in dump["inputs"]:
        event = record["event"]
        if event["symbol"] == done["symbol"] and event["normalized"].get("timestamp_ms") == done["engine_timestamp_ms"]:
            event["normalized"]["timestamp_ms"] = float(done["engine_timestamp_ms"])


def late_outcome(dump):
    """Whole runs in the wrong order: the last run of a symbol published before its first."""
    last = dump["outputs"][-1]["run_id"]
    tail = [e for e in dump["outputs"] if e["run_id"] == last]
    dump["outputs"] = tail + [e for e in dump["outputs"] if e["run_id"] != last]


def boundary_receipt(dump):
    """A receipt one nanosecond after the planned time may not be inside the cut any more."""
    tick = dump["runs"][of(dump["runs"], 1, frame="tick")]
    record = dump["inputs"][tick["cut_end_ingest_seq"] - 1]
    record["ingest_ts_ns"] = tick["planned_ts_ms"] * 1_000_000 + 1
    record["ingest_ts_ms"] = tick["planned_ts_ms"]


def later_receipt(dump):
    """A receipt that no tick has cut."""
    last = dump["inputs"][-1]
    ms = dump["runs"][of(dump["runs"], -1, frame="tick")]["planned_ts_ms"] + 1
    return {**last, "ingest_seq": last["ingest_seq"] + 1, "ingest_ts_ms": ms, "ingest_ts_ns": ms * 1_000_000}


def stated(**change):
    """A corruption of the transition of the first decision that keeps its stable regime."""
    def apply(dump):
        for event in dump["outputs"]:
            decision = (event["payload"] or {}).get("hysteresis_decision")
            if decision and decision["transition"]["transition_active"]:
                decision.update({k: v for k, v in change.items() if k in decision})
                decision["transition"].update({k: v for k, v in change.items() if k in decision["transition"]})
                return
    return apply


def regime(**change):
    """A change of the output that a completion carries."""
    return lambda payload: {"regime_output": {**payload["regime_output"], **change}}


def failed_twice(dump):
    i = of(dump["outputs"], **FAILED)
    dump["outputs"].insert(i, dict(dump["outputs"][i]))


def invented_run(dump):
    """A run nobody decided, whole and plausible: its tick, start, record and events name the next timestamp."""
    for name in ("records", "outputs"):
        own = [dict(row) for row in dump[name] if row["run_id"] == dump["records"][-1]["run_id"]]
        for row in own:
            row["engine_timestamp_ms"] += 180000
            named = ("symbol", "engine_timestamp_ms", "cut_end_ingest_seq", "engine_mode")
            row["run_id"] = run_id_of(*(row[field] for field in named))
        dump[name] += own


def lost_run(dump):
    """A run that is in no dump at all, its tick's count made to fit."""
    lost = dump["records"].pop(4)["run_id"]
    at = of(dump["runs"], run_id=lost)
    tick = max(i for i in range(at) if dump["runs"][i]["frame"] == "tick")
    dump["runs"][tick]["runs"] -= 1
    del dump["runs"][at]
    dump["outputs"] = [event for event in dump["outputs"] if event["run_id"] != lost]


def shifted_cut(dump):
    """One run begins a receipt later, and says so everywhere, counts included."""
    run_id = dump["records"][3]["run_id"]
    for row in dump["runs"] + dump["records"] + dump["outputs"]:
        if row.get("run_id") == run_id:
            row["cut_start_ingest_seq"] += 1


DONE, FAILED, START = ({"event_type": f"EngineRun{kind}"} for kind in ("Completed", "Failed", "Started"))
TICK, BEGUN = {"frame": "tick"}, {"frame": "started"}
PUBLISHED = "planned, started, completed, published"
# What is done to a good dump, how, and what the report must name.
CORRUPTIONS = [
    ("a cut shifted, told alike everywhere", shifted_cut, "cut_start_ingest_seq"),
    ("a lost run, told alike everywhere", lost_run, ": runs"),
    ("an invented run", invented_run, "run_id"),
    ("tick with a wrong cut_end", edit("runs", TICK, "cut_end_ingest_seq", lambda v: v - 1, 1), "cut_end_ingest_seq"),
    ("tick with a wrong number of runs", edit("runs", TICK, "runs", 99, 1), ": runs"),
    ("tick with a wrong number skipped", edit("runs", TICK, "skipped", 1, 1), ": skipped"),
    ("tick with a wrong timestamp", edit("runs", TICK, "engine_timestamp_ms", lambda v: v + 1, 1), "engine_timestamp"),
    ("tick off the lattice", edit("runs", TICK, "planned_ts_ms", lambda v: v + 1, 1), "planned_ts_ms"),
    ("first tick off the lattice", edit("runs", TICK, "planned_ts_ms", lambda v: v + 1), "planned_ts_ms"),
    ("tick missing", drop("runs", TICK, 1), ": frame"),
    ("frame of an unknown kind", lambda d: d["runs"].insert(3, {"frame": "other", "planned_ts_ms": 0}), "runs --all"),
    ("started frame with a wrong run_id", edit("runs", BEGUN, "run_id", "0" * 64), "run_id"),
    ("started frames out of order", move("runs", BEGUN, 1), "run_id"),
    ("started frame missing", drop("runs", BEGUN), "run_id"),
    ("started frame twice", repeat("runs", BEGUN), "runs --all"),
    ("started frame with a wrong cut_start", edit("runs", BEGUN, "cut_start_ingest_seq", 1000), "cut_start_ingest_seq"),
    ("started frame with a wrong count", edit("runs", BEGUN, "counts_by_event_type", {}), "counts_by_event_type"),
    ("config frame that differs", lambda d: d["config"]["scheduler"].update(delay_ms=5), "config 1: scheduler"),
    ("record with a wrong status", edit("records", {"status": "completed"}, "status", "failed"), "status"),
    ("record with a wrong error_kind", edit("records", {"status": "failed"}, "error_kind", "shutdown"), "error_kind"),
    ("record with other attempts", edit("records", {}, "attempts", 2), "attempts"),
    ("record missing", drop("records", {}), "runs 1: run_id"),
    ("started before planned", edit("records", {}, "started_ts_ms", lambda v: v - 1), PUBLISHED),
    ("published before completed", edit("outputs", START, "published_ts_ms", lambda v: v - 1), PUBLISHED),
    ("published without a time", edit("outputs", START, "published_ts_ms", None), PUBLISHED),
    ("output with a wrong run_id", edit("outputs", DONE, "run_id", "f" * 64), "run_id"),
    ("output with a wrong schema", edit("outputs", DONE, "schema_version", "2"), "schema"),
    ("output with a wrong cut_end", edit("outputs", DONE, "cut_end_ingest_seq", lambda v: v + 1), "cut_end_ingest_seq"),
    ("output with a wrong cut_kind", edit("outputs", DONE, "cut_kind", "timer"), "cut_kind"),
    ("output with a field too many", edit("outputs", DONE, "other", 1), "other"),
    ("output with a wrong count", edit("outputs", START, "counts_by_event_type", {"TradeTick": 77}), "counts_by_event"),
    ("output without counts", edit("outputs", START, "counts_by_event_type", None), "counts_by_event_type"),
    ("attempt 0", edit("outputs", START, "attempt", 0), "attempt"),
    ("attempt above max_attempts", edit("outputs", DONE, "attempt", 2), "attempt"),
    ("attempt that is true", edit("outputs", DONE, "attempt", True), "attempt"),
    ("Completed dropped", drop("outputs", DONE), "event_type"),
    ("Started dropped", drop("outputs", START, 7), "event_type"),
    ("Started behind its outcome", move("outputs", START, 1), "event_type"),
    ("Failed twice", failed_twice, "outputs"),
    ("Completed, then Failed", second_outcome, "outputs"),
    ("an outcome published again later", repeat("outputs", DONE), "outputs"),
    ("runs published out of order", late_outcome, "run_id"),
    ("payload on Started", edit("outputs", START, "payload", {}), "payload"),
    ("wrong error_kind", edit("outputs", FAILED, "payload", {"error_kind": "engine_output_invalid"}), "payload"),
    ("wrong error_detail", edit("outputs", FAILED, "payload", lambda v: {**v, "error_detail": "other"}), "payload"),
    ("wrong regime", edit("outputs", DONE, "payload", regime(regime="X")), "payload"),
    ("wrong confidence", edit("outputs", DONE, "payload", regime(confidence=0.5)), "payload"),
    ("wrong permissions", edit("outputs", DONE, "payload", regime(permissions=[])), "payload"),
    ("the earlier of two snapshots used", other_snapshot, "payload"),
    ("snapshot timestamp is a float", float_timestamp, "event_type"),
    ("receipt dropped", lambda d: d["inputs"].pop(5), "ingest_seq"),
    ("receipts dropped at the end", lambda d: d["inputs"].__delitem__(slice(-9, None)), "cut_end_ingest_seq"),
    ("ingest_seq repeated", edit("inputs", {"ingest_seq": 6}, "ingest_seq", 5), "ingest_seq"),
    ("ingest_ts_ns goes back", edit("inputs", {"ingest_seq": 6}, "ingest_ts_ns", 1), "ingest_ts_ns"),
    ("ingest_ts_ms is not the floor", edit("inputs", {"ingest_seq": 6}, "ingest_ts_ms", lambda v: v + 1), "ts_ms"),
    ("receipt one ns after planned", boundary_receipt, "cut_end_ingest_seq"),
    ("receipt of another type", lambda d: d["inputs"][0]["event"].update(event_type="Other"), "counts_by_event_type"),
    ("receipt without a valid envelope", lambda d: d["inputs"][0]["event"].pop("raw_payload"), "cut_start_ingest_seq"),
    ("a tick missing at the end", lambda d: d["inputs"].append(later_receipt(d)), "planned_ts_ms"),
    ("a state in truth mode", lambda d: d["states"].append({"run_id": "0" * 64, "state": ""}), "states 1"),
]
HYSTERESIS_CORRUPTIONS = [
    ("decision dropped", drop("outputs", {"event_type": "HysteresisDecisionPublished"}), "event_type"),
    ("wrong candidate_count", stated(candidate_count=9), "payload"),
    ("wrong candidate_regime", stated(candidate_regime="X"), "payload"),
    ("wrong effective_confidence", stated(effective_confidence=0.123), "payload"),
    ("flipped that is not", stated(flipped=True), "payload"),
    ("flipped that is 0 for false", stated(flipped=0), "payload"),
    ("transition_active that is not", stated(transition_active=False), "payload"),
    ("state missing", drop("states", {}), "states 1: run_id"),
    ("state twice", repeat("states", {}), "states"),
    ("state of another symbol", edit("states", {}, "symbol", "X"), "symbol"),
    ("state of another engine", edit("states", {}, "engine_digest", "d2"), "engine_digest"),
]


def with_symbols(cases, **settings):
    dump = copy.deepcopy(cases[CASES[0]])
    for config in (dump["runs"][0], dump["config"]):
        config["symbols"].update(settings)
    return dump


def variations(cases):
    """Whole situations, (what, dump, options, exit code): some break no rule and must pass."""
    live = ["--live"]
    dump = copy.deepcopy(cases[CASES[0]])
    dump["inputs"].append(later_receipt(dump))
    yield "a process that stopped before the next tick", dump, live, 0
    dump = copy.deepcopy(cases[CASES[0]])
    i = of(dump["outputs"], event_type="EngineRunCompleted")
    failure = {"error_kind": "engine_timeout", "error_detail": "3 s"}
    dump["outputs"][i].update(event_type="EngineRunFailed", payload=failure)
    record = dump["records"][of(dump["records"], run_id=dump["outputs"][i]["run_id"])]
    record.update(status="failed", **failure)
    yield "an engine_timeout is taken as recorded", dump, [], 0
    dump = copy.deepcopy(cases[CASES[0]])
    dump["runs"].insert(of(dump["runs"], 9, frame="tick"), dump["runs"][0])
    dump["runs"].insert(of(dump["runs"], 4, frame="tick"), {"frame": "clock_step", "step_ms": 7})
    first = dump["records"][-1]["planned_ts_ms"] + 180000
    dump["runs"].append({"frame": "ticks_skipped", "from_planned_ts_ms": first, "to_planned_ts_ms": first + 360000,
                         "count": 3})
    yield "a restart, a clock step and skipped ticks", dump, [], 0
    dump = copy.deepcopy(dump)
    dump["runs"][-1]["count"] = 4
    yield "skipped ticks miscounted", dump, [], 1
    dump = copy.deepcopy(dump)
    dump["runs"][-1].update(from_planned_ts_ms=first + 180000, count=2)
    yield "a tick neither run nor skipped", dump, [], 1
    yield "symbols.max 1 and three symbols run", with_symbols(cases, max=1), [], 1
    yield "one symbol listed and three run", with_symbols(cases, mode="list", list=["BTCUSDT"]), [], 1
    yield "all symbols listed", with_symbols(cases, mode="list", list=["SOLUSDT", "ETHUSDT", "BTCUSDT"]), [], 0


def vectors(folder):
    """The run ids and ticks that were recorded as vectors, against the checker's own functions."""
    for row in read(folder / "run_ids.jsonl"):
        made = run_id_of(row["symbol"], row["engine_timestamp_ms"], row["cut_end_ingest_seq"], row["engine_mode"])
        if made != row["run_id"]:
            yield f"run_ids.jsonl: {row}: made {made}"
    for row in read(folder / "scheduler_ticks.jsonl"):
        mode = row["config"]["mode"]
        interval = row["config"][f"{mode}_interval_ms"]
        cadence = {"mode": mode, "interval_ms": interval, "delay_ms": row["config"]["boundary_delay_ms"]}
        first = first_planned(cadence, row["first_now_ms"])
        made = [first + i * interval for i in range(len(row["ticks"]))]
        if made != row["ticks"]:
            yield f"scheduler_ticks.jsonl: {row}: made {made}"


def main():
    root = pathlib.Path(os.environ.get("CUTLINE_SHARED", HERE.parents[2] / "shared")) / "golden"
    if not root.is_dir():
        print(f"selftest: skipped: no golden cases in {root}; name the folder above them in CUTLINE_SHARED")
        return 77
    cases, trials = {name: dump_form(root / name) for name in CASES}, []
    for name, dump in cases.items():
        trials.append((name, dump, [], 0, "check: no differences"))
        for what, corrupt, word in HYSTERESIS_CORRUPTIONS if "hysteresis" in name else CORRUPTIONS:
            broken = copy.deepcopy(dump)
            corrupt(broken)
            trials.append((what, broken, [], 1, word))
    trials += [(*trial, "check: ") for trial in variations(cases)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda trial: check(trial[1], *trial[2]), trials))
    faults = list(vectors(root / "v1_unit_vectors"))
    for (what, _, _, wanted, word), (code, text) in zip(trials, results):
        if code != wanted or word not in text or "Traceback" in text:
            faults.append(f"{what}: exit {code}, wanted {wanted} and {word!r} in:\n{text}")
    lies = sum(code for _, _, _, code, _ in trials)
    print("\n".join(faults) or f"selftest: ok: {len(trials) - lies} good dumps pass, {lies} lies are found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
