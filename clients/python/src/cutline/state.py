"""An engine's state as a value: canonical JSON of an object's fields, with a tag where JSON has no such type. Never pickle.

JSON's own types stand for themselves. Everything else is an object with the key `$`:

    {"$": "tuple", "items": [..]}             also list's kin: set, frozenset (their items in order of their JSON), deque (with maxlen)
    {"$": "dict", "items": [[key, value]..]}  a dict with other keys than strings, or whose keys are not in order: an order is kept
    {"$": "float", "is": "nan"}               also inf and -inf
    {"$": "lock"}                             a threading.Lock or RLock: it has no value, so a new one takes its place
    {"$": "missing"}                          the engine's MISSING, which is one object
    {"$": "package.module:Enum", "name": ..}  a member of an enum
    {"$": "package.module:Class", field: ..}  an object's fields, put back without calling anything of the class

Classes are taken from modules that the engine has imported: of its own package any, of others dataclasses and enums.
"""

import collections
import dataclasses
import enum
import json
import math
import sys
import threading

from cutline.output import canonical

_SCALARS = frozenset((type(None), bool, int, str))
_ORDERED = {"tuple": tuple, "deque": collections.deque}
_SETS = {"set": set, "frozenset": frozenset}
_LOCKS = {type(threading.Lock()): "lock", type(threading.RLock()): "rlock"}
_NEW_LOCKS = {"lock": threading.Lock, "rlock": threading.RLock}


class StateError(Exception):
    """A state that cannot be written or read; the text says why."""


class Codec:
    """Writes and reads the states of one engine."""

    def __init__(self, package, missing):
        """`package` is the engine's top-level package, `missing` its MISSING."""
        self._package = package
        self._missing = missing
        #: How values of a class are written, for each class seen.
        self._writers = {}
        #: Class and its dataclass fields for each tag seen.
        self._classes = {}
        self._decode = json.JSONDecoder(object_hook=self._read_object).decode

    def write(self, value):
        """Canonical JSON of the value, bytes."""
        try:
            return canonical(self._written(value))
        except RecursionError:
            raise StateError("the state is nested too deeply or contains itself") from None

    def read(self, text):
        """The value that this text is of."""
        try:
            return self._decode(str(text, "utf-8"))
        except StateError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(f"the state is not one that was written here: {type(error).__name__}: {error}") from None

    def _written(self, value):
        if value is self._missing:
            return {"$": "missing"}
        cls = type(value)
        if cls in _SCALARS:
            return value
        write = self._writers.get(cls)
        if write is None:
            write = self._writers[cls] = self._writer(cls)
        return write(value)

    def _writer(self, cls):
        if cls is float:
            return _write_float
        if cls is list:
            return lambda value: [self._written(item) for item in value]
        if cls is dict:
            return self._write_dict
        if cls in _ORDERED.values():
            return self._write_ordered
        if cls in _SETS.values():
            return self._write_set
        if cls in _LOCKS:
            return lambda value: {"$": _LOCKS[cls]}
        tag = f"{cls.__module__}:{cls.__qualname__}"
        if self._class(tag)[0] is not cls:
            raise StateError(f"the state holds a {tag}, which is not what that name means")
        if issubclass(cls, enum.Enum):
            return lambda value: {"$": tag, "name": value.name}
        if issubclass(cls, (int, float, str, bytes, list, dict, tuple, set, frozenset)):
            raise StateError(f"the state holds a {tag}, a kind of {cls.__mro__[-2].__name__}: only plain ones can be carried by value")
        return self._object_writer(tag, _slots(cls))

    def _object_writer(self, tag, slots):
        written = self._written

        def write(value):
            fields = {"$": tag}
            for name, field in getattr(value, "__dict__", {}).items():
                fields[name] = written(field)
            for name in slots:
                if hasattr(value, name):
                    fields[name] = written(getattr(value, name))
            return fields

        return write

    def _write_dict(self, value):
        keys = list(value)
        if all(type(key) is str for key in keys) and "$" not in value and keys == sorted(keys):
            return {key: self._written(item) for key, item in value.items()}
        return {"$": "dict", "items": [[self._written(key), self._written(item)] for key, item in value.items()]}

    def _write_ordered(self, value):
        tagged = {"$": type(value).__name__, "items": [self._written(item) for item in value]}
        if type(value) is collections.deque:
            tagged["maxlen"] = value.maxlen
        return tagged

    def _write_set(self, value):
        return {"$": type(value).__name__, "items": sorted((self._written(item) for item in value), key=canonical)}

    def _read_object(self, found):
        """Called for each object of the text, those inside first."""
        tag = found.pop("$", None)
        if tag is None:
            return found
        if ":" in tag:
            return self._read_instance(tag, found)
        if tag == "dict":
            return {key: item for key, item in found["items"]}
        if tag == "missing":
            return self._missing
        if tag == "float":
            return float(found["is"])
        if tag == "deque":
            return collections.deque(found["items"], found["maxlen"])
        if tag in _NEW_LOCKS:
            return _NEW_LOCKS[tag]()
        return (_ORDERED.get(tag) or _SETS[tag])(found["items"])

    def _read_instance(self, tag, found):
        cls, fields = self._class(tag)
        if issubclass(cls, enum.Enum):
            return cls[found["name"]]
        if not fields <= found.keys():
            raise StateError(f"the state's {tag} has no {', '.join(sorted(fields - found.keys()))}: it was written by another version")
        instance = cls.__new__(cls)
        for name, value in found.items():
            object.__setattr__(instance, name, value)
        return instance

    def _class(self, tag):
        known = self._classes.get(tag)
        if known is None:
            known = self._classes[tag] = self._find(tag)
        return known

    def _find(self, tag):
        module, _, path = tag.partition(":")
        found = sys.modules.get(module)
        for name in path.split("."):
            found = getattr(found, name, None)
        is_data = isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, enum.Enum))
        is_own = isinstance(found, type) and module.partition(".")[0] == self._package
        if not is_data and not is_own:
            raise StateError(
                f"the state holds a {tag}, which cannot be carried by value: use JSON's types, tuples, sets, enums, dataclasses and classes "
                "of the engine's package"
            )
        fields = {field.name for field in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set()
        return found, fields


def _write_float(value):
    return value if math.isfinite(value) else {"$": "float", "is": repr(value)}


def _slots(cls):
    names = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        names.extend((slots,) if isinstance(slots, str) else slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]
