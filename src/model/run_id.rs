//! The identity of a run: a hash of what decides it.
//!
//! Pure; any thread; allocates nothing. Used by cut, replay and every view that shows a run.

use core::fmt;
use core::str::FromStr;

use super::decimal::{DIGITS_MAX, decimal};
use sha2::{Digest, Sha256};

/// Which of the engine's two calls a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum EngineMode {
    /// `run(snapshot)`.
    Truth = 1,
    /// `run_with_hysteresis(snapshot, state, config)`.
    Hysteresis = 2,
}

impl EngineMode {
    /// The contract's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truth => "truth",
            Self::Hysteresis => "hysteresis",
        }
    }

    /// The mode with this code (`mode as u8`) in a frame; `None` for an unknown one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Truth),
            2 => Some(Self::Hysteresis),
            _ => None,
        }
    }
}

impl fmt::Display for EngineMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no engine mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEngineMode;

impl fmt::Display for UnknownEngineMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown engine mode: choose truth or hysteresis")
    }
}

impl core::error::Error for UnknownEngineMode {}

impl FromStr for EngineMode {
    type Err = UnknownEngineMode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "truth" => Ok(Self::Truth),
            "hysteresis" => Ok(Self::Hysteresis),
            _ => Err(UnknownEngineMode),
        }
    }
}

/// Identity of a run: SHA-256 of the UTF-8 text `symbol|engine_timestamp_ms|cut_end_ingest_seq|engine_mode`.
///
/// A retry and a replay of the run have the same one. Its text form is 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 32]);

/// Hex digits of a run id.
pub const RUN_ID_HEX_BYTES: usize = 64;

/// What the ids of a tick's runs have in common: everything but the symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickIds {
    /// `|engine_timestamp_ms|cut_end_ingest_seq|engine_mode`.
    text: [u8; TICK_TEXT_MAX],
    len: usize,
}

/// Two integers with a sign each, three separators and the longer mode.
const TICK_TEXT_MAX: usize = 3 + 2 * (1 + DIGITS_MAX) + EngineMode::Hysteresis.name().len();

impl TickIds {
    /// For the runs at `engine_timestamp_ms` over cuts that end with `cut_end_ingest_seq`.
    #[must_use]
    pub fn new(engine_timestamp_ms: i64, cut_end_ingest_seq: u64, mode: EngineMode) -> Self {
        let mut ids = Self { text: [0; TICK_TEXT_MAX], len: 0 };
        let mut digits = [0; DIGITS_MAX];
        ids.push(b"|");
        if engine_timestamp_ms < 0 {
            ids.push(b"-");
        }
        ids.push(decimal(engine_timestamp_ms.unsigned_abs(), &mut digits));
        ids.push(b"|");
        ids.push(decimal(cut_end_ingest_seq, &mut digits));
        ids.push(b"|");
        ids.push(mode.name().as_bytes());
        ids
    }

    fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        self.text[self.len..end].copy_from_slice(part);
        self.len = end;
    }

    /// The id of the run of `symbol`.
    #[must_use]
    pub fn of(&self, symbol: &str) -> RunId {
        let tick = &self.text[..self.len];
        RunId(Sha256::new_with_prefix(symbol).chain_update(tick).finalize().into())
    }
}

impl RunId {
    /// The id of the run of `symbol` at `engine_timestamp_ms` over a cut that ends with `cut_end_ingest_seq`.
    #[must_use]
    pub fn of(symbol: &str, engine_timestamp_ms: i64, cut_end_ingest_seq: u64, mode: EngineMode) -> Self {
        TickIds::new(engine_timestamp_ms, cut_end_ingest_seq, mode).of(symbol)
    }

    /// The text form as ASCII bytes.
    #[must_use]
    pub fn to_hex(&self) -> [u8; RUN_ID_HEX_BYTES] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; RUN_ID_HEX_BYTES];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hex digits are ASCII, so this is never the empty default.
        f.pad(core::str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

/// A text that is no run id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARunId;

impl fmt::Display for NotARunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a run id: expected {RUN_ID_HEX_BYTES} lower-case hex digits")
    }
}

impl core::error::Error for NotARunId {}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.as_bytes();
        if text.len() != RUN_ID_HEX_BYTES {
            return Err(NotARunId);
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0]).ok_or(NotARunId)? << 4 | nibble(pair[1]).ok_or(NotARunId)?;
        }
        Ok(Self(id))
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_run_ids() {
        let vectors = include_str!("../../tests/vectors/run_ids.jsonl");
        assert_eq!(vectors.lines().count(), 54);
        for line in vectors.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let mode: EngineMode = case["engine_mode"].as_str().unwrap().parse().unwrap();
            let id = RunId::of(
                case["symbol"].as_str().unwrap(),
                case["engine_timestamp_ms"].as_i64().unwrap(),
                case["cut_end_ingest_seq"].as_u64().unwrap(),
                mode,
            );
            let expected = case["run_id"].as_str().unwrap();
            assert_eq!(id.to_string(), expected, "{line}");
            assert_eq!(expected.parse(), Ok(id));
        }
    }

    #[test]
    fn extremes_hash_as_their_text() {
        let naive = |text: &str| RunId(Sha256::digest(text.as_bytes()).into());
        let id = RunId::of("", i64::MIN, u64::MAX, EngineMode::Truth);
        assert_eq!(id, naive("|-9223372036854775808|18446744073709551615|truth"));
    }

    #[test]
    fn only_lower_case_hex_of_the_right_length_parses() {
        let text = RunId([0xAB; 32]).to_string();
        assert_eq!(text, "ab".repeat(32));
        for bad in ["", &text[1..], &text.to_uppercase(), &text.replace('a', "g"), &format!("{text}0")] {
            assert_eq!(bad.parse::<RunId>(), Err(NotARunId), "{bad}");
        }
    }

    #[test]
    fn modes_survive_their_names_and_codes() {
        for mode in [EngineMode::Truth, EngineMode::Hysteresis] {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(EngineMode::from_code(mode as u8), Some(mode));
        }
        assert_eq!("Truth".parse::<EngineMode>(), Err(UnknownEngineMode));
        assert_eq!(EngineMode::from_code(0), None);
    }
}
