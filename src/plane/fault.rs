//! Why a pipeline cannot be opened. Every message says what, where and what to do next.

use std::fmt;

use cutline_journal::LogFault;
use cutline_shm::cnc::CncFault;
use cutline_shm::flight::FlightFault;
use cutline_shm::owner::OwnerFault;

use super::topology::TopologyFault;
use crate::ingest::IngestFault;

/// Why a pipeline cannot be opened. Every message says what, where and what to do next.
#[derive(Debug)]
pub enum PlaneFault {
    /// A log.
    Log(LogFault),
    /// Another process has the data directory.
    Owner(OwnerFault),
    /// Shared memory for counters.
    Cnc(CncFault),
    /// Shared memory for what lanes did last.
    Flight(FlightFault),
    /// Feeds that cannot be opened, all of them.
    Feeds(Vec<IngestFault>),
    /// Lanes and links that cannot work together.
    Topology(Vec<TopologyFault>),
    /// The engine.
    Engine(String),
    /// A lane's thread.
    Lane(String),
    /// A file or folder.
    Io(String),
    /// Logs that were there are not.
    Lost(String),
}

impl fmt::Display for PlaneFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(fault) => fault.fmt(f),
            Self::Owner(fault) => fault.fmt(f),
            Self::Cnc(fault) => fault.fmt(f),
            Self::Flight(fault) => fault.fmt(f),
            Self::Feeds(faults) => join(f, faults),
            Self::Topology(faults) => join(f, faults),
            Self::Engine(text) | Self::Lane(text) | Self::Io(text) | Self::Lost(text) => f.write_str(text),
        }
    }
}

fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, faults: &[T]) -> fmt::Result {
    for (index, fault) in faults.iter().enumerate() {
        write!(f, "{}{fault}", if index > 0 { "\n" } else { "" })?;
    }
    Ok(())
}

impl std::error::Error for PlaneFault {}

impl From<LogFault> for PlaneFault {
    fn from(fault: LogFault) -> Self {
        Self::Log(fault)
    }
}

impl From<FlightFault> for PlaneFault {
    fn from(fault: FlightFault) -> Self {
        Self::Flight(fault)
    }
}

impl From<CncFault> for PlaneFault {
    fn from(fault: CncFault) -> Self {
        Self::Cnc(fault)
    }
}
