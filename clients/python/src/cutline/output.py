"""Canonical JSON of what an engine returned: dicts, dataclasses, enums and other objects with attributes.

The form is `json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)`, written by the encoder that
`json.dumps` uses, which is made once. Whether it is the output that the contract asks for is checked by Cutline, for all hosts alike.
"""

import dataclasses
import enum
import json
from collections.abc import Mapping

from cutline.faults import OUTPUT_INVALID, Fault

FORM = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": True, "allow_nan": False}


def written(value, what):
    """The bytes of what an engine returned; `what` says which in the fault."""
    try:
        return canonical(value)
    except RecursionError:
        raise Fault(OUTPUT_INVALID, f"{what} is nested too deeply or contains itself") from None
    except Exception as error:
        raise Fault(OUTPUT_INVALID, f"{what} cannot be written as JSON: {error}") from None


def _plain(value):
    """What stands for a value that JSON has no form for."""
    cls = type(value)
    names = _fields.get(cls)
    if names is not None:
        # As a rule an instance's own dict is just its fields.
        own = getattr(value, "__dict__", None)
        return own if own is not None and own.keys() == names else {name: getattr(value, name) for name in names}
    if issubclass(cls, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(cls):
        _fields[cls] = dict.fromkeys(field.name for field in dataclasses.fields(cls)).keys()
        return _plain(value)
    if issubclass(cls, Mapping):
        return dict(value)
    raise TypeError(f"a {cls.__module__}.{cls.__qualname__} has no form in JSON: return a dict, a dataclass, or what they are made of")


#: The names of a dataclass's fields, for each one seen.
_fields = {}


def _encoder():
    """The function that gives the bytes of a value; it raises what `json.dumps` raises."""
    public = json.JSONEncoder(default=_plain, **FORM)
    try:
        # As JSONEncoder.encode does it, but for making it anew each time.
        make = json.encoder.c_make_encoder
        write = make(None, _plain, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, False)
        probe = {"b": [1, 2.5e-7, None, True], "a": "\u00e9"}
        if "".join(write(probe, 0)) == public.encode(probe):
            return lambda value: "".join(write(value, 0)).encode("ascii")
    except (AttributeError, TypeError):
        pass
    return lambda value: public.encode(value).encode("ascii")


canonical = _encoder()
