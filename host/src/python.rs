//! The program that serves a Python engine: which interpreter, and what it may read. Cold: asks the interpreter once.
//!
//! The engine's side is the package `cutline` (clients/python), which has to be installed for that interpreter.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::process::Program;

/// Where the interpreter finds what it needs, and where the engine's top-level package lies; imports nothing of the engine.
const ASK: &str = r#"
import importlib.util, json, os, sys
package = sys.argv[1].partition(":")[0].partition(".")[0]
try:
    found = importlib.util.find_spec(package)
except Exception:
    found = None
has_host = importlib.util.find_spec("cutline") is not None
places = [] if found is None else [*(found.submodule_search_locations or [found.origin or ""])]
here = os.getcwd()
paths = [path for path in sys.path if path and os.path.realpath(path) != os.path.realpath(here)]
read = [path for path in [sys.prefix, sys.base_prefix, *paths, *places] if os.path.exists(path)]
is_here = any(os.path.dirname(os.path.realpath(place)) == os.path.realpath(here) for place in places)
print(json.dumps({"has_host": has_host, "read": read, "is_here": is_here, "executable": sys.executable}))
"#;

/// What the interpreter answers.
#[derive(Deserialize)]
struct Answer {
    has_host: bool,
    /// The interpreter itself, where `python3` is a script that finds it.
    executable: PathBuf,
    read: Vec<PathBuf>,
    is_here: bool,
}

/// The program for `python = SPEC`: the interpreter of the virtual environment, or the `python3` of `PATH`. A module that lies in
/// the folder `here` is found there.
///
/// # Errors
/// There is no such interpreter, or it has no package `cutline`; the text says what to do.
pub fn program(spec: &str, venv: Option<&Path>, here: &Path) -> Result<Program, String> {
    let path = venv.map_or_else(|| PathBuf::from("python3"), |venv| venv.join("bin/python3"));
    let name = path.display();
    let asked = Command::new(&path)
        .args(["-c", ASK, spec])
        .current_dir(here)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|fault| {
            format!("{name} cannot be started: {fault}; set engine.process.venv to a virtual environment")
        })?;
    let answer: Answer = serde_json::from_slice(&asked.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&asked.stderr);
        format!("{name} does not say where it finds modules: {}", said.trim_end().lines().last().unwrap_or_default())
    })?;
    if !answer.has_host {
        return Err(format!(
            "{name} has no package cutline: `{name} -m pip install CUTLINE/clients/python` installs it"
        ));
    }
    let (mut env, mut read) = (vec![("PYTHONHASHSEED".to_owned(), "0".to_owned())], answer.read);
    let mut path: Vec<PathBuf> = answer.is_here.then(|| here.to_owned()).into_iter().collect();
    if let Some(own) = std::env::var_os("PYTHONPATH") {
        path.extend(std::env::split_paths(&own).map(|part| here.join(part)));
    }
    if !path.is_empty() {
        read.extend(path.iter().filter(|part| part.exists()).cloned());
        let joined = std::env::join_paths(path).map_err(|fault| format!("PYTHONPATH: {fault}"))?;
        env.push(("PYTHONPATH".to_owned(), joined.to_string_lossy().into_owned()));
    }
    let arguments = ["-m", "cutline.engine_host", spec].map(str::to_owned).to_vec();
    Ok(Program { path: answer.executable, arguments, env, read })
}
