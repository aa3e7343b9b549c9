//! `cutline engine new`: what it writes builds with the very line that its README gives, without a warning, and is an engine; the lines behind
//! that work as they stand there.

mod common;
#[path = "../../host/tests/conformance/mod.rs"]
mod conformance;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::modules::python_with_package;
use common::{CUTLINE, Place, fails, succeed};
use cutline_host::library::Library;

/// The engine that a README says was built does what any engine must.
fn is_an_engine(library: &Path, name: &str) {
    let load = || Library::load(library, "{}", conformance::LIMITS).unwrap();
    assert_eq!(load().name(), name);
    conformance::any_engine(&mut || Box::new(load()));
    let refused = Library::load(library, "{\"a\":1}", conformance::LIMITS).err().unwrap().to_string();
    assert!(refused.contains("configure"), "{refused}");
}

/// Does all that the README in a new folder says, as a shell does; the engine must pass its check and work.
fn does_as_its_readme_says(folder: &Path) {
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let lines: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = Path::new(CUTLINE).parent().unwrap().to_owned();
    let path = std::env::join_paths([ours].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("sh");
    let done = shell.args(["-e", "-c", &lines.join("\n")]).current_dir(folder).env("PATH", path).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{readme}\n{said}");
    for expected in ["ok: nothing found", "identical: ", "EngineRunCompleted"] {
        assert!(out.contains(expected), "{expected}: {readme}\n{out}\n{said}");
    }
}

#[test]
fn an_engine_in_python_does_as_its_readme_says() {
    if python_with_package().is_none() {
        return;
    }
    let place = Place::new();
    let folder = PathBuf::from(place.path("my-engine"));
    succeed(&["engine", "new", "--lang", "python", folder.to_str().unwrap()]);
    does_as_its_readme_says(&folder);
}

#[test]
fn an_engine_in_c_builds_and_is_one() {
    let place = Place::new();
    let folder = PathBuf::from(place.path("my-engine"));
    assert!(succeed(&["engine", "new", "--lang", "c", folder.to_str().unwrap()]).contains("README.md"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let line = readme.lines().find_map(|line| line.strip_prefix("    cc ")).unwrap();
    let built =
        Command::new("sh").args(["-e", "-c", &format!("cc {line} -Werror")]).current_dir(&folder).output().unwrap();
    assert!(built.status.success(), "{line}: {}", String::from_utf8_lossy(&built.stderr));
    is_an_engine(&folder.join("engine.so"), "my-engine");
    does_as_its_readme_says(&folder);
}

#[test]
fn an_engine_in_rust_builds_and_is_one() {
    // Always in the same place, so that there is one build of it and not one for each time.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("my-engine");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    succeed(&["engine", "new", "--lang", "rust", folder.to_str().unwrap()]);
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains("\n    cargo build --release\n") && readme.contains("libmy_engine.so"), "{readme}");
    // Not as a release, so that what others wrote is built already.
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--target-dir", target.to_str().unwrap()])
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && !said.contains("warning"), "{said}");
    is_an_engine(&target.join("debug/libmy_engine.so"), "my-engine");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let place = Place::new();
    let folder = place.path("engine");
    succeed(&["engine", "new", "--lang", "c", &folder]);
    assert!(fails(2, &["engine", "new", "--lang", "c", &folder]).contains("name one that is not there yet"));
    for name in ["Engine", "1engine", "my engine", "\u{e9}", "..", &"e".repeat(64)] {
        let said = fails(2, &["engine", "new", "--lang", "c", &place.path(name)]);
        assert!(said.contains("the folder's name becomes the engine's"), "{said}");
    }
    assert!(fails(2, &["engine", "new", "--lang", "c", &place.path("none/engine")]).contains("is not there"));
    let elsewhere = place.path("");
    let said = fails(2, &["engine", "new", "--lang", "rust", "--cutline", &elsewhere, &place.path("other")]);
    assert!(said.contains("--cutline DIR says where it lies"), "{said}");
    let nowhere =
        Command::new(CUTLINE).args(["engine", "new", "--lang", "rust", "other"]).current_dir(&elsewhere).output();
    let nowhere = nowhere.expect("cutline starts");
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("no Cutline source in this folder or above it"));
    assert!(!Path::new(&place.path("other")).exists());
}
