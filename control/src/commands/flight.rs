//! The flight file of a data directory, and what its commands share.

use std::path::Path;

use cutline::plane::flight::FLIGHT_FILE;
use cutline_shm::flight::{FlightFault, FlightReader};

use super::Failure;

/// Opens the flight file of a data directory.
///
/// # Errors
/// There is none, or it is damaged, or of another release.
pub fn open(data: &Path) -> Result<FlightReader, Failure> {
    let path = data.join(cutline_journal::files::LIVE_LINK).join(FLIGHT_FILE);
    FlightReader::open(&path).map_err(|fault| match fault {
        FlightFault::Region(ref region) if region.is_not_found() => {
            Failure::usage(format!("{fault}; is {} a data directory of this boot?", data.display()))
        }
        FlightFault::NotReadable { .. } => Failure::logs(fault),
        FlightFault::Region(ref region) if region.is_not_made() => Failure::logs(fault),
        _ => Failure::machine(fault),
    })
}

/// Nanoseconds as milliseconds, for people.
pub fn millis(ns: i64) -> String {
    let (sign, ns) = (if ns < 0 { "-" } else { "" }, ns.unsigned_abs());
    format!("{sign}{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_told_to_the_microsecond() {
        let told = [0, 1_234_567, -1_234_567, 999, i64::MIN].map(super::millis);
        assert_eq!(told, ["0.000 ms", "1.234 ms", "-1.234 ms", "0.000 ms", "-9223372036854.775 ms"]);
    }
}
