#!/usr/bin/env python3
"""Runs envelope_cases.jsonl through a second implementation of CONTRACTS section 1, written from the contract, with nothing but
Python's standard library. Exit code 1 on any difference.

    python3 tests/vectors/check_envelope_cases.py [FOLDER_WITH_GOLDEN_CASES]

For an accepted case it compares the fields, for a refused one kind and detail (of a decode_error the kind alone: where exactly a
text stops being JSON is the scanner's own wording). With a folder, every line of */raw_market_events.jsonl must be accepted, and be
in canonical form already (the Rust tests rely on that).
"""

import base64
import json
import pathlib
import sys

sys.set_int_max_str_digits(0)
HERE = pathlib.Path(__file__).parent
TYPES = ("TradeTick LiquidationPrint BookTop BookDelta Candle FundingRate OpenInterest MarkPrice IndexPrice SnapshotInputs DecodeFailure").split()
UNKNOWN = 0xFFFF
NAME_MAX_BYTES = 1024
DEPTH_MAX = 64


class Refused(Exception):
    def __init__(self, kind, detail):
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def no_lone_surrogates(value):
    """Sees every string, also those in members that a later duplicate hides."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for item in value:
            no_lone_surrogates(item)


def pairs_to_dict(pairs):
    for key, value in pairs:
        no_lone_surrogates(key)
        no_lone_surrogates(value)
    return dict(pairs)


def depth(text):
    deepest = level = 0
    in_string = False
    at = 0
    while at < len(text):
        char = text[at]
        if in_string:
            if char == "\\":
                at += 1
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
        at += 1
    return deepest


def parse(line):
    try:
        text = line.decode("utf-8", "strict")
        # Counting brackets first spares most lines the walk.
        if text.count("[") + text.count("{") > DEPTH_MAX and depth(text) > DEPTH_MAX:
            raise ValueError("too deep")
        # json.loads itself refuses a BOM and an empty text. Only an escape can make a lone surrogate.
        hook = pairs_to_dict if "\\u" in text else None
        value = json.loads(text, object_pairs_hook=hook, parse_constant=no_constant)
        no_lone_surrogates(value)
        return value
    except (ValueError, RecursionError) as error:
        raise Refused("decode_error", str(error)) from error


def required(event, field):
    if field not in event:
        raise Refused("missing_required_field", f"missing {field}")
    return event[field]


def literal(event, field, expected):
    if required(event, field) != expected:
        raise Refused("schema_mismatch", f"{field} is not {expected}")


def name(event, field):
    value = required(event, field)
    if not isinstance(value, str):
        raise Refused("parse_error", f"{field} is not a string")
    if value == "":
        raise Refused("missing_required_field", f"{field} is empty")
    if len(value.encode()) > NAME_MAX_BYTES:
        raise Refused("schema_mismatch", f"{field} is longer than {NAME_MAX_BYTES} bytes")
    return value


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def in_i64(value):
    return -(2**63) <= value < 2**63


def integer(field, value, wording):
    if not is_int(value):
        raise Refused("parse_error", f"{field} is {wording}")
    if not in_i64(value):
        raise Refused("parse_error", f"{field} is outside the range of a signed 64-bit integer")
    return value


def integer_or_null(field, value):
    return None if value is None else integer(field, value, "neither an integer nor null")


def scan(line):
    """The fields of a line that is a v1 envelope."""
    return envelope(parse(line))


def envelope(event):
    """The same of a line that was parsed before; the oracle reads dumps with it."""
    if not isinstance(event, dict):
        raise Refused("schema_mismatch", "the line is not an object")
    literal(event, "schema", "raw_market_event")
    literal(event, "schema_version", "1")
    event_type = name(event, "event_type")
    source_id = name(event, "source_id")
    symbol = name(event, "symbol")
    exchange_ts_ms = integer_or_null("exchange_ts_ms", required(event, "exchange_ts_ms"))
    recv_ts_ms = integer("recv_ts_ms", required(event, "recv_ts_ms"), "not an integer")
    if not isinstance(required(event, "raw_payload"), str):
        raise Refused("parse_error", "raw_payload is not a string")
    if event.get("raw_payload_encoding") not in (None, "base64", "text"):
        raise Refused("parse_error", "raw_payload_encoding is neither base64 nor text")
    normalized = required(event, "normalized")
    if not isinstance(normalized, dict):
        raise Refused("parse_error", "normalized is not an object")
    for field in ("source_event_id", "channel", "payload_content_type", "payload_hash"):
        if not isinstance(event.get(field), (str, type(None))):
            raise Refused("parse_error", f"{field} is neither a string nor null")
    integer_or_null("source_seq", event.get("source_seq"))

    snapshot_ts_ms = error_kind = None
    if event_type == "SnapshotInputs":
        value = normalized.get("timestamp_ms")
        snapshot_ts_ms = value if is_int(value) and in_i64(value) else None
    if event_type == "DecodeFailure":
        value = normalized.get("error_kind")
        error_kind = value if isinstance(value, str) and len(value.encode()) <= NAME_MAX_BYTES else None
    return {
        "symbol": symbol,
        "source_id": source_id,
        "event_type": event_type,
        "event_type_code": TYPES.index(event_type) + 1 if event_type in TYPES else UNKNOWN,
        "exchange_ts_ms": exchange_ts_ms,
        "recv_ts_ms": recv_ts_ms,
        "snapshot_ts_ms": snapshot_ts_ms,
        "error_kind": error_kind,
    }


def check(case):
    line = base64.b64decode(case["line_b64"], validate=True)
    expect = case["expect"]
    try:
        found = scan(line)
    except Refused as refused:
        if expect == "ok":
            return f"refused: {refused.kind}: {refused.detail}"
        if refused.kind != expect["kind"]:
            return f"kind {refused.kind}: {refused.detail}"
        if refused.kind != "decode_error" and refused.detail != expect["detail"]:
            return f"detail {refused.detail!r}"
        return None
    if expect != "ok":
        return "accepted"
    for field, value in case.get("fields", {}).items():
        if found[field] != value:
            return f"{field} = {found[field]!r}, expected {value!r}"
    return None


def check_golden(folder):
    for file in sorted(folder.glob("*/raw_market_events.jsonl")):
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                scan(line)
            except Refused as refused:
                yield f"{file}:{number}: {refused}"
                continue
            canonical = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
            if canonical.encode() != line:
                yield f"{file}:{number}: not canonical"


def main():
    lines = (HERE / "envelope_cases.jsonl").read_text(encoding="utf-8").splitlines()
    differences = []
    for case in map(json.loads, lines):
        difference = check(case)
        if difference:
            differences.append(f"{case['name']}: {difference}")
    if len(sys.argv) > 1:
        differences.extend(check_golden(pathlib.Path(sys.argv[1])))
    for difference in differences:
        print(difference, file=sys.stderr)
    print(f"{len(lines)} cases, {len(differences)} differences")
    return 1 if differences or len(lines) < 60 else 0


if __name__ == "__main__":
    sys.exit(main())
