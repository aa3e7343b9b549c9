//! `cutline engine serve`: the engine's side of a process, for engines that this program has or can load.

use cutline::config::EngineSpec;
use cutline::invoke::engine::Engine;
use cutline_host::library::Library;
use cutline_host::serve::{ServeFault, Served, Start, serve as serve_engine};

use crate::commands::{Failure, Outcome};

/// `cutline engine serve`
pub fn serve(spec: &EngineSpec) -> Outcome {
    serve_engine(|start| served(spec, start)).map_err(|fault| match fault {
        ServeFault::Environment(_) => Failure::usage(fault),
        _ => Failure::machine(fault),
    })
}

fn served(spec: &EngineSpec, start: &Start) -> Result<Served, String> {
    let name = spec.to_string();
    match spec {
        EngineSpec::BuiltIn(built_in) => {
            let engine = cutline_engines::build(built_in.as_str(), &start.config_json);
            let engine: Box<dyn Engine> = engine.map_err(|error| format!("engine: {error}"))?;
            Ok(Served { engine, name, version: env!("CARGO_PKG_VERSION").to_owned() })
        }
        EngineSpec::Library(path) => {
            let library = Library::load(path, &start.config_json, start.limits).map_err(|fault| fault.to_string())?;
            let (name, version) = (library.name().to_owned(), library.version().to_owned());
            Ok(Served { engine: Box::new(library), name, version })
        }
        EngineSpec::Python(_) | EngineSpec::Program(_) => Err(format!("{spec} is a program of its own")),
    }
}
