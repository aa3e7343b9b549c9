#!/usr/bin/env python3
"""Suites that hold what the binary makes against the independent checker: ci.py golden|generated [SEED...]|demo|capture

Each makes logs with the release binary, verifies and dumps them, runs check.py over the dumps and compares the inputs
with the file they came from, line by line. Exit 77 (skipped) where the recorded cases or the capture are absent.
"""
import base64
import collections
import contextlib
import gzip
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "vectors"))
from check_envelope_cases import Refused, envelope, parse

CUTLINE = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "cutline"
SHARED = pathlib.Path(os.environ.get("CUTLINE_SHARED", ROOT.parent / "shared"))
GOLDEN_FILES = {"inputs": "raw_input_buffer", "runs": "engine_run_records", "outputs": "orchestrator_events"}
CADENCES = (dict(mode="boundary", interval_ms=500, delay_ms=100), dict(mode="timer", interval_ms=250))
MASKED = ("published_ts_ms", "counts_by_event_type", "started_ts_ms", "completed_ts_ms", "ingest_ts_ns")


def cutline(*args, to=None):
    with open(to, "wb") if to else contextlib.nullcontext() as file:
        subprocess.run([CUTLINE, *map(str, args)], stdout=file, check=True)


def backfill(folder, sections, *captures):
    """Backfills the captures one after another into folder/data; `sections` are those of the config."""
    text = f"[log]\nlive_dir = {json.dumps(str(folder / 'live'))}\n"
    for name, section in sections.items():
        plain = {key: value for key, value in section.items() if not isinstance(value, dict)}
        tables = {f"{name}.{key}": value for key, value in section.items() if isinstance(value, dict)}
        for title, table in {name: plain, **tables}.items():
            text += f"[{title}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    (folder / "cutline.toml").write_text(text, encoding="utf-8")
    for number, capture in enumerate(captures):
        more = ["--append"] if number else []
        cutline("backfill", "--config", folder / "cutline.toml", "--input", capture, "--data", folder / "data", *more)


def check(folder, *options, sections=()):
    """Replay, then the checker over the dumps of folder/data, which stay in the folder."""
    cutline("verify", folder / "data", "--strict")
    for name in ("inputs", "runs", "outputs", "states"):
        cutline("dump", folder / "data", name, to=folder / name)
    cutline("dump", folder / "data", "runs", "--all", to=folder / "frames")
    (folder / "sections").write_text(json.dumps(dict(sections)), encoding="utf-8")
    command = [sys.executable, HERE / "check.py", "--runs", folder / "frames", folder / "runs", *options]
    for name, file in {"inputs": "inputs", "outputs": "outputs", "states": "states", "config": "sections"}.items():
        command += [f"--{name}", folder / file]
    subprocess.run(command, check=True)


def check_inputs(folder, capture, times=True):
    """Every line of the capture is an input, whole and in its place; `times`: stamped with the latest receipt time."""
    with (gzip.open if capture.suffix == ".gz" else open)(capture, "rb") as file:
        lines = file.read().removesuffix(b"\n").split(b"\n")
    kept = (folder / "inputs").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(kept), f"{len(lines)} lines in {capture}, {len(kept)} inputs"
    newest = 0
    for number, (line, record) in enumerate(zip(lines, map(json.loads, kept)), 1):
        line, event = line.removesuffix(b"\r"), record["event"]
        try:
            received = parse(line)
            newest = max(newest, envelope(received)["recv_ts_ms"])
            same = received == event
        except Refused as refused:
            same = (event["event_type"] == "DecodeFailure" and event["symbol"] is None
                    and event["normalized"]["error_kind"] == refused.kind
                    and base64.b64decode(event["raw_payload"]) == line)
        assert same, f"input {number} is not what was received: {line[:200]}\n{event}"
        stamped = record["ingest_ts_ms"]
        assert not times or not newest or stamped == newest, f"input {number}: ingest_ts_ms {stamped}, not {newest}"


def compare_golden(folder, case):
    """The dumps against the recorded files, by parsed values; null and absent mean the same."""
    def rows(path):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield {k: v for k, v in json.loads(line).items() if k not in MASKED and v is not None}

    for dump, name in GOLDEN_FILES.items():
        made, recorded = list(rows(folder / dump)), list(rows(case / f"{name}.jsonl"))
        for number, pair in enumerate(zip(made, recorded), 1):
            assert pair[0] == pair[1], f"{case.name} {dump} {number}:\n made     {pair[0]}\n recorded {pair[1]}"
        assert len(made) == len(recorded), f"{case.name} {dump}: {len(made)} lines, recorded {len(recorded)}"


def golden(folder, _):
    cases = sorted((SHARED / "golden").glob("v1_boundary_*"))
    for case in cases:
        recorded = json.loads((case / "config.json").read_text(encoding="utf-8"))
        cadence, place = recorded["scheduler"], folder / case.name
        place.mkdir()
        sections = {"scheduler": {"mode": "boundary", "interval_ms": cadence["boundary_interval_ms"],
                                  "delay_ms": cadence["boundary_delay_ms"]},
                    "engine": {"use": "scripted", "mode": recorded["engine_mode"],
                               "hysteresis": recorded["hysteresis_config"] or {}}}
        backfill(place, sections, case / "raw_market_events.jsonl")
        check(place, "--backfill", sections=sections)
        check_inputs(place, case / "raw_market_events.jsonl")
        compare_golden(place, case)
    return bool(cases)


def generated(folder, seeds):
    """Hostile lines, both engine modes, both cadences, and a capture that is continued."""
    feed, halves = folder / "feed.ndjson", [folder / "first", folder / "second"]
    for seed in seeds or [1]:
        start = ["--start-ms", 1767225600000, "--rate", 2000, "--count", 8000]
        cutline("generate", "--to", feed, "--seed", seed, "--hostile", 30, *start)
        lines = feed.read_bytes().splitlines(keepends=True)
        halves[0].write_bytes(b"".join(lines[:3000]))
        halves[1].write_bytes(b"".join(lines[3000:]))
        for mode, cadence, captures in itertools.product(("truth", "hysteresis"), CADENCES, ([feed], halves)):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                place, engine = pathlib.Path(place), {"use": "scripted", "mode": mode}
                sections = {"scheduler": cadence, "engine": engine}
                backfill(place, sections, *captures)
                check(place, "--backfill", sections=sections)
                check_inputs(place, feed, times=captures == [feed])
    return True


def demo(folder, _):
    cutline("demo", "--seconds", 4, "--data", folder / "data")
    check(folder)
    return True


def capture(folder, _):
    """345 s of a real market. What its engine says cannot be recomputed here; all the rest can."""
    file = SHARED / "data" / "binance_20240808.jsonl.gz"
    if not file.is_file():
        return False
    sections = {"scheduler": {"mode": "boundary", "interval_ms": 10000, "delay_ms": 100},
                "engine": {"use": "regime-example"}}
    backfill(folder, sections, file)
    check(folder, "--backfill", sections=sections)
    check_inputs(folder, file)
    records = [json.loads(line) for line in (folder / "runs").read_text(encoding="utf-8").splitlines()]
    outcomes = collections.Counter(record["error_kind"] or record["status"] for record in records)
    assert outcomes == {"completed": 136, "missing_snapshot_inputs": 4}, f"data/README.md says otherwise: {outcomes}"
    return True


def main():
    suites = {suite.__name__: suite for suite in (golden, generated, demo, capture)}
    if len(sys.argv) < 2 or sys.argv[1] not in suites:
        sys.exit(f"usage: ci.py {'|'.join(suites)}")
    if not CUTLINE.is_file():
        sys.exit(f"ci.py: no {CUTLINE}; first run `cargo build --release`")
    with tempfile.TemporaryDirectory() as folder:
        if not suites[sys.argv[1]](pathlib.Path(folder), sys.argv[2:]):
            print(f"ci.py {sys.argv[1]}: skipped: nothing recorded in {SHARED}; CUTLINE_SHARED can name another folder")
            return 77
    print(f"ci.py {' '.join(sys.argv[1:])}: ok")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, subprocess.CalledProcessError) as fault:
        sys.exit(f"ci.py {' '.join(sys.argv[1:])}: {fault}")
