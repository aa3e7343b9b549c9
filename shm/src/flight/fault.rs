//! Why a flight file could not be made or read. Plain values.

use std::fmt;
use std::path::PathBuf;

use super::layout::{FLIGHT_VERSION, NAMES_MAX};
use crate::owner::OwnerFault;
use crate::region::RegionFault;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlightFault {
    /// The file could not be made or mapped.
    Region(RegionFault),
    /// The boot id could not be read.
    Boot(OwnerFault),
    /// The finished file could not be given its name.
    Rename {
        /// The name.
        path: PathBuf,
        /// The system's error number.
        errno: i32,
    },
    /// More names than a file has room for.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// Not a flight file, or not one that this program can read.
    NotReadable {
        /// The file.
        path: PathBuf,
        /// The field of the header that is not as it must be.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it must be.
        expected: u64,
    },
}

impl fmt::Display for FlightFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(fault) => fault.fmt(f),
            Self::Boot(fault) => fault.fmt(f),
            Self::Rename { path, errno } => write!(
                f,
                "{}: could not give the finished flight file its name: {}; the name must be free or a file",
                path.display(),
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::TooMany { what, count } => {
                write!(f, "{count} {what}: the flight file has room for {NAMES_MAX}; use fewer")
            }
            Self::NotReadable { path, field, found, expected } => write!(
                f,
                "{}: not a flight file of version {FLIGHT_VERSION}: {field} is {found:#x} and must be {expected:#x}; \
                 check the path, or use the cutline of the release that wrote it",
                path.display()
            ),
        }
    }
}

impl std::error::Error for FlightFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Region(fault) => Some(fault),
            Self::Boot(fault) => Some(fault),
            _ => None,
        }
    }
}
