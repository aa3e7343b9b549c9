"""`python -m cutline.engine_host SPEC`: serves a Python engine to the lane that started this process.

SPEC is `package.module` with `run` and `run_with_hysteresis` over its own dataclasses, or `module:function` over dicts. The exchange is the
memory behind the file descriptor in CUTLINE_ENGINE_FD; how to wait for a request says CUTLINE_ENGINE_IDLE: spin, yield or backoff. If there is
a socket in CUTLINE_MODULE_FD, whoever is at its other end is told between two calls how the engine does (supervised.py).

An engine runs as it would elsewhere, but for these: strings hash by PYTHONHASHSEED 0; standard output goes to standard error, which is the
engine's log, and standard input is empty; no bytecode is written; Ctrl-C is the parent's. The garbage collector runs between calls, not
within them: everything that was imported is frozen, then it runs while no request is waiting, and in any case once GARBAGE_MAX
containers more were made than freed.
"""

import gc
import json
import os
import signal
import sys
import traceback

from cutline._exchange import Exchange
from cutline.digest import digest
from cutline.engines import load
from cutline.faults import OUTPUT_INVALID, Fault, Refused
from cutline.output import canonical
from cutline.supervised import VARIABLE, Supervised

READY, REFUSED = 1, 2
#: Characters of a refusal that fit a hello, however many bytes each of them takes in JSON.
REFUSAL_MAX = 300
#: Containers, more made than freed, after which a collection is worth its while between two requests, and when it is due all the same.
GARBAGE_SOME, GARBAGE_MAX = 700, 100_000
#: Who started this; an orphan ends.
PARENT = os.getppid()


def main(arguments):
    """Serves until the lane asks for the end; the exit code says 1 if the engine was refused, 2 if this was started wrongly."""
    if len(arguments) != 1:
        return _usage("one SPEC is expected, such as regime_engine.engine or my_module:function")
    try:
        fd = int(os.environ["CUTLINE_ENGINE_FD"])
        _with_fixed_hashes(fd)
        exchange = Exchange(fd, os.environ.get("CUTLINE_ENGINE_IDLE", "backoff"))
    except KeyError:
        return _usage("CUTLINE_ENGINE_FD is not set: this is started by Cutline, see `cutline engine check python=SPEC`")
    except (ValueError, OSError) as error:
        return _usage(f"CUTLINE_ENGINE_FD = {os.environ['CUTLINE_ENGINE_FD']}: {error}")
    os.close(fd)
    _detach()
    spec = sys.argv[1]
    sys.argv = [spec]
    try:
        serve = start(exchange, spec)
    except Refused as refusal:
        exchange.hello(REFUSED, canonical({"error": f"python engine {spec}: {refusal}"[:REFUSAL_MAX]}))
        return 1
    serve()
    return 0


def start(exchange, spec):
    """Loads the engine and says hello; returns the function that serves it."""
    config = exchange.config
    module = spec.partition(":")[0]
    package = module.partition(".")[0]
    identity = digest(spec, package, config)
    call = load(spec, exchange.mode, json.loads(config) if config else None)
    if digest(spec, package, config) != identity:
        # What was imported may have come there after what was read.
        raise Refused("its files were changed while it was loaded: it is another engine")
    version = getattr(sys.modules.get(package), "__version__", "")
    hello = {"digest": identity, "name": spec, "version": version if isinstance(version, str) else ""}
    gc.disable()
    gc.collect()
    gc.freeze()
    exchange.hello(READY, canonical(hello))
    return lambda: serve(exchange, call, hello["version"])


def serve(exchange, call, version=""):
    """Answers requests in their order until the lane asks for the end, or a supervisor does."""
    supervised = Supervised(version, exchange)
    step = stepper(exchange, call, supervised.failed)
    while True:
        if not step(False):
            _collect(GARBAGE_SOME)
            if not step(True) and (exchange.stopped or os.getppid() != PARENT):
                return
        if supervised.look():
            return
        _collect(GARBAGE_MAX)


def stepper(exchange, call, failed=lambda: None):
    """A function that answers the next request, if there is one, and tells whether there was; `wait` as in Exchange.next.
    `failed` is called for each that failed."""
    following, answer = exchange.next, exchange.answer
    output_max, state_max = exchange.output_max_bytes, exchange.state_max_bytes

    def step(wait):
        request = following(wait)
        if request is None:
            return False
        try:
            output, state = call(*request)
            if len(output) > output_max or len(state) > state_max:
                raise _too_long(output, output_max, state, state_max)
        except Fault as fault:
            answer(fault.status, fault.detail(), b"")
            failed()
        else:
            answer(0, output, state)
        return True

    return step


def _collect(garbage):
    if gc.get_count()[0] > garbage:
        gc.collect()


def _too_long(output, output_max, state, state_max):
    what, length, most = ("output", len(output), output_max) if len(output) > output_max else ("state", len(state), state_max)
    return Fault(OUTPUT_INVALID, f"{what} of {length} bytes exceeds engine.{what}_max_bytes = {most}")


def _with_fixed_hashes(fd):
    """Starts this process anew if strings would hash differently each time."""
    if os.environ.get("PYTHONHASHSEED") == "0":
        if sys.flags.hash_randomization:
            raise ValueError("this Python ignores PYTHONHASHSEED: start it without -E and -I")
        return
    os.environ["PYTHONHASHSEED"] = "0"
    for number in (fd, os.environ.get(VARIABLE)):
        if number is not None:
            os.set_inheritable(int(number), True)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "cutline.engine_host", *sys.argv[1:]])


def _detach():
    """Leaves the engine nothing to disturb: what it prints goes to the log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    if hasattr(sys, "set_int_max_str_digits"):
        # JSON's integers have any length here as they have elsewhere.
        sys.set_int_max_str_digits(0)


def _usage(problem):
    print(f"cutline.engine_host: {problem}", file=sys.stderr)
    return 2


def _run():
    try:
        code = main(sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    # Not by way of exit handlers and threads of the engine, which may never come to an end.
    os._exit(code)


if __name__ == "__main__":
    _run()
