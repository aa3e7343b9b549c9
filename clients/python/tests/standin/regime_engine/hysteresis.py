from __future__ import annotations

from dataclasses import dataclass, replace

from regime_engine.contracts.outputs import HysteresisDecision, RegimeOutput, Transition


class HysteresisError(ValueError):
    """The update cannot follow what was before it."""


@dataclass(frozen=True)
class HysteresisConfig:
    min_persistence_updates: int = 3
    min_confidence_for_flip: float = 0.6
    decay_factor: float = 0.85
    min_confidence_floor: float = 0.2
    update_interval_ms: int = 180_000


@dataclass(frozen=True)
class Track:
    """What is remembered of one symbol."""

    stable: RegimeOutput
    updated_ms: int
    candidate: tuple[str, int] | None = None


@dataclass
class HysteresisStore:
    tracks: dict[str, Track]


def update(store: HysteresisStore, output: RegimeOutput, config: HysteresisConfig) -> HysteresisDecision:
    track = store.tracks.get(output.symbol)
    if track is None:
        return _adopt(store, output)
    if output.timestamp <= track.updated_ms:
        raise HysteresisError(f"timestamp {output.timestamp} is not after the state's {track.updated_ms}")
    if output.timestamp - track.updated_ms > config.update_interval_ms:
        return _adopt(store, output, reset_due_to_gap=True)
    if output.regime == track.stable.regime:
        return _adopt(store, output)
    before = track.candidate[1] if track.candidate and track.candidate[0] == output.regime else 0
    count = before + 1
    if count >= config.min_persistence_updates and output.confidence >= config.min_confidence_for_flip:
        return _adopt(store, output, flipped=True)
    store.tracks[output.symbol] = replace(track, updated_ms=output.timestamp, candidate=(output.regime, count))
    decayed = track.stable.confidence * config.decay_factor**count
    transition = Transition(track.stable.regime, output.regime, count, True, False, False)
    return HysteresisDecision(track.stable, max(decayed, config.min_confidence_floor), transition)


def _adopt(store: HysteresisStore, output: RegimeOutput, **why: bool) -> HysteresisDecision:
    store.tracks[output.symbol] = Track(stable=output, updated_ms=output.timestamp)
    flags = {"flipped": False, "reset_due_to_gap": False, **why}
    return HysteresisDecision(output, output.confidence, Transition(output.regime, None, 0, False, **flags))
