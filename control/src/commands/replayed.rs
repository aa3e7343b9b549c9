//! What the commands that call engines again have in common: which engine that is, and what is said of one that was not recorded.

use std::collections::BTreeSet;

use cutline::config;
use cutline::invoke::engine::Engine;
use cutline::replay::verify::ProvenConfig;

use super::note;
use crate::cli;
use crate::engines::replayed_by;

impl cli::Replayed {
    /// Makes the engine of a configuration.
    pub fn engines(&self) -> impl Fn(&config::Engine) -> Result<Box<dyn Engine>, String> + use<> {
        let Self { engine, venv, read, .. } = self.clone();
        move |config| {
            let made = replayed_by(config, engine.as_ref(), venv.as_deref(), &read);
            let needs_process = engine.as_ref().unwrap_or(&config.spec).needs_process();
            made.map_err(|why| if needs_process { format!("{why}\n  {REACH}") } else { why })
        }
    }
}

/// Warns of other engines than those recorded, of each once.
#[derive(Default)]
pub struct OtherEngines(BTreeSet<(String, String)>);

impl OtherEngines {
    /// Looks at the configurations that there are by now.
    pub fn warn(&mut self, configs: &[ProvenConfig]) {
        for config in configs.iter().filter(|config| config.is_of_other_engine()) {
            if self.0.insert((config.engine_digest_recorded.clone(), config.engine_digest_used.clone())) {
                note(format_args!("warning: {config}\n  {NEXT}"));
            }
        }
    }
}

/// What an engine of a replay that cannot be started may lack.
const REACH: &str = "a replay's engine reads its own files and those of --venv DIR and --read PATH: engine.process.read is not in the logs";

/// What to do about another engine.
pub const NEXT: &str = "what is computed with it proves nothing of the one that ran. Next: call that one (--engine SPEC if it was moved, --venv \
                        DIR for a Python engine's environment, the build of Cutline that it came with), or go on knowing that it is another";
