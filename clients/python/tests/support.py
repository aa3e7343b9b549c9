"""What the tests share: engines written into a folder, and a host that serves one of them."""

import contextlib
import json
import os
import pathlib
import tempfile
import textwrap
import unittest

from cutline.lane import Lane

STANDIN = pathlib.Path(__file__).resolve().parent / "standin"
TRUTH, HYSTERESIS = 0, 1
ANSWERED, ENGINE_FAILURE, OUTPUT_INVALID, STATE_FAILURE = 0, 1, 4, 5
READY, REFUSED = 1, 2

OUTPUT = """\
def output(snapshot):
    return {"symbol": snapshot["symbol"], "timestamp": snapshot["timestamp"], "regime": "R", "confidence": 0.5,
            "drivers": [], "invalidations": [], "permissions": []}
"""


def canonical(value):
    """The contract's own words."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def scripted(script):
    """`normalized` of an event for the stand-in."""
    return json.dumps({"timestamp_ms": 1, "market": {"structure_levels": {"script": script}}})


def script(regime="UP", confidence=0.5, **more):
    return scripted({"regime": regime, "confidence": confidence, "drivers": ["d"], "invalidations": [], **more})


class HostTest(unittest.TestCase):
    """A test with a folder for engines, and hosts that are gone after it."""

    def setUp(self):
        self.folder = self.enter(tempfile.TemporaryDirectory())
        self.log = os.path.join(self.folder, "log")

    def enter(self, context):
        stack = contextlib.ExitStack()
        entered = stack.enter_context(context)
        self.addCleanup(stack.close)
        return entered

    def write(self, name, text):
        """A file in the folder of engines."""
        path = pathlib.Path(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def start(self, spec, mode=TRUTH, config=b"", path=None, env=(), module=None, **sizes):
        """A lane with a host that was started, whatever became of it. Its log is at `self.log`."""
        lane = Lane(mode, config, **sizes)
        self.addCleanup(lane.close)
        with open(self.log, "ab") as log:
            lane.serve_with(spec, cwd=path or self.folder, env=env, stderr=log, module=module)
        return lane

    def ready(self, *arguments, **named):
        """The same, and it must be ready."""
        lane = self.start(*arguments, **named)
        state, hello = lane.hello()
        self.assertEqual((state, hello.get("error")), (READY, None))
        return lane

    def refusal(self, *arguments, **named):
        """Starts a host that must refuse; what it says."""
        lane = self.start(*arguments, **named)
        state, hello = lane.hello()
        self.assertEqual((state, list(hello)), (REFUSED, ["error"]), hello)
        self.assertEqual(lane.process.wait(timeout=30), 1)
        return hello["error"]

    def logged(self):
        return pathlib.Path(self.log).read_text()
