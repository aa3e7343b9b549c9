"""Hysteresis of modules: the store goes by value, whatever its design; time that does not increase is the state's failure, not the engine's."""

import json
import shutil
import unittest

import support
from support import ANSWERED, ENGINE_FAILURE, HYSTERESIS, OUTPUT_INVALID, STANDIN, STATE_FAILURE, canonical, script, scripted

CONFIG = {"min_persistence_updates": 3, "decay_factor": 0.5, "min_confidence_floor": 0.125, "update_interval_ms": 1000}


class StandIn(support.HostTest):
    def lane(self, config=CONFIG):
        return self.ready("regime_engine.engine", HYSTERESIS, canonical(config) if config else b"", path=STANDIN)

    def test_the_rules_one_after_another(self):
        lane, state = self.lane(), b""
        for timestamp_ms, regime, confidence, expected in [
            (1000, "A", 1.0, (1000, 1.0, "A", None, 0, False, False)),  # nothing stable yet
            (1100, "B", 0.9, (1000, 0.5, "A", "B", 1, False, False)),  # a candidate; the stable output keeps its time
            (1200, "B", 0.9, (1000, 0.25, "A", "B", 2, False, False)),
            (1300, "B", 0.5, (1000, 0.125, "A", "B", 3, False, False)),  # often enough, not confident enough; the floor
            (1400, "B", 0.6, (1400, 0.6, "B", None, 0, True, False)),
            (1500, "A", 0.9, (1400, 0.3, "B", "A", 1, False, False)),
            (1600, "C", 0.9, (1400, 0.3, "B", "C", 1, False, False)),  # another candidate
            (1700, "B", 0.9, (1700, 0.9, "B", None, 0, False, False)),  # the same again
            (2700, "A", 0.9, (1700, 0.45, "B", "A", 1, False, False)),  # no gap yet
            (3701, "A", 0.2, (3701, 0.2, "A", None, 0, False, True)),
        ]:
            answer = lane.call(timestamp_ms, "S", script(regime, confidence), state)
            self.assertEqual(answer.status, ANSWERED, answer)
            decision = json.loads(answer.output)
            transition = decision["transition"]
            self.assertEqual(
                (decision["selected_output"]["timestamp"], decision["effective_confidence"], transition["stable_regime"],
                 transition["candidate_regime"], transition["candidate_count"], transition["flipped"], transition["reset_due_to_gap"]),
                expected,
            )  # fmt: skip
            self.assertEqual(transition["transition_active"], transition["candidate_regime"] is not None)
            self.assertEqual(answer.state, canonical(json.loads(answer.state)))
            state = answer.state

    def test_the_same_state_gives_the_same_answer_however_often_it_is_asked(self):
        lane = self.lane()
        before = lane.call(1000, "S", script("A", 1.0)).state
        answers = {lane.call(1100, "S", script("B", 0.9), before) for _ in range(5)}
        self.assertEqual(len(answers), 1)
        # Nor does it matter what other symbols and failures there were, or that the process is another one.
        lane.call(1050, "T", script("B"))
        lane.call(1100, "S", script(**{"raise": "boom"}), before)
        answers.add(lane.call(1100, "S", script("B", 0.9), before))
        answers.add(self.lane().call(1100, "S", script("B", 0.9), before))
        self.assertEqual(len(answers), 1)
        self.assertEqual(list(json.loads(answers.pop().state)["store"]["tracks"]), ["S"])

    def test_time_that_does_not_increase(self):
        lane = self.lane()
        state = lane.call(1000, "S", script()).state
        for timestamp_ms in (1000, 999):
            answer = lane.call(timestamp_ms, "S", script(), state)
            self.assertEqual((answer.status, answer.state), (STATE_FAILURE, b""))
            self.assertEqual(answer.output.decode(), f"timestamp {timestamp_ms} is not after the state's 1000")
            # What fails before any state is looked at is the engine's own failure.
            self.assertEqual(lane.call(timestamp_ms, "S", scripted({"raise": "boom"}), state).status, ENGINE_FAILURE)
        self.assertEqual(lane.call(1001, "S", script(), state).status, ANSWERED)

    def test_no_configuration_is_the_engine_s_own(self):
        for config in (None, {}):
            lane = self.lane(config)
            state = lane.call(0, "S", script("A", 1.0)).state
            decision = json.loads(lane.call(180_000, "S", script("B", 1.0), state).output)
            self.assertEqual(decision["effective_confidence"], 0.85)

    def test_states_of_others(self):
        lane = self.lane()
        good = lane.call(1000, "S", script()).state
        for state, detail in [
            (b"\xff", "the state is not one that was written here: UnicodeDecodeError"),
            (b"{", "the state is not one that was written here: JSONDecodeError"),
            (b"{}{}", "the state is not one that was written here: ValueError"),
            (b"nothing", "the state is not one that was written here: StopIteration"),
            (b"[]", "the state is not of type cutline.python/1: another engine wrote it"),
            (b'{"type":"hysteresis_v1"}', "the state is not of type cutline.python/1: another engine wrote it"),
            (good.replace(b'"updated_ms":1000', b'"at":1000'), "the state's regime_engine.hysteresis:Track has no updated_ms: it was"),
            (good.replace(b":Track", b":Other"), "the state holds a regime_engine.hysteresis:Other, which cannot be carried by value"),
            (good.replace(b"regime_engine.hysteresis:Track", b"os:system"), "the state holds a os:system, which cannot be carried"),
            (good.replace(b"regime_engine.hysteresis:Track", b"subprocess:Popen"), "the state holds a subprocess:Popen, which"),
            (good.replace(b'"store"', b'"shop"'), "'store'"),
        ]:
            answer = lane.call(2000, "S", script(), state)
            self.assertEqual(answer.status, STATE_FAILURE, state)
            self.assertEqual(answer.output.decode()[: len(detail)], detail)


#: Other designs of the same names.
RETURNS = """
class HysteresisStore:
    def __init__(self, seen=()):
        self.seen = seen

def run_with_hysteresis(snapshot, state, config):
    return answer(snapshot, len(state.seen)), HysteresisStore(state.seen + (snapshot.timestamp,))
"""
MUTATES = """
import collections, threading

class HysteresisStore:
    __slots__ = ("seen", "lock", "unset")

    def __init__(self):
        self.seen, self.lock = collections.deque(maxlen=2), threading.Lock()

def run_with_hysteresis(snapshot, state: HysteresisStore, config=None):
    with state.lock:
        state.seen.append({snapshot.symbol: snapshot.flow.cvd, 1: MISSING})
        return answer(snapshot, len(state.seen))
"""
RETURNS_NONE_BESIDE = MUTATES.replace("return answer(snapshot, len(state.seen))", "return answer(snapshot, len(state.seen)), None")
BREAKS = """
class HysteresisStore:
    def __init__(self):
        self.what = None

def run_with_hysteresis(snapshot, state, config):
    if snapshot.symbol == "late":
        state.what = 1
        raise ValueError("time must increase")
    state.what = {"LAMBDA": lambda: 0, "CYCLE": state, "OK": [float("inf"), float("-inf")]}[snapshot.symbol]
    return answer(snapshot, 0)
"""
HEAD = """
from regime_engine.contracts.snapshots import MISSING

def answer(snapshot, count):
    selected = {"symbol": snapshot.symbol, "timestamp": snapshot.timestamp, "regime": "R", "confidence": 1, "drivers": [],
                "invalidations": [], "permissions": []}
    return {"selected_output": selected, "effective_confidence": 1, "transition": count}
"""


class Designs(support.HostTest):
    def lane(self, engine):
        shutil.copytree(STANDIN, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        self.write("regime_engine/engine.py", HEAD + engine)
        self.write("regime_engine/hysteresis.py", "")
        return self.ready("regime_engine.engine", HYSTERESIS)

    def counts(self, engine, calls=4):
        lane, state, counts = self.lane(engine), b"", []
        for timestamp_ms in range(calls):
            answer = lane.call(timestamp_ms, "S", '{"flow":{"cvd":1.5}}', state)
            self.assertEqual(answer.status, ANSWERED, answer)
            counts.append(json.loads(answer.output)["transition"])
            state = answer.state
        return counts, json.loads(state)["store"]

    def test_a_new_store_that_is_returned(self):
        counts, store = self.counts(RETURNS)
        self.assertEqual(counts, [0, 1, 2, 3])
        self.assertEqual(store, {"$": "regime_engine.engine:HysteresisStore", "seen": {"$": "tuple", "items": [0, 1, 2, 3]}})

    def test_a_store_that_is_changed_in_place(self):
        for engine in (MUTATES, RETURNS_NONE_BESIDE):
            counts, store = self.counts(engine)
            self.assertEqual(counts, [1, 2, 2, 2])
            entry = {"$": "dict", "items": [["S", 1.5], [1, {"$": "missing"}]]}
            self.assertEqual(store["seen"], {"$": "deque", "items": [entry, entry], "maxlen": 2})
            self.assertEqual(store["lock"], {"$": "lock"})

    def test_a_store_that_cannot_be_carried_is_the_state_s_failure(self):
        lane = self.lane(BREAKS)
        for symbol, detail in [
            ("LAMBDA", "the state holds a builtins:function, which cannot be carried by value: use JSON's types"),
            ("CYCLE", "the state is nested too deeply or contains itself"),
        ]:
            answer = lane.call(1, symbol, "{}")
            self.assertEqual((answer.status, answer.output.decode()[: len(detail)]), (STATE_FAILURE, detail))
        answer = lane.call(1, "OK", "{}")
        self.assertEqual(answer.status, ANSWERED)
        # An error that says nothing of a state is about it if time has not increased, and else the engine's.
        self.assertEqual(lane.call(1, "late", "{}", answer.state)[:2], (STATE_FAILURE, b"time must increase"))
        self.assertEqual(lane.call(2, "late", "{}", answer.state)[:2], (ENGINE_FAILURE, b"time must increase"))

    def test_a_decision_that_is_none(self):
        lane = self.lane(RETURNS.replace("return answer(snapshot, len(state.seen)),", "return object(),"))
        self.assertEqual(lane.call(1, "S", "{}").status, OUTPUT_INVALID)


if __name__ == "__main__":
    unittest.main()
