//! Engines in processes of their own, with real processes that behave in every way an engine should not.
//!
//! This binary is all three: the tests, the launcher ([`launcher_process`]) and the engine's program ([`engine_process`], whose manners
//! are in `engine.rs`). The last two do nothing when they are run as tests.

#[allow(dead_code)] // the hot path's tests use all of it
#[path = "../../../tests/hot_path/allocator.rs"]
mod allocator;
#[path = "../conformance/mod.rs"]
mod conformance;
mod death;
mod engine;
mod isolation;
mod lane;
mod output;
mod promises;
mod rig;
mod spoken;
mod start;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// The launcher, if a launch stands last on the command line.
#[test]
fn launcher_process() {
    let Some(launch) = std::env::args().next_back().filter(|last| last.starts_with('{')) else { return };
    let fault = cutline_host::child::launch::launch(&launch).expect_err("it does not return");
    eprintln!("{fault}");
    std::process::exit(126);
}

/// The engine's program, if there is an exchange.
#[test]
fn engine_process() {
    if std::env::var_os(cutline_shm::exchange::DESCRIPTOR_ENV).is_some() {
        engine::main();
    }
}

/// A pipeline that has an engine and is killed: says which process its engine is, and waits.
#[test]
fn pipeline_process() {
    if std::env::var_os(start::PIPELINE).is_some() {
        start::pipeline();
    }
}
