"""An engine process that is spoken to by the module protocol besides: it answers between calls, and nothing there is its life's affair."""

import json
import os
import socket
import threading
import unittest

import support
from support import ANSWERED, ENGINE_FAILURE, OUTPUT

WELCOME = b'{"type":"welcome","protocol":1,"module":"engine:invoke/0","system":"7-9","reset":false,"config":{}}\n'
PATIENCE_S = 30.0
#: Fails, waits for a file, or looks at its environment, as the symbol says.
ENGINE = (
    OUTPUT
    + """
import os, time

def judge(snapshot):
    what, _, path = snapshot["symbol"].partition(":")
    if what == "FAIL":
        raise ValueError("no")
    if what == "WAIT":
        while not os.path.exists(path):
            time.sleep(0.002)
    if what == "SEE":
        raise ValueError(str("CUTLINE_MODULE_FD" in os.environ))
    return output(snapshot)
"""
)


class Spoken(support.HostTest):
    """A host that is ready, and the other end of its socket."""

    #: Of the host's process.
    ENVIRONMENT = {}

    def setUp(self):
        super().setUp()
        self.write("mine.py", ENGINE)
        theirs, self.ours = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.ours.settimeout(PATIENCE_S)
        self.said = self.ours.makefile("rb")
        self.lane = self.start("mine:judge", module=theirs, env=self.ENVIRONMENT)
        theirs.close()
        self.assertEqual(self.lane.hello()[0], support.READY, "before anybody has welcomed it")

    def line(self):
        return json.loads(self.said.readline())

    def welcomed(self):
        self.ours.sendall(WELCOME)
        self.assertEqual(self.line(), {"type": "hello", "protocol": 1, "version": ""})
        self.assertEqual(self.line(), {"type": "ready"})

    def ask(self, id):
        self.ours.sendall(b'{"type":"health","id":%d}\n' % id)

    def call(self, symbol="S"):
        return self.lane.call(1, symbol, "{}").status


class Supervised(Spoken):
    def test_it_tells_its_calls_and_faults(self):
        self.welcomed()
        self.assertEqual([self.call(symbol) for symbol in ("A", "FAIL", "B")], [ANSWERED, ENGINE_FAILURE, ANSWERED])
        self.ask(7)
        told = self.line()
        self.assertEqual((told["id"], told["status"]), (7, "healthy"))
        self.assertEqual((told["metrics"]["calls"], told["metrics"]["faults"]), (3, 1))
        self.assertGreater(told["metrics"]["error_rate"], 0)
        self.assertGreater(told["metrics"]["collections"], 0)

    def test_it_answers_between_calls_that_never_stop_and_not_within_one(self):
        self.welcomed()
        ended = threading.Event()
        caller = threading.Thread(target=lambda: [self.call() for _ in iter(ended.is_set, True)])
        caller.start()
        self.ask(1)
        self.assertEqual(self.line()["id"], 1)
        ended.set()
        caller.join()
        path = os.path.join(self.folder, "go-on")
        self.lane.ask(1, f"WAIT:{path}", "{}")
        self.ask(2)
        self.ours.settimeout(0.05)
        self.assertRaises(socket.timeout, self.ours.recv, 1)
        self.ours.settimeout(PATIENCE_S)
        open(path, "wb").close()
        self.assertEqual(self.lane.take().status, ANSWERED)
        self.assertEqual(self.line()["id"], 2)

    def test_a_configuration_is_refused_and_a_shutdown_is_the_end(self):
        self.welcomed()
        self.ours.sendall(b'{"type":"config_update","id":3,"config":{}}\n')
        told = self.line()
        self.assertEqual((told["id"], told["ok"]), (3, False))
        self.ours.sendall(b'{"type":"shutdown","timeout_ms":1000}\n')
        self.assertEqual(self.lane.process.wait(timeout=PATIENCE_S), 0)

    def test_whoever_is_gone_or_speaks_something_else_ends_nothing(self):
        self.welcomed()
        self.ours.sendall(b"garbage\n")
        self.assertEqual(self.said.readline(), b"", "it listens no more")
        self.assertEqual(self.call(), ANSWERED)
        self.assertIn("nobody is told any more", self.logged())

    def test_it_serves_where_nobody_ever_welcomes_it_and_where_they_end(self):
        self.assertEqual(self.call(), ANSWERED)
        self.said.close()
        self.ours.close()
        self.assertEqual(self.call(), ANSWERED)
        self.assertEqual(self.lane.stop(), 0)

    def test_the_engine_has_no_part_in_it(self):
        self.assertEqual(self.lane.call(1, "SEE", "{}").output, b"False")


class StartedAnew(Spoken):
    """Its process starts itself once more, for its strings' hashes."""

    ENVIRONMENT = {"PYTHONHASHSEED": "random"}

    def test_it_has_its_memory_and_its_socket_then_too(self):
        self.welcomed()
        self.assertEqual(self.call(), ANSWERED)
        self.ask(1)
        self.assertEqual(self.line()["metrics"]["calls"], 1)


if __name__ == "__main__":
    unittest.main()
