//! From the configuration to what the stages are given, and to the CONFIG frame that a replay takes it from. Pure.

use super::states::Taker;
use crate::config::{Config, OutputConfig, PublishOrder};
use crate::cut::cadence::{Cadence, CatchUp};
use crate::cut::state::{RunKind, SymbolSet};
use crate::ingest::{IngestSettings, RetrySettings};
use crate::invoke::call::AnswerLimits;
use crate::invoke::result::ResultOrder;
use crate::invoke::retry::RetryPolicy;
use crate::model::run_id::RunId;

/// The cadence of a configuration, which its checks have found sound.
#[must_use]
pub fn cadence_of(config: &OutputConfig) -> Cadence {
    let scheduler = &config.scheduler;
    match scheduler.mode {
        crate::config::Cadence::Timer => Cadence::Timer { interval_ms: scheduler.interval_ms },
        crate::config::Cadence::Boundary => {
            Cadence::Boundary { interval_ms: scheduler.interval_ms, delay_ms: scheduler.delay_ms }
        }
    }
}

/// What a run's identity takes from a configuration.
#[must_use]
pub fn run_kind_of(config: &OutputConfig) -> RunKind {
    let mode = match config.engine.mode {
        crate::config::EngineMode::Truth => crate::model::run_id::EngineMode::Truth,
        crate::config::EngineMode::Hysteresis => crate::model::run_id::EngineMode::Hysteresis,
    };
    RunKind { mode, cut_kind: u8::from(config.scheduler.mode == crate::config::Cadence::Boundary) }
}

/// The symbols of a configuration that get runs.
#[must_use]
pub fn symbols_of(config: &OutputConfig) -> SymbolSet {
    match config.symbols.mode {
        crate::config::SymbolMode::Seen => SymbolSet::Seen,
        crate::config::SymbolMode::List => SymbolSet::List(config.symbols.list.clone()),
    }
}

/// The answer limits of a configuration.
#[must_use]
pub fn limits_of(engine: &crate::config::Engine) -> AnswerLimits {
    AnswerLimits {
        output_max_bytes: to_usize(engine.output_max_bytes),
        state_max_bytes: to_usize(engine.state_max_bytes),
    }
}

/// The order of results of a configuration.
#[must_use]
pub const fn order_of(order: PublishOrder) -> ResultOrder {
    match order {
        PublishOrder::Run => ResultOrder::Run,
        PublishOrder::Symbol => ResultOrder::Symbol,
    }
}

/// The engine's retry schedule of a configuration.
#[must_use]
pub fn retry_of(retry: &crate::config::Retry) -> RetryPolicy {
    let ms = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    RetryPolicy {
        min_delay_ms: ms(retry.min_delay_ms),
        max_delay_ms: ms(retry.max_delay_ms),
        max_attempts: retry.max_attempts,
        max_elapsed_ms: retry.max_elapsed_ms.map(ms),
    }
}

pub(super) fn catch_up_of(config: &OutputConfig) -> CatchUp {
    match config.scheduler.catch_up {
        crate::config::CatchUp::Run => {
            CatchUp::Run { max_ticks: u32::try_from(config.scheduler.catch_up_max_ticks).unwrap_or(u32::MAX) }
        }
        crate::config::CatchUp::Skip => CatchUp::Skip,
    }
}

pub(super) fn ingest_settings(config: &Config) -> IngestSettings {
    let retry = &config.ingest.retry;
    IngestSettings {
        line_max_bytes: to_usize(config.ingest.line_max_bytes),
        connections_max: config.ingest.connections_max as usize,
        read_buffer_bytes: to_usize(config.ingest.read_buffer_bytes),
        retry: RetrySettings {
            min_delay_ms: retry.min_delay_ms,
            max_delay_ms: retry.max_delay_ms,
            max_attempts: retry.max_attempts,
            max_elapsed_ms: retry.max_elapsed_ms,
        },
    }
}

/// The payload of a CONFIG frame: every key that affects outputs, and the engine's digest.
#[must_use]
pub fn config_frame(config: &OutputConfig, digest: &[u8; 32]) -> String {
    let digest = RunId(*digest);
    format!(r#"{{"config":{},"engine_digest":"{digest}"}}"#, config.to_canonical_json())
}

/// Reads what [`config_frame`] wrote: the configuration, and the digest of the engine that it was in force with.
///
/// # Errors
/// What is wrong with it.
pub fn read_config_frame(payload: &[u8]) -> Result<(OutputConfig, RunId), String> {
    #[derive(serde::Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        config: &'a serde_json::value::RawValue,
        engine_digest: String,
    }
    let payload: Payload<'_> = serde_json::from_slice(payload).map_err(|error| format!("config frame: {error}"))?;
    let config =
        OutputConfig::from_canonical_json(payload.config.get().as_bytes()).map_err(|error| error.to_string())?;
    let digest = payload.engine_digest.parse();
    Ok((config, digest.map_err(|error| format!("config frame: engine_digest: {error}"))?))
}

/// The digest alone of what [`config_frame`] wrote.
#[must_use]
pub fn engine_of(payload: &[u8]) -> Option<[u8; 32]> {
    #[derive(serde::Deserialize)]
    struct Payload {
        engine_digest: String,
    }
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    payload.engine_digest.parse().ok().map(|digest: RunId| digest.0)
}

/// What a CONFIG frame gives its engine of the states that there are.
#[must_use]
pub fn taker_of(config: &OutputConfig, digest: RunId) -> Taker {
    Taker { engine: digest.0, of_others: config.engine.state_of_other_engine }
}

pub(super) fn ms_to_ns(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

pub(super) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
