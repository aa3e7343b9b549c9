//! Whether the process that wrote a cnc file still beats in it. A process that was killed, or stands still, cannot say so itself: its last
//! state stays, and would be taken for the present one. Reads only.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cutline_shm::owner::boot_id;
use cutline_shm::reader::CncReader;
use cutline_shm::status::State;

/// A sign of life as old as this is looked at again: there is one every few hundredths of a second.
const SUSPICIOUS: Duration = Duration::from_secs(1);
/// For how long at most. Clocks that differ make every sign of life look old; one that comes in this time does not.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Between two looks at a word in memory: nothing in the kernel tells of it.
const LOOK: Duration = Duration::from_millis(5);

/// What is wrong with the process, for people; `None` if it beats, starts, or has ended as its state says.
pub fn trouble(cnc: &CncReader) -> Option<String> {
    let state = cnc.status()?.state;
    if matches!(state, State::Stopped | State::Failed) {
        return None;
    }
    let beat_ns = cnc.beat_ns();
    let age_ns = now_ns().saturating_sub(beat_ns).unsigned_abs();
    if u128::from(age_ns) < SUSPICIOUS.as_nanos() {
        return None;
    }
    if beats_on(cnc, beat_ns) {
        return None;
    }
    let (pid, seconds) = (cnc.pid(), age_ns / 1_000_000_000);
    match scheduling(cnc) {
        None | Some('Z' | 'X') => Some(format!(
            "process {pid} is gone, {seconds} s after its last sign of life: the next start recovers what it left"
        )),
        Some('T' | 't') => Some(format!(
            "no sign of life for {seconds} s: process {pid} was stopped, `kill -CONT {pid}` lets it go on"
        )),
        // A start reads logs for as long as it takes.
        Some(_) if state == State::Starting => None,
        Some(_) => {
            Some(format!("no sign of life for {seconds} s: process {pid} gets no processor, or waits for the machine"))
        }
    }
}

/// Waits for a sign of life after this one, as long as that may take.
fn beats_on(cnc: &CncReader, beat_ns: i64) -> bool {
    let began = Instant::now();
    while cnc.beat_ns() == beat_ns {
        if began.elapsed() > SECOND_LOOK {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

/// What the kernel says of the process, by the letter of `/proc/PID/stat`; `None` if there is none of that number, or not in the boot in
/// which the file was written.
fn scheduling(cnc: &CncReader) -> Option<char> {
    if boot_id().is_ok_and(|boot| boot != cnc.boot_id()) {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", cnc.pid())).ok()?;
    // Behind the name, which may hold anything, in parentheses.
    stat.rsplit_once(") ")?.1.chars().next()
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
