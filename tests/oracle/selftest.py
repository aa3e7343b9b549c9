#!/usr/bin/env python3
"""Self-test of check.py: the golden cases, brought into the form `cutline dump` prints, must pass; each corruption must fail.

A checker that never fails is worth nothing, so every corruption names the text that its report must contain.
Usage: selftest.py [GOLDEN_DIR], default tests/golden, then /work/shared/golden. Exit 77 (skipped) when neither is there.
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

from decisions import first_planned, run_id_of

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
        "scheduler": {"mode": "boundary", "interval_ms": cadence["boundary_interval_ms"], "delay_ms": cadence["boundary_delay_ms"]},
        "symbols": {"mode": "seen", "list": [], "max": 1024},
        "engine": {"use": "scripted", "mode": mode, "hysteresis": golden["hysteresis_config"], "retry": {"max_attempts": 1}},
    }
    runs, members, delay = [{"frame": "config", **config}], collections.defaultdict(list), cadence["boundary_delay_ms"]
    for record in records:
        members[record["planned_ts_ms"]].append(record)
    # The first tick comes before the first receipt: it has no runs and so no record.
    now, interval = golden["first_now_ms"], cadence["boundary_interval_ms"]
    first = next(p for p in range(now + 1, now + 1 + interval) if (p - delay) % interval == 0)
    for planned in range(first, records[-1]["planned_ts_ms"] + 1, interval):
        ended = sum(r["ingest_ts_ms"] <= planned for r in inputs)
        runs.append({"frame": "tick", "planned_ts_ms": planned, "engine_timestamp_ms": planned - delay,
                     "cut_end_ingest_seq": ended, "runs": len(members[planned]), "skipped": 0})
        for record in members[planned]:
            fields = ("run_id", "symbol", "engine_timestamp_ms", "engine_mode", "cut_kind", "cut_start_ingest_seq",
                      "cut_end_ingest_seq", "planned_ts_ms")
            runs.append({"frame": "started", **{f: record[f] for f in fields}})
    completed = {r["run_id"]: r["completed_ts_ms"] for r in records}
    states = []
    for event in outputs:
        # Naive on purpose: every receipt is looked at for every event.
        event["counts_by_event_type"] = dict(collections.Counter(
            r["event"]["event_type"] for r in inputs[event["cut_start_ingest_seq"] - 1:event["cut_end_ingest_seq"]]
            if r["event"]["symbol"] == event["symbol"]))
        event["published_ts_ms"] = completed[event["run_id"]]
        if event["event_type"] == "HysteresisDecisionPublished":
            states.append({**{f: event[f] for f in ("run_id", "symbol", "engine_timestamp_ms")}, "state": f"s{len(states)}"})
    return {"inputs": inputs, "runs": runs, "records": records, "outputs": outputs, "states": states,
            "config": {**copy.deepcopy(config), "first_now_ms": golden["first_now_ms"]}}


def check(dump, *options):
    """Runs check.py on a dump; returns (exit code, what it printed)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("inputs", "runs", "records", "outputs", "states"):
            text = "".join(json.dumps(v, sort_keys=True, separators=(",", ":")) + "\n" for v in dump[name])
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "config").write_text(json.dumps(dump["config"]), encoding="utf-8")
        command = [sys.executable, str(HERE / "check.py"), "--inputs", folder / "inputs", "--runs", folder / "runs", folder / "records",
                   "--outputs", folder / "outputs", "--states", folder / "states", "--config", folder / "config", *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


def of(rows, nth=0, **fields):
    """Index of the nth row that has these fields."""
    return [i for i, row in enumerate(rows) if all(row.get(k) == v for k, v in fields.items())][nth]


def edit(name, row, field, change, nth=0):
    """A corruption: one field of the nth row that has these fields is changed."""
    def apply(dump):
        target = dump[name][of(dump[name], nth, **row)]
        target[field] = change(target[field]) if callable(change) else change
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


DONE, FAILED, START = ({"event_type": f"EngineRun{kind}"} for kind in ("Completed", "Failed", "Started"))
CORRUPTIONS = [
    ("tick with a wrong cut_end", edit("runs", {"frame": "tick"}, "cut_end_ingest_seq", lambda v: v - 1, 1), "cut_end_ingest_seq"),
    ("tick with a wrong number of runs", edit("runs", {"frame": "tick"}, "runs", 99, 1), ": runs"),
    ("tick with a wrong number skipped", edit("runs", {"frame": "tick"}, "skipped", 1, 1), ": skipped"),
    ("tick with a wrong engine timestamp", edit("runs", {"frame": "tick"}, "engine_timestamp_ms", lambda v: v + 1, 1), "engine_timestamp_ms"),
    ("tick off the lattice", edit("runs", {"frame": "tick"}, "planned_ts_ms", lambda v: v + 1, 1), "multiple of 180000"),
    ("tick missing", lambda d: d["runs"].pop(of(d["runs"], 1, frame="tick")), "planned_ts_ms"),
    ("started frame with a wrong run_id", edit("runs", {"frame": "started"}, "run_id", "0" * 64), "(started): run_id"),
    ("started frames out of order", move("runs", {"frame": "started"}, 1), "started frames"),
    ("started frame missing", drop("runs", {"frame": "started"}), "started frames"),
    ("started frame twice without a restart", repeat("runs", {"frame": "started"}), "once"),
    ("started frame with a wrong cut_start", edit("runs", {"frame": "started"}, "cut_start_ingest_seq", 1000), "cut_start_ingest_seq"),
    ("config frame that differs", lambda d: d["config"]["scheduler"].update(delay_ms=5), "scheduler.delay_ms"),
    ("record with a wrong status", edit("records", {"status": "completed"}, "status", "failed"), "status"),
    ("record with a wrong error_kind", edit("records", {"status": "failed"}, "error_kind", "engine_timeout"), "error_kind"),
    ("record with other attempts", edit("records", {}, "attempts", 2), "attempts"),
    ("record missing", drop("records", {}), "run records"),
    ("started before planned", edit("records", {}, "started_ts_ms", lambda v: v - 1), "planned, started, completed, published"),
    ("published before completed", edit("outputs", START, "published_ts_ms", lambda v: v - 1), "planned, started, completed, published"),
    ("output with a wrong run_id", edit("outputs", DONE, "run_id", "f" * 64), "run_id"),
    ("output with a wrong schema", edit("outputs", DONE, "schema_version", "2"), "schema"),
    ("output with a wrong cut_end", edit("outputs", DONE, "cut_end_ingest_seq", lambda v: v + 1), "cut_end_ingest_seq"),
    ("output with a wrong cut_kind", edit("outputs", DONE, "cut_kind", "timer"), "cut_kind"),
    ("output with a wrong count", edit("outputs", START, "counts_by_event_type", lambda v: {**v, "TradeTick": 77}), "counts_by_event_type"),
    ("output without counts", edit("outputs", START, "counts_by_event_type", None), "counts_by_event_type"),
    ("attempt 0", edit("outputs", START, "attempt", 0), "attempt"),
    ("attempt above max_attempts", edit("outputs", DONE, "attempt", 2), "attempt"),
    ("Completed dropped", drop("outputs", DONE), "events"),
    ("Started dropped", drop("outputs", START, 7), "events"),
    ("Started behind its outcome", move("outputs", START, 1), "events"),
    ("Failed twice", lambda d: d["outputs"].insert(of(d["outputs"], **FAILED), dict(d["outputs"][of(d["outputs"], **FAILED)])), "events"),
    ("Completed, then Failed", second_outcome, "events"),
    ("an outcome published again later", repeat("outputs", DONE), "together, once"),
    ("runs published out of order", late_outcome, "order of runs"),
    ("engine_timestamp decreases within a symbol", late_outcome, "engine_timestamp_ms"),
    ("payload on Started", edit("outputs", START, "payload", {}), "EngineRunStarted: payload"),
    ("wrong error_kind", edit("outputs", FAILED, "payload", {"error_kind": "engine_output_invalid", "error_detail": "x"}), "payload"),
    ("wrong error_detail", edit("outputs", FAILED, "payload", lambda v: {**v, "error_detail": "other"}), "payload"),
    ("wrong regime", edit("outputs", DONE, "payload", lambda v: {"regime_output": {**v["regime_output"], "regime": "X"}}), "payload"),
    ("wrong confidence", edit("outputs", DONE, "payload", lambda v: {"regime_output": {**v["regime_output"], "confidence": 0.5}}), "payload"),
    ("the earlier of two snapshots used", other_snapshot, "payload"),
    ("snapshot timestamp is a float", float_timestamp, "events"),
    ("receipt dropped", lambda d: d["inputs"].pop(5), "ingest_seq"),
    ("ingest_seq repeated", edit("inputs", {"ingest_seq": 6}, "ingest_seq", 5), "ingest_seq"),
    ("ingest_ts_ns goes back", edit("inputs", {"ingest_seq": 6}, "ingest_ts_ns", 1), "ingest_ts_ns"),
    ("ingest_ts_ms is not the floor", edit("inputs", {"ingest_seq": 6}, "ingest_ts_ms", lambda v: v + 1), "ingest_ts_ms"),
    ("receipt one ns after planned", boundary_receipt, "cut_end_ingest_seq"),
    ("receipt of another type", lambda d: d["inputs"][0]["event"].update(event_type="Other"), "counts_by_event_type"),
    ("receipt without a valid envelope", lambda d: d["inputs"][0]["event"].pop("raw_payload"), "cut_start_ingest_seq"),
]
HYSTERESIS_CORRUPTIONS = [
    ("decision dropped", drop("outputs", {"event_type": "HysteresisDecisionPublished"}), "events"),
    ("wrong candidate_count", stated(candidate_count=9), "HysteresisDecisionPublished: payload"),
    ("wrong candidate_regime", stated(candidate_regime="X"), "HysteresisDecisionPublished: payload"),
    ("wrong effective_confidence", stated(effective_confidence=0.123), "HysteresisDecisionPublished: payload"),
    ("flipped that is not", stated(flipped=True), "HysteresisDecisionPublished: payload"),
    ("transition_active that is not", stated(transition_active=False), "HysteresisDecisionPublished: payload"),
    ("state missing", drop("states", {}), "one state"),
    ("state twice", repeat("states", {}), "states line"),
    ("state of another symbol", edit("states", {}, "symbol", "X"), "symbol"),
]


def with_symbols(cases, **settings):
    dump = copy.deepcopy(cases[CASES[0]])
    for config in (dump["runs"][0], dump["config"]):
        config["symbols"].update(settings)
    return dump


def variations(cases):
    """Whole situations, (what, dump, options, exit code): some break no rule and must pass."""
    dump = copy.deepcopy(cases[CASES[0]])
    last = dump["outputs"][-1]["run_id"]
    dump["outputs"] = [e for e in dump["outputs"] if e["run_id"] != last]
    dump["records"][-1].update(status="started", completed_ts_ms=None, error_kind=None, error_detail=None)
    yield "an open run with --allow-open", dump, ["--allow-open"], 0
    yield "an open run without it", dump, [], 1
    dump = copy.deepcopy(cases[CASES[0]])
    i, j = (of(dump["outputs"], n, event_type="EngineRunStarted") for n in (0, 1))
    k = of(dump["outputs"], 2, event_type="EngineRunStarted")
    dump["outputs"][i:k] = dump["outputs"][j:k] + dump["outputs"][i:j]
    yield "two symbols swapped under publish.order run", dump, [], 1
    dump = {**dump, "config": {**dump["config"], "publish": {"order": "symbol"}}}
    yield "two symbols swapped under publish.order symbol", dump, [], 0
    dump = copy.deepcopy(cases[CASES[0]])
    i = of(dump["outputs"], event_type="EngineRunCompleted")
    dump["outputs"][i].update(event_type="EngineRunFailed", payload={"error_kind": "engine_timeout", "error_detail": "3 s"})
    record = dump["records"][of(dump["records"], run_id=dump["outputs"][i]["run_id"])]
    record.update(status="failed", error_kind="engine_timeout", error_detail="3 s")
    yield "an engine_timeout is taken as recorded", dump, [], 0
    dump = copy.deepcopy(cases[CASES[0]])
    dump["runs"].insert(of(dump["runs"], 9, frame="tick"), dump["runs"][0])
    dump["runs"].insert(of(dump["runs"], 4, frame="started"), {"frame": "clock_step", "step_ms": 7})
    last = dump["records"][-1]["planned_ts_ms"]
    dump["runs"].append({"frame": "ticks_skipped", "from_planned_ts_ms": last + 180000, "to_planned_ts_ms": last + 540000, "count": 3})
    yield "a restart, a clock step and skipped ticks", dump, [], 0
    dump = copy.deepcopy(dump)
    dump["runs"][-1]["count"] = 4
    yield "skipped ticks miscounted", dump, [], 1
    dump = copy.deepcopy(dump)
    dump["runs"][-1].update(from_planned_ts_ms=last + 360000, count=2)
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
        first = first_planned({"mode": mode, "interval_ms": interval, "delay_ms": row["config"]["boundary_delay_ms"]}, row["first_now_ms"])
        made = [first + i * interval for i in range(len(row["ticks"]))]
        if made != row["ticks"]:
            yield f"scheduler_ticks.jsonl: {row}: made {made}"


def main():
    roots = [pathlib.Path(a) for a in sys.argv[1:]] or [HERE.parent / "golden", pathlib.Path("/work/shared/golden")]
    root = next((r for r in roots if (r / CASES[0]).is_dir()), None)
    if root is None:
        print(f"selftest: skipped: no golden cases in {', '.join(map(str, roots))}")
        return 77
    cases, trials = {name: dump_form(root / name) for name in CASES}, []
    for name, dump in cases.items():
        trials.append((name, dump, [], 0, "check: ok"))
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
    print("\n".join(faults) if faults else f"selftest: ok: {len(cases)} cases pass, {sum(t[3] for t in trials)} corruptions are found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
