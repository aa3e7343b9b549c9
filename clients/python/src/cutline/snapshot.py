"""What an engine sees, made from `normalized` of the selected event (CONTRACTS section 4): nothing is fabricated, unknown keys are dropped.

A field that the event does not carry is *missing*, which is not null: to a module with dataclasses its MISSING is given, in the dict for a
plain function the key is not there.
"""

import dataclasses
import json

from cutline.faults import Refused

#: The contract's fields by section.
SECTIONS = {
    "market": ("price", "vwap", "atr", "atr_z", "range_expansion", "structure_levels", "acceptance_score", "sweep_score"),
    "derivatives": (
        "open_interest",
        "oi_slope_short",
        "oi_slope_med",
        "oi_accel",
        "funding_rate",
        "funding_slope",
        "funding_z",
        "liquidation_intensity",
    ),
    "flow": ("cvd", "cvd_slope", "cvd_efficiency", "aggressive_volume_ratio"),
    "context": ("rs_vs_btc", "beta_to_btc", "alt_breadth", "btc_regime", "eth_regime"),
}


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def as_dict(symbol, timestamp_ms, normalized):
    """The snapshot for a plain function."""
    event = _decode(normalized)[0]
    snapshot = {"symbol": symbol, "timestamp": timestamp_ms}
    for name, fields in SECTIONS.items():
        section = event.get(name)
        given = section if type(section) is dict else {}
        snapshot[name] = {field: given[field] for field in fields if field in given}
    return snapshot


class Builder:
    """Builds a module's dataclasses by field name."""

    def __init__(self, contracts):
        """`contracts` has RegimeInputSnapshot, the four classes of the sections, and MISSING."""
        names = known_fields(contracts.RegimeInputSnapshot, ("symbol", "timestamp", *SECTIONS))
        if len(names) != 2 + len(SECTIONS):
            raise Refused(f"RegimeInputSnapshot has {', '.join(names)}, the contract's has symbol, timestamp, {', '.join(SECTIONS)}")
        self._whole = constructor(contracts.RegimeInputSnapshot, names)
        self._sections = [
            (name, _maker(getattr(contracts, f"{name.capitalize()}Snapshot"), fields, contracts.MISSING))
            for name, fields in SECTIONS.items()
        ]

    def build(self, symbol, timestamp_ms, normalized):
        """The module's snapshot of an event."""
        section = _decode(normalized)[0].get
        snapshot = {"symbol": symbol, "timestamp": timestamp_ms}
        for name, make in self._sections:
            snapshot[name] = make(section(name))
        return self._whole(snapshot)


def known_fields(cls, contract):
    """The contract's fields that a dataclass has. What else it needs nobody can give it: then it is refused."""
    if not dataclasses.is_dataclass(cls):
        raise Refused(f"{cls.__module__}.{cls.__qualname__} is no dataclass, so its fields are not known by name")
    fields = [field for field in dataclasses.fields(cls) if field.init]
    for field in fields:
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in contract and not has_default:
            raise Refused(
                f"{cls.__module__}.{cls.__qualname__} needs a field `{field.name}` that Cutline does not know of (CONTRACTS section 1 and 5); "
                "give it a default, or use a version of the engine for this contract"
            )
    return [field.name for field in fields if field.name in contract]


def _maker(cls, contract, missing):
    """A function from a section of the event, or anything else in its place, to the module's class."""
    names = known_fields(cls, contract)
    known = dict.fromkeys(names).keys()
    construct = constructor(cls, names)

    def make(given):
        if type(given) is not dict:
            return construct(dict.fromkeys(names, missing))
        if given.keys() == known:
            return construct(given)
        return construct({name: given.get(name, missing) for name in names})

    return make


def constructor(cls, names):
    """A function from a dict with these fields of a dataclass, which becomes the instance's, to an instance.

    A generated `__init__` that only stores its arguments takes longer than reading them from JSON did, if the class is frozen; what it would
    have made is then made without it. Whatever else a class does when it is made, it does.
    """
    if not _only_stores(cls, names):
        return lambda values: cls(**values)
    make, put = object.__new__, object.__setattr__

    def construct(values):
        instance = make(cls)
        put(instance, "__dict__", values)
        return instance

    return construct


def _only_stores(cls, names):
    init = getattr(cls.__init__, "__code__", None)
    # What dataclasses generate has no file.
    if init is None or init.co_filename != "<string>" or hasattr(cls, "__post_init__") or cls.__new__ is not object.__new__:
        return False
    if any("__slots__" in base.__dict__ for base in cls.__mro__[:-1]):
        return False
    if {field.name for field in dataclasses.fields(cls)} != set(names):
        return False
    probe = {name: object() for name in names}
    return vars(cls(**probe)) == probe
