"""Canonical JSON of what an engine returned: dicts, dataclasses, enums and other objects with attributes.

The form is `json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)`, written by the encoder that
`json.dumps` uses, which is made once. Whether it is the output that the contract asks for is checked by Cutline, for all hosts alike.
"""

import dataclasses
import enum
import json
import operator
from collections.abc import Mapping

from cutline.faults import OUTPUT_INVALID, Fault

FORM = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": True, "allow_nan": False}


def canonical(value):
    """The bytes of a value; raises what `json.dumps` raises."""
    return _encode(value).encode("ascii")


def written(value, what):
    """The bytes of what an engine returned; `what` says which in the fault."""
    try:
        return _encode(value).encode("ascii")
    except RecursionError:
        raise Fault(OUTPUT_INVALID, f"{what} is nested too deeply or contains itself") from None
    except Exception as error:
        raise Fault(OUTPUT_INVALID, f"{what} cannot be written as JSON: {error}") from None


def _plain(value):
    """What stands for a value that JSON has no form for."""
    cls = type(value)
    reader = _readers.get(cls)
    if reader is None:
        reader = _readers[cls] = _reader(cls)
    return reader(value)


#: How values of a class are read, for each class seen.
_readers = {}


def _reader(cls):
    if issubclass(cls, enum.Enum):
        return operator.attrgetter("value")
    if dataclasses.is_dataclass(cls):
        names = dict.fromkeys(field.name for field in dataclasses.fields(cls)).keys()

        def fields(value):
            # As a rule an instance's own dict is just that.
            own = getattr(value, "__dict__", None)
            return own if own is not None and own.keys() == names else {name: getattr(value, name) for name in names}

        return fields
    if issubclass(cls, Mapping):
        return dict
    raise TypeError(f"a {cls.__module__}.{cls.__qualname__} has no form in JSON: return a dict, a dataclass, or what they are made of")


def _encoder():
    public = json.JSONEncoder(default=_plain, **FORM)
    try:
        # As JSONEncoder.encode does it, but for making it anew each time.
        make = json.encoder.c_make_encoder
        write = make(None, _plain, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, False)
        probe = {"b": [1, 2.5e-7, None, True], "a": "\u00e9"}
        if "".join(write(probe, 0)) == public.encode(probe):
            return lambda value: "".join(write(value, 0))
    except (AttributeError, TypeError):
        pass
    return public.encode


_encode = _encoder()
