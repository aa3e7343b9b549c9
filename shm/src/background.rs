//! A thread that gives way to all others: for work that may wait, on a machine whose lanes may have every core. And the id under which the
//! kernel tells of a thread. Called once, by the thread itself.

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// The lowest weight that the scheduler knows for an ordinary thread.
const NICE_MAX: i32 = 19;

/// From here on the calling thread runs where nobody else wants to. False if the system refuses; then it runs as before.
pub fn give_way() -> bool {
    // By its thread id it is this thread alone on Linux, not the process.
    setpriority_process(Some(gettid()), NICE_MAX).is_ok()
}

/// The kernel's id of the calling thread: `/proc/self/task/ID` is about it.
#[must_use]
pub fn thread_id() -> u32 {
    gettid().as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn it_is_this_thread_alone() {
        let before = getpriority_process(Some(gettid())).unwrap();
        let other = std::thread::spawn(|| {
            assert!(give_way());
            getpriority_process(Some(gettid())).unwrap()
        });
        assert_eq!(other.join().unwrap(), NICE_MAX);
        assert_eq!(getpriority_process(Some(gettid())).unwrap(), before);
    }
}
