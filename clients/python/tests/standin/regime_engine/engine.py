from __future__ import annotations

import math

from regime_engine.contracts.outputs import HysteresisDecision, RegimeOutput
from regime_engine.contracts.snapshots import RegimeInputSnapshot
from regime_engine.hysteresis import HysteresisConfig, HysteresisStore, update


def run(snapshot: RegimeInputSnapshot) -> RegimeOutput:
    script = _script(snapshot.market.structure_levels)
    if script.get("raise"):
        raise RuntimeError(script["raise"])
    regime, confidence = script.get("regime"), script.get("confidence")
    if not isinstance(regime, str):
        raise ValueError("the script's regime is not a string")
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)) or not math.isfinite(confidence):
        raise ValueError("the script's confidence is not a finite number")
    drivers, invalidations = _strings(script, "drivers"), _strings(script, "invalidations")
    return RegimeOutput(snapshot.symbol, snapshot.timestamp, regime, float(confidence), drivers, invalidations, [regime])


def run_with_hysteresis(
    snapshot: RegimeInputSnapshot, state: HysteresisStore, config: HysteresisConfig | None = None
) -> HysteresisDecision:
    return update(state, run(snapshot), config or HysteresisConfig())


def _script(levels: object) -> dict:
    if not isinstance(levels, dict):
        raise ValueError("missing script: market.structure_levels is missing or no object")
    if "script" not in levels:
        raise ValueError("missing script: market.structure_levels has no script")
    if not isinstance(levels["script"], dict):
        raise ValueError("missing script: market.structure_levels.script is no object")
    return levels["script"]


def _strings(script: dict, name: str) -> list[str]:
    strings = script.get(name)
    if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
        raise ValueError(f"the script's {name} are not a list of strings")
    return strings
