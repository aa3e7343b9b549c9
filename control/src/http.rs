//! The HTTP listener: `/health`, `/ready` and `/metrics`, read from memory. On the control thread; it changes nothing and asks nobody.
//!
//! It listens where this machine alone can reach it (`[http]`, which refuses anything else). How many connections there are and how long
//! each lives is bounded ([`limited`]), so that a slow client costs others nothing; how fast requests are taken in is too, while the machine is
//! loaded ([`intake`]).
//!
//! | file | what |
//! |---|---|
//! | [`metrics`](mod@metrics) | the cnc file and the modules as OpenMetrics |
//! | [`openmetrics`] | that text format |
//! | [`limited`] | a listener whose connections are few and end |
//! | [`intake`] | requests wait for each other while our own cold parts do less |

mod intake;
mod limited;
mod metrics;
mod openmetrics;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;

use crate::commands::{Failure, say};
use crate::health::system::{SystemStatus, not_ready};
use crate::supervisor::context::Control;
use crate::supervisor::part::Part;
use intake::Intake;
use limited::Limited;

/// The listener among the parts of this program.
pub const PART: Part = Part {
    name: "http",
    required: false,
    listener: true,
    is_wanted: |config| config.http.listen.is_some(),
    run: |control, mut life| {
        Box::pin(serve(control, || {
            life.ready();
            async move { life.closing().await }
        }))
    },
};

/// Listens where the configuration in force says. Once it does it calls `started`, and ends when what that returns is over; requests that
/// have begun by then are finished.
///
/// # Errors
/// It cannot listen there.
async fn serve<F>(control: Control, started: impl FnOnce() -> F) -> Result<(), Failure>
where
    F: Future<Output = ()> + Send + 'static,
{
    let config = control.config();
    let Some(listen) = &config.http.listen else {
        return Err(Failure::usage("http.listen is \"\": set it to have this module"));
    };
    let fault = |fault: std::io::Error| Failure::machine(format!("http.listen: {fault}"));
    let lifetime = Duration::from_millis(config.http.timeout_ms);
    // Each connection is a task of its own; dropped with this one they end too.
    let (_serving, served) = watch::channel(());
    let listener = Limited::bind(listen, config.http.connections_max, lifetime, served).map_err(fault)?;
    say(format_args!("http: {}", listener.address()));
    axum::serve(listener, router(control)).with_graceful_shutdown(started()).await.map_err(fault)
}

fn router(control: Control) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(readiness))
        .route("/metrics", get(metrics))
        .fallback(elsewhere)
        .layer(from_fn_with_state(Intake::new(control.throttle.clone()), Intake::take))
        .with_state(control)
}

async fn health(State(control): State<Control>) -> impl IntoResponse {
    let system = control.board.system();
    let is_critical = matches!(system, SystemStatus::Critical { .. });
    let code = if is_critical { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let plane = control
        .cnc()
        .and_then(|cnc| cnc.status())
        .map(|status| json!({"state": status.state.name(), "reason": status.reason}));
    (
        code,
        Json(json!({"system": system, "plane": plane, "modules": control.modules(), "reports": control.board.all()})),
    )
}

async fn readiness(State(control): State<Control>) -> impl IntoResponse {
    let status = control.cnc().and_then(|cnc| cnc.status());
    match not_ready(status.as_ref(), &control.registry.all()) {
        None => (StatusCode::OK, Json(json!({"ready": true}))),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "reason": reason}))),
    }
}

async fn metrics(State(control): State<Control>) -> impl IntoResponse {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    let (modules, reports) = (control.modules(), control.board.all());
    let text = metrics::render(control.cnc(), &modules, &reports, &control.reload.tally(), &control.bus, now_ns);
    ([(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)], text)
}

async fn elsewhere(uri: Uri) -> impl IntoResponse {
    let text = format!("there is no {}: there are /health, /ready and /metrics", uri.path());
    (StatusCode::NOT_FOUND, Json(json!({"error": text})))
}

#[cfg(test)]
mod tests;
