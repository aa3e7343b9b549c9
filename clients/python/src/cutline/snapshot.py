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


#: From a text and a place in it to the value that begins there, and where it ends: what `raw_decode` calls.
_scan = json.JSONDecoder(parse_constant=_no_constant).scan_once


def as_dict(symbol, timestamp_ms, normalized):
    """The snapshot for a plain function."""
    event = _scan(normalized, 0)[0]
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
        whole = maker(contracts.RegimeInputSnapshot, names, contracts.MISSING)
        classes = [(getattr(contracts, f"{name.capitalize()}Snapshot"), fields) for name, fields in SECTIONS.items()]
        market, derivatives, flow, context = [maker(cls, known_fields(cls, fields), contracts.MISSING) for cls, fields in classes]

        def build(symbol, timestamp_ms, normalized):
            section = _scan(normalized, 0)[0].get
            return whole(
                {
                    "symbol": symbol,
                    "timestamp": timestamp_ms,
                    "market": market(section("market")),
                    "derivatives": derivatives(section("derivatives")),
                    "flow": flow(section("flow")),
                    "context": context(section("context")),
                }
            )

        #: The module's snapshot of an event, from symbol, timestamp in ms, and its `normalized` as text.
        self.build = build


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


def maker(cls, names, missing):
    """A function from a dict with these fields of a dataclass, which becomes the instance's, to an instance. What the dict has not is missing,
    what it has besides is dropped, and anything that is no dict has nothing.

    A generated `__init__` that only stores its arguments takes longer than reading them from JSON did, if the class is frozen; what it would
    have made is then made without it. Whatever else a class does when it is made, it does.
    """
    known, only_stores = dict.fromkeys(names).keys(), _only_stores(cls, names)
    new, put = object.__new__, object.__setattr__

    def make(given):
        if type(given) is not dict:
            given = {}
        if given.keys() != known:
            given = {name: given.get(name, missing) for name in names}
        if not only_stores:
            return cls(**given)
        instance = new(cls)
        put(instance, "__dict__", given)
        return instance

    return make


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
