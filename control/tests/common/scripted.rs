//! A test program as an engine: the scripted engine, which does something before each call that its symbol says, and whose state of the
//! symbol [`AHEAD`] is of a later time than its run.
//!
//! A test file that wants one has a test [`NAME`] which calls [`serve_if_asked`]: it is no test wherever the process was started as an engine.

use cutline::invoke::engine::{Engine, EngineFault};
use cutline::model::snapshot::Snapshot;
use cutline_host::serve::{Served, serve};
use cutline_shm::exchange::DESCRIPTOR_ENV;

/// A symbol whose state is [`AHEAD_MS`] later than the run that it is of.
pub const AHEAD: &str = "AHEAD";
/// More than the boundary after it, and less than the next one, of tests with 500 ms between them.
const AHEAD_MS: i64 = 600;
/// The name of the test that is an engine.
const NAME: &str = "engine_program";

/// This program as the engine of a configuration.
pub fn this_engine() -> String {
    this_engine_with(&[])
}

/// The same with further arguments, which the harness takes for names of tests that there are not.
pub fn this_engine_with(arguments: &[&str]) -> String {
    let this = std::env::current_exe().unwrap();
    let arguments: String = arguments.iter().map(|argument| format!(", {argument:?}")).collect();
    format!("command = [{this:?}, \"--exact\", {NAME:?}, \"--nocapture\", \"--test-threads=1\"{arguments}]")
}

/// Serves the engine and ends the process, if it was started for that; `before` is called with the symbol of each call.
pub fn serve_if_asked(before: fn(&str)) {
    if std::env::var_os(DESCRIPTOR_ENV).is_none() {
        return;
    }
    let served = serve(|start| {
        let engine = cutline_engines::build("scripted", &start.config_json).map_err(|error| error.to_string())?;
        let engine = Box::new(Scripted { engine, before });
        Ok(Served { engine, name: "scripted".to_owned(), version: "1".to_owned() })
    });
    std::process::exit(i32::from(served.is_err()));
}

struct Scripted {
    engine: Box<dyn Engine>,
    before: fn(&str),
}

impl Engine for Scripted {
    fn digest(&self) -> [u8; 32] {
        self.engine.digest()
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        (self.before)(snapshot.symbol);
        self.engine.run(snapshot, output)
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        (self.before)(snapshot.symbol);
        self.engine.run_with_hysteresis(snapshot, state, decision, new_state)?;
        if snapshot.symbol == AHEAD {
            let mut later = snapshot.clone();
            later.timestamp_ms += AHEAD_MS;
            new_state.clear();
            self.engine.run_with_hysteresis(&later, state, &mut Vec::new(), new_state)?;
        }
        Ok(())
    }
}
