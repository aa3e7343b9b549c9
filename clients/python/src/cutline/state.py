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

_ITEMS = {"tuple": tuple, "set": set, "frozenset": frozenset}
_LOCKS = {"lock": threading.Lock, "rlock": threading.RLock}
#: Kinds of values that JSON has: what is one of them and yet of a class of its own is not carried.
_PLAIN = (int, float, str, bytes, list, dict, tuple, set, frozenset)

_quoted = json.encoder.encode_basestring_ascii


class StateError(Exception):
    """A state that cannot be written or read; the text says why."""


class _Writers(dict):
    """How values of a class are written, for each class seen."""

    def __init__(self, make):
        self._make = make

    def __missing__(self, cls):
        write = self[cls] = self._make(cls)
        return write


class Codec:
    """Writes and reads the states of one engine."""

    def __init__(self, package, missing):
        """`package` is the engine's top-level package, `missing` its MISSING."""
        self._package = package
        self._missing = missing
        self._writers = _Writers(self._writer)
        self._readers = {
            "dict": lambda found: {key: item for key, item in found["items"]},
            "missing": lambda found: missing,
            "float": lambda found: float(found["is"]),
            "deque": lambda found: collections.deque(found["items"], found["maxlen"]),
            **{name: lambda found, make=make: make(found["items"]) for name, make in _ITEMS.items()},
            **{name: lambda found, make=make: make() for name, make in _LOCKS.items()},
        }
        self._scan = json.JSONDecoder(object_hook=self._object_reader()).scan_once

    def write(self, value):
        """Canonical JSON of the value, bytes."""
        try:
            return self._writers[type(value)](value).encode("ascii")
        except RecursionError:
            raise StateError("the state is nested too deeply or contains itself") from None

    def read(self, text):
        """The value that this text is of."""
        try:
            text = str(text, "utf-8")
            value, end = self._scan(text, 0)
            if end != len(text):
                raise ValueError(f"there is something behind it, at character {end}")
            return value
        except StateError:
            raise
        except (StopIteration, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(f"the state is not one that was written here: {type(error).__name__}: {error}") from None

    # Writing. A writer gives a value's JSON as text.

    def _writer(self, cls):
        if cls is type(self._missing):
            return self._missing_or_other
        return self._writer_of_builtin(cls) or self._writer_of_instance(cls)

    def _missing_or_other(self, value):
        if value is self._missing:
            return '{"$":"missing"}'
        cls = type(value)
        return (self._writer_of_builtin(cls) or self._writer_of_instance(cls))(value)

    def _writer_of_builtin(self, cls):
        writers = self._writers

        def items(values):
            return ",".join([writers[type(value)](value) for value in values])

        def sorted_items(values):
            return ",".join(sorted([writers[type(value)](value) for value in values]))

        return {
            type(None): {None: "null"}.__getitem__,
            bool: {True: "true", False: "false"}.__getitem__,
            int: int.__repr__,
            float: _float,
            str: _quoted,
            list: lambda value: f"[{items(value)}]" if value else "[]",
            dict: self._dict,
            tuple: lambda value: f'{{"$":"tuple","items":[{items(value)}]}}',
            collections.deque: lambda value: f'{{"$":"deque","items":[{items(value)}],"maxlen":{json.dumps(value.maxlen)}}}',
            set: lambda value: f'{{"$":"set","items":[{sorted_items(value)}]}}',
            frozenset: lambda value: f'{{"$":"frozenset","items":[{sorted_items(value)}]}}',
            **{type(make()): lambda value, name=name: f'{{"$":"{name}"}}' for name, make in _LOCKS.items()},
        }.get(cls)

    def _dict(self, value):
        writers = self._writers
        if "$" not in value and all([type(key) is str for key in value]) and (len(value) < 2 or list(value) == sorted(value)):
            members = [f"{_quoted(key)}:{writers[type(item)](item)}" for key, item in value.items()]
            return f"{{{','.join(members)}}}"
        pairs = [f"[{writers[type(key)](key)},{writers[type(item)](item)}]" for key, item in value.items()]
        return f'{{"$":"dict","items":[{",".join(pairs)}]}}'

    def _writer_of_instance(self, cls):
        tag = f"{cls.__module__}:{cls.__qualname__}"
        if self._class(tag) is not cls:
            raise StateError(f"the state holds a {tag}, which is not what that name means")
        head = f'{{"$":{_quoted(tag)}'
        if issubclass(cls, enum.Enum):
            return lambda value: f'{head},"name":{self._writers[type(value.name)](value.name)}}}'
        if issubclass(cls, _PLAIN):
            raise StateError(f"the state holds a {tag}, a kind of {cls.__mro__[-2].__name__}: only plain ones can be carried by value")
        slots, writers, orders = _slots(cls), self._writers, {}

        def write(value):
            fields = getattr(value, "__dict__", {})
            if slots:
                fields = {**fields, **{name: getattr(value, name) for name in slots if hasattr(value, name)}}
            names = tuple(fields)
            order = orders.get(names)
            if order is None:
                # `$` is before any letter.
                order = orders[names] = [(f",{_quoted(name)}:", name) for name in sorted(names)]
            text = head
            for key, name in order:
                field = fields[name]
                text += key + writers[type(field)](field)
            return text + "}"

        return write

    # Reading.

    def _object_reader(self):
        """The function that is called for each object of the text, those inside first."""
        readers = self._readers

        def read_object(found):
            if "$" not in found:
                return found
            tag = found.pop("$")
            read = readers.get(tag)
            if read is None:
                read = readers[tag] = self._reader(tag)
            return read(found)

        return read_object

    def _reader(self, tag):
        cls = self._class(tag)
        if issubclass(cls, enum.Enum):
            return lambda found: cls[found["name"]]
        fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
        has_slots, make, put = bool(_slots(cls)), cls.__new__, object.__setattr__

        def read(found):
            if not fields <= found.keys():
                raise StateError(f"the state's {tag} has no {', '.join(sorted(fields - found.keys()))}: it was written by another version")
            instance = make(cls)
            if has_slots:
                for name, value in found.items():
                    put(instance, name, value)
            else:
                put(instance, "__dict__", found)
            return instance

        return read

    def _class(self, tag):
        module, colon, path = tag.partition(":")
        found = sys.modules.get(module) if colon else None
        for name in path.split("."):
            found = getattr(found, name, None)
        is_data = isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, enum.Enum))
        is_own = isinstance(found, type) and module.partition(".")[0] == self._package
        if not is_data and not is_own:
            raise StateError(
                f"the state holds a {tag}, which cannot be carried by value: use JSON's types, tuples, sets, enums, dataclasses and classes "
                "of the engine's package"
            )
        return found


def _float(value):
    return float.__repr__(value) if math.isfinite(value) else f'{{"$":"float","is":"{value}"}}'


def _slots(cls):
    names = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        names.extend((slots,) if isinstance(slots, str) else slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]
