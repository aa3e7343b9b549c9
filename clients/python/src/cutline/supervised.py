"""The module protocol beside the exchange: an engine process tells between two calls how it does (docs/modules.md).

Nothing here waits, and nothing here decides whether the process lives: that is the lane's. A supervisor that is gone, or says what is no
line of the protocol, is not listened to any more.
"""

import gc
import os
import select
import socket
import sys
import time

from cutline.module import ConfigUpdate, Health, Module, ProtocolError, Shutdown

#: The environment variable with the number of the descriptor.
VARIABLE = "CUTLINE_MODULE_FD"
#: Between two looks at the socket, while there are calls.
_LOOK_S = 0.01


class Supervised:
    """The socket that this process has inherited, if it has, for an engine of this version that serves this exchange."""

    def __init__(self, version, exchange):
        self._version, self._exchange, self._faults = version, exchange, 0
        self._stream, self._module = _inherited(), None
        self._due = 0.0
        self._told, self._told_at = 0, time.monotonic()

    def failed(self):
        """A call has failed."""
        self._faults += 1

    def look(self):
        """Answers what it was asked, at most once within _LOOK_S; whether it is to end."""
        if self._stream is None:
            return False
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + _LOOK_S
        try:
            if self._module is None and not self._welcomed():
                return False
            return self._answer(self._module.next(0.0), now)
        except (OSError, EOFError, ValueError, ProtocolError) as fault:
            print(f"cutline.engine_host: nobody is told any more how this engine does: {fault!r}", file=sys.stderr)
            self._close()
            return False

    def _welcomed(self):
        # Without its line it would be waited for.
        if not select.select([self._stream], [], [], 0.0)[0]:
            return False
        self._module = Module(self._stream)
        self._module.hello(self._version)
        self._module.ready()
        return True

    def _answer(self, asked, now):
        if isinstance(asked, Health):
            self._module.health(asked.id, metrics=self._metrics(now))
        elif isinstance(asked, ConfigUpdate):
            self._module.ack(asked.id, "an engine takes its configuration from [engine.hysteresis], when it is started")
        elif isinstance(asked, Shutdown):
            if asked.within_s > 0:
                return True
            # Whoever was there is gone, and the lane may live.
            self._close()
        return False

    def _metrics(self, now):
        rate = (self._faults - self._told) / max(now - self._told_at, 0.001)
        self._told, self._told_at = self._faults, now
        collections = sum(generation["collections"] for generation in gc.get_stats())
        return {"calls": self._exchange.calls, "faults": self._faults, "error_rate": rate, "collections": collections}

    def _close(self):
        self._stream.close()
        self._stream = self._module = None


def _inherited():
    # The engine has no part in this, nor does what it starts.
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return None
    try:
        stream = socket.socket(fileno=int(number))
        stream.set_inheritable(False)
        return stream
    except (ValueError, OSError) as fault:
        print(f"cutline.engine_host: {VARIABLE} = {number}: {fault}", file=sys.stderr)
        return None
