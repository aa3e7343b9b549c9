"""The golden cases through the host, with the stand-in for the engine: every recorded run again, compared byte for byte."""

import collections
import json
import os
import pathlib
import unittest

import support
from support import ANSWERED, ENGINE_FAILURE, HYSTERESIS, STANDIN, TRUTH

BESIDE = pathlib.Path(__file__).resolve().parents[3].parent / "shared"
GOLDEN = pathlib.Path(os.environ.get("CUTLINE_SHARED", BESIDE)) / "golden"


def lines(folder, name):
    with open(folder / name, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Golden(support.HostTest):
    def replay(self, case, mode):
        folder = GOLDEN / case
        if not folder.is_dir():
            self.skipTest(f"golden case {case} is not at {folder}; set CUTLINE_SHARED")
        config = json.loads((folder / "config.json").read_text()).get("hysteresis_config")
        inputs = collections.defaultdict(list)
        for record in lines(folder, "raw_input_buffer.jsonl"):
            event = record["event"]
            if event["event_type"] == "SnapshotInputs":
                inputs[event["symbol"], event["normalized"]["timestamp_ms"]].append((record["ingest_seq"], event["normalized"]))
        runs = collections.defaultdict(dict)
        for event in lines(folder, "orchestrator_events.jsonl"):
            runs[event["run_id"]][event["event_type"]] = event
        lane = self.ready("regime_engine.engine", mode, support.canonical(config) if config else b"", path=STANDIN)
        states, tally = {}, collections.Counter()
        for events in runs.values():
            started = events["EngineRunStarted"]
            symbol, timestamp_ms = started["symbol"], started["engine_timestamp_ms"]
            cut = range(started["cut_start_ingest_seq"], started["cut_end_ingest_seq"] + 1)
            selected = [normalized for seq, normalized in inputs[symbol, timestamp_ms] if seq in cut]
            if not selected:
                self.assertEqual(events["EngineRunFailed"]["payload"]["error_kind"], "missing_snapshot_inputs")
                tally["without a snapshot"] += 1
                continue
            answer = lane.call(timestamp_ms, symbol, json.dumps(selected[-1]), states.get(symbol, b""))
            tally[self.compare(answer, events, mode)] += 1
            if answer.status == ANSWERED:
                states[symbol] = answer.state
        self.assertEqual(lane.stop(), 0)
        return tally

    def compare(self, answer, events, mode):
        if "EngineRunFailed" in events:
            payload = events["EngineRunFailed"]["payload"]
            self.assertEqual((answer.status, payload["error_kind"]), (ENGINE_FAILURE, "engine_failure"))
            self.assertEqual(answer.output.decode(), payload["error_detail"])
            return "raised"
        self.assertEqual(answer.status, ANSWERED, answer)
        recorded = events["EngineRunCompleted"]["payload"]["regime_output"]
        if mode == HYSTERESIS:
            decision = events["HysteresisDecisionPublished"]["payload"]["hysteresis_decision"]
            self.assertEqual(answer.output, support.canonical(decision))
            self.assertEqual(decision["selected_output"], recorded)
        else:
            self.assertEqual((answer.output, answer.state), (support.canonical(recorded), b""))
        return "completed"

    def test_truth(self):
        tally = self.replay("v1_boundary_truth_scripted", TRUTH)
        self.assertEqual(tally, {"without a snapshot": 43, "raised": 7, "completed": 130})

    def test_hysteresis(self):
        tally = self.replay("v1_boundary_hysteresis_nogap_scripted", HYSTERESIS)
        self.assertEqual((tally["completed"], sum(tally.values())), (276, 360))


if __name__ == "__main__":
    unittest.main()
