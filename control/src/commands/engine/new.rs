//! `cutline engine new`: a minimal engine that works, in a folder of its own.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::{Failure, Outcome, print};
use crate::cli::{EngineNew, Language};

/// What Cutline's source is told by: the crate that a Rust engine is built with.
const IN_SOURCE: &str = "clients/rust/Cargo.toml";

/// A file of a template: its place in the new folder, and its text with `{{name}}` and others in it.
type Template = (&'static str, &'static str);

const RUST: &[Template] = &[
    ("Cargo.toml", include_str!("../../../templates/rust/Cargo.toml.in")),
    ("README.md", include_str!("../../../templates/rust/README.md")),
    ("src/lib.rs", include_str!("../../../templates/rust/src/lib.rs")),
];

/// The C engine is the example, so that there is one that is kept right.
const C: &[Template] = &[
    ("README.md", include_str!("../../../templates/c/README.md")),
    ("cutline_engine.h", include_str!("../../../../clients/c/cutline_engine.h")),
    ("engine.c", include_str!("../../../../clients/c/example_engine.c")),
];

const PYTHON: &[Template] = &[
    ("README.md", include_str!("../../../templates/python/README.md")),
    ("{{library}}.py", include_str!("../../../templates/python/engine.py.in")),
];

/// `cutline engine new`
pub fn new(args: &EngineNew) -> Outcome {
    let name = name(&args.folder)?;
    let (files, cutline) = match args.lang {
        Language::C => (C, PathBuf::new()),
        Language::Python => (PYTHON, source(args.cutline.as_deref())?),
        Language::Rust => (RUST, source(args.cutline.as_deref())?),
    };
    fs::create_dir(&args.folder).map_err(|error| {
        let text = format!("cannot make the folder {}: {error}", args.folder.display());
        match error.kind() {
            ErrorKind::AlreadyExists => Failure::usage(format!("{text}: name one that is not there yet")),
            ErrorKind::NotFound => Failure::usage(format!("{text}: the folder it is to lie in is not there")),
            _ => Failure::machine(text),
        }
    })?;
    let library = name.replace('-', "_");
    for (place, template) in files {
        let text = template
            .replace("{{name}}", name)
            .replace("{{library}}", &library)
            .replace("{{cutline}}", &cutline.display().to_string())
            .replace("\"example-engine\"", &format!("\"{name}\""));
        write(&args.folder.join(place.replace("{{library}}", &library)), &text)?;
    }
    print(format_args!("{}: an engine; README.md there says how to build, check and run it", args.folder.display()))
}

/// The engine's name: that of its folder, as cargo and file systems like it.
fn name(folder: &Path) -> Result<&str, Failure> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    let is_good = starts && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if is_good && name.len() <= 63 {
        return Ok(name);
    }
    Err(Failure::usage(format!(
        "{}: the folder's name becomes the engine's: take small letters, digits, - and _, a letter first, at most 63 of them",
        folder.display()
    )))
}

/// The absolute path of Cutline's source: the folder that was named, or else the one we stand in or one above it.
fn source(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let start = named.unwrap_or(Path::new(".")).canonicalize().ok();
    let levels = if named.is_some() { 1 } else { usize::MAX };
    let mut folders = start.iter().flat_map(|start| start.ancestors().take(levels));
    folders.find(|folder| folder.join(IN_SOURCE).is_file()).map(Path::to_path_buf).ok_or_else(|| {
        let looked = named.map_or("this folder or above it".to_owned(), |named| named.display().to_string());
        Failure::usage(format!(
            "no Cutline source in {looked}: a Rust engine is built with it, a Python one run by its package, --cutline DIR says where it lies"
        ))
    })
}

fn write(path: &Path, text: &str) -> Outcome {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
}
