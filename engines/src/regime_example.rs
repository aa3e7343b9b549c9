//! A small honest engine: where the price stands against its vwap, and whether the traded flow agrees.
//!
//! With *direction* = sign of `market.price - market.vwap`, *flow* = sign of `flow.cvd` (0 if it is missing) and
//! *strength* = min(|price - vwap| / vwap / [`FULL_STRENGTH`], 1):
//!
//! | direction, flow | regime | confidence |
//! |---|---|---|
//! | equal, not 0 | `TREND_UP`, `TREND_DOWN` by direction | 0.5 + strength / 2 |
//! | opposite | `DIVERGENCE_UP`, `DIVERGENCE_DOWN` by direction | strength / 2 |
//! | either is 0 | `BALANCED` | 1 - strength, halved if cvd is missing |
//! | price or vwap missing or no number, vwap not positive | `UNKNOWN` | 0 |
//!
//! What kept it from knowing better is listed under `invalidations`; it never fails a run.

use crate::regime_output::{Part, RegimeOutput};
use crate::truth::Truth;
use cutline::invoke::engine::{EngineFault, EngineFaultKind};
use cutline::model::snapshot::{Section, Snapshot};

/// Relative distance between price and vwap that counts as full strength: 1 %.
const FULL_STRENGTH: f64 = 0.01;

pub(crate) struct RegimeExample;

/// What the engine makes of a snapshot; all texts are constants.
struct Judgement {
    regime: &'static str,
    confidence: f64,
    drivers: [&'static str; 2],
    /// How many of the drivers apply.
    driver_count: usize,
    invalidation: Option<&'static str>,
    permission: Option<&'static str>,
}

impl Truth for RegimeExample {
    const IDENTITY: &'static str = "cutline-engines/regime_example/1";

    fn judge(&self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        let judgement = judge(
            snapshot.number(Section::Market, "price"),
            snapshot.number(Section::Market, "vwap"),
            snapshot.number(Section::Flow, "cvd"),
        );
        RegimeOutput {
            confidence: judgement.confidence,
            drivers: Part::Texts(&judgement.drivers[..judgement.driver_count]),
            invalidations: Part::Texts(judgement.invalidation.as_slice()),
            permissions: Part::Texts(judgement.permission.as_slice()),
            regime: Part::Text(judgement.regime),
        }
        .write(snapshot.symbol, snapshot.timestamp_ms, output)
        // A confidence is within 0..=1, so there is always a form to write.
        .map_err(|error| EngineFault::new(EngineFaultKind::EngineFailure, error.to_string()))
    }
}

const fn unknown(why: &'static str) -> Judgement {
    Judgement {
        regime: "UNKNOWN",
        confidence: 0.0,
        drivers: [""; 2],
        driver_count: 0,
        invalidation: Some(why),
        permission: None,
    }
}

fn judge(price: Option<f64>, vwap: Option<f64>, cvd: Option<f64>) -> Judgement {
    let Some(price) = price else { return unknown("market.price is missing or no number") };
    let Some(vwap) = vwap else { return unknown("market.vwap is missing or no number") };
    if vwap <= 0.0 {
        return unknown("market.vwap is not positive");
    }
    // Never NaN: vwap is positive, and an infinite distance is full strength.
    let strength = ((price - vwap).abs() / vwap / FULL_STRENGTH).min(1.0);
    let (direction, flow) = (sign(price - vwap), sign(cvd.unwrap_or(0.0)));
    let (regime, confidence, permission) = match (direction, flow) {
        (1, 1) => ("TREND_UP", 0.5 + strength / 2.0, Some("LONG")),
        (-1, -1) => ("TREND_DOWN", 0.5 + strength / 2.0, Some("SHORT")),
        (1, -1) => ("DIVERGENCE_UP", strength / 2.0, None),
        (-1, 1) => ("DIVERGENCE_DOWN", strength / 2.0, None),
        _ if cvd.is_none() => ("BALANCED", (1.0 - strength) / 2.0, None),
        _ => ("BALANCED", 1.0 - strength, None),
    };
    let against_vwap = match direction {
        1 => "price above vwap",
        -1 => "price below vwap",
        _ => "price at vwap",
    };
    let of_flow = match flow {
        1 => "cvd positive",
        -1 => "cvd negative",
        _ => "cvd flat",
    };
    Judgement {
        regime,
        confidence,
        drivers: [against_vwap, of_flow],
        driver_count: if cvd.is_some() { 2 } else { 1 },
        invalidation: if cvd.is_none() { Some("flow.cvd is missing or no number") } else { None },
        permission,
    }
}

fn sign(value: f64) -> i8 {
    i8::from(value > 0.0) - i8::from(value < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(normalized: &str) -> String {
        let snapshot = Snapshot::from_normalized("S", 7, normalized.as_bytes()).unwrap();
        let mut output = Vec::new();
        RegimeExample.judge(&snapshot, &mut output).unwrap();
        cutline::invoke::output::check_regime_output(&output, "S", 7).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn an_output_is_complete_and_canonical() {
        assert_eq!(
            text(r#"{"market":{"price":100.5,"vwap":100},"flow":{"cvd":3}}"#),
            r#"{"confidence":0.75,"drivers":["price above vwap","cvd positive"],"invalidations":[],"permissions":["LONG"],"regime":"TREND_UP","symbol":"S","timestamp":7}"#
        );
    }

    #[test]
    fn what_is_not_known_is_said_and_never_a_fault() {
        for event in [
            "{}",
            r#"{"market":{"vwap":1}}"#,
            r#"{"market":{"price":1}}"#,
            r#"{"market":{"price":null,"vwap":1}}"#,
            r#"{"market":{"price":"1","vwap":1}}"#,
            r#"{"market":{"price":1,"vwap":0}}"#,
            r#"{"market":{"price":1,"vwap":-1}}"#,
            r#"{"market":{"price":1e999,"vwap":1}}"#,
        ] {
            let text = text(event);
            assert!(text.contains("\"regime\":\"UNKNOWN\"") && text.contains("\"confidence\":0.0"), "{text}");
            assert!(text.contains("\"invalidations\":[\"market."), "{text}");
        }
        let without_cvd = text(r#"{"market":{"price":100.5,"vwap":100},"flow":null}"#);
        assert!(
            without_cvd
                .contains("\"confidence\":0.25,\"drivers\":[\"price above vwap\"],\"invalidations\":[\"flow.cvd")
        );
        assert!(without_cvd.contains("\"BALANCED\""));
    }

    #[test]
    fn the_table_holds() {
        for (price, cvd, regime, confidence) in [
            (100.5, 1.0, "TREND_UP", 0.75),
            (99.5, -1.0, "TREND_DOWN", 0.75),
            (100.5, -1.0, "DIVERGENCE_UP", 0.25),
            (99.5, 1.0, "DIVERGENCE_DOWN", 0.25),
            (100.5, 0.0, "BALANCED", 0.5),
            (100.0, 5.0, "BALANCED", 1.0),
            (200.0, 1.0, "TREND_UP", 1.0),
            (-5.0, -1.0, "TREND_DOWN", 1.0),
            (f64::MAX, -0.0, "BALANCED", 0.0),
        ] {
            let judgement = judge(Some(price), Some(100.0), Some(cvd));
            assert_eq!((judgement.regime, judgement.confidence), (regime, confidence), "{price} {cvd}");
        }
    }

    #[test]
    fn a_confidence_is_always_within_bounds() {
        let values = [f64::MIN, -1.0, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, 1e300, f64::MAX];
        for price in values {
            for vwap in values {
                for cvd in values.map(Some).into_iter().chain([None]) {
                    let confidence = judge(Some(price), Some(vwap), cvd).confidence;
                    assert!((0.0..=1.0).contains(&confidence), "{price} {vwap} {cvd:?}: {confidence}");
                }
            }
        }
    }
}
