//! Takes dead processes away, on a thread of its own.
//!
//! The kernel frees what is left of a process within the wait(2) of whoever takes it away, its folder in `/proc` among it. Where somebody
//! else is just letting go of a part of that folder, such as a thread of the same process that is ending, kernels (6.18 is one) turn in a loop
//! until that is done, and where that somebody needs the same processor this has lasted for minutes (`d_invalidate` calling
//! `shrink_dcache_parent`). So nobody whom anybody waits for does it; and it is done a moment after the death, when most often nobody is in
//! its way any more, by a thread that gives way to all others.

use std::process::Child;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use cutline_shm::background::give_way;

/// Most processes that wait to be taken away; who has one more takes it away himself.
const WAITING_MAX: usize = 1024;
/// How long the dead are left alone.
const REST: Duration = Duration::from_millis(50);

/// Takes a process away that is dead, or about to be.
pub fn take_away(dead: Child) {
    static UNDERTAKER: OnceLock<Option<SyncSender<Child>>> = OnceLock::new();
    hand_over(UNDERTAKER.get_or_init(start).as_ref(), dead);
}

fn start() -> Option<SyncSender<Child>> {
    let (sender, waiting) = sync_channel(WAITING_MAX);
    let started = thread::Builder::new().name("undertaker".to_owned()).spawn(move || work(&waiting));
    started.is_ok().then_some(sender)
}

fn work(waiting: &Receiver<Child>) {
    give_way();
    while let Ok(first) = waiting.recv() {
        let others: Vec<Child> = waiting.try_iter().collect();
        thread::sleep(REST);
        [first].into_iter().chain(others).for_each(wait);
    }
}

fn hand_over(undertaker: Option<&SyncSender<Child>>, dead: Child) {
    let Some(undertaker) = undertaker else { return wait(dead) };
    if let Err(TrySendError::Full(dead) | TrySendError::Disconnected(dead)) = undertaker.try_send(dead) {
        wait(dead);
    }
}

fn wait(mut dead: Child) {
    // How it ended was asked before, if anybody wanted to know.
    let _ = dead.wait();
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    fn where_no_undertaker_has_room_it_is_taken_away_at_once() {
        let (full, _waiting) = sync_channel(0);
        for undertaker in [None, Some(&full)] {
            let child = Command::new("true").spawn().expect("true");
            let folder = format!("/proc/{}", child.id());
            hand_over(undertaker, child);
            assert!(!Path::new(&folder).exists());
        }
    }
}
