//! The synthetic feed against the contract's section 1: what it writes, when, and that it is the same every time.

#[path = "../src/generate/mod.rs"]
mod generate;

use std::collections::{BTreeMap, BTreeSet};

use generate::{
    EVENTS_PER_SECOND_MAX, Generator, INTERVAL_MIN_MS, SNAPSHOT_LAG_MS, START_MAX_MS, SYMBOLS_MAX, Settings,
};
use serde_json::Value;

const SETTINGS: Settings = Settings {
    seed: 7,
    symbols: 5,
    start_ms: 1_767_225_600_123,
    interval_ms: 1_000,
    events_per_second: 997,
    hostile_permille: 0,
};

fn feed(settings: Settings, lines: usize) -> (Vec<u8>, Vec<i64>) {
    let mut generator = Generator::new(settings).unwrap();
    let mut out = Vec::new();
    let times = (0..lines).map(|_| generator.next_line(&mut out)).collect();
    (out, times)
}

fn events(settings: Settings, lines: usize) -> Vec<Value> {
    let (out, _) = feed(settings, lines);
    let lines = out.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn same_settings_same_bytes() {
    let hostile = Settings { hostile_permille: 100, ..SETTINGS };
    assert_eq!(feed(hostile, 20_000), feed(hostile, 20_000));
    assert_ne!(feed(SETTINGS, 100).0, feed(Settings { seed: 8, ..SETTINGS }, 100).0);
}

#[test]
fn the_bytes_are_those_of_this_version() {
    // FNV-1a. A change of the feed makes recorded seeds and results of benchmarks worthless: make it knowingly.
    let (out, _) = feed(Settings { hostile_permille: 100, ..SETTINGS }, 20_000);
    let hash = out
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(hash, 0x327c_f241_5236_8a3d, "{hash:#x}");
}

#[test]
fn every_line_is_a_v1_envelope_with_the_keys_of_its_type() {
    let keys = BTreeMap::from([
        ("TradeTick", "price quantity side"),
        ("LiquidationPrint", "price quantity side"),
        ("BookTop", "best_ask_price best_ask_quantity best_bid_price best_bid_quantity"),
        ("BookDelta", "asks bids"),
        ("Candle", "close high interval_ms is_final low open volume"),
        ("FundingRate", "funding_rate"),
        ("OpenInterest", "open_interest"),
        ("MarkPrice", "mark_price"),
        ("IndexPrice", "index_price"),
        ("SnapshotInputs", "context derivatives flow market timestamp_ms"),
    ]);
    let mut seen = BTreeSet::new();
    for event in events(SETTINGS, 10_000) {
        assert_eq!((&event["schema"], &event["schema_version"]), (&"raw_market_event".into(), &"1".into()));
        for key in ["source_id", "symbol", "raw_payload"] {
            assert!(event[key].is_string(), "{key} of {event}");
        }
        assert!(event["exchange_ts_ms"].is_i64() && event["recv_ts_ms"].is_i64(), "{event}");
        let payload = event["raw_payload"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(payload).is_ok(), "{payload}");
        let event_type = event["event_type"].as_str().unwrap();
        let mut names: Vec<&str> = event["normalized"].as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), keys[event_type], "{event}");
        seen.insert(event_type.to_string());
    }
    assert_eq!(seen.len(), keys.len(), "not all types in 10,000 lines: {seen:?}");
}

#[test]
fn time_advances_as_set_and_is_what_the_lines_say() {
    let (out, times) = feed(SETTINGS, 5_000);
    assert!(times.is_sorted());
    let mut made = 0;
    for (line, ns) in out.split_inclusive(|byte| *byte == b'\n').zip(&times) {
        let event: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(event["recv_ts_ms"], ns / 1_000_000);
        if event["event_type"] != "SnapshotInputs" {
            assert_eq!(*ns, SETTINGS.start_ms * 1_000_000 + made * 1_000_000_000 / 997);
            made += 1;
        }
    }
}

#[test]
fn each_symbol_has_one_snapshot_per_boundary_of_the_window_it_traded() {
    let events = events(SETTINGS, 5_000);
    // Per symbol: notional, quantity, cvd and last traded price since the last boundary.
    let mut windows: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
    let mut closed = BTreeMap::new();
    let mut next = 1_767_225_601_000_i64;
    let mut boundaries: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for event in &events {
        let (symbol, recv) = (event["symbol"].as_str().unwrap().to_string(), event["recv_ts_ms"].as_i64().unwrap());
        while recv >= next {
            closed = std::mem::take(&mut windows);
            next += SETTINGS.interval_ms;
        }
        let normalized = &event["normalized"];
        let number = |name: &str| normalized[name].as_f64().unwrap();
        if event["event_type"] == "TradeTick" {
            let window = windows.entry(symbol).or_default();
            window.0 += number("price") * number("quantity");
            window.1 += number("quantity");
            window.2 += if normalized["side"] == "buy" { number("quantity") } else { -number("quantity") };
        } else if event["event_type"] == "SnapshotInputs" {
            let boundary = normalized["timestamp_ms"].as_i64().unwrap();
            assert_eq!((boundary % SETTINGS.interval_ms, recv), (0, boundary + SNAPSHOT_LAG_MS));
            assert!(boundaries.entry(boundary).or_default().insert(symbol.clone()), "twice: {event}");
            if let Some((notional, quantity, cvd)) = closed.get(&symbol) {
                let vwap = normalized["market"]["vwap"].as_f64().unwrap();
                assert!((vwap - notional / quantity).abs() < 0.001, "{vwap} {}", notional / quantity);
                assert!((normalized["flow"]["cvd"].as_f64().unwrap() - cvd).abs() < 1e-6, "{event}");
            }
        }
    }
    let whole = boundaries.values().filter(|symbols| symbols.len() == 5).count();
    assert!(whole >= 4 && boundaries.len() - whole <= 1, "{boundaries:?}");
    assert_eq!(boundaries.keys().next(), Some(&1_767_225_601_000));
}

#[test]
fn snapshots_hold_every_field_and_a_script() {
    let fields = [
        ("market", "price vwap atr atr_z range_expansion acceptance_score sweep_score"),
        ("derivatives", "open_interest oi_slope_short oi_slope_med oi_accel funding_rate funding_slope funding_z"),
        ("flow", "cvd cvd_slope cvd_efficiency aggressive_volume_ratio"),
        ("context", "rs_vs_btc beta_to_btc alt_breadth"),
    ];
    let mut regimes = BTreeSet::new();
    let all = events(Settings { events_per_second: 50, ..SETTINGS }, 3_000);
    for event in all.iter().filter(|event| event["event_type"] == "SnapshotInputs") {
        for (object, names) in fields {
            for name in names.split(' ') {
                assert!(event["normalized"][object][name].is_f64(), "{object}.{name} of {event}");
            }
        }
        let share = event["normalized"]["flow"]["aggressive_volume_ratio"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{share}");
        let script = &event["normalized"]["market"]["structure_levels"]["script"];
        let confidence = script["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence), "{confidence}");
        assert!(script["drivers"].is_array() && script["invalidations"].is_array(), "{script}");
        regimes.insert(script["regime"].as_str().unwrap().to_string());
    }
    assert!(regimes.len() > 2, "{regimes:?}");
}

#[test]
fn boundaries_come_also_when_nothing_else_does() {
    let settings = Settings { symbols: 1, interval_ms: INTERVAL_MIN_MS, events_per_second: 1, ..SETTINGS };
    let stamps: Vec<i64> =
        events(settings, 50).iter().filter_map(|event| event["normalized"]["timestamp_ms"].as_i64()).collect();
    assert!(stamps.len() > 40 && stamps.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL_MIN_MS), "{stamps:?}");
}

#[test]
fn hostile_lines_come_in_their_share_and_each_stays_one_line() {
    let (out, times) = feed(Settings { hostile_permille: 200, ..SETTINGS }, 10_000);
    assert!(times.is_sorted());
    let lines: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 10_000);
    let broken = lines.iter().filter(|line| serde_json::from_slice::<Value>(line).is_err()).count();
    assert!((500..1_200).contains(&broken), "{broken}");
    assert!(lines.windows(2).any(|pair| pair[0] == pair[1]), "no duplicate");
    let (clean, _) = feed(SETTINGS, 10_000);
    assert!(clean.split_inclusive(|byte| *byte == b'\n').all(|line| serde_json::from_slice::<Value>(line).is_ok()));
    let (all, _) = feed(Settings { hostile_permille: 1000, ..SETTINGS }, 1_000);
    assert_eq!(all.iter().filter(|byte| **byte == b'\n').count(), 1_000);
}

#[test]
fn settings_outside_their_range_are_named() {
    let wrong = [
        (Settings { symbols: 0, ..SETTINGS }, "symbols"),
        (Settings { symbols: SYMBOLS_MAX + 1, ..SETTINGS }, "symbols"),
        (Settings { start_ms: -1, ..SETTINGS }, "start_ms"),
        (Settings { start_ms: START_MAX_MS + 1, ..SETTINGS }, "start_ms"),
        (Settings { interval_ms: INTERVAL_MIN_MS - 1, ..SETTINGS }, "interval_ms"),
        (Settings { events_per_second: 0, ..SETTINGS }, "events_per_second"),
        (Settings { events_per_second: EVENTS_PER_SECOND_MAX + 1, ..SETTINGS }, "events_per_second"),
        (Settings { hostile_permille: 1001, ..SETTINGS }, "hostile_permille"),
    ];
    for (settings, name) in wrong {
        let fault = Generator::new(settings).unwrap_err();
        assert_eq!(fault.setting, name);
        assert!(fault.to_string().contains(name), "{fault}");
    }
}
