//! Writing a `RegimeOutput` as canonical JSON, and reading back what the hysteresis needs of one.

use cutline::model::canonical::{self, CanonicalError};
use cutline::model::json::{Kind, Members, RawValue};

/// A string or list of strings for an output.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// A plain string.
    Text(&'a str),
    /// A list of plain strings.
    Texts(&'a [&'a str]),
    /// A value that is JSON already.
    Json(&'a str),
    /// A list of one value that is JSON already.
    JsonInList(&'a str),
}

impl Part<'_> {
    fn write(self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match self {
            Self::Text(text) => canonical::string(text, out),
            Self::Texts(texts) => {
                out.push(b'[');
                for (at, text) in texts.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    canonical::string(text, out);
                }
                out.push(b']');
            }
            Self::Json(text) => canonical::canonicalize(text, out)?,
            Self::JsonInList(text) => {
                out.push(b'[');
                canonical::canonicalize(text, out)?;
                out.push(b']');
            }
        }
        Ok(())
    }
}

/// The parts of an output that an engine decides.
pub(crate) struct RegimeOutput<'a> {
    pub(crate) confidence: f64,
    pub(crate) drivers: Part<'a>,
    pub(crate) invalidations: Part<'a>,
    pub(crate) permissions: Part<'a>,
    pub(crate) regime: Part<'a>,
}

impl RegimeOutput<'_> {
    /// Appends the output.
    pub(crate) fn write(&self, symbol: &str, timestamp_ms: i64, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.extend_from_slice(b"{\"confidence\":");
        canonical::f64(self.confidence, out)?;
        out.extend_from_slice(b",\"drivers\":");
        self.drivers.write(out)?;
        out.extend_from_slice(b",\"invalidations\":");
        self.invalidations.write(out)?;
        out.extend_from_slice(b",\"permissions\":");
        self.permissions.write(out)?;
        out.extend_from_slice(b",\"regime\":");
        self.regime.write(out)?;
        out.extend_from_slice(b",\"symbol\":");
        canonical::string(symbol, out);
        out.extend_from_slice(b",\"timestamp\":");
        canonical::i64(timestamp_ms, out);
        out.push(b'}');
        Ok(())
    }
}

/// An output that was written before, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    /// All of it.
    pub(crate) text: &'a str,
    /// The regime as canonical JSON: equal texts are equal regimes.
    pub(crate) regime: &'a str,
    pub(crate) confidence: f64,
    /// The output's symbol.
    symbol: RawValue<'a>,
}

impl<'a> Written<'a> {
    /// Reads an output; `None` if a part is missing or of another type.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (mut regime, mut confidence, mut symbol) = (None, None, None);
        let mut members = Members::open(text).ok()?;
        while let Some(member) = members.next().ok()? {
            match member.key.raw {
                "regime" if member.value.kind == Kind::String => regime = Some(member.value.text),
                "confidence" => confidence = number(&member.value),
                "symbol" => symbol = Some(member.value),
                _ => {}
            }
        }
        Some(Self { text, regime: regime?, confidence: confidence?, symbol: symbol? })
    }

    /// Whether it is an output for `symbol`.
    pub(crate) fn is_for(&self, symbol: &str) -> bool {
        self.symbol.string().is_some_and(|own| own.is(symbol))
    }
}

/// A JSON number as a finite double, correctly rounded; `None` for anything else.
pub(crate) fn number(value: &RawValue<'_>) -> Option<f64> {
    match value.kind {
        Kind::Number => value.text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}
