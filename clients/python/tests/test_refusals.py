"""Engines that cannot serve: each says so in its hello, at once, and the process ends."""

import shutil
import struct
import subprocess
import sys
import unittest

import support
from cutline.lane import Lane
from support import HYSTERESIS, OUTPUT, STANDIN, TRUTH


class Refusals(support.HostTest):
    def refused(self, text, *parts, spec="mine:run", mode=TRUTH, config=b""):
        self.write("mine.py", text)
        error = self.refusal(spec, mode, config)
        for part in (f"python engine {spec}: ", *parts):
            self.assertIn(part, error)
        return error

    def test_no_such_module(self):
        self.assertIn("there is no module nothing for", self.refusal("nothing.engine"))
        self.assertIn("there is no module nothing for", self.refusal("nothing:run"))
        self.write("package/__init__.py", "")
        self.assertIn("there is no module package.engine for", self.refusal("package.engine"))

    def test_no_such_function(self):
        self.refused("", "mine has no run")
        self.refused("run = 7", "mine.run is a int, not a function")

    def test_an_import_that_raises(self):
        self.refused("1 / 0", "mine cannot be imported: ZeroDivisionError: division by zero", "log has the traceback")
        self.assertIn("1 / 0", self.logged())
        self.refused("def run(:", "mine cannot be imported: SyntaxError")
        self.refused("import elsewhere", "mine cannot be imported: ModuleNotFoundError: No module named 'elsewhere'")
        self.refused("raise KeyboardInterrupt", "mine cannot be imported: KeyboardInterrupt")

    def test_an_import_that_exits(self):
        self.refused("import sys; sys.exit(3)", "mine cannot be imported: the engine called sys.exit(3)")
        self.write("mine.py", "import os; os._exit(3)")
        lane = self.start("mine:run")
        with self.assertRaisesRegex(ChildProcessError, "ended with 3 without hello"):
            lane.hello()

    def test_files_that_are_changed_while_it_is_loaded(self):
        self.refused("open(__file__, 'a').write('#')\ndef run(snapshot): pass", "its files were changed while it was loaded")

    def test_a_wrong_signature(self):
        self.refused("def run(): pass", "run() cannot be called as run(snapshot)")
        self.refused("def run(a, b): pass", "run(a, b) cannot be called as run(snapshot)")
        self.refused("def run(*, snapshot): pass", "cannot be called as run(snapshot)")
        self.refused("def run(a): pass", "cannot be called as run(snapshot, state, config)", mode=HYSTERESIS)
        self.refused("async def run(a): pass", "a coroutine or generator")
        self.refused("def run(a): yield 1", "a coroutine or generator")

    def test_a_module_without_the_contract_s_classes(self):
        error = self.refused("def run(snapshot): pass", "mine has no contracts.snapshots beside it", spec="mine")
        self.assertIn("for a function over dicts say mine:FUNCTION", error)

    def test_long_refusals_are_cut(self):
        error = self.refused("raise ValueError('\\U0001f600' * 5000)", "ValueError")
        self.assertEqual(len(error), 300)


class OfModules(support.HostTest):
    """Changed copies of the stand-in."""

    def changed(self, file, old, new, mode=HYSTERESIS, config=b""):
        shutil.copytree(STANDIN, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        text = (STANDIN / "regime_engine" / file).read_text()
        self.assertIn(old, text)
        self.write(f"regime_engine/{file}", text.replace(old, new))
        return self.refusal("regime_engine.engine", mode, config)

    def test_a_field_that_the_contract_does_not_have(self):
        error = self.changed("contracts/snapshots.py", "    cvd: float\n", "    cvd: float\n    tape: float\n", TRUTH)
        self.assertIn("regime_engine.contracts.snapshots.FlowSnapshot needs a field `tape` that Cutline does not know of", error)

    def test_a_snapshot_without_a_section(self):
        error = self.changed("contracts/snapshots.py", "    flow: FlowSnapshot\n", "", TRUTH)
        self.assertIn("the contract's has symbol, timestamp, market, derivatives, flow, context", error)

    def test_names_that_are_not_there(self):
        self.assertIn("has no run", self.changed("engine.py", "def run(", "def walk(", TRUTH))
        self.assertIn("has no MISSING", self.changed("contracts/snapshots.py", "MISSING: Any", "NOTHING: Any"))
        self.assertIn("no dataclass", self.changed("contracts/snapshots.py", "@dataclass(frozen=True)\nclass FlowS", "class FlowS"))

    def test_a_store_that_is_not_found_or_cannot_be_made(self):
        shutil.copytree(STANDIN, self.folder, dirs_exist_ok=True)
        for file in ("engine.py", "hysteresis.py"):
            text = (STANDIN / "regime_engine" / file).read_text()
            self.write(f"regime_engine/{file}", text.replace("HysteresisStore", "Memory"))
        self.assertIn("no HysteresisStore is to be found", self.refusal("regime_engine.engine", HYSTERESIS))
        error = self.changed("hysteresis.py", "    tracks: dict[str, Track]", "    tracks: Track")
        self.assertIn("its field `tracks` has no default, and what an empty Track is, is not known", error)

    def test_a_store_that_cannot_be_carried(self):
        error = self.changed(
            "hysteresis.py", "    tracks: dict[str, Track]", "    tracks: dict[str, Track]\n    log: object = open('/dev/null')"
        )
        self.assertIn("the state holds a _io:TextIOWrapper, which cannot be carried by value", error)

    def test_a_configuration_that_does_not_fit(self):
        error = self.changed("engine.py", "def run(", "def run(", config=b'{"decay":1}')
        self.assertIn("[engine.hysteresis] has decay, which HysteresisConfig has not; it has min_persistence_updates, min", error)
        refuses = "    update_interval_ms: int = 180_000\n\n    def __post_init__(self):\n        raise ValueError('too small')\n"
        error = self.changed("hysteresis.py", "    update_interval_ms: int = 180_000\n", refuses, config=b'{"decay_factor":0.1}')
        self.assertIn("[engine.hysteresis] is refused by HysteresisConfig: too small", error)


class Starts(support.HostTest):
    """What is no exchange, and a host started by hand."""

    def started(self, *arguments, **environment):
        command = [sys.executable, "-m", "cutline.engine_host", *arguments]
        env = {"PYTHONHASHSEED": "0", **environment}
        done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        return done.stderr

    def test_by_hand(self):
        self.assertIn("one SPEC is expected", self.started())
        self.assertIn("CUTLINE_ENGINE_FD is not set: this is started by Cutline", self.started("mine:run"))
        self.assertIn("Bad file descriptor", self.started("mine:run", CUTLINE_ENGINE_FD="77"))

    def test_a_memory_that_is_no_exchange(self):
        def refusal(at, *words):
            lane = Lane()
            self.addCleanup(lane.close)
            lane.memory.poke(at, struct.pack(f"<{len(words)}I", *words))
            with open(self.log, "wb") as log:
                process = lane.serve_with("mine:run", cwd=self.folder, stderr=log).process
            self.assertEqual(process.wait(timeout=30), 2)
            return self.logged()

        self.assertIn("no exchange of Cutline", refusal(0, 7))
        self.assertIn("another version: install the cutline package", refusal(8, 2))
        self.assertIn("no power of two", refusal(12, 3))
        self.assertIn("no whole cache lines", refusal(16, 16383))
        self.assertIn("length is not that of its slots", refusal(16, 8192))
        self.assertIn("out of range", refusal(24, 2))

    def test_an_idle_strategy_that_is_none(self):
        self.write("mine.py", OUTPUT)
        lane = self.start("mine:output", env={"CUTLINE_ENGINE_IDLE": "park"})
        self.assertEqual(lane.process.wait(timeout=30), 2)
        self.assertIn('unknown idle strategy "park"', self.logged())


if __name__ == "__main__":
    unittest.main()
