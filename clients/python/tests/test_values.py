"""Without a process: canonical output, states by value, snapshots, digests."""

import collections
import dataclasses
import enum
import importlib
import json
import math
import os
import pathlib
import sys
import tempfile
import threading
import types
import unittest

import support
from cutline import hysteresis
from cutline.digest import digest
from cutline.faults import DETAIL_MAX_BYTES, ENGINE_FAILURE, Fault, Refused
from cutline.output import canonical
from cutline.snapshot import SECTIONS, Builder, as_dict, maker
from cutline.state import Codec, StateError

VECTORS = pathlib.Path(__file__).resolve().parents[3] / "tests" / "vectors"


class Color(enum.Enum):
    RED = "red"


class Text(str, enum.Enum):
    UP = "up"


@dataclasses.dataclass(frozen=True)
class Pair:
    right: object
    left: object


@dataclasses.dataclass
class One:
    only: object


class Open:
    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __eq__(self, other):
        return type(other) is Open and vars(other) == vars(self)


class Slots:
    __slots__ = "slot"


class Output(unittest.TestCase):
    def test_the_project_s_vectors(self):
        count = 0
        for line in (VECTORS / "canonical.jsonl").read_text().splitlines():
            vector = json.loads(line)
            if vector["canonical"] is not None:
                self.assertEqual(canonical(json.loads(vector["raw"])).decode(), vector["canonical"])
                count += 1
        self.assertGreater(count, 1000)

    def test_what_engines_return(self):
        for value, plain in [
            (Pair(1, [Pair(None, Color.RED)]), {"right": 1, "left": [{"right": None, "left": "red"}]}),
            (One(Text.UP), {"only": "up"}),
            ((1, (2.5,)), [1, [2.5]]),
            (types.MappingProxyType({"b": 1, "a": "\u20ac"}), {"a": "\u20ac", "b": 1}),
            (collections.OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        ]:
            self.assertEqual(canonical(value), support.canonical(plain))

    def test_what_has_no_form(self):
        for value in (math.nan, math.inf, [-math.inf], {1}, b"x", object(), Open(a=1)):
            with self.assertRaises((ValueError, TypeError)):
                canonical(value)

    def test_a_detail_is_cut_at_a_character(self):
        self.assertEqual(len(Fault(ENGINE_FAILURE, "x" * 999).detail()), DETAIL_MAX_BYTES)
        self.assertEqual(Fault(ENGINE_FAILURE, "x" * 254 + "\u20ac").detail(), b"x" * 254)


class State(unittest.TestCase):
    def setUp(self):
        self.missing = object()
        self.codec = Codec(__name__, self.missing)

    def there_and_back(self, value):
        text = self.codec.write(value)
        self.assertEqual(text, support.canonical(json.loads(text)))
        back = self.codec.read(text)
        self.assertIs(type(back), type(value))
        self.assertEqual(self.codec.write(back), text)
        return back

    def test_values_come_back_as_they_were(self):
        for value in [
            None, True, 0, -(2**70), 1.0, -0.0, 1e-7, math.inf, -math.inf, "\u20ac\ud800", [], [1, [2]], {}, {"a": {"b": 1}}, {"$": 1}, {"b": 1, "a": 2},
            {1: "x", None: 2, (1, 2): 3, 2.5: 4, False: 5}, (), (1, (2,)), {1, 2}, frozenset({"a", (1, "b")}), collections.deque([1, 2], 3),
            Color.RED, Text.UP, Pair((1,), {2}), One(Pair(1, Color.RED)), Open(a=1, b=[Open()]), {Color.RED: {"x": (Text.UP,)}},
        ]:  # fmt: skip
            self.assertEqual(self.there_and_back(value), value)

    def test_what_equals_nothing_comes_back_too(self):
        self.assertTrue(math.isnan(self.there_and_back(math.nan)))
        self.assertEqual(math.copysign(1, self.there_and_back(-0.0)), -1)
        self.assertIs(self.codec.read(self.codec.write([self.missing]))[0], self.missing)
        self.there_and_back(threading.Lock()).acquire(timeout=0)
        self.there_and_back(threading.RLock())
        slots = Slots()
        slots.slot = 7
        self.assertEqual(self.there_and_back(slots).slot, 7)

    def test_an_order_is_kept_and_written_so(self):
        self.assertEqual(list(self.there_and_back({"b": 1, "a": 2})), ["b", "a"])
        self.assertEqual(self.codec.write({"b": 1, "a": 2}), b'{"$":"dict","items":[["b",1],["a",2]]}')
        self.assertEqual(self.codec.write({"a": 2, "b": 1}), b'{"a":2,"b":1}')
        self.assertEqual(self.codec.write({3, 1, 2}), b'{"$":"set","items":[1,2,3]}')

    def test_nothing_of_a_class_is_called(self):
        class_text = self.codec.write(Refusing.made())
        self.assertEqual(self.codec.read(class_text).field, 1)

    def test_what_is_refused(self):
        inner = dataclasses.make_dataclass("Inner", ["a"])
        for value in (object(), len, lambda: 0, types, Pair, collections.Counter("a"), b"x", inner(1), threading.Event(), os.environ):
            with self.assertRaises(StateError, msg=repr(value)):
                self.codec.write(value)

    def test_texts_that_are_no_state(self):
        for text in ('{"$":"tuple"}', '{"$":"nothing","items":[]}', '{"$":7}', '{"$":"os:system"}', '{"$":"float","is":"x"}',
                     f'{{"$":"{__name__}:Color","name":"BLUE"}}', f'{{"$":"{__name__}:Pair","left":1}}', "[" * 100000):  # fmt: skip
            with self.assertRaises(StateError, msg=text[:50]):
                self.codec.read(text.encode())


@dataclasses.dataclass(frozen=True)
class Refusing:
    field: int

    def __post_init__(self):
        raise AssertionError("called")

    @classmethod
    def made(cls):
        instance = object.__new__(cls)
        object.__setattr__(instance, "field", 1)
        return instance


class Snapshots(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, str(support.STANDIN))
        self.addCleanup(sys.path.remove, str(support.STANDIN))
        self.contracts = importlib.import_module("regime_engine.contracts.snapshots")
        self.build = Builder(self.contracts).build

    def test_every_field_at_its_place(self):
        event, value = {}, 0
        for section, fields in SECTIONS.items():
            for field in fields:
                value += 1
                event.setdefault(section, {})[field] = value
        self.assertEqual(value, 25)
        built = self.build("S", 7, json.dumps(event))
        self.assertEqual(dataclasses.asdict(built), {"symbol": "S", "timestamp": 7, **event})
        made = self.contracts.FlowSnapshot(**event["flow"])
        self.assertEqual((built.flow, hash(built.flow), repr(built.flow)), (made, hash(made), repr(made)))
        with self.assertRaises(dataclasses.FrozenInstanceError):
            built.flow.cvd = 1
        self.assertEqual(as_dict("S", 7, json.dumps(event)), {"symbol": "S", "timestamp": 7, **event})

    def test_missing_null_duplicates_and_unknown(self):
        missing = self.contracts.MISSING
        text = '{"flow":{"cvd":9,"cvd_slope":9},"x":{},"flow":{"cvd":1,"cvd":null,"cv\\u0064_slope":2,"tape":3},"market":[],"context":null}'
        built = self.build("S", 7, text)
        self.assertEqual((built.flow.cvd, built.flow.cvd_slope), (None, 2))
        self.assertIs(built.flow.cvd_efficiency, missing)
        self.assertFalse(hasattr(built.flow, "tape"))
        for section in (built.market, built.context, built.derivatives):
            self.assertTrue(all(value is missing for value in vars(section).values()))
        expected = {"market": {}, "derivatives": {}, "flow": {"cvd": None, "cvd_slope": 2}, "context": {}}
        self.assertEqual(as_dict("S", 7, text), {"symbol": "S", "timestamp": 7, **expected})

    def test_a_constructor_that_does_more_is_called(self):
        def stored(cls):
            return vars(maker(cls, ["a"], None)({"a": 1}))

        post = dataclasses.make_dataclass("Post", ["a"], namespace={"__post_init__": lambda self: setattr(self, "b", 2)})
        self.assertEqual(stored(post), {"a": 1, "b": 2})
        more = dataclasses.make_dataclass("More", ["a", ("b", list, dataclasses.field(default_factory=list))])
        self.assertEqual(stored(more), {"a": 1, "b": []})
        own = dataclasses.make_dataclass("Own", ["a"], namespace={"__init__": lambda self, a: setattr(self, "a", a + 1)})
        self.assertEqual(stored(own), {"a": 2})
        slots = dataclasses.make_dataclass("Slots", ["a"], namespace={"__slots__": ("a",)})
        self.assertEqual(maker(slots, ["a"], None)({"a": 1}).a, 1)

    def test_whatever_the_form_of_the_fields(self):
        frozen = dataclasses.make_dataclass("Frozen", ["a"], frozen=True)
        self.assertEqual(maker(frozen, ["a"], None)({"a": 1}), frozen(1))


class Stores(unittest.TestCase):
    def test_fields_without_a_default_are_empty(self):
        for text, empty in [
            ("dict[str, int]", {}), ("Dict[str, int]", {}), ("typing.MutableMapping[str, X]", {}), ("list[int]", []), ("set", set()),
            ("Tuple[int, ...]", ()), ("X | None", None), ("dict[str, X] | None", None), ("Optional[X]", None), (dict, {}), ("dict[str, int | None]", {}),
        ]:  # fmt: skip
            cls = dataclasses.make_dataclass("Store", [("a", text), ("b", int, 5)])
            make = hysteresis.store_maker(cls)
            self.assertEqual((make().a, make().b), (empty, 5), text)
            self.assertTrue(not empty or make().a is not make().a)

    def test_others_are_refused(self):
        class Wants:
            def __init__(self, what):
                pass

        for cls in (Wants, dataclasses.make_dataclass("Store", [("a", "Other")])):
            with self.assertRaisesRegex(Refused, "cannot be made"):
                hysteresis.store_maker(cls)


class Digests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        sys.path.insert(0, folder.name)
        self.addCleanup(sys.path.remove, folder.name)
        self.write("package/__init__.py", "")
        self.write("package/inner/data.txt", "1")
        self.write("single.py", "")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()

    def of(self, spec="package.engine", config=b""):
        return digest(spec, spec.partition(":")[0].partition(".")[0], config)

    def test_what_changes_it_and_what_does_not(self):
        first = self.of()
        self.assertRegex(first, "^[0-9a-f]{64}$")
        self.write("package/__pycache__/x.pyc", "1")
        self.write("other.py", "1")
        self.assertEqual(self.of(), first)
        seen = {first, self.of(config=b"{}"), self.of("package.other"), self.of("single:f"), self.of("single:g")}
        for name, text in [("package/inner/data.txt", "2"), ("package/more.py", ""), ("package/inner/more.so", "")]:
            self.write(name, text)
            seen.add(self.of())
        self.write("single.py", "1")
        seen.add(self.of("single:f"))
        self.assertEqual(len(seen), 9)

    def test_it_imports_nothing(self):
        self.write("package/__init__.py", "raise AssertionError")
        self.of()
        self.assertNotIn("package", sys.modules)

    def test_what_is_no_file(self):
        with self.assertRaisesRegex(Refused, "there is no module"):
            self.of("nowhere:f")
        with self.assertRaisesRegex(Refused, "is no file"):
            self.of("sys:exit")


if __name__ == "__main__":
    unittest.main()
