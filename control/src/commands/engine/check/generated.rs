//! Snapshots from a seed: most as a market gives them, in legs that make a hysteresis flip; the others with fields missing, null, extreme or
//! of another type. Symbols beyond ASCII, and time that leaps or stands still now and then. The same arguments give the same snapshots.

use cutline::model::snapshot::Section;

use super::cases::Case;

const SYMBOLS: [&str; 5] = ["BTCUSDT", "\u{20ac}/\u{1f600}", "a\"b\\c", "\u{e9}", "ETH-PERP"];
/// Finite all of them: what is beyond a double no source can mean.
const EXTREMES: [&str; 12] = [
    "0",
    "-0.0",
    "1e308",
    "-1e308",
    "5e-324",
    "1e-7",
    "1e16",
    "9007199254740993",
    "-9223372036854775808",
    "123456789012345678901234567890",
    "0.1",
    "0.30000000000000004",
];
const OTHER_TYPES: [&str; 5] = ["true", "\"up \\u00e9\\ud83d\\ude00\"", "[1,{\"a\":null}]", "{}", "\"\""];
const REGIMES: [&str; 3] = ["TREND_UP", "D\u{d6}WN", "RANGE"];
/// The first timestamp is the last multiple of the interval before it.
const START_MS: i64 = 1_767_225_600_000;
/// Updates between two changes of what a symbol's market does: enough for three in a row.
const LEG: usize = 5;

/// `count` snapshots, with timestamps in multiples of `interval_ms`.
pub fn generate(seed: u64, count: usize, interval_ms: i64) -> Vec<Case> {
    let mut draw = Draw(seed);
    let mut last_ms = [START_MS - START_MS % interval_ms; SYMBOLS.len()];
    let mut make = |number: usize| {
        let of_symbol = number % SYMBOLS.len();
        // A gap resets a hysteresis; time that does not increase is refused by one.
        let steps = match draw.below(24) {
            0 => 0,
            1 => 7,
            _ => 1,
        };
        last_ms[of_symbol] = last_ms[of_symbol].saturating_add(interval_ms.saturating_mul(steps));
        let timestamp_ms = last_ms[of_symbol];
        let leg = number / SYMBOLS.len() / LEG + of_symbol;
        let normalized = draw.event(timestamp_ms, leg);
        Case { symbol: SYMBOLS[of_symbol].to_owned(), timestamp_ms, normalized, from: format!("generated {number}") }
    };
    (0..count).map(&mut make).collect()
}

/// Numbers from a seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * u128::from(end)) >> 64) as u64
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn event(&mut self, timestamp_ms: i64, leg: usize) -> String {
        let is_odd = self.below(10) < 3;
        let mut members = vec![format!("\"timestamp_ms\":{timestamp_ms}")];
        for section in Section::ALL {
            let value = match self.below(10) {
                0 if is_odd => continue,
                1 if is_odd => "null".to_owned(),
                _ => self.section(section, leg, is_odd),
            };
            members.push(format!("\"{}\":{value}", section.name()));
        }
        format!("{{{}}}", members.join(","))
    }

    fn section(&mut self, section: Section, leg: usize, is_odd: bool) -> String {
        let mut members = Vec::new();
        for name in section.fields() {
            let value = match self.below(16) {
                0..=2 if is_odd => continue,
                3 if is_odd => "null".to_owned(),
                4 | 5 if is_odd => self.of(&EXTREMES).to_owned(),
                6 if is_odd => self.of(&OTHER_TYPES).to_owned(),
                _ => self.value(name, leg, is_odd),
            };
            members.push(format!("\"{name}\":{value}"));
        }
        format!("{{{}}}", members.join(","))
    }

    /// A value as a source sends it.
    fn value(&mut self, name: &str, leg: usize, is_odd: bool) -> String {
        let hundredths = self.below(100);
        let is_up = leg.is_multiple_of(2);
        match name {
            "vwap" => "100.0".to_owned(),
            "price" => format!("{}.{hundredths:02}", if is_up { 100 } else { 99 }),
            "cvd" => format!("{}{}.{hundredths:02}", if is_up { "" } else { "-" }, self.below(500)),
            "btc_regime" | "eth_regime" => format!("\"{}\"", REGIMES[leg % REGIMES.len()]),
            "structure_levels" => self.script(leg, is_odd),
            _ => format!("{}{}.{hundredths:02}", self.of(&["", "-"]), self.below(4)),
        }
    }

    /// What the scripted engine reads; to others a structure level like any.
    fn script(&mut self, leg: usize, is_odd: bool) -> String {
        if is_odd && self.below(4) == 0 {
            return "{\"script\":{\"raise\":\"boom \u{e9}\"}}".to_owned();
        }
        let (regime, tenths) = (REGIMES[leg % REGIMES.len()], 3 + self.below(7));
        let script =
            format!("{{\"regime\":\"{regime}\",\"confidence\":0.{tenths},\"drivers\":[\"d\"],\"invalidations\":[]}}");
        format!("{{\"script\":{script},\"support\":99.5}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutline::model::snapshot::Field;

    #[test]
    fn a_seed_gives_the_same_snapshots_and_another_gives_others() {
        assert_eq!(generate(3, 50, 1000), generate(3, 50, 1000));
        assert_ne!(generate(3, 50, 1000), generate(4, 50, 1000));
    }

    #[test]
    fn everything_that_an_engine_may_meet_is_among_them() {
        let cases = generate(1, 400, 180_000);
        let (mut missing, mut null, mut extreme) = (0, 0, 0);
        for case in &cases {
            let snapshot =
                Snapshot::from_normalized(&case.symbol, case.timestamp_ms, case.normalized.as_bytes()).unwrap();
            for field in Section::ALL.iter().flat_map(|section| snapshot.section(*section)) {
                missing += usize::from(*field == Field::Missing);
                null += usize::from(*field == Field::Json("null"));
                extreme += usize::from(matches!(field, Field::Json(text) if EXTREMES[2..].contains(text)));
            }
        }
        assert!(missing > 100 && null > 20 && extreme > 20, "{missing} {null} {extreme}");
        assert!(cases.iter().any(|case| !case.symbol.is_ascii()));
        let mut steps = [0, 0, 0];
        for (before, after) in cases.iter().zip(&cases[SYMBOLS.len()..]) {
            assert_eq!(before.symbol, after.symbol);
            match after.timestamp_ms - before.timestamp_ms {
                0 => steps[0] += 1,
                180_000 => steps[1] += 1,
                gap if gap > 180_000 => steps[2] += 1,
                other => panic!("{other}"),
            }
        }
        assert!(steps.iter().all(|count| *count > 5), "{steps:?}");
    }

    use cutline::model::snapshot::Snapshot;
}
