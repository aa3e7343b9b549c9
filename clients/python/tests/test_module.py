"""A module's side of the module protocol against docs/modules.md: every line that it draws, however it is cut, and whatever is no line."""

import json
import socket
import threading
import time
import unittest

from cutline.module import LINE_MAX_BYTES, ConfigUpdate, Health, Module, ProtocolError, Refused, Shutdown

WELCOME = b'{"type":"welcome","protocol":1,"module":"feed","system":"7-9","reset":true,"config":{"rate":5},"later":[1]}\n'
PATIENCE_S = 30.0


class ModuleTest(unittest.TestCase):
    def setUp(self):
        self.theirs, self.ours = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.addCleanup(self.ours.close)

    def welcomed(self):
        self.ours.sendall(WELCOME)
        return Module(self.theirs)

    def said(self):
        """Every line up to now."""
        self.theirs.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in self.ours.makefile("rb")]

    def test_it_knows_from_its_welcome_who_it_is(self):
        module = self.welcomed()
        self.assertEqual((module.name, module.system, module.reset, module.config), ("feed", "7-9", True, {"rate": 5}))

    def test_what_is_no_welcome_is_told(self):
        for line in (b'{"type":"welcome","protocol":2}\n', b'{"type":"health","id":1}\n', b"GET / HTTP/1.1\r\n", b"[]\n"):
            theirs, ours = socket.socketpair()
            with theirs, ours:
                ours.sendall(line)
                self.assertRaises(ProtocolError, Module, theirs)

    def test_what_it_says_is_as_it_is_drawn(self):
        module = self.welcomed()
        module.hello("2.0")
        module.ready()
        module.health(1, "degraded", "slow", {"queue_depth": 3}, ["B"])
        module.ack(2)
        module.ack(3, "no such\nvenue")
        module.event("reconnected", venue="A")
        drawn = [
            {"type": "hello", "protocol": 1, "version": "2.0"},
            {"type": "ready"},
            {"type": "health", "id": 1, "status": "degraded", "reason": "slow", "metrics": {"queue_depth": 3}, "issues": ["B"]},
            {"type": "ack", "id": 2, "ok": True, "error": ""},
            {"type": "ack", "id": 3, "ok": False, "error": "no such\nvenue"},
            {"type": "event", "name": "reconnected", "data": {"venue": "A"}},
        ]
        self.assertEqual(self.said(), drawn)

    def test_what_it_is_asked_comes_whole_however_it_was_cut_and_no_later_than_it_waits_for(self):
        module = self.welcomed()
        lines = (
            b'{"type":"health","id":7}\n{"type":"of a later version"}\n{"type":"config_update","id":8,"config":{"a":1}}\n'
            b'{"type":"shutdown","timeout_ms":250}\n'
        )
        writer = threading.Thread(target=lambda: [self.ours.sendall(lines[at : at + 5]) for at in range(0, len(lines), 5)])
        writer.start()
        asked = [module.next(PATIENCE_S) for _ in range(3)]
        writer.join()
        self.assertEqual(asked, [Health(7), ConfigUpdate(8, {"a": 1}), Shutdown(0.25)])
        began = time.monotonic()
        self.assertIsNone(module.next(0.02))
        self.assertTrue(0.02 <= time.monotonic() - began < PATIENCE_S)
        self.assertIsNone(module.next(0), "at once")
        self.ours.sendall(b'{"type":"health","id":9}\n')
        self.assertEqual(module.next(0), Health(9))
        self.ours.close()
        self.assertEqual(module.next(PATIENCE_S), Shutdown(0.0), "it is alone")

    def test_garbage_and_lines_without_end_are_faults(self):
        for garbage in (b"garbage\n", b'{"type":"health"}\n', b'{"type":"shutdown","timeout_ms":"x"}\n', b"\xff\n", b"x" * (LINE_MAX_BYTES + 1)):
            theirs, ours = socket.socketpair()
            with theirs, ours:
                ours.sendall(WELCOME)
                module = Module(theirs)
                threading.Thread(target=ours.sendall, args=(garbage,)).start()
                self.assertRaises(ProtocolError, module.next, PATIENCE_S)
        self.assertRaises(ValueError, self.welcomed().ack, 1, "x" * LINE_MAX_BYTES)
        self.assertEqual(self.said(), [], "no half a line")

    def test_served_it_answers_what_it_is_asked_until_it_is_to_end(self):
        module = self.welcomed()
        taken, worked = [], []

        def update(config):
            if config["rate"] < 0:
                raise Refused("rate is positive")
            taken.append(config)

        for line in ({"type": "health", "id": 1}, {"type": "config_update", "id": 2, "config": {"rate": 3}}):
            self.ours.sendall(json.dumps(line).encode() + b"\n")
        self.ours.sendall(b'{"type":"config_update","id":3,"config":{"rate":-3}}\n{"type":"shutdown","timeout_ms":1500}\n')
        within_s = module.serve(lambda: {"metrics": {"n": 1}}, update, lambda: worked.append(1) or 0.01)
        self.assertEqual((within_s, taken, len(worked)), (1.5, [{"rate": 3}], 3))
        health, taken, refused = self.said()
        self.assertEqual((health["status"], health["metrics"]), ("healthy", {"n": 1}))
        self.assertEqual((taken["ok"], refused["ok"], refused["error"]), (True, False, "rate is positive"))


if __name__ == "__main__":
    unittest.main()
