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

/// Most processes on their way here; who has one more takes it away himself.
const WAITING_MAX: usize = 1024;
/// How long the dead are left alone, and how often it is looked after those that did not die at once. When nobody is in their way any more the
/// kernel tells nobody, so that there is nothing to wait for but time.
const REST: Duration = Duration::from_millis(50);

/// Kills a process, if it lives, and takes it away.
pub fn take_away(mut process: Child) {
    static UNDERTAKER: OnceLock<Option<SyncSender<Child>>> = OnceLock::new();
    // By its own number: it may have left the group that it was started in. That it is dead is no fault.
    let _ = process.kill();
    hand_over(UNDERTAKER.get_or_init(start).as_ref(), process);
}

fn start() -> Option<SyncSender<Child>> {
    let (sender, waiting) = sync_channel(WAITING_MAX);
    let started = thread::Builder::new().name("undertaker".to_owned()).spawn(move || work(&waiting));
    started.is_ok().then_some(sender)
}

fn work(waiting: &Receiver<Child>) {
    give_way();
    while let Ok(first) = waiting.recv() {
        let mut here = vec![first];
        while !here.is_empty() {
            thread::sleep(REST);
            // One that does not die, because the kernel is busy with it, keeps no other one waiting.
            here.retain_mut(|process| matches!(process.try_wait(), Ok(None)));
            here.extend(waiting.try_iter());
        }
    }
}

fn hand_over(undertaker: Option<&SyncSender<Child>>, process: Child) {
    let Some(undertaker) = undertaker else { return wait(process) };
    if let Err(TrySendError::Full(process) | TrySendError::Disconnected(process)) = undertaker.try_send(process) {
        wait(process);
    }
}

fn wait(mut process: Child) {
    // How it ended was asked before, if anybody wanted to know.
    let _ = process.wait();
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::Instant;

    use rustix::process::{Pid, Signal, kill_process};

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

    #[test]
    fn one_that_does_not_die_keeps_no_other_one_waiting() {
        let (undertaker, waiting) = sync_channel(2);
        let child = |program: &str, argument: &str| Command::new(program).arg(argument).spawn().expect("it is there");
        let (slow, dead) = (child("sleep", "1000"), child("true", ""));
        let [slow_pid, dead_pid] = [&slow, &dead].map(Pid::from_child);
        let is_there = |pid: Pid| Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists();
        for process in [slow, dead] {
            hand_over(Some(&undertaker), process);
        }
        let worker = thread::spawn(move || work(&waiting));
        let until = Instant::now() + Duration::from_secs(10);
        while is_there(dead_pid) {
            assert!(Instant::now() < until, "it waits behind the other one");
            thread::yield_now();
        }
        assert!(is_there(slow_pid));
        kill_process(slow_pid, Signal::KILL).expect("it lives");
        drop(undertaker);
        worker.join().expect("it ends once nobody is left");
        assert!(!is_there(slow_pid));
    }
}
