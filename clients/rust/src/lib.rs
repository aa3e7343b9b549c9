//! For who writes an engine: the contract, and [`export!`], which makes a shared library of a Rust type.
//!
//! ```no_run
//! use cutline_engine::{Engine, EngineFault, Snapshot};
//!
//! struct Mine;
//!
//! impl Engine for Mine {
//! #   fn digest(&self) -> [u8; 32] { [0; 32] }
//!     fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
//!         // ...
//! #       Ok(())
//!     }
//!     // ...
//! #   fn run_with_hysteresis(&mut self, _: &Snapshot<'_>, _: &[u8], _: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<(), EngineFault> { Ok(()) }
//! }
//!
//! fn create(config_json: &str) -> Result<Box<dyn Engine>, String> {
//!     Ok(Box::new(Mine))
//! }
//!
//! cutline_engine::export!(create);
//! # fn main() {}
//! ```
//!
//! The crate of the engine is a `cdylib`, and its profile's `panic` is `"unwind"`, as is the default: a panic then is an
//! `engine_failure` of its run. With `"abort"` it would end the whole process, so that `export!` refuses to be compiled.
//!
//! `docs/engines.md` takes the whole way, and `cutline engine new --lang rust` writes a first engine. An engine in a library is
//! known by the SHA-256 of its file and configuration; [`Engine::digest`] counts for engines within the binary alone.
//!
//! For who writes a module, a program beside the pipeline: [`module`] speaks the module protocol.

pub mod abi;
pub mod export;
pub mod module;

pub use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
pub use cutline::model::canonical;
pub use cutline::model::json;
pub use cutline::model::snapshot::{Field, Section, Snapshot};
