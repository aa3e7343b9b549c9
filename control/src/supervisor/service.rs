//! What the service manager is told (`sd_notify`): READY once everything has started, RELOADING, STOPPING, and WATCHDOG for as long as lanes make
//! progress. Without a service manager nothing is told, and one that does not read what it is told holds up nobody for long.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use cutline_shm::reader::CncReader;
use sd_notify::NotifyState;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::context::Control;
use crate::commands::note;

/// How long the service manager may take to make room for what it is told. Its socket holds a few messages; while it reloads itself nobody reads.
const PATIENCE: Duration = Duration::from_secs(1);

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
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    // Where there is no room for a sign of life it has not looked at those before.
    let is_watchdog = matches!(states, [NotifyState::Watchdog]);
    match send(&place, states, if is_watchdog { None } else { Some(PATIENCE) }) {
        Err(fault) if is_watchdog && fault.kind() == io::ErrorKind::WouldBlock => {}
        Err(fault) => note(format_args!("warning: the service manager cannot be told {states:?}: {fault}")),
        Ok(()) => {}
    }
}

/// Sends one message, and waits so long for room, or not at all.
fn send(place: &OsStr, states: &[NotifyState<'_>], patience: Option<Duration>) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    match patience {
        Some(_) => socket.set_write_timeout(patience)?,
        None => socket.set_nonblocking(true)?,
    }
    // An address that begins so has no name among the files.
    match place.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(place)?,
    }
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    socket.send(text.as_bytes()).map(drop)
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
