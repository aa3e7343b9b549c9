#!/usr/bin/env python3
"""Writes envelope_cases.jsonl: lines, and what CONTRACTS section 1 says of each. The expectations are stated here by hand.

    python3 tests/vectors/make_envelope_cases.py
    python3 tests/vectors/make_envelope_cases.py --check

One object a line: {"name", "line_b64", "expect"}, with expect "ok" or {"kind", "detail"}; an accepted case may add "fields", the
values that a reader must find. The detail of a decode_error is the Rust scanner's own, every other one is common.
"""

import base64
import json
import pathlib
import sys

FILE = pathlib.Path(__file__).with_name("envelope_cases.jsonl")

BASE = {
    "schema": '"raw_market_event"',
    "schema_version": '"1"',
    "event_type": '"TradeTick"',
    "source_id": '"binance"',
    "symbol": '"BTCUSDT"',
    "exchange_ts_ms": "1767225600000",
    "recv_ts_ms": "1767225600007",
    "raw_payload": '"{\\"p\\":1}"',
    "normalized": '{"price":1.5,"quantity":2,"side":"buy"}',
}
SNAPSHOT = {"event_type": '"SnapshotInputs"'}


def line(extra="", without=(), **fields):
    members = {**BASE, **fields}
    text = ",".join(f'"{key}":{value}' for key, value in members.items() if key not in without)
    return ("{" + text + extra + "}").encode("utf-8", "surrogatepass")


CASES = []


def ok(name, data, **fields):
    case = {"name": name, "line_b64": base64.b64encode(data).decode(), "expect": "ok"}
    if fields:
        case["fields"] = fields
    CASES.append(case)


def bad(name, data, kind, detail):
    CASES.append({"name": name, "line_b64": base64.b64encode(data).decode(), "expect": {"kind": kind, "detail": detail}})


def accepted():
    ok("minimal", line(), symbol="BTCUSDT", source_id="binance", event_type="TradeTick", event_type_code=1,
       exchange_ts_ms=1767225600000, recv_ts_ms=1767225600007, snapshot_ts_ms=None)  # fmt: skip
    ok("white space everywhere", b" {\t\"schema\" : " + line()[10:-1].replace(b'","', b'" , "') + b"\r\n} ")
    ok("unknown event type", line(event_type='"Auction"'), event_type="Auction", event_type_code=65535)
    ok("event type differs in case", line(event_type='"tradetick"'), event_type="tradetick", event_type_code=65535)
    ok("escaped event type", line(event_type='"Trade\\u0054ick"'), event_type="TradeTick", event_type_code=1)
    for code, name in enumerate(("TradeTick", "LiquidationPrint", "BookTop", "BookDelta", "Candle", "FundingRate", "OpenInterest",
                                 "MarkPrice", "IndexPrice", "SnapshotInputs", "DecodeFailure"), 1):  # fmt: skip
        ok(f"event type {name}", line(event_type=f'"{name}"'), event_type=name, event_type_code=code)
    ok("escaped names", line(symbol='"B\\u00e9\\ud83d\\ude00\\/"', source_id='"a\\"b\\\\"'), symbol="B\u00e9\U0001f600/", source_id='a"b\\')
    ok("names in UTF-8", line(symbol='"B\u00e9\U0001f600"'), symbol="B\u00e9\U0001f600")
    ok("name with a NUL escape", line(symbol='"a\\u0000b"'), symbol="a\0b")
    ok("escaped keys", line(without=("symbol",), extra=',"s\\u0079mbol":"X","sche\\u006da":"raw_market_event"'), symbol="X")
    ok("exchange_ts_ms null", line(exchange_ts_ms="null"), exchange_ts_ms=None)
    ok("exchange_ts_ms zero", line(exchange_ts_ms="0"), exchange_ts_ms=0)
    ok("negative zero", line(exchange_ts_ms="-0", recv_ts_ms="-0"), exchange_ts_ms=0, recv_ts_ms=0)
    ok("i64 limits", line(exchange_ts_ms="-9223372036854775808", recv_ts_ms="9223372036854775807"),
       exchange_ts_ms=-(2**63), recv_ts_ms=2**63 - 1)  # fmt: skip
    ok("encoding base64", line(raw_payload='"AAEC"', raw_payload_encoding='"base64"'))
    ok("encoding base64, not padded", line(raw_payload='"AAE"', raw_payload_encoding='"base64"'))
    ok("encoding base64, stray bits", line(raw_payload='"AAF="', raw_payload_encoding='"base64"'))
    ok("encoding base64, not base64", line(raw_payload='"\u00e9 !"', raw_payload_encoding='"base64"'))
    ok("encoding text", line(raw_payload_encoding='"text"'))
    ok("encoding text, escaped", line(raw_payload_encoding='"te\\u0078t"'))
    ok("encoding null", line(raw_payload_encoding="null"))
    ok("raw_payload empty", line(raw_payload='""'))
    ok("raw_payload empty, base64", line(raw_payload='""', raw_payload_encoding='"base64"'))
    ok("raw_payload with every escape", line(raw_payload='"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\ud83d\\ude00"'))
    ok("normalized empty", line(normalized="{}"))
    ok("normalized with strange content", line(normalized='{"price":"x","quantity":null,"more":[[]]}'))
    ok("optional fields", line(extra=',"source_event_id":"1","channel":"c","payload_content_type":"t","payload_hash":"h","source_seq":7'))
    ok("optional fields null", line(extra=',"source_event_id":null,"channel":null,"payload_content_type":null,"payload_hash":null,"source_seq":null'))
    ok("optional fields empty", line(extra=',"source_event_id":"","channel":""'))
    ok("unknown extra fields", line(extra=',"zz":{"a":[1.50,1e3,"\\u00e9"]},"":null,"zz2":[]'))
    ok("unknown extra fields twice", line(extra=',"zz":1,"zz":2,"channel":"a","channel":null'))
    ok("big number in an extra field", line(extra=',"zz":[123456789012345678901234567890,-0,-0.0,1E-400]'))
    ok("duplicate symbol, the last wins", line(extra=',"symbol":"ETHUSDT"'), symbol="ETHUSDT")
    ok("duplicate schema, the last wins", line(schema='"other"', extra=',"schema":"raw_market_event"'))
    ok("duplicate of another type, the last wins", line(recv_ts_ms='"x"', extra=',"recv_ts_ms":5'), recv_ts_ms=5)
    ok("duplicate normalized, the last wins", line(**SNAPSHOT, normalized='{"timestamp_ms":1}', extra=',"normalized":{"timestamp_ms":2}'), snapshot_ts_ms=2)
    ok("snapshot timestamp", line(**SNAPSHOT, normalized='{"timestamp_ms":1767225600000,"market":{"price":1}}'), snapshot_ts_ms=1767225600000)
    ok("snapshot timestamp twice, the last wins", line(**SNAPSHOT, normalized='{"timestamp_ms":1,"market":{"timestamp_ms":9},"timestamp_ms":2}'), snapshot_ts_ms=2)
    ok("snapshot timestamp twice, the last no integer", line(**SNAPSHOT, normalized='{"timestamp_ms":1,"timestamp_ms":2.0}'), snapshot_ts_ms=None)
    ok("snapshot timestamp, escaped key", line(**SNAPSHOT, normalized='{"timestamp\\u005fms":-3}'), snapshot_ts_ms=-3)
    ok("snapshot timestamp zero", line(**SNAPSHOT, normalized='{"timestamp_ms":-0}'), snapshot_ts_ms=0)
    for name, value in (("float", "1.0"), ("exponent", "1e3"), ("string", '"1"'), ("null", "null"), ("true", "true"), ("beyond i64", "9223372036854775808")):
        ok(f"snapshot timestamp {name}", line(**SNAPSHOT, normalized=f'{{"timestamp_ms":{value}}}'), snapshot_ts_ms=None)
    ok("snapshot without timestamp", line(**SNAPSHOT, normalized="{}"), snapshot_ts_ms=None)
    ok("timestamp_ms of another type", line(event_type='"Candle"', normalized='{"timestamp_ms":5}'), snapshot_ts_ms=None)
    ok("source's own error kind", line(event_type='"DecodeFailure"', normalized='{"error_kind":"checks\\u0075m","error_detail":"x"}'), error_kind="checksum")
    ok("error kind no string", line(event_type='"DecodeFailure"', normalized='{"error_kind":1}'), error_kind=None)
    ok("error kind of another type", line(normalized='{"error_kind":"x"}'), error_kind=None)
    ok("error kind too long", line(event_type='"DecodeFailure"', normalized='{"error_kind":"' + "k" * 1025 + '"}'), error_kind=None)
    ok("longest names", line(symbol='"' + "s" * 1024 + '"', source_id='"' + "\\u00e9" * 512 + '"', event_type='"' + "t" * 1024 + '"'),
       symbol="s" * 1024, source_id="\u00e9" * 512, event_type="t" * 1024)  # fmt: skip
    ok("depth 64 in normalized", line(normalized='{"a":' + "[" * 62 + "]" * 62 + "}"))
    ok("depth 64 in an extra field", line(extra=',"zz":' + "[" * 63 + "1" + "]" * 63))
    ok("brackets in strings are no depth", line(raw_payload='"' + "[{" * 100 + '\\""'))
    ok("DEL and U+2028 raw in strings", line(raw_payload='"\x7f\u2028"'))
    ok("noncharacters", line(raw_payload='"\uffff\U0010ffff\ufdd0"'))
    ok("BOM character inside a name", line(symbol='"\ufeffX"'), symbol="\ufeffX")


def not_json():
    bad("empty line", b"", "decode_error", "empty line at byte 0")
    bad("blank line", b"  ", "decode_error", "expected a value at byte 2")
    bad("BOM", b"\xef\xbb\xbf" + line(), "decode_error", "byte order mark at byte 0")
    bad("UTF-16", '{"a":1}'.encode("utf-16-le"), "decode_error", "expected a key at byte 1")
    bad("invalid UTF-8", b'{"a":"\xff"}', "decode_error", "invalid UTF-8 at byte 6")
    bad("overlong UTF-8", b'{"a":"\xc0\xaf"}', "decode_error", "invalid UTF-8 at byte 6")
    bad("UTF-8 surrogate", b'{"a":"\xed\xa0\x80"}', "decode_error", "invalid UTF-8 at byte 6")
    bad("truncated UTF-8", b'{"a":"\xe2\x82', "decode_error", "invalid UTF-8 at byte 6")
    bad("not JSON", b"hello", "decode_error", "expected a value at byte 0")
    bad("cut off", line()[:-1], "decode_error", f"expected ',' or '}}' at byte {len(line()) - 1}")
    bad("cut off in a string", b'{"schema":"raw', "decode_error", "string without end at byte 10")
    bad("two values", line() + b"{}", "decode_error", f"text after the value at byte {len(line())}")
    bad("NUL after the value", line() + b"\0", "decode_error", f"text after the value at byte {len(line())}")
    bad("NaN", b'{"a":NaN}', "decode_error", "expected a value at byte 5")
    bad("Infinity", b'{"a":Infinity}', "decode_error", "expected a value at byte 5")
    bad("minus Infinity", b'{"a":-Infinity}', "decode_error", "expected a digit at byte 6")
    bad("leading zero", b'{"recv_ts_ms":01}', "decode_error", "leading zero in a number at byte 15")
    bad("plus sign", b'{"recv_ts_ms":+1}', "decode_error", "expected a value at byte 14")
    bad("no digit before the point", b'{"a":.5}', "decode_error", "expected a value at byte 5")
    bad("no digit behind the point", b'{"a":5.}', "decode_error", "expected a digit at byte 7")
    bad("hexadecimal", b'{"a":0x10}', "decode_error", "expected ',' or '}' at byte 6")
    bad("trailing comma", b'{"a":1,}', "decode_error", "expected a key at byte 7")
    bad("trailing comma in an array", b'{"a":[1,]}', "decode_error", "expected a value at byte 8")
    bad("single quotes", b"{'a':1}", "decode_error", "expected a key at byte 1")
    bad("comment", b'{"a":1}//x', "decode_error", "text after the value at byte 7")
    bad("raw tab in a string", b'{"a":"x\ty"}', "decode_error", "control character in a string at byte 7")
    bad("raw line feed in a key", b'{"a\n":1}', "decode_error", "control character in a string at byte 3")
    bad("invalid escape", b'{"a":"\\x41"}', "decode_error", "invalid escape at byte 6")
    bad("short escape", b'{"a":"\\u12"}', "decode_error", "invalid escape at byte 6")
    bad("lone high surrogate", b'{"a":"\\ud800"}', "decode_error", "lone surrogate escape at byte 6")
    bad("lone low surrogate", b'{"a":"\\udc00"}', "decode_error", "lone surrogate escape at byte 6")
    bad("reversed surrogates", b'{"a":"\\ude00\\ud83d"}', "decode_error", "lone surrogate escape at byte 6")
    bad("lone surrogate in an overwritten duplicate", line(extra=',"zz":"\\ud800","zz":1'), "decode_error",
        f"lone surrogate escape at byte {len(line()) + 6}")  # fmt: skip
    bad("non-breaking space", b"{\xc2\xa0}", "decode_error", "expected a key at byte 1")
    bad("form feed", b"{\x0c}", "decode_error", "expected a key at byte 1")
    bad("depth 65 in normalized", line(normalized='{"a":' + "[" * 63 + "]" * 63 + "}"), "decode_error",
        f"nesting deeper than 64 at byte {line(normalized='@').index(b'@') + 5 + 62}")  # fmt: skip
    bad("depth 65 in an overwritten duplicate", line(extra=',"zz":' + "[" * 64 + "]" * 64 + ',"zz":1'), "decode_error",
        f"nesting deeper than 64 at byte {len(line()) - 1 + 6 + 63}")  # fmt: skip
    bad("decode_error before any other", line(schema='"x"', extra=',"a":tru'), "decode_error",
        f"expected a value at byte {len(line(schema=chr(34) + 'x' + chr(34))) - 1 + 5}")  # fmt: skip


def not_an_envelope():
    for name, data in (("array", b"[1]"), ("string", b'"x"'), ("number", b" 5 "), ("null", b"null")):
        bad(f"top level {name}", data, "schema_mismatch", "the line is not an object")
    bad("empty object", b"{}", "missing_required_field", "missing schema")
    for field in BASE:
        bad(f"missing {field}", line(without=(field,)), "missing_required_field", f"missing {field}")
    bad("other schema", line(schema='"orchestrator_event"'), "schema_mismatch", "schema is not raw_market_event")
    bad("schema null", line(schema="null"), "schema_mismatch", "schema is not raw_market_event")
    bad("other version", line(schema_version='"2"'), "schema_mismatch", "schema_version is not 1")
    bad("version a number", line(schema_version="1"), "schema_mismatch", "schema_version is not 1")
    for field in ("event_type", "source_id", "symbol"):
        bad(f"{field} empty", line(**{field: '""'}), "missing_required_field", f"{field} is empty")
        bad(f"{field} null", line(**{field: "null"}), "parse_error", f"{field} is not a string")
        bad(f"{field} a number", line(**{field: "1"}), "parse_error", f"{field} is not a string")
        bad(f"{field} too long", line(**{field: '"' + "x" * 1025 + '"'}), "schema_mismatch", f"{field} is longer than 1024 bytes")
        bad(f"{field} too long in bytes", line(**{field: '"' + "\\u00e9" * 513 + '"'}), "schema_mismatch", f"{field} is longer than 1024 bytes")
    for name, value in (("float", "1.0"), ("exponent", "1e3"), ("string", '"1"'), ("true", "true"), ("array", "[1]")):
        bad(f"recv_ts_ms {name}", line(recv_ts_ms=value), "parse_error", "recv_ts_ms is not an integer")
        bad(f"exchange_ts_ms {name}", line(exchange_ts_ms=value), "parse_error", "exchange_ts_ms is neither an integer nor null")
        bad(f"source_seq {name}", line(source_seq=value), "parse_error", "source_seq is neither an integer nor null")
    bad("recv_ts_ms null", line(recv_ts_ms="null"), "parse_error", "recv_ts_ms is not an integer")
    for field in ("recv_ts_ms", "exchange_ts_ms", "source_seq"):
        for value in ("9223372036854775808", "-9223372036854775809", "1" + "0" * 40):
            bad(f"{field} {value[:12]}... of {len(value)}", line(**{field: value}), "parse_error", f"{field} is outside the range of a signed 64-bit integer")
    for name, value in (("null", "null"), ("object", "{}"), ("number", "1")):
        bad(f"raw_payload {name}", line(raw_payload=value), "parse_error", "raw_payload is not a string")
    for name, value in (("other", '"hex"'), ("upper case", '"BASE64"'), ("empty", '""'), ("number", "64")):
        bad(f"raw_payload_encoding {name}", line(raw_payload_encoding=value), "parse_error", "raw_payload_encoding is neither base64 nor text")
    for name, value in (("null", "null"), ("array", "[]"), ("string", '"{}"')):
        bad(f"normalized {name}", line(normalized=value), "parse_error", "normalized is not an object")
    for field in ("source_event_id", "channel", "payload_content_type", "payload_hash"):
        bad(f"{field} a number", line(**{field: "1"}), "parse_error", f"{field} is neither a string nor null")
    bad("duplicate, the last is wrong", line(extra=',"symbol":null'), "parse_error", "symbol is not a string")
    bad("order: schema before a missing field", line(schema='"x"', without=("symbol",)), "schema_mismatch", "schema is not raw_market_event")
    bad("order: schema_version before a missing field", line(schema_version='"x"', without=("event_type",)), "schema_mismatch", "schema_version is not 1")
    bad("order: schema before schema_version", line(without=("schema", "schema_version")), "missing_required_field", "missing schema")
    bad("order: event_type before source_id", line(event_type="1", without=("source_id",)), "parse_error", "event_type is not a string")
    bad("order: source_id before symbol", line(symbol="1", source_id='""'), "missing_required_field", "source_id is empty")
    bad("order: symbol before timestamps", line(symbol='""', recv_ts_ms="null", without=("exchange_ts_ms",)), "missing_required_field", "symbol is empty")
    bad("order: exchange_ts_ms before recv_ts_ms", line(exchange_ts_ms="1.5", without=("recv_ts_ms",)), "parse_error", "exchange_ts_ms is neither an integer nor null")
    bad("order: raw_payload before its encoding", line(raw_payload="1", raw_payload_encoding="1"), "parse_error", "raw_payload is not a string")
    bad("order: encoding before normalized", line(raw_payload_encoding="1", without=("normalized",)), "parse_error", "raw_payload_encoding is neither base64 nor text")
    bad("order: normalized before optional fields", line(channel="1", without=("normalized",)), "missing_required_field", "missing normalized")
    bad("order: channel before source_seq", line(source_seq='"1"', channel="1"), "parse_error", "channel is neither a string nor null")


def main():
    accepted()
    not_json()
    not_an_envelope()
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    text = "".join(json.dumps(case, ensure_ascii=True) + "\n" for case in CASES)
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != text:
            print(f"{FILE} is not what this script writes", file=sys.stderr)
            return 1
        return 0
    FILE.write_text(text, encoding="utf-8")
    print(f"{len(CASES)} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
