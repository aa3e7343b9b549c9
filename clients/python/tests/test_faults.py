"""What engines do that they should not: a clear fault for that call, and the next call goes on."""

import os
import signal
import unittest

import support
from cutline.lane import Lane
from support import ANSWERED, ENGINE_FAILURE, HYSTERESIS, OUTPUT, OUTPUT_INVALID, READY, STATE_FAILURE

#: Does what the event's `market.structure_levels` says, a line of Python.
OBEYS = (
    OUTPUT
    + """
import os, sys, threading, time

def obey(snapshot, state=None, config=None):
    told = snapshot["market"].get("structure_levels", "pass")
    scope = {**globals(), "snapshot": snapshot, "state": state, "answer": output(snapshot)}
    exec(told, scope)
    return scope["answer"]

def obey_with_state(snapshot, state, config):
    scope_answer = obey(snapshot, state)
    return scope_answer if type(scope_answer) is tuple else (scope_answer, snapshot["timestamp"])

class HysteresisError(ValueError):
    pass
"""
)


def told(text):
    return support.json.dumps({"market": {"structure_levels": text}})


class Faults(support.HostTest):
    def setUp(self):
        super().setUp()
        self.write("mine.py", OBEYS)

    def expect(self, lane, text, status, detail):
        answer = lane.call(1, "S", told(text), within_s=20)
        self.assertEqual((answer.status, answer.state), (status, b""), answer)
        self.assertEqual(answer.output.decode(), detail, text)
        self.assertEqual(lane.call(1, "S", "{}").status, ANSWERED)

    def test_what_is_raised_is_the_detail(self):
        lane = self.ready("mine:obey")
        for text, detail in [
            ("raise RuntimeError('boom \\u20ac')", "boom \u20ac"),
            ("raise RuntimeError()", "RuntimeError"),
            ("raise RuntimeError('x' * 300)", "x" * 256),
            ("raise RuntimeError('x' * 255 + '\\u20ac')", "x" * 255),
            ("raise RuntimeError('\\ud800')", "\\ud800"),
            ("{}['x']", "'x'"),
            ("class Odd(Exception):\n  def __str__(self): return 1 / 0\nraise Odd", "Odd"),
            ("class Odd(BaseException): pass\nraise Odd", "Odd"),
        ]:
            self.expect(lane, text, ENGINE_FAILURE, detail)
        self.assertIn("RuntimeError: boom", self.logged())

    def test_leaving_is_no_way_out(self):
        lane = self.ready("mine:obey")
        self.expect(lane, "sys.exit(3)", ENGINE_FAILURE, "the engine called sys.exit(3)")
        self.expect(lane, "sys.exit('bye')", ENGINE_FAILURE, "the engine called sys.exit('bye')")
        self.expect(lane, "raise KeyboardInterrupt", ENGINE_FAILURE, "KeyboardInterrupt")
        self.expect(lane, "input()", ENGINE_FAILURE, "EOF when reading a line")
        lane.process.send_signal(signal.SIGINT)
        self.assertEqual(lane.call(1, "S", "{}").status, ANSWERED)

    def test_prints_go_to_the_log(self):
        lane = self.ready("mine:obey")
        answer = lane.call(1, "S", told("print('to stdout'); os.write(1, b'to descriptor 1\\n'); print('\\ud800', file=sys.stderr)"))
        self.assertEqual(answer.status, ANSWERED)
        for line in ("to stdout", "to descriptor 1", "\\ud800"):
            self.assertIn(f"{line}\n", self.logged())

    def test_each_place_s_traceback_is_logged_once(self):
        lane = self.ready("mine:obey")
        for _ in range(3):
            self.expect(lane, "output(None)", ENGINE_FAILURE, "'NoneType' object is not subscriptable")
        self.assertEqual(self.logged().count("TypeError"), 1)

    def test_what_is_no_output(self):
        lane = self.ready("mine:obey", output_max=1000)
        for text, detail in [
            ("answer = {'x': float('nan')}", "the output cannot be written as JSON: Out of range float values are not JSON compliant"),
            ("answer = {'x': {1}}", "the output cannot be written as JSON: a builtins.set has no form in JSON"),
            ("answer = {'x': 1, 2: 3}", "the output cannot be written as JSON: '<' not supported between instances of"),
            ("answer['x'] = answer", "the output is nested too deeply or contains itself"),
            ("answer = 'x' * 999", "output of 1001 bytes exceeds engine.output_max_bytes = 1000"),
        ]:
            answer = lane.call(1, "S", told(text))
            self.assertEqual(answer.status, OUTPUT_INVALID, text)
            self.assertEqual(answer.output.decode()[: len(detail)].partition(": Out")[0], detail.partition(": Out")[0])
        self.assertEqual(lane.call(1, "S", "{}").status, ANSWERED)

    def test_what_dies_is_seen_and_no_call_behind_it_was_begun(self):
        lane = self.ready("mine:obey")
        lane.ask(1, "S", told("os._exit(7)"))
        lane.ask(1, "S", "{}")
        with self.assertRaisesRegex(ChildProcessError, "ended with 7 without answer"):
            lane.take()
        self.assertEqual(lane.begun(), 1)

    def test_a_forked_child_cannot_answer(self):
        lane = self.ready("mine:obey")
        # The child goes on where its parent is: out of the function, to answer.
        forks = "child = os.fork()\nif child: state = os.waitpid(child, 0)[1]; answer['regime'] = str(os.WTERMSIG(state))"
        answer = lane.call(1, "S", told(forks))
        self.assertIn(f'"regime":"{int(signal.SIGSEGV)}"'.encode(), answer.output)
        self.assertEqual(lane.call(1, "S", "{}").status, ANSWERED)

    def test_threads_of_the_engine_run_while_it_waits_and_do_not_hold_up_the_end(self):
        lane = self.ready("mine:obey")
        lane.call(1, "S", told("globals()['output'].__globals__['seen'] = []\nseen = output.__globals__['seen']\n"
                               "threading.Thread(target=lambda: [seen.append(1) or time.sleep(0.01) for _ in range(9999)]).start()"))
        while lane.call(1, "S", told("answer['regime'] = str(len(output.__globals__['seen']))")).output.find(b'"regime":"3"') < 0:
            pass
        self.assertEqual(lane.stop(), 0)

    def test_hysteresis_of_a_plain_function(self):
        lane = self.ready("mine:obey_with_state", HYSTERESIS, state_max=100)
        answer = lane.call(7, "S", told("assert state is None"))
        self.assertEqual((answer.status, answer.state), (ANSWERED, b"7"))
        answer = lane.call(8, "S", told("assert state == {'a': [1.5, None]}"), b'{"a":[1.5,null]}')
        self.assertEqual((answer.status, answer.state), (ANSWERED, b"8"))
        for text, state, status, detail in [
            ("raise HysteresisError('late')", b"", STATE_FAILURE, "late"),
            ("import cutline; raise cutline.HysteresisStateFailure('late')", b"", STATE_FAILURE, "late"),
            ("raise ValueError('late')", b"", ENGINE_FAILURE, "late"),
            ("", b"{", STATE_FAILURE, "the state is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            ("answer = (answer, {1})", b"", STATE_FAILURE, "the new state cannot be written as JSON: a builtins.set has no form in JSON"),
            ("answer = (answer, 1, 2)", b"", OUTPUT_INVALID, "the function returned a tuple, not a tuple (decision, new_state)"),
            ("answer = (answer, 'x' * 99)", b"", OUTPUT_INVALID, "state of 101 bytes exceeds engine.state_max_bytes = 100"),
        ]:
            answer = lane.call(1, "S", told(text), state)
            self.assertEqual((answer.status, answer.output.decode()[: len(detail)]), (status, detail), text)

    def test_a_host_whose_parent_is_gone_ends(self):
        # The host's parent leaves once the host is ready.
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        parent = os.fork()
        if parent == 0:
            os.close(reader)
            lane = Lane().serve_with("mine:obey", cwd=self.folder)
            os._exit(lane.hello()[0])
        os.close(writer)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]), READY)
        # The last writer is the host: its end is the end of the pipe.
        self.assertEqual(os.read(reader, 1), b"")
        os.close(reader)


if __name__ == "__main__":
    unittest.main()
