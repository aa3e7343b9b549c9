from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegimeOutput:
    symbol: str
    timestamp: int
    regime: str
    confidence: float
    drivers: list[str]
    invalidations: list[str]
    permissions: list[str]


@dataclass(frozen=True)
class Transition:
    stable_regime: str | None
    candidate_regime: str | None
    candidate_count: int
    transition_active: bool
    flipped: bool
    reset_due_to_gap: bool


@dataclass(frozen=True)
class HysteresisDecision:
    selected_output: RegimeOutput
    effective_confidence: float
    transition: Transition
