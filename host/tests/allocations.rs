//! A call through a library allocates nothing on the host's side, as long as the caller's buffers have room for the limits.

mod cc;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::Engine;
use cutline::model::snapshot::Snapshot;
use cutline_host::library::Library;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does everything; a count is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_call_allocates_nothing() {
    let place = tempfile::tempdir().unwrap();
    let library = place.path().join("engine.so");
    cc::shared_library(&cc::header_folder().join("example_engine.c"), &library, &[]);
    let limits = AnswerLimits { output_max_bytes: 4096, state_max_bytes: 4096 };
    let mut engine = Library::load(&library, "{}", limits).unwrap();
    let [mut decision, mut state, mut new_state] = [(); 3].map(|()| Vec::with_capacity(4096));
    let normalized = br#"{"market":{"price":101,"vwap":100},"flow":{"cvd":1}}"#;
    let before = ALLOCATIONS.get();
    for timestamp_ms in 0..100 {
        let snapshot = Snapshot::from_normalized("S", timestamp_ms, normalized).unwrap();
        for buffer in [&mut decision, &mut new_state] {
            buffer.clear();
        }
        engine.run(&snapshot, &mut decision).unwrap();
        decision.clear();
        engine.run_with_hysteresis(&snapshot, &state, &mut decision, &mut new_state).unwrap();
        core::mem::swap(&mut state, &mut new_state);
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(!state.is_empty());
    // The count counts.
    drop(Box::new(1));
    assert!(ALLOCATIONS.get() > before);
}
