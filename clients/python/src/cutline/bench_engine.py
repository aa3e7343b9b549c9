"""`python -m cutline.bench_engine SPEC [--hysteresis]`: what the host adds to a call of a Python engine, beside yardsticks of the same run.

Every round makes one call in each of these ways, one after another, with the same snapshot of 25 fields and a script for the golden cases'
engine in it; medians of all rounds are shown:

    function    the engine's function, called with a snapshot, and a store, that is there already
    loads       json.loads of the snapshot's text, and of the state's
    host        everything that the host does for a request: takes it, reads it, calls the function, writes the answer, gives it back
    exchange    the same through the memory and a second process that spins, as this process sees it
    pipe        the same bytes through two pipes to a second process that sends back as many as an answer has

What the host adds is `host` without `function` and `loads`; it should be less than `loads`.
"""

import argparse
import json
import os
import statistics
import sys
import time

from cutline._exchange import Exchange
from cutline.engine_host import stepper
from cutline.engines import HYSTERESIS, TRUTH, ModuleHysteresis, contracts_of, load
from cutline.lane import Lane
from cutline.snapshot import SECTIONS, Builder, as_dict

SYMBOL, FIRST_MS = "BTCUSDT", 1_767_225_780_000
ROUNDS_FIRST = 200


def main():
    parser = argparse.ArgumentParser(prog="python -m cutline.bench_engine", description=__doc__.partition(":")[2].partition("\n")[0])
    parser.add_argument("spec", help="package.module, or module:function over dicts")
    parser.add_argument("--hysteresis", action="store_true", help="run_with_hysteresis in place of run")
    parser.add_argument("--rounds", type=int, default=5000)
    arguments = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    mode = HYSTERESIS if arguments.hysteresis else TRUTH
    text = event()
    state = b""
    here = Here(arguments.spec, mode)
    if mode == HYSTERESIS:
        state = here.answer(FIRST_MS - 1000, text, b"").state
    answer = here.answer(FIRST_MS, text, state)
    ways = {
        "function": direct(arguments.spec, mode, text, state),
        "loads": lambda: timed(lambda: (json.loads(text), state and json.loads(state))),
        "host": lambda: here.timed(text, state),
        "exchange": Elsewhere(arguments.spec, mode, text, state).timed,
        "pipe": Pipe(len(text) + len(state), len(answer.output) + len(answer.state)).timed,
    }
    seen = {name: [] for name in ways}
    for round_ in range(ROUNDS_FIRST + arguments.rounds):
        for name, way in ways.items():
            taken_ns = way()
            if round_ >= ROUNDS_FIRST:
                seen[name].append(taken_ns)
    report(arguments.spec, mode, text, state, answer, seen)


def report(spec, mode, text, state, answer, seen):
    median = {name: statistics.median(taken) / 1000 for name, taken in seen.items()}
    print(f"{spec}, {'hysteresis' if mode else 'truth'}, Python {sys.version.split()[0]}, {len(seen['host'])} rounds")
    print(f"snapshot {len(text)} bytes, state {len(state)} bytes, answer {len(answer.output)} + {len(answer.state)} bytes")
    print(f"{'':10} {'p50 us':>9} {'p99 us':>9}")
    for name, taken in seen.items():
        print(f"{name:10} {median[name]:9.2f} {statistics.quantiles(taken, n=100)[98] / 1000:9.2f}")
    added = median["host"] - median["function"] - median["loads"]
    print(f"the host adds {added:.2f} us, {added / median['loads']:.2f} of loads; exchange {median['exchange'] / median['pipe']:.2f} of pipe")


def event():
    """`normalized` of an event with all fields."""
    fields = [(section, name) for section, names in SECTIONS.items() for name in names]
    event = {"timestamp_ms": FIRST_MS}
    for at, (section, name) in enumerate(fields):
        event.setdefault(section, {})[name] = (at + 1) * 1234.567 / 7
    event["context"].update(btc_regime="TREND", eth_regime=None)
    script = {"confidence": 0.318398, "drivers": ["d1", "Flow CVD slope"], "invalidations": [], "regime": "CHOP", "raise": None}
    event["market"]["structure_levels"] = {"script": script}
    return json.dumps(event, separators=(",", ":"))


def timed(call):
    before = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - before


def direct(spec, mode, text, state):
    """A way to call the engine's function alone."""
    call = load(spec, mode, None)
    module, colon, name = spec.partition(":")
    module = sys.modules[module]
    if colon:
        function, snapshot = getattr(module, name), as_dict(SYMBOL, FIRST_MS, text)
        if mode == TRUTH:
            return lambda: timed(lambda: function(snapshot))
        before = json.loads(state)
        return lambda: timed(lambda: function(snapshot, before, None))
    if mode == TRUTH:
        snapshot = Builder(contracts_of(module)).build(SYMBOL, FIRST_MS, text)
        return lambda: timed(lambda: module.run(snapshot))
    host = call.__self__
    assert isinstance(host, ModuleHysteresis)
    snapshot = host.build(SYMBOL, FIRST_MS, text)

    def with_a_store():
        store = host.read(state)[0]
        return timed(lambda: module.run_with_hysteresis(snapshot, store, None))

    return with_a_store


class Here:
    """Lane and host in this process, so that nothing but the host's work is timed."""

    def __init__(self, spec, mode):
        self.lane = Lane(mode)
        self.step = stepper(Exchange(self.lane.fd), load(spec, mode, None))

    def timed(self, text, state):
        self.lane.ask(FIRST_MS, SYMBOL, text, state)
        taken_ns = timed(lambda: self.step(False))
        self.lane.take()
        return taken_ns

    def answer(self, timestamp_ms, text, state):
        self.lane.ask(timestamp_ms, SYMBOL, text, state)
        self.step(False)
        answer = self.lane.take()
        if answer.status != 0:
            raise SystemExit(f"the engine failed with {answer.status}: {answer.output.decode()}")
        return answer


class Elsewhere:
    """The host in a process of its own."""

    def __init__(self, spec, mode, text, state):
        self.lane = Lane(mode, idle_sleep_s=0).serve_with(spec, env={"CUTLINE_ENGINE_IDLE": "spin"})
        self.ask = (FIRST_MS, SYMBOL, text, state)
        state, hello = self.lane.hello()
        if state != 1:
            raise SystemExit(hello["error"])

    def timed(self):
        return timed(lambda: self.lane.call(*self.ask))


class Pipe:
    """A process at the other end of two pipes."""

    def __init__(self, there, back):
        (their_in, self.to), (self.back, their_out) = os.pipe(), os.pipe()
        self.request, self.answer_len = b"x" * there, back
        if os.fork() == 0:
            os.close(self.to)
            while len(got := os.read(their_in, 1 << 16)) > 0:
                while len(got) < there:
                    got += os.read(their_in, 1 << 16)
                os.write(their_out, b"y" * back)
            os._exit(0)
        os.close(their_in)

    def timed(self):
        return timed(self.call)

    def call(self):
        os.write(self.to, self.request)
        left = self.answer_len
        while left > 0:
            left -= len(os.read(self.back, left))


if __name__ == "__main__":
    main()
