//! What the service manager is told (`sd_notify`): READY once everything has started, RELOADING, STOPPING, and WATCHDOG for as long as lanes make
//! progress. Without a service manager nothing is told.

use std::time::Duration;

use cutline_shm::reader::CncReader;
use sd_notify::NotifyState;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::context::Control;
use crate::commands::note;

/// See the module.
pub struct Service {
    watchdog: Option<AbortHandle>,
}

impl Service {
    /// Begins to feed the watchdog, if there is one.
    pub fn start(control: &Control) -> Self {
        let mut timeout_us = 0;
        let is_watched = sd_notify::watchdog_enabled(false, &mut timeout_us);
        // Twice within its time, as systemd asks for.
        let interval = Duration::from_micros(timeout_us / 2);
        let watchdog = is_watched.then(|| spawn_local(feed(control.clone(), interval)).abort_handle());
        Self { watchdog }
    }

    /// Everything that was to start has.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// Everything is being stopped: that takes as long as the unit's TimeoutStopSec, and no lane needs to make progress any more.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
        tell(&[NotifyState::Watchdog]);
    }
}

/// Does this, which reads the configuration anew, and tells of it: RELOADING while it lasts, then READY.
pub async fn while_reloading<T>(reload: impl Future<Output = T>) -> T {
    // The service manager wants to know which of its requests is meant.
    let begun = NotifyState::monotonic_usec_now().map_or_else(|_| vec![], |now| vec![now]);
    tell(&[&[NotifyState::Reloading], &begun[..]].concat());
    let done = reload.await;
    tell(&[NotifyState::Ready]);
    done
}

async fn feed(control: Control, interval: Duration) {
    let mut last = Vec::new();
    loop {
        let beats = control.cnc().map(beats).unwrap_or_default();
        if make_progress(&last, &beats) {
            tell(&[NotifyState::Watchdog]);
        }
        last = beats;
        sleep(interval).await;
    }
}

/// The last sign of life of each lane, ns.
fn beats(cnc: &CncReader) -> Vec<i64> {
    cnc.lanes().map(|lane| lane.beat_ns).collect()
}

/// Whether every lane has shown a sign of life since it was looked at last.
fn make_progress(last: &[i64], now: &[i64]) -> bool {
    !now.is_empty() && (last.len() != now.len() || last.iter().zip(now).all(|(last, now)| last != now))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(false, states) {
        note(format_args!("warning: the service manager cannot be told {states:?}: {fault}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_only_while_every_lane_beats() {
        assert!(make_progress(&[], &[1, 2]), "the first look");
        assert!(make_progress(&[1, 2], &[3, 4]));
        assert!(!make_progress(&[1, 2], &[3, 2]), "the second stands still");
        assert!(!make_progress(&[1], &[]) && !make_progress(&[], &[]), "nothing to be seen is no progress");
    }
}
