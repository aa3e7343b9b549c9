#!/usr/bin/env python3
"""Compares the dumps of a backfill with a golden case, line by line and by parsed values; numbers numerically.

  golden_diff.py --golden DIR [--inputs F] [--runs F] [--outputs F]

F are what `cutline dump DIR inputs|runs|outputs` printed (frames of `dump runs --all` are passed over). Null and absent
mean the same. Masked, and checked by property instead, as golden/README.md says: planned <= started <= completed <=
published, and counts equal a naive recount. Exit 0 and one line, or 1 and the first 10 differences.
"""
import argparse
import collections
import pathlib
import sys

from lines import DIFFERENCES, differ, is_int, lines, same

FILES = {"inputs": "raw_input_buffer.jsonl", "runs": "engine_run_records.jsonl", "outputs": "orchestrator_events.jsonl"}
MASKED = {"inputs": {"ingest_ts_ns"}, "runs": {"started_ts_ms", "completed_ts_ms"},
          "outputs": {"published_ts_ms", "counts_by_event_type"}}


def compare(what, golden, made):
    """Differences by field, and a line too many or too few."""
    if len(golden) != len(made):
        differ(f"{what}: number of lines", len(golden), len(made))
    for number, (wanted, got) in enumerate(zip(golden, made), 1):
        for field in sorted((wanted.keys() | got.keys()) - MASKED[what]):
            if not same(wanted.get(field), got.get(field)):
                differ(f"{what} line {number}: {field}", wanted.get(field), got.get(field))


def check_times(runs, outputs):
    published = {}
    for number, record in enumerate(runs, 1):
        chain = [record.get(f) for f in ("planned_ts_ms", "started_ts_ms", "completed_ts_ms")]
        published[record.get("run_id")] = chain
        if not all(map(is_int, chain)) or chain != sorted(chain):
            differ(f"runs line {number}: planned <= started <= completed", "integers that never decrease", chain)
    for number, event in enumerate(outputs, 1):
        chain = published.get(event.get("run_id"), []) + [event.get("published_ts_ms")]
        if not all(map(is_int, chain)) or chain != sorted(chain):
            differ(f"outputs line {number}: planned <= started <= completed <= published", "integers that never decrease", chain)


def check_counts(inputs, outputs):
    for number, event in enumerate(outputs, 1):
        cut = inputs[event["cut_start_ingest_seq"] - 1:event["cut_end_ingest_seq"]]
        counts = dict(collections.Counter(r["event"]["event_type"] for r in cut if r["event"].get("symbol") == event["symbol"]))
        if not same(counts, event.get("counts_by_event_type") or {}):
            differ(f"outputs line {number}: counts_by_event_type", counts, event.get("counts_by_event_type"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", required=True, type=pathlib.Path)
    for what in FILES:
        parser.add_argument(f"--{what}")
    args = vars(parser.parse_args())
    made = {what: [v for _, v in lines(args[what]) if "frame" not in v] for what in FILES if args[what]}
    if not made:
        parser.error("nothing to compare: give --inputs, --runs or --outputs")
    golden = {what: [v for _, v in lines(args["golden"] / name)] for what, name in FILES.items()}
    for what, rows in made.items():
        compare(what, golden[what], rows)
    check_times(made.get("runs", []), made.get("outputs", []))
    if not DIFFERENCES:
        check_counts(golden["inputs"], made.get("outputs", []))
    for where, wanted, got in DIFFERENCES[:10]:
        print(f"{where}\n  golden {wanted!r}\n  made   {got!r}")
    sizes = ", ".join(f"{len(rows)} {what}" for what, rows in made.items())
    print(f"golden_diff: {args['golden'].name}: " + (f"{len(DIFFERENCES)} differences" if DIFFERENCES else f"ok: {sizes} are equal"))
    return 1 if DIFFERENCES else 0


if __name__ == "__main__":
    sys.exit(main())
