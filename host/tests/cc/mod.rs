//! Compiling C in tests, with whatever the machine calls its compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the header.
pub fn header_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/c")
}

/// Runs a compiler over a file with all warnings as errors.
///
/// # Panics
/// With what it says, if it refuses.
pub fn compile(compiler: &str, arguments: &[&str], source: &Path) {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-I"]).arg(header_folder()).args(arguments).arg(source);
    let ended = command.output().unwrap_or_else(|fault| panic!("{command:?}: {fault}: these tests need a C compiler"));
    assert!(ended.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&ended.stderr));
}

/// Makes a shared library of a C file, with these definitions.
#[allow(dead_code)] // each test file uses its part
pub fn shared_library(source: &Path, library: &Path, definitions: &[&str]) {
    let mut arguments = vec!["-std=c99", "-O1", "-shared", "-fPIC", "-o", library.to_str().unwrap()];
    arguments.extend(definitions);
    compile("cc", &arguments, source);
}
