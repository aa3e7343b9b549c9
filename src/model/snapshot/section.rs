//! Which fields a snapshot has, by sub-object: the contract's table. Pure.

use crate::model::json::RawStr;

/// A sub-object of a `SnapshotInputs` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `context`.
    Context,
    /// `derivatives`.
    Derivatives,
    /// `flow`.
    Flow,
    /// `market`.
    Market,
}

const CONTEXT: [&str; 5] = ["alt_breadth", "beta_to_btc", "btc_regime", "eth_regime", "rs_vs_btc"];
const DERIVATIVES: [&str; 8] = [
    "funding_rate",
    "funding_slope",
    "funding_z",
    "liquidation_intensity",
    "oi_accel",
    "oi_slope_med",
    "oi_slope_short",
    "open_interest",
];
const FLOW: [&str; 4] = ["aggressive_volume_ratio", "cvd", "cvd_efficiency", "cvd_slope"];
const MARKET: [&str; 8] =
    ["acceptance_score", "atr", "atr_z", "price", "range_expansion", "structure_levels", "sweep_score", "vwap"];

/// Fields of a snapshot.
pub const FIELDS: usize = CONTEXT.len() + DERIVATIVES.len() + FLOW.len() + MARKET.len();

impl Section {
    /// All of them, in canonical order.
    pub const ALL: [Self; 4] = [Self::Context, Self::Derivatives, Self::Flow, Self::Market];

    /// Its key in the event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Derivatives => "derivatives",
            Self::Flow => "flow",
            Self::Market => "market",
        }
    }

    /// The contract's fields of this section, in canonical order.
    #[must_use]
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Context => &CONTEXT,
            Self::Derivatives => &DERIVATIVES,
            Self::Flow => &FLOW,
            Self::Market => &MARKET,
        }
    }

    /// The section with this key.
    #[inline]
    pub(super) fn named(key: RawStr<'_>) -> Option<Self> {
        if key.has_escapes {
            return Self::ALL.into_iter().find(|section| key.is(section.name()));
        }
        let key = key.raw.as_bytes();
        Some(match key.len() {
            4 if key == b"flow" => Self::Flow,
            6 if key == b"market" => Self::Market,
            7 if key == b"context" => Self::Context,
            11 if key == b"derivatives" => Self::Derivatives,
            _ => return None,
        })
    }

    /// Where the field with this key stands among [`Section::fields`].
    #[inline]
    pub(super) fn position(self, key: RawStr<'_>) -> Option<usize> {
        if key.has_escapes {
            return self.fields().iter().position(|name| key.is(name));
        }
        let key = key.raw.as_bytes();
        let last = key.last();
        // Length and last letter leave hardly one to compare with.
        self.fields()
            .iter()
            .map(|name| name.as_bytes())
            .position(|name| name.len() == key.len() && name.last() == last && name == key)
    }

    /// Where its fields begin in a snapshot's table.
    pub(super) const fn start(self) -> usize {
        match self {
            Self::Context => 0,
            Self::Derivatives => CONTEXT.len(),
            Self::Flow => CONTEXT.len() + DERIVATIVES.len(),
            Self::Market => CONTEXT.len() + DERIVATIVES.len() + FLOW.len(),
        }
    }
}
