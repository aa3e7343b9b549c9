//! Says on standard error what becomes of modules, for people. The data plane and the parts of this program speak for themselves while all
//! is well.

use std::sync::Arc;

use cutline::config::{Config, LogLevel, OWN_MODULES};
use tokio::sync::watch;

use super::plane;
use crate::bus::event::SYSTEM;
use crate::bus::lifecycle::Lifecycle;
use crate::bus::{Listener, What};
use crate::commands::{be_quiet, note, say};

/// Follows the level at which lines are said.
pub async fn obey(mut configs: watch::Receiver<Arc<Config>>) {
    loop {
        be_quiet(configs.borrow_and_update().supervisor.log_level == LogLevel::Warning);
        if configs.changed().await.is_err() {
            return;
        }
    }
}

/// Tells what it hears until the bus is closed.
pub async fn tell(mut heard: Listener) {
    while let Some(event) = heard.next().await {
        let What::Lifecycle(what) = &event.what else { continue };
        let is_own = OWN_MODULES.contains(&&*event.module);
        let name = &event.module;
        match what {
            Lifecycle::Ready { took_ms, version } if !is_own => {
                let version = if version.is_empty() { String::new() } else { format!(" {version}") };
                say(format_args!("module {name}{version}: ready after {took_ms} ms"));
            }
            Lifecycle::Stopped { reason } if !is_own && name != SYSTEM => {
                say(format_args!("module {name}: stopped: {reason}"))
            }
            // Whoever ran it says so at once.
            Lifecycle::Failed { error, attempts } if name != plane::NAME => {
                let attempt = if *attempts > 1 { format!(" ({attempts} starts in a row)") } else { String::new() };
                note(format_args!("module {name}: failed{attempt}: {error}"));
            }
            Lifecycle::Configured { refused } if !refused.is_empty() => {
                note(format_args!("module {name}: its other configuration is not in force: {refused}"));
            }
            Lifecycle::Asked { order, who } => say(format_args!("module {name}: {who} asks to {order} it")),
            _ => {}
        }
    }
}
