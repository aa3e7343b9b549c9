"""Finds an engine module's HysteresisStore and HysteresisConfig, and makes them: the contract has their names, not where they are."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
import typing

from cutline.faults import Refused, text_of

STORE, CONFIG = "HysteresisStore", "HysteresisConfig"

#: What a field without a default is empty as, by the name of its type.
_EMPTY = {
    "dict": dict,
    "mapping": dict,
    "mutablemapping": dict,
    "list": list,
    "sequence": list,
    "set": set,
    "frozenset": frozenset,
    "tuple": tuple,
}


def find(module, name):
    """The class of this name that `module.run_with_hysteresis` takes, or None."""
    for found in (_hinted(module.run_with_hysteresis, name), getattr(module, name, None)):
        if isinstance(found, type):
            return found
    package = module.__name__.partition(".")[0]
    _import_hysteresis(package)
    for loaded in sorted(sys.modules):
        if loaded.partition(".")[0] == package:
            found = getattr(sys.modules[loaded], name, None)
            if isinstance(found, type):
                return found
    return None


def _hinted(function, name):
    """A class of this name among the types of a function's parameters."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # hints may name what exists for type checkers alone
        return None
    hints.pop("return", None)
    candidates = [candidate for hint in hints.values() for candidate in (hint, *typing.get_args(hint))]
    return next((found for found in candidates if isinstance(found, type) and found.__name__ == name), None)


def _import_hysteresis(package):
    """Imports the package's modules that are called after hysteresis, or contracts, which is where such classes are."""
    folders = getattr(sys.modules.get(package), "__path__", None)
    for found in pkgutil.walk_packages(folders, f"{package}.", onerror=lambda name: None) if folders else ():
        last = found.name.rpartition(".")[2]
        if "hysteresis" in last or "contract" in last:
            try:
                importlib.import_module(found.name)
            except Exception:  # such a module is not where the class is; if none is, the engine is refused
                continue


def store_maker(cls):
    """A function that makes an empty store; one field that has no default is given an empty value of its type."""
    arguments = {}
    if dataclasses.is_dataclass(cls):
        arguments = {field.name: _empty(cls, field) for field in dataclasses.fields(cls) if field.init and _is_required(field)}

    def make():
        return cls(**{name: empty() for name, empty in arguments.items()})

    try:
        make()
    except Exception as error:
        raise Refused(f"an empty {cls.__module__}.{cls.__qualname__} cannot be made: {type(error).__name__}: {text_of(error)}") from None
    return make


def _is_required(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _empty(cls, field):
    text = field.type if isinstance(field.type, str) else re.sub(r"<class '(.*)'>", r"\1", str(field.type))
    if re.search(r"\bOptional\b|\bNone\b", text.partition("[")[0] + text.rpartition("]")[2]):
        return lambda: None
    outer = text.partition("[")[0].rpartition(".")[2].strip().lower()
    if outer not in _EMPTY:
        raise Refused(
            f"an empty {cls.__module__}.{cls.__qualname__} cannot be made: its field `{field.name}` has no default, and what an empty "
            f"{text} is, is not known"
        )
    return _EMPTY[outer]


def make_config(module, config):
    """What `run_with_hysteresis` takes as its configuration: None if none is set, else a HysteresisConfig by field name."""
    if not config:
        return None
    cls = find(module, CONFIG)
    if cls is None:
        raise Refused(f"[engine.hysteresis] is set, but {module.__name__} has no {CONFIG} that it could be given as")
    known = (
        [field.name for field in dataclasses.fields(cls) if field.init]
        if dataclasses.is_dataclass(cls)
        else list(inspect.signature(cls).parameters)
    )
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise Refused(f"[engine.hysteresis] has {', '.join(unknown)}, which {CONFIG} has not; it has {', '.join(known)}")
    try:
        return cls(**config)
    except Exception as error:
        raise Refused(f"[engine.hysteresis] is refused by {CONFIG}: {text_of(error)}") from None
