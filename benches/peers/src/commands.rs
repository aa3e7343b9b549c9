//! What the shared measuring code calls of its own program: failures, and two ways to say something. Any thread.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write};
use std::path::Path;

use cutline_journal::LogFault;

/// Why something could not be measured: what to say, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub code: u8,
}

/// An end.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// What came out is not what was put in.
    pub fn logs(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Wrong arguments.
    pub fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// The machine, or a peer, refused.
    pub fn machine(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 3 }
    }

    /// A log could not be read.
    pub fn reading(fault: LogFault) -> Self {
        Self::logs(fault)
    }
}

/// A file or folder that refused.
pub fn cannot(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let what = format!("cannot {what} {}", path.display());
    move |error| Failure::machine(format!("{what}: {error}"))
}

/// Identities for new logs.
pub fn log_ids() -> [u64; 3] {
    // 0 stands for "no log".
    std::array::from_fn(|_| RandomState::new().hash_one(0) | 1)
}

/// Prints a line. Nobody has to read it.
pub fn print(line: impl Display) -> Outcome {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::machine(format!("cannot write output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A line on standard error.
pub fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
