"""The scripted engine of the golden cases and hysteresis v1, from CONTRACTS.md section 5; pure functions of their arguments."""

HYSTERESIS = {"min_persistence_updates": 3, "min_confidence_for_flip": 0.6, "decay_factor": 0.85,
              "min_confidence_floor": 0.2, "update_interval_ms": 180000}


def scripted(run):
    """The scripted engine: (output, None, None), or (None, allowed kinds, detail or None for any)."""
    market = run["chosen"][1]
    levels = market.get("structure_levels") if isinstance(market, dict) else None
    script = levels.get("script") if isinstance(levels, dict) else None
    if not isinstance(script, dict):
        return None, ("engine_failure",), None
    if script.get("raise"):
        return None, ("engine_failure",), script["raise"] if isinstance(script["raise"], str) else None
    lists = [script.get(k) for k in ("drivers", "invalidations")]
    if (not isinstance(script.get("regime"), str) or type(script.get("confidence")) not in (int, float)
            or not all(isinstance(v, list) and all(isinstance(s, str) for s in v) for v in lists)):
        return None, ("engine_failure", "engine_output_invalid"), None
    return dict(symbol=run["symbol"], timestamp=run["engine_timestamp_ms"], regime=script["regime"],
                confidence=script["confidence"], drivers=lists[0], invalidations=lists[1],
                permissions=[script["regime"]]), None, None


def hysteresis(output, state, config):
    """Hysteresis v1: (decision, new state); None when time does not move on. State: stable, last, candidate, count."""
    stable, last, candidate, count = state or (None, None, None, 0)
    now, regime, flipped, gap = output["timestamp"], output["regime"], False, False
    if last is not None and now <= last:
        return None
    if last is not None and now - last > config["update_interval_ms"]:
        gap, keep = True, False
    elif stable is None or stable["regime"] == regime:
        keep = False
    else:
        candidate, count = regime, count + 1 if candidate == regime else 1
        flipped = (count >= config["min_persistence_updates"]
                   and output["confidence"] >= config["min_confidence_for_flip"])
        keep = not flipped
    if not keep:
        stable, candidate, count = output, None, 0
    effective = (max(stable["confidence"] * config["decay_factor"] ** count, config["min_confidence_floor"])
                 if keep else output["confidence"])
    transition = dict(stable_regime=stable["regime"], candidate_regime=candidate, candidate_count=count,
                      transition_active=keep, flipped=flipped, reset_due_to_gap=gap)
    decision = dict(selected_output=stable, effective_confidence=effective, transition=transition)
    return decision, (stable, now, candidate, count)
