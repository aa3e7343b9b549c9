//! The hot path is clean: in steady state a lane calls no allocator, makes no system call but ingest's receive, and takes no
//! page fault, over many events and several rolls of all three logs.
//!
//! The real pipeline runs in this process, or in a child of it under strace. What a lane does is counted by its thread, from
//! outside: by the allocator of this program, in `/proc`, in strace's record. Each count is shown to move by a lane that does
//! what it must not.
//!
//! A build without optimisation runs fewer events, and nothing by the wall clock: see [`plant`].

mod allocator;
mod engine;
mod memory;
mod plant;
mod process;
mod records;
mod syscalls;
mod tape;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;
