"""Reading dumps and noting differences: what every part of the oracle shares. No contract knowledge in here."""
import json

DIFFERENCES = []


def differ(where, expected, actual):
    DIFFERENCES.append((where, expected, actual))


def same(a, b):
    """Equality of JSON values: numbers numerically, but true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def expect(where, expected, actual):
    if not same(expected, actual):
        differ(where, expected, actual)


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


def lines(path):
    """Yields one object per line; a line that is not canonical JSON is a difference of its own."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, 1):
            text = text.rstrip("\n")
            try:
                value = json.loads(text)
            except ValueError as fault:
                differ(f"{path}:{number}", "a JSON object", f"{fault}: {text[:80]}")
                continue
            try:
                canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
            except ValueError:
                canonical = text  # a number outside f64, which canonical JSON cannot write
            if canonical != text:
                differ(f"{path}:{number} canonical form", canonical, text)
            if isinstance(value, dict):
                yield number, value
            else:
                differ(f"{path}:{number}", "a JSON object", text[:80])


def check_order(what, expected, actual):
    for index in range(max(len(expected), len(actual))):
        pair = [ids[index] if index < len(ids) else None for ids in (expected, actual)]
        if pair[0] != pair[1]:
            return differ(f"{what}: run {index + 1}", *pair)
