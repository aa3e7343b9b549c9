//! The system's allocator, counting by thread. Any thread calls it; reading the counts is for the test's thread.
//!
//! A thread takes a slot at its first call. Once a slot is watched, the first call by its thread leaves a backtrace behind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use rustix::thread::gettid;

/// More threads than one test process ever starts.
const SLOTS: usize = 1024;
const NO_SLOT: usize = usize::MAX;

struct Slot {
    /// Thread id of the kernel, 0 while nobody has taken the slot.
    thread: AtomicI32,
    calls: AtomicU64,
    watched: AtomicBool,
}

static TABLE: [Slot; SLOTS] =
    [const { Slot { thread: AtomicI32::new(0), calls: AtomicU64::new(0), watched: AtomicBool::new(false) } }; SLOTS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static FIRST: Mutex<Option<Backtrace>> = Mutex::new(None);

thread_local! {
    // Constant and without a destructor: neither reading them nor a thread's end allocates.
    static SLOT: Cell<usize> = const { Cell::new(NO_SLOT) };
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
}

/// See the module.
pub struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

fn count() {
    if CAPTURING.get() {
        return;
    }
    let mut index = SLOT.get();
    if index == NO_SLOT {
        index = TAKEN.fetch_add(1, Ordering::Relaxed);
        SLOT.set(index);
        if let Some(slot) = TABLE.get(index) {
            slot.thread.store(gettid().as_raw_nonzero().get(), Ordering::Release);
        }
    }
    let Some(slot) = TABLE.get(index) else { return };
    slot.calls.fetch_add(1, Ordering::Relaxed);
    if slot.watched.swap(false, Ordering::Relaxed) {
        CAPTURING.set(true);
        *FIRST.lock().expect("nobody panics with it") = Some(Backtrace::force_capture());
        CAPTURING.set(false);
    }
}

/// The slot of a thread that lives. Thread ids are used again: the latest slot counts.
fn slot_of(thread: i32) -> Option<&'static Slot> {
    let taken = TAKEN.load(Ordering::Relaxed);
    assert!(taken < SLOTS, "more than {SLOTS} threads: some are not counted");
    TABLE[..taken].iter().rev().find(|slot| slot.thread.load(Ordering::Acquire) == thread)
}

/// Calls that the thread has made so far; releases count too.
pub fn calls(thread: i32) -> u64 {
    slot_of(thread).map_or(0, |slot| slot.calls.load(Ordering::Relaxed))
}

/// From now on the first call of the thread leaves its backtrace, if it has made one before.
pub fn watch(thread: i32) {
    if let Some(slot) = slot_of(thread) {
        slot.watched.store(true, Ordering::Relaxed);
    }
}

/// Where the first call came from that was made by a watched thread.
pub fn first_call() -> String {
    let first = FIRST.lock().expect("nobody panics with it").take();
    first.map_or_else(|| "no backtrace was taken".to_owned(), |first| first.to_string())
}
