//! Events for engines: every field missing, null or there in all forms, sub-objects that are none, duplicate and unknown keys, symbols
//! beyond ASCII, time that stands still or leaps. A seed gives the same events always.

use cutline::model::envelope::Scratch;
use cutline::model::snapshot::Section;
use cutline::model::{binary, receipt};

const SYMBOLS: [&str; 4] = ["BTCUSDT", "\u{20ac}/\u{1f600}", "a\"b\\c\u{1}", "\u{e9}"];
const VALUES: [&str; 16] = [
    "100",
    "100.5",
    "99.5",
    "99.875",
    "1e2",
    "-1",
    "-0",
    "0.0",
    "1e-7",
    "1e999",
    "9007199254740993",
    "null",
    "true",
    "\"up \\u00e9\\ud83d\\ude00\\n\u{e9}\"",
    "[1, {\"a\":null}]",
    "{ }",
];
const REGIMES: [&str; 3] = ["\"UP\"", "\"D\\u00d6WN\"", "\"\u{d6} \\\"quoted\\\"\""];
const CONFIDENCES: [&str; 5] = ["0.9", "0.1", "1", "1e-7", "0.30000000000000004"];
const RAISES: [&str; 6] = ["null", "null", "false", "null", "\"boom \u{e9}\"", "[1]"];

/// A selected SnapshotInputs.
#[derive(Clone, Debug)]
pub struct Event {
    pub symbol: String,
    pub timestamp_ms: i64,
    /// Its `normalized`.
    pub normalized: String,
    /// Its receipt as JSON and in the binary form: flags and payload of the frame.
    pub receipts: [(u8, Vec<u8>); 2],
}

impl Event {
    /// An event with this `normalized`, a JSON object.
    pub fn new(symbol: &str, timestamp_ms: i64, normalized: String) -> Self {
        let line = format!(
            "{{\"schema\":\"raw_market_event\",\"schema_version\":\"1\",\"event_type\":\"SnapshotInputs\",\"source_id\":\"v\",\
             \"symbol\":{},\"exchange_ts_ms\":null,\"recv_ts_ms\":1,\"raw_payload\":\"{{}}\",\"normalized\":{normalized}}}",
            serde_json::Value::from(symbol),
        );
        let mut record = Vec::new();
        binary::encode_from_json(line.as_bytes(), &mut Scratch::new(), &mut record).unwrap();
        let receipts = [(0, line.into_bytes()), (receipt::BINARY, record)];
        Self { symbol: symbol.to_owned(), timestamp_ms, normalized, receipts }
    }

    /// An event for the golden cases' scripted engine.
    pub fn scripted(symbol: &str, timestamp_ms: i64, script: &str) -> Self {
        let normalized =
            format!("{{\"timestamp_ms\":{timestamp_ms},\"market\":{{\"structure_levels\":{{\"script\":{script}}}}}}}");
        Self::new(symbol, timestamp_ms, normalized)
    }
}

/// The events of a seed, for some symbols in turn.
pub fn generate(seed: u64, count: usize) -> Vec<Event> {
    let mut draw = Draw(seed);
    let mut last_ms = [180_000; SYMBOLS.len()];
    let mut next = |at: usize| {
        let of_symbol = at % SYMBOLS.len();
        // Now and then time stands still, goes back, or leaps beyond the update interval.
        last_ms[of_symbol] += match draw.below(16) {
            0 => 0,
            1 => -60_000,
            2 => 600_000,
            _ => 60_000,
        };
        let timestamp_ms = last_ms[of_symbol];
        Event::new(SYMBOLS[of_symbol], timestamp_ms, draw.normalized(timestamp_ms))
    };
    (0..count).map(&mut next).collect()
}

/// Numbers from a seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn normalized(&mut self, timestamp_ms: i64) -> String {
        let mut members = vec![format!("\"timestamp_ms\": {timestamp_ms}")];
        for section in Section::ALL {
            // Of the same sub-object twice the later one counts.
            for _ in 0..self.below(8).clamp(1, 2) {
                let value = match self.below(12) {
                    0 => continue,
                    1 => "null".to_owned(),
                    2 => "[]".to_owned(),
                    _ => self.section(section),
                };
                members.push(format!("\"{}\":{value}", section.name()));
            }
        }
        members.push("\"unknown\":{\"price\":1}".to_owned());
        format!("{{{}}}", members.join(" ,"))
    }

    fn section(&mut self, section: Section) -> String {
        let mut members = vec!["\"unknown\":[1e5]".to_owned()];
        for name in section.fields() {
            // An escaped key is the same key.
            let key = if self.below(16) == 0 {
                format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..])
            } else {
                (*name).to_owned()
            };
            let value = match (*name, self.below(8)) {
                (_, 0) => continue,
                ("structure_levels", 1..=6) => format!("{{\"script\":{}}}", self.script()),
                ("vwap", 1..=6) => "100".to_owned(),
                ("price", 1..=6) => self.of(&VALUES[..5]).to_owned(),
                _ => self.of(&VALUES).to_owned(),
            };
            members.push(format!("\"{key}\" : {value}"));
        }
        format!("{{{}}}", members.join(","))
    }

    fn script(&mut self) -> String {
        let (regime, confidence, raise) = (self.of(&REGIMES), self.of(&CONFIDENCES), self.of(&RAISES));
        match self.below(24) {
            0 => "null".to_owned(),
            1 => format!("{{\"raise\":\"{}\"}}", "\u{20ac}".repeat(100)),
            _ => format!(
                "{{\"regime\":{regime},\"confidence\":{confidence},\"drivers\":[\"d\",{regime}],\"invalidations\":[],\"raise\":{raise}}}"
            ),
        }
    }
}
