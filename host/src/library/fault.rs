//! Why a library gives no engine: what, where, and what to do.

use core::error::Error;
use core::fmt;
use std::io;
use std::path::PathBuf;

use cutline_engine::abi;

/// A library that gives no engine.
#[derive(Debug)]
pub struct LoadFault {
    /// The library, as it was named.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

/// What is wrong with a library.
#[derive(Debug)]
pub enum Why {
    /// Its file cannot be read.
    File(io::Error),
    /// The system refuses to load it.
    Load(libloading::Error),
    /// Another file lies there than the one that this process has loaded from there, or is loading.
    Replaced,
    /// It does not export [`abi::ENTRY`].
    NoEntry,
    /// It says that it does not speak this version.
    NotSpoken,
    /// Its table is of another version.
    Version(u32),
    /// Its table has so many bytes, which are too few.
    Size(u32),
    /// This of its table is not there.
    Null(&'static str),
    /// This of its table is no text as it should be.
    Name(&'static str),
    /// The engine gives this reason.
    Refused(String),
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine library {}: {}", self.path.display(), self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = abi::ABI_VERSION;
        match self {
            Self::File(error) => write!(f, "cannot be read: {error}: give the path of the built library"),
            Self::Load(error) => {
                // What the system says names the file and what it lacks; the error itself only says which function failed.
                let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                write!(
                    f,
                    "cannot be loaded: {said}: is it a shared library for this machine, and is all there that it needs (`ldd` tells)?"
                )
            }
            Self::Replaced => f.write_str(
                "was replaced since this process loaded it, which keeps what it has loaded: give the new version a path of its own, put the \
                 old one back, or restart",
            ),
            Self::NoEntry => write!(
                f,
                "exports no function `{}`: in C include cutline_engine.h and define it, in Rust use cutline_engine::export! in a \
                 profile with panic = \"unwind\"",
                abi::ENTRY
            ),
            Self::NotSpoken => {
                write!(f, "does not speak version {version} of the engine ABI: build it with this Cutline's header")
            }
            Self::Version(other) => write!(
                f,
                "has a table of ABI version {other}, asked for was {version}: build it with this Cutline's header"
            ),
            Self::Size(size) => write!(
                f,
                "has a table of {size} bytes, version {version} needs {}: set its size to sizeof(cutline_engine_v1)",
                size_of::<abi::Table>()
            ),
            Self::Null(what) => write!(f, "has no `{what}` in its table: every pointer of it has to be set"),
            Self::Name(what) => write!(f, "has a `{what}` that is no short text: at most 63 bytes of printable UTF-8"),
            Self::Refused(reason) if reason.is_empty() => {
                write!(f, "refuses to make an engine and does not say why: look at [engine.hysteresis]")
            }
            Self::Refused(reason) => write!(f, "refuses to make an engine: {reason}"),
        }
    }
}

impl Error for LoadFault {}
