#!/usr/bin/env python3
"""Writes canonical.jsonl: JSON texts and the canonical form that this Python gives them.

    python3 tests/vectors/make_canonical.py            # writes the file beside this script
    python3 tests/vectors/make_canonical.py --check    # exit code 1 if the file differs from what it would write

One object a line: {"raw": text, "canonical": text}, or {"raw": text, "canonical": null} where there is none.
Standard library only; the same bytes every time.
"""

import json
import math
import pathlib
import random
import struct
import sys

sys.set_int_max_str_digits(0)
FILE = pathlib.Path(__file__).with_name("canonical.jsonl")


def canonical(raw):
    """The contract's own words."""
    try:
        value = json.loads(raw)
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except ValueError:
        return None


def floats(random_source):
    for exponent in range(-330, 312):
        yield f"1e{exponent}"
        yield f"-9.999999999999999e{exponent}"
        yield f"1234.5678901234567E{exponent:+d}"
    for power in range(-1074, 1024):
        yield repr(math.ldexp(1.0, power))
    for power in (-1074, -1073, -1023, -1022, -1, 0, 52, 53, 54, 63, 64, 1023):
        value = math.ldexp(1.0, power)
        for near in (math.nextafter(value, 0.0), math.nextafter(value, math.inf)):
            yield repr(near)
    yield from (
        "0.0", "-0.0", "-0e0", "0e5", "0E-5", "1.0", "100.0", "1e0", "1.50", "0.1", "0.30000000000000004", "5e-324", "3e-324", "2e-324",
        "1e-400", "-1e-400", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e309", "-1e999", "2.2250738585072011e-308",
        "2.2250738585072014e-308", "9007199254740993.0", "9007199254740992.5", "1e15", "1e16", "1e17", "9999999999999999.0", "99999999999999990.0",
        "123456789012345680.0", "0.0001", "0.00001", "0.00012345", "0.000012345", "1e22", "1e23", "8.41e21", "4.35", "0.000001", "1e5", "12e-1",
    )  # fmt: skip
    # Halfway between two doubles, in more digits than any double needs.
    yield "9007199254740993" + "." + "0" * 40 + "1"
    yield "0." + "1" * 400
    for _ in range(1500):
        (value,) = struct.unpack("<d", random_source.getrandbits(64).to_bytes(8, "little"))
        if math.isfinite(value):
            yield repr(value)
    # Exactly halfway between two strings of 17 digits: 18 digits, the last one 5. repr takes the even neighbour.
    for shift in range(3, 26):
        for _ in range(20):
            low, high = 10**17 // 5**shift, 10**18 // 5**shift
            odd = random_source.randrange(low, high) | 1
            if odd < 2**53:
                yield repr(math.ldexp(odd, -shift))
                yield repr(math.ldexp(-odd, -shift))
    for _ in range(1000):
        yield f"{random_source.uniform(-1e6, 1e6):.{random_source.randrange(1, 9)}f}"


def integers():
    yield from ("0", "-0", "7", "-7", str(2**63 - 1), str(2**63), str(-(2**63)), str(-(2**63) - 1), str(2**64), "1" + "0" * 400)


def strings():
    for code in range(0x20, 0x80):
        if chr(code) not in '"\\':
            yield f'"{chr(code)}"'
    for code in range(0x00, 0x100):
        yield f'"\\u{code:04x}"'
        yield f'"\\u{code:04X}"'
    yield from ('"\\""', '"\\\\"', '"\\/"', '"\\b\\f\\n\\r\\t"', '""', '"a\\u0041\\u00e9\\ud83d\\ude00z"', '"/"', '"</script>"')
    for char in "\x80\xa0\xe9\u07ff\u0800\u2028\u2029\ud7ff\ue000\ufeff\ufffd\uffff\U00010000\U0001f600\U0010ffff":
        yield f'"{char}"'
        yield f'"x{char}{char}y\\n{char}"'
    yield '"\\ud7ff\\ue000\\uffff\\udbff\\udfff"'


def structures():
    yield from ("null", "true", "false", " [ ] ", "{ }", "[[],{},[{}]]", '[1, 2 ,\t3\r\n]', ' {"b" : 1 , "a" : [ true , null ] } ')
    yield '{"b":1,"a":2,"b":3}'
    yield '{"a":1,"a":2,"a":3}'
    yield '{"a":{"x":1},"a":{"y":2}}'
    yield '{"\\u0061":1,"a":2}'
    yield '{"a":1,"\\u0061":2}'
    # By code point U+FFFF comes before U+10000; by UTF-16 unit it would not.
    yield '{"\U00010000":1,"\uffff":2,"\ue000":3,"z":4,"":5,"Z":6,"aa":7,"a":8,"a\\u0000":9,"\xe9":10,"\x7f":11}'
    yield '{"10":1,"9":2,"1":3,"-1":4}'
    yield "[" * 64 + "1.0" + "]" * 64
    yield '{"k":' * 64 + "1e5" + "}" * 64
    yield '{"a":[1,1e999]}'
    yield from ("[1,]", "{", '"', "01", "1.", "nul", '{"a" 1}', '"\\x"', "[1] 2", "")


def random_values(random_source):
    def value(depth):
        kind = random_source.randrange(8 if depth < 5 else 6)
        if kind == 0:
            return random_source.choice([None, True, False])
        if kind == 1:
            return random_source.randrange(-(10 ** random_source.randrange(1, 25)), 10**6)
        if kind == 2:
            return random_source.uniform(-1, 1) * 10.0 ** random_source.randrange(-20, 25)
        if kind in (3, 4, 5):
            return text()
        if kind == 6:
            return [value(depth + 1) for _ in range(random_source.randrange(4))]
        return {text(): value(depth + 1) for _ in range(random_source.randrange(5))}

    def text():
        pick = random_source.choice(["abcXYZ_09", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "\xe9\xff\u20ac\uffff", "\U0001f600\U0010ffff"])
        return "".join(random_source.choice(pick) for _ in range(random_source.randrange(6)))

    for _ in range(400):
        yield json.dumps(value(0), ensure_ascii=random_source.random() < 0.5, indent=random_source.choice([None, 1]))


def lines():
    random_source = random.Random(20261109)
    for group in (floats(random_source), integers(), strings(), structures(), random_values(random_source)):
        for raw in group:
            yield json.dumps({"raw": raw, "canonical": canonical(raw)}, ensure_ascii=True) + "\n"


def main():
    text = "".join(lines())
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != text:
            print(f"{FILE} is not what this Python writes", file=sys.stderr)
            return 1
        print(f"{text.count(chr(10))} vectors agree with Python {sys.version.split()[0]}")
        return 0
    FILE.write_text(text, encoding="utf-8")
    print(f"{text.count(chr(10))} vectors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
