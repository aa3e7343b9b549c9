//! How fast requests are taken in. While our own cold parts do less ([`Throttle`]) they go one after the other with a pause between, and
//! wait for that in the order in which they came; else each at once.
//!
//! How many wait is how many connections there are: `http.connections_max`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::resources::throttle::Throttle;

/// Between two requests: ten a second are more than those need who look after a system, and less than costs a loaded machine anything.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Intake {
    throttle: Throttle,
    last: Arc<Mutex<Option<Instant>>>,
}

impl Intake {
    /// One that is slow while this says so.
    pub fn new(throttle: Throttle) -> Self {
        Self { throttle, last: Arc::default() }
    }

    /// The layer that requests go through.
    pub async fn take(State(intake): State<Self>, request: Request, next: Next) -> Response {
        if intake.throttle.is_on() {
            let mut last = intake.last.lock().await;
            if let Some(last) = *last {
                sleep_until(last + PAUSE).await;
            }
            *last = Some(Instant::now());
        }
        next.run(request).await
    }
}
