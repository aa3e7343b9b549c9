from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class _MissingType:
    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Any = _MissingType()


@dataclass(frozen=True)
class MarketSnapshot:
    price: float
    vwap: float
    atr: float
    atr_z: float
    range_expansion: float
    structure_levels: dict
    acceptance_score: float
    sweep_score: float


@dataclass(frozen=True)
class DerivativesSnapshot:
    open_interest: float
    oi_slope_short: float
    oi_slope_med: float
    oi_accel: float
    funding_rate: float
    funding_slope: float
    funding_z: float
    liquidation_intensity: float | None


@dataclass(frozen=True)
class FlowSnapshot:
    cvd: float
    cvd_slope: float
    cvd_efficiency: float
    aggressive_volume_ratio: float


@dataclass(frozen=True)
class ContextSnapshot:
    rs_vs_btc: float
    beta_to_btc: float
    alt_breadth: float
    btc_regime: str | None
    eth_regime: str | None


@dataclass(frozen=True)
class RegimeInputSnapshot:
    symbol: str
    timestamp: int
    market: MarketSnapshot
    derivatives: DerivativesSnapshot
    flow: FlowSnapshot
    context: ContextSnapshot
