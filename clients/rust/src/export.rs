//! A Rust engine behind the C ABI: what [`export!`](crate::export!) expands to calls these functions.
//!
//! They run in the library, on whichever thread the host calls from, one call per instance at a time. Nothing unwinds out of them: a
//! panic becomes an `engine_failure` with its message. Buffers of an instance are used again, so that calls do not allocate here.

use core::any::Any;
use core::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::abi::{self, Sink, Text};
use crate::{Engine, EngineFault, EngineFaultKind};

/// Exports the engines that a function makes as a shared library: `export!(create)` with
/// `fn create(config_json: &str) -> Result<Box<dyn Engine>, String>`, once per library. `config_json` is the section
/// `[engine.hysteresis]` as a JSON object; an error refuses it and says why. Name and version are the crate's.
#[macro_export]
macro_rules! export {
    ($create:path) => {
        #[cfg(not(panic = "unwind"))]
        ::core::compile_error!(
            "this profile has panic = \"abort\": a panic of the engine would end the process that loaded it; set panic = \"unwind\""
        );

        const _: () = {
            extern "C-unwind" fn cutline_create(
                config_json: $crate::abi::Text<'_>,
                error: &mut $crate::abi::Sink<'_>,
            ) -> *mut ::core::ffi::c_void {
                $crate::export::create($create, config_json, error)
            }

            static TABLE: $crate::abi::Table = $crate::abi::Table {
                size: ::core::mem::size_of::<$crate::abi::Table>() as u32,
                abi_version: $crate::abi::ABI_VERSION,
                name: ::core::concat!(::core::env!("CARGO_PKG_NAME"), "\0").as_ptr().cast(),
                version: ::core::concat!(::core::env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
                create: ::core::option::Option::Some(cutline_create),
                destroy: ::core::option::Option::Some($crate::export::destroy),
                run: ::core::option::Option::Some($crate::export::run),
                run_with_hysteresis: ::core::option::Option::Some($crate::export::run_with_hysteresis),
            };

            #[unsafe(no_mangle)]
            extern "C-unwind" fn cutline_engine(abi_version: u32) -> *const $crate::abi::Table {
                if abi_version == $crate::abi::ABI_VERSION { &raw const TABLE } else { ::core::ptr::null() }
            }
        };
    };
}

/// What the host holds by a pointer.
struct Instance {
    engine: Box<dyn Engine>,
    /// RegimeOutput or HysteresisDecision; empty between calls but for its capacity, as is the next.
    answer: Vec<u8>,
    state: Vec<u8>,
}

/// Makes an instance with the author's function.
#[doc(hidden)]
pub fn create(
    create: fn(&str) -> Result<Box<dyn Engine>, String>,
    config_json: Text<'_>,
    error: &mut Sink<'_>,
) -> *mut c_void {
    let created = guarded(|| {
        let config_json = core::str::from_utf8(config_json.bytes().unwrap_or_default());
        create(config_json.map_err(|fault| format!("the configuration is not UTF-8: {fault}"))?)
    });
    match created {
        Ok(Ok(engine)) => Box::into_raw(Box::new(Instance { engine, answer: Vec::new(), state: Vec::new() })).cast(),
        Ok(Err(why)) | Err(why) => {
            error.append(why.as_bytes());
            core::ptr::null_mut()
        }
    }
}

/// Ends an instance.
///
/// # Safety
/// `engine` came from [`create`], is not in a call, and is not used any more.
#[doc(hidden)]
pub unsafe extern "C-unwind" fn destroy(engine: *mut c_void) {
    // SAFETY: made by `Box::into_raw` of this type; the caller gives it up.
    let instance = unsafe { Box::from_raw(engine.cast::<Instance>()) };
    // Whom should a panic of its drop be told to?
    let _ = guarded(|| drop(instance));
}

/// A run in truth mode.
///
/// # Safety
/// `engine` came from [`create`] and is in no other call.
#[doc(hidden)]
pub unsafe extern "C-unwind" fn run(
    engine: *mut c_void,
    snapshot: &abi::Snapshot<'_>,
    output: &mut Sink<'_>,
    error: &mut Sink<'_>,
) -> i32 {
    // SAFETY: made by `Box::into_raw` of this type, and no other call uses it.
    let instance = unsafe { &mut *engine.cast::<Instance>() };
    instance.answer.clear();
    let called = guarded(|| instance.engine.run(&snapshot.to_snapshot().ok_or_else(too_old)?, &mut instance.answer));
    if let Err(code) = outcome(called, error) {
        return code;
    }
    output.append(&instance.answer);
    abi::OK
}

/// A run in hysteresis mode.
///
/// # Safety
/// As [`run`].
#[doc(hidden)]
pub unsafe extern "C-unwind" fn run_with_hysteresis(
    engine: *mut c_void,
    snapshot: &abi::Snapshot<'_>,
    state: Text<'_>,
    decision: &mut Sink<'_>,
    new_state: &mut Sink<'_>,
    error: &mut Sink<'_>,
) -> i32 {
    // SAFETY: as in `run`.
    let instance = unsafe { &mut *engine.cast::<Instance>() };
    instance.answer.clear();
    instance.state.clear();
    let called = guarded(|| {
        let snapshot = snapshot.to_snapshot().ok_or_else(too_old)?;
        let state = state.bytes().unwrap_or_default();
        instance.engine.run_with_hysteresis(&snapshot, state, &mut instance.answer, &mut instance.state)
    });
    if let Err(code) = outcome(called, error) {
        return code;
    }
    decision.append(&instance.answer);
    new_state.append(&instance.state);
    abi::OK
}

/// Tells a call's fault or panic.
fn outcome(called: Result<Result<(), EngineFault>, String>, error: &mut Sink<'_>) -> Result<(), i32> {
    let fault = match called {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(fault)) => fault,
        Err(panic) => EngineFault::new(EngineFaultKind::EngineFailure, panic),
    };
    error.append(fault.detail().as_bytes());
    Err(abi::code_of(fault.kind()))
}

/// Does something of the author's; a panic is told as a text.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    // An engine carries nothing from call to call that its answers depend on, and the buffers are emptied before each: whatever a panic
    // leaves half done is not looked at.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| format!("engine panicked: {}", message(payload)))
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => other,
    };
    let text = payload.downcast_ref::<&str>().map_or("no message", |text| text).to_owned();
    // Dropping something of the author's could panic once more; so it is not dropped.
    core::mem::forget(payload);
    text
}

fn too_old() -> EngineFault {
    EngineFault::new(
        EngineFaultKind::EngineFailure,
        "the host's snapshot is smaller than this engine's: update Cutline",
    )
}
