"""Engines behind one call: a module with dataclasses (`package.module`), or a plain function over dicts (`module:function`).

`load` gives a function (timestamp_ms, symbol, normalized, state) -> (output or decision, new state), all bytes but the first three. It
raises `Fault`, whatever the engine does short of ending the process. An engine that cannot serve is refused when it is loaded.
"""

import importlib
import inspect
import json
import sys
import traceback

from cutline import hysteresis
from cutline.faults import ENGINE_FAILURE, OUTPUT_INVALID, STATE_FAILURE, Fault, Refused, text_of
from cutline.output import written
from cutline.snapshot import Builder, as_dict
from cutline.state import Codec, StateError

TRUTH, HYSTERESIS = 0, 1

#: Tag of a module's state; another number when it is written differently.
STATE_TYPE = "cutline.python/1"


def load(spec, mode, config):
    """The function that serves SPEC in this mode; `config` is what JSON says under [engine.hysteresis], or None."""
    module, colon, function = spec.partition(":")
    imported = _import(module)
    if colon:
        return _plain(_function(imported, function), mode, config)
    build = Builder(contracts_of(imported)).build
    if mode == TRUTH:
        return _module_truth(_function(imported, "run"), build)
    return ModuleHysteresis(imported, build, config).call


# Plain functions.


def _plain(function, mode, config):
    if mode == TRUTH:
        _check_signature(function, "(snapshot)", 1)

        def truth(timestamp_ms, symbol, normalized, state):
            try:
                output = function(as_dict(symbol, timestamp_ms, normalized))
            except BaseException as error:
                raise _failure(error) from None
            return written(output, "the output"), b""

        return truth
    _check_signature(function, "(snapshot, state, config)", 3)

    def step(timestamp_ms, symbol, normalized, state):
        try:
            before = json.loads(state) if state else None
        except ValueError as error:
            raise Fault(STATE_FAILURE, f"the state is not JSON: {error}") from None
        try:
            answer = function(as_dict(symbol, timestamp_ms, normalized), before, config)
        except BaseException as error:
            raise _failure(error, may_be_state=True) from None
        if type(answer) is not tuple or len(answer) != 2:
            raise Fault(OUTPUT_INVALID, f"the function returned a {type(answer).__name__}, not a tuple (decision, new_state)")
        try:
            after = written(answer[1], "the new state")
        except Fault as fault:
            raise Fault(STATE_FAILURE, str(fault)) from None
        return written(answer[0], "the decision"), after

    return step


# Modules with dataclasses.


def _module_truth(run, build):
    _check_signature(run, "(snapshot)", 1)

    def truth(timestamp_ms, symbol, normalized, state):
        try:
            output = run(build(symbol, timestamp_ms, normalized))
        except BaseException as error:
            raise _failure(error) from None
        return written(output, "the output"), b""

    return truth


class ModuleHysteresis:
    """`run_with_hysteresis(snapshot, store, config)`, the store carried by value: made from the state of before for each call, so that no call
    sees what another one did to it. Whether a store is changed in place or returned anew makes no difference."""

    def __init__(self, module, build, config):
        self.build = build
        self._run = _function(module, "run_with_hysteresis")
        _check_signature(self._run, "(snapshot, store, config)", 3)
        self._truth = getattr(getattr(module, "run", None), "__code__", None)
        store = hysteresis.find(module, hysteresis.STORE)
        if store is None:
            raise Refused(f"{module.__name__} has run_with_hysteresis, but no {hysteresis.STORE} is to be found in its package")
        self._empty = hysteresis.store_maker(store)
        self._config = hysteresis.make_config(module, config)
        self._codec = Codec(module.__name__.partition(".")[0], contracts_of(module).MISSING)
        try:
            self._codec.read(self._codec.write(self._empty()))
        except StateError as error:
            raise Refused(f"a {store.__module__}.{store.__qualname__} cannot be carried by value: {error}") from None

    def call(self, timestamp_ms, symbol, normalized, state):
        store, last_ms = self.read(state)
        try:
            answer = self._run(self.build(symbol, timestamp_ms, normalized), store, self._config)
        except BaseException as error:
            may_be_state = not _passed_through(error, self._truth)
            raise _failure(error, may_be_state, is_late=last_ms is not None and timestamp_ms <= last_ms) from None
        if type(answer) is tuple and len(answer) == 2:
            answer, returned = answer
            store = store if returned is None else returned
        decision = written(answer, "the decision")
        try:
            return decision, b'{"store":%b,"timestamp":%d,"type":"%b"}' % (self._codec.write(store), timestamp_ms, STATE_TYPE.encode())
        except StateError as error:
            raise Fault(STATE_FAILURE, str(error)) from None

    def read(self, state):
        """The store, and the timestamp of the run that left it so."""
        if not state:
            return self._empty(), None
        try:
            found = self._codec.read(state)
            if type(found) is not dict or found.get("type") != STATE_TYPE:
                raise StateError(f"the state is not of type {STATE_TYPE}: another engine wrote it")
            return found["store"], found["timestamp"]
        except (StateError, KeyError) as error:
            raise Fault(STATE_FAILURE, text_of(error)) from None


def contracts_of(module):
    """The module that has the snapshots' dataclasses: contracts.snapshots in the engine's package, or in one around it."""
    package, needed = module.__name__, ("RegimeInputSnapshot", "MarketSnapshot", "DerivativesSnapshot", "FlowSnapshot", "ContextSnapshot", "MISSING")
    while package := package.rpartition(".")[0]:
        name = f"{package}.contracts.snapshots"
        try:
            contracts = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and not f"{name}.".startswith(f"{error.name}."):
                raise Refused(f"{name} cannot be imported: {error}") from None
            continue
        except BaseException as error:
            raise _import_refused(name, error) from None
        absent = [name for name in needed if not hasattr(contracts, name)]
        if absent:
            raise Refused(f"{contracts.__name__} has no {', '.join(absent)} (CONTRACTS section 5)")
        return contracts
    raise Refused(
        f"{module.__name__} has no contracts.snapshots beside it (CONTRACTS section 5); for a function over dicts say {module.__name__}:FUNCTION"
    )


# What both share.


def _import(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise Refused(
                f"there is no module {error.name} for {sys.executable}: install it there, start Cutline in its folder, or set engine.process.venv"
            ) from None
        raise _import_refused(name, error) from None
    except BaseException as error:
        raise _import_refused(name, error) from None


def _import_refused(name, error):
    traceback.print_exception(type(error), error, error.__traceback__)
    said = text_of(error) if isinstance(error, SystemExit) else f"{type(error).__name__}: {text_of(error)}"
    return Refused(f"{name} cannot be imported: {said}; the engine's log has the traceback")


def _function(module, name):
    function = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if function is None:
        raise Refused(f"{module.__name__} has no {name}")
    if not callable(function):
        raise Refused(f"{module.__name__}.{name} is a {type(function).__name__}, not a function")
    return function


def _check_signature(function, wanted, count):
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise Refused(f"{function.__qualname__} is a coroutine or generator: an engine is a function that returns its answer")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Compiled functions need not say what they take; a call will tell.
        return
    try:
        signature.bind(*range(count))
    except TypeError:
        name = getattr(function, "__qualname__", repr(function))
        raise Refused(f"{name}{signature} cannot be called as {name}{wanted}, which is how this mode calls it") from None


#: Places that exceptions came from, so that the log shows the traceback of each one once.
_shown = set()
_SHOWN_MAX = 100


def _failure(error, may_be_state=False, is_late=False):
    """The fault of an exception that left the engine. It is about the state if its type says so, or if time has not increased; never if it
    came out of the part of a run that knows no state."""
    _show(error)
    names_state = any("Hysteresis" in cls.__name__ or "State" in cls.__name__ for cls in type(error).__mro__)
    is_state = may_be_state and (names_state or is_late)
    return Fault(STATE_FAILURE if is_state else ENGINE_FAILURE, text_of(error))


def _show(error):
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    place = (type(error), last.tb_frame.f_code, last.tb_lineno)
    if place not in _shown and len(_shown) < _SHOWN_MAX:
        _shown.add(place)
        traceback.print_exception(type(error), error, error.__traceback__)


def _passed_through(error, code):
    """Whether an exception came out of a call of the function with this code."""
    at = error.__traceback__
    while at is not None and code is not None:
        if at.tb_frame.f_code is code:
            return True
        at = at.tb_next
    return False
