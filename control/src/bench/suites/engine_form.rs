//! The scripted engine in each form in which a configuration can have it.

use std::fmt;
use std::path::PathBuf;

use cutline::config::Config;
use cutline::invoke::host::Host;
use cutline_ring::Idle;

use crate::bench::harness::Context;
use crate::commands::{Failure, note};
use crate::engines;

/// What the example engines are called as a shared library, beside this program.
const LIBRARY: &str = "libcutline_engines_library.so";
/// Longest time of a call, ms: a machine that others use may keep an engine process from its core for longer than the default.
const TIMEOUT_MS: u64 = 30_000;
/// The module of the engine in Python.
pub const PYTHON_FILE: &str = "cutline_bench_engine.py";
/// Says as much as the scripted engine, as a function over dicts.
pub const PYTHON: &str = r#"def run(snapshot):
    script = snapshot["market"]["structure_levels"]["script"]
    return {"symbol": snapshot["symbol"], "timestamp": snapshot["timestamp"], "regime": script["regime"],
            "confidence": script["confidence"], "drivers": script["drivers"],
            "invalidations": script["invalidations"], "permissions": [script["regime"]]}
"#;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Lane,
    Library,
    Process,
    Python,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lane => "on the lane",
            Self::Library => "in a library",
            Self::Process => "in a process",
            Self::Python => "in Python",
        })
    }
}

impl Form {
    /// Those that this machine may have: whether Python is one of them shows when it is started.
    pub fn all() -> Vec<Self> {
        let mut forms = vec![Self::Lane, Self::Library, Self::Process, Self::Python];
        if !library().is_ok_and(|path| path.exists()) {
            note(format_args!("engines: no {LIBRARY} beside this program: {} is left out", Self::Library));
            forms.retain(|&form| form != Self::Library);
        }
        forms
    }

    /// Its host, with its process on this core; `None`, and why, if there is no Python for it.
    pub fn host(self, context: &Context, core: usize, idle: Idle) -> Result<Option<Box<dyn Host>>, Failure> {
        match self.started(context, core, idle) {
            Ok(host) => Ok(Some(host)),
            Err(why) if self == Self::Python => {
                note(format_args!("engines: {self} is left out: {why}"));
                Ok(None)
            }
            Err(why) => Err(Failure::machine(why)),
        }
    }

    /// Python finds its engine in the folder in which it is started.
    fn started(self, context: &Context, core: usize, idle: Idle) -> Result<Box<dyn Host>, String> {
        let config = self.config(core, idle)?;
        let back = std::env::current_dir().map_err(|error| error.to_string())?;
        let place = context.root.place().map_err(|failure| failure.message)?;
        let written = std::fs::write(place.data.join(PYTHON_FILE), PYTHON);
        written.and_then(|()| std::env::set_current_dir(&place.data)).map_err(|error| error.to_string())?;
        let host = engines::host(&config);
        std::env::set_current_dir(back).map_err(|error| error.to_string())?;
        host
    }

    fn config(self, core: usize, idle: Idle) -> Result<Config, String> {
        let engine = match self {
            Self::Lane => "use = \"scripted\"".to_owned(),
            Self::Library => format!("library = {:?}", library().map_err(|error| error.to_string())?),
            Self::Process => "use = \"scripted\"\nhost = \"process\"".to_owned(),
            Self::Python => "python = \"cutline_bench_engine:run\"".to_owned(),
        };
        // Which of its engines the library is to be.
        let which = if self == Self::Library { "[engine.hysteresis]\nengine = \"scripted\"\n" } else { "" };
        let text = format!(
            "feed = []\n[engine]\nmode = \"truth\"\ntimeout_ms = {TIMEOUT_MS}\n{engine}\n[engine.process]\nidle = \"{idle}\"\ncores = [{core}]\n{which}"
        );
        Config::from_text("bench", &text).map(|(config, _)| config).map_err(|fault| fault.to_string())
    }
}

fn library() -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(LIBRARY))
}
