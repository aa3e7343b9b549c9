//! The reading of a SnapshotInputs' `normalized` against the contract's table, over `serde_json`.

use std::collections::BTreeMap;

use cutline::model::canonical::CanonicalError;
use cutline::model::snapshot::{Field, Section, Snapshot};

use crate::canonical::assert_form;
use crate::tree::{self, Number, Tree};

/// The contract's table of sub-objects.
const TABLE: [(Section, &str, &str); 4] = [
    (Section::Market, "market", "price vwap atr atr_z range_expansion structure_levels acceptance_score sweep_score"),
    (
        Section::Derivatives,
        "derivatives",
        "open_interest oi_slope_short oi_slope_med oi_accel funding_rate funding_slope funding_z liquidation_intensity",
    ),
    (Section::Flow, "flow", "cvd cvd_slope cvd_efficiency aggressive_volume_ratio"),
    (Section::Context, "context", "rs_vs_btc beta_to_btc alt_breadth btc_regime eth_regime"),
];

/// Holds the snapshot of `data`, taken as the `normalized` of an event, to the contract.
pub fn check(data: &[u8]) {
    let (symbol, timestamp_ms) = ("S\u{e9}\"", -5);
    let event = tree::parse_bytes(data);
    let Ok(snapshot) = Snapshot::from_normalized(symbol, timestamp_ms, data) else {
        assert!(event.is_none_or(|event| event.object().is_none()), "an object was refused");
        return;
    };
    let event = event.expect("what is no JSON is refused");
    let event = event.object().expect("what is no object is refused");

    let mut whole = BTreeMap::from([
        ("symbol".to_owned(), Tree::String(symbol.to_owned())),
        ("timestamp".to_owned(), Tree::Number(Number::Integer(timestamp_ms.to_string()))),
    ]);
    for (section, section_name, fields) in TABLE {
        let carried = event.get(section_name).and_then(Tree::object);
        let mut members = BTreeMap::new();
        for name in fields.split(' ') {
            let expected = carried.and_then(|members| members.get(name));
            let field = snapshot.field(section, name).expect("a field of the contract");
            assert_field(field, expected);
            assert_eq!(snapshot.number(section, name).map(f64::to_bits), expected.and_then(number), "{name}");
            members.insert(name.to_owned(), expected.cloned().unwrap_or_else(missing));
        }
        assert_eq!(section.fields().len(), members.len());
        whole.insert(section_name.to_owned(), Tree::Object(members));
    }

    let whole = Tree::Object(whole);
    let mut out = b"before".to_vec();
    match snapshot.write_canonical(&mut out) {
        Ok(()) => assert_form(&whole, std::str::from_utf8(&out[6..]).expect("ASCII")),
        Err(CanonicalError::NumberOverflow) => {
            assert!(!whole.is_finite(), "refused without need");
            assert_eq!(out, b"before");
        }
        Err(error) => panic!("a field of a snapshot is not JSON: {error}"),
    }
}

fn assert_field(field: Field<'_>, expected: Option<&Tree>) {
    match field {
        Field::Missing => assert_eq!(expected, None),
        Field::Json(text) => assert_eq!(tree::parse(text).as_ref(), expected),
    }
}

/// The number as a double's bits. An integer's text is read as it stands, but `-0` too is the integer 0.
fn number(value: &Tree) -> Option<u64> {
    let Tree::Number(number) = value else { return None };
    let float = match number {
        Number::Integer(digits) => digits.parse().ok()?,
        Number::Float(bits) => f64::from_bits(*bits),
    };
    float.is_finite().then_some(float.to_bits())
}

fn missing() -> Tree {
    Tree::Object(BTreeMap::from([("__xray_missing__".to_owned(), Tree::Bool(true))]))
}
