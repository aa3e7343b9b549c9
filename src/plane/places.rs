//! The folders of a pipeline: the data directory, which one process owns at a time, and the live directory in memory beside it. Cold.

use std::io::ErrorKind;
use std::path::Path;

use cutline_shm::owner::Owner;

use super::fault::PlaneFault;
use crate::config::Log;

/// Makes both folders, takes the data directory for this process, and leads from it to the live one.
///
/// # Errors
/// A folder that cannot be made, or that another process has.
pub fn take(log: &Log) -> Result<Owner, PlaneFault> {
    let data = &log.dir;
    std::fs::create_dir_all(data)
        .map_err(|error| PlaneFault::Io(format!("cannot create log.dir {}: {error}", data.display())))?;
    let owner = Owner::acquire(data).map_err(PlaneFault::Owner)?;
    link_live(data, &log.live_dir)?;
    Ok(owner)
}

/// The link a data directory has to its live directory.
fn link_live(data: &Path, live: &Path) -> Result<(), PlaneFault> {
    let link = data.join(cutline_journal::files::LIVE_LINK);
    let fail = |what: &str, path: &Path, error: std::io::Error| {
        PlaneFault::Io(format!("cannot {what} {}: {error}; is log.dir or log.live_dir writable?", path.display()))
    };
    std::fs::create_dir_all(live).map_err(|error| fail("create folder", live, error))?;
    let live = live.canonicalize().map_err(|error| fail("resolve", live, error))?;
    if std::fs::read_link(&link).is_ok_and(|target| target == live) {
        return Ok(());
    }
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail("replace link", &link, error)),
        _ => {}
    }
    std::os::unix::fs::symlink(&live, &link).map_err(|error| fail("create link", &link, error))
}
