"""The module protocol, version 1 (docs/modules.md), from the module's side: for a program that Cutline starts, looks after and stops.

    from cutline.module import Module

    module = Module.inherited()
    module.hello("1.0")
    ...  # connects by what module.config says
    module.ready()
    while (asked := module.next(0.1)) != Module.SHUTDOWN: ...

`serve` is that loop, with functions of one's own for what is asked. A module belongs to one thread, which must come back to `next` within the
time of a health check; work that takes longer belongs to other threads.
"""

import collections
import json
import os
import socket
import time

VERSION = 1
#: Longest line in either direction, bytes, without its end.
LINE_MAX_BYTES = 65_536
_WELCOME_WITHIN_S = 10.0

#: How does it do? To be answered by Module.health.
Health = collections.namedtuple("Health", "id")
#: Another configuration, a dict, to be answered by Module.ack.
ConfigUpdate = collections.namedtuple("ConfigUpdate", "id config")
#: It is to finish what it has, and end; after within_s it gets SIGTERM. 0: whoever has started it is gone.
Shutdown = collections.namedtuple("Shutdown", "within_s")


class ProtocolError(Exception):
    """What came is no line of the module protocol."""


class Refused(Exception):
    """For a function that takes configurations: why it does not take this one, of which nothing is in force."""


class Module:
    """A module's end of its socket, welcomed: `name`, `system` (which start of Cutline this is),
    `reset` (it begins without what it has kept) and `config` (a dict) are known."""

    def __init__(self, stream):
        self._stream, self._unread = stream, b""
        welcome = self._line(_WELCOME_WITHIN_S)
        if not isinstance(welcome, dict) or welcome.get("type") != "welcome" or welcome.get("protocol") != VERSION:
            raise ProtocolError(f"{welcome!r} is no welcome of version {VERSION}")
        self.name, self.system = welcome.get("module", ""), welcome.get("system", "")
        self.reset, self.config = welcome.get("reset") is True, welcome.get("config", {})

    @classmethod
    def inherited(cls):
        """The end that this process has inherited; None if it was not started as a module."""
        number = os.environ.get("CUTLINE_MODULE_FD")
        return None if number is None else cls(socket.socket(fileno=int(number)))

    def hello(self, version=""):
        """Its first line."""
        self._say(type="hello", protocol=VERSION, version=version)

    def ready(self):
        """It does what it is for from here on."""
        self._say(type="ready")

    def health(self, id, status="healthy", reason="", metrics=None, issues=()):
        """Answers how it does: `healthy`, `degraded` or `unhealthy`; Cutline knows queue_depth, error_rate and response_time_ms."""
        self._say(type="health", id=id, status=status, reason=reason, metrics=metrics or {}, issues=list(issues))

    def ack(self, id, error=None):
        """Answers another configuration: it works by all of it now, or, for this reason, by all of the one before."""
        self._say(type="ack", id=id, ok=error is None, error=error or "")

    def event(self, name, **data):
        """Tells something that has happened to it."""
        self._say(type="event", name=name, data=data)

    def next(self, within_s):
        """What it is asked next; None if nothing was within this time, 0 for at once. Lines of a type that is not known are passed over."""
        until = time.monotonic() + within_s
        while True:
            try:
                line = self._line(until - time.monotonic())
            except (EOFError, ConnectionResetError):
                return Shutdown(0.0)
            if line is None:
                return None
            try:
                kind = line["type"]
                if kind == "health":
                    return Health(line["id"])
                if kind == "config_update":
                    return ConfigUpdate(line["id"], line["config"])
                if kind == "shutdown":
                    return Shutdown(line["timeout_ms"] / 1000)
            except (KeyError, TypeError) as fault:
                raise ProtocolError(f"{line!r}: {fault!r}") from None

    def serve(self, health=dict, update=None, work=None, look_s=0.1):
        """Answers whatever is asked until it is to end, and returns within how many seconds that is to be.

        `health()` returns what Module.health takes by name; `update(config)` takes another configuration or raises Refused; `work()` is called
        in between, at least every `look_s` seconds, and returns how long there is nothing to do.
        """
        wait_s = 0.0
        while True:
            asked = self.next(wait_s)
            if isinstance(asked, Health):
                self.health(asked.id, **health())
            elif isinstance(asked, ConfigUpdate):
                self.ack(asked.id, self._update(update, asked.config))
            elif isinstance(asked, Shutdown):
                return asked.within_s
            wait_s = min(work() if work else look_s, look_s)

    @staticmethod
    def _update(update, config):
        if update is None:
            return "it takes no configuration while it runs: restart it"
        try:
            update(config)
        except Refused as refused:
            return str(refused) or "refused"
        return None

    def _say(self, **message):
        line = json.dumps(message, allow_nan=False).encode()
        if len(line) > LINE_MAX_BYTES:
            raise ValueError(f"a line of {len(line)} bytes: {LINE_MAX_BYTES} are possible")
        self._stream.settimeout(None)
        self._stream.sendall(line + b"\n")

    def _line(self, within_s):
        until = time.monotonic() + within_s
        while b"\n" not in self._unread:
            if len(self._unread) > LINE_MAX_BYTES:
                raise ProtocolError(f"a line of more than {LINE_MAX_BYTES} bytes")
            self._stream.settimeout(max(until - time.monotonic(), 0.0))
            try:
                chunk = self._stream.recv(4096)
            except (BlockingIOError, socket.timeout):  # the latter an alias of TimeoutError only since Python 3.10
                if time.monotonic() < until:
                    continue
                return None
            if not chunk:
                raise EOFError
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError as fault:
            raise ProtocolError(f"{line[:120]!r}: {fault}") from None
