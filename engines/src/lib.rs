//! Two example engines behind Cutline's engine contract, and the hysteresis that both of them share.
//!
//! * `scripted` echoes what the snapshot's script says: the engine of the golden cases.
//! * `regime_example` derives a small regime from price, vwap and cvd: a model for an engine of your own.
//!
//! Engines are pure functions of their arguments and configuration. Those here write canonical JSON into the caller's
//! buffers and allocate only to grow them, or for a fault's text. The data plane never depends on this crate.
#![forbid(unsafe_code)]

pub mod hysteresis;
mod power;
mod regime_example;
mod regime_output;
mod scripted;
mod truth;

use core::fmt;
use cutline::invoke::engine::Engine;
use hysteresis::{Config, ConfigError};
use truth::WithHysteresis;

/// The names that [`build`] knows.
pub const ENGINES: [&str; 2] = ["regime-example", "scripted"];

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// No engine has this name.
    UnknownEngine(String),
    /// The hysteresis configuration is refused.
    Hysteresis(ConfigError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEngine(name) => write!(f, "unknown engine {name:?}: choose one of {}", ENGINES.join(", ")),
            Self::Hysteresis(error) => write!(f, "hysteresis config: {error}"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Builds the engine called `name`, which serves both engine modes. `hysteresis_config_json` is a JSON object with any of the
/// keys of [`Config`]; empty text and `null` mean the defaults.
///
/// # Errors
/// [`BuildError`].
pub fn build(name: &str, hysteresis_config_json: &str) -> Result<Box<dyn Engine>, BuildError> {
    let config = || Config::from_json(hysteresis_config_json).map_err(BuildError::Hysteresis);
    match name {
        "scripted" => Ok(Box::new(WithHysteresis::new(scripted::Scripted, config()?))),
        "regime-example" => Ok(Box::new(WithHysteresis::new(regime_example::RegimeExample, config()?))),
        _ => Err(BuildError::UnknownEngine(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_builds_and_others_list_them() {
        for name in ENGINES {
            assert!(build(name, "").is_ok(), "{name}");
        }
        let error = build("script", "").err().unwrap();
        assert_eq!(error.to_string(), "unknown engine \"script\": choose one of regime-example, scripted");
        assert!(build("scripted", "{\"decay\":1}").is_err());
    }

    #[test]
    fn digests_tell_engines_and_configurations_apart() {
        let digest = |name, config| build(name, config).unwrap().digest();
        assert_eq!(digest("scripted", ""), digest("scripted", "{\"decay_factor\":0.85}"), "a default written out");
        assert_ne!(digest("scripted", ""), digest("scripted", "{\"decay_factor\":0.86}"));
        assert_ne!(digest("scripted", ""), digest("regime-example", ""));
    }
}
