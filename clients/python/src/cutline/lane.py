"""The lane's side of an exchange, for tests and benchmarks of the host: makes the memory, asks, and reads answers.

Cutline's own lane does this in Rust, with deadlines and restarts; here a process that ends or says nothing is an error.
"""

import collections
import fcntl
import json
import os
import struct
import subprocess
import sys
import time

from cutline._exchange import Exchange

_STOP, _STATE, _HELLO_LEN, _BEGUN, _HELLO, _CONFIG, _REQUESTS = 64, 128, 132, 136, 256, 4096, 65536
_SLOT_HEAD = 64

Answer = collections.namedtuple("Answer", "status output state")


class Lane:
    """An exchange and its calls. `Lane(...).serve_with(SPEC)` starts a host for it."""

    def __init__(self, mode=0, config=b"", slots=4, request_bytes=16384, answer_bytes=16384, output_max=4096, state_max=8192, idle_sleep_s=0.0001):
        length = _REQUESTS + slots * (request_bytes + answer_bytes)
        self.fd = os.memfd_create("exchange")
        os.ftruncate(self.fd, length)
        header = struct.pack("<8sIIIIIIII", b"CUTLENG1", 1, slots, request_bytes, answer_bytes, mode, output_max, state_max, len(config))
        os.pwrite(self.fd, header, 0)
        os.pwrite(self.fd, config, _CONFIG)
        self.memory = Exchange(self.fd)
        self._slots, self._request_bytes, self._answer_bytes = slots, request_bytes, answer_bytes
        self._asked = self._taken = 0
        #: Between two looks for an answer; 0 spins.
        self._idle_sleep_s = idle_sleep_s
        self.process = None

    def serve_with(self, spec, python=sys.executable, cwd=None, env=(), stderr=None, module=None):
        """Starts `python -m cutline.engine_host SPEC` as Cutline would: memory as descriptor 3, the environment its own; `module` is the socket
        that it is spoken to over."""
        environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "CUTLINE_ENGINE_FD": "3", **dict(env)}
        # Inherited, and out of the way of the memory.
        kept = [] if module is None else [fcntl.fcntl(module, fcntl.F_DUPFD, 10)]
        environment.update(("CUTLINE_MODULE_FD", str(number)) for number in kept)

        def give_memory():
            if self.fd == 3:
                os.set_inheritable(3, True)
            else:
                os.dup2(self.fd, 3, True)

        self.process = subprocess.Popen(
            [python, "-m", "cutline.engine_host", spec],
            cwd=cwd,
            env=environment,
            stdout=stderr,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=give_memory,
        )
        for number in kept:
            os.close(number)
        return self

    def hello(self, within_s=30.0):
        """What the engine said of itself: (1 ready or 2 refused, its JSON)."""
        state = self._await(lambda: struct.unpack("<I", self.memory.peek(_STATE, 4))[0], within_s, "hello")
        (length,) = struct.unpack("<I", self.memory.peek(_HELLO_LEN, 4))
        return state, json.loads(self.memory.peek(_HELLO, length))

    def ask(self, timestamp_ms, symbol, normalized, state=b""):
        """Submits a call; the symbol and `normalized` are text."""
        self._asked += 1
        at = _REQUESTS + (self._asked - 1) % self._slots * self._request_bytes
        symbol, normalized = symbol.encode(), normalized.encode()
        self.memory.poke(at + 8, struct.pack("<qIII", timestamp_ms, len(symbol), len(normalized), len(state)))
        self.memory.poke(at + _SLOT_HEAD, symbol + normalized + state)
        self.memory.poke(at, struct.pack("<Q", self._asked))  # E1 release

    def take(self, within_s=30.0):
        """The next answer; waits for it."""
        call = self._taken + 1
        at = _REQUESTS + self._slots * self._request_bytes + (call - 1) % self._slots * self._answer_bytes
        stamp = struct.pack("<Q", call)
        self._await(lambda: self.memory.peek(at, 8) == stamp, within_s, "answer")  # E2 acquire
        self._taken = call
        status, output, state = struct.unpack("<III", self.memory.peek(at + 8, 12))
        body = self.memory.peek(at + _SLOT_HEAD, output + state)
        return Answer(status, body[:output], body[output:])

    def call(self, timestamp_ms, symbol, normalized, state=b"", within_s=30.0):
        """One call and its answer."""
        self.ask(timestamp_ms, symbol, normalized, state)
        return self.take(within_s)

    def begun(self):
        """The number of the last call that the engine has begun with."""
        return struct.unpack("<Q", self.memory.peek(_BEGUN, 8))[0]

    def stop(self):
        """Asks for the end; returns the exit code of the process."""
        self.memory.poke(_STOP, struct.pack("<I", 1))
        return self.process.wait(timeout=30) if self.process else None

    def close(self):
        """Ends the process, whatever it does, and gives the memory back."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)

    def _await(self, condition, within_s, what):
        if found := condition():
            return found
        until = time.monotonic() + within_s
        while not (found := condition()):
            if not self._idle_sleep_s and time.monotonic() < until:
                continue
            if self.process and self.process.poll() is not None and not condition():
                raise ChildProcessError(f"the engine's process ended with {self.process.returncode} without {what}")
            if time.monotonic() > until:
                raise TimeoutError(f"no {what} within {within_s} s")
            time.sleep(self._idle_sleep_s)
        return found
