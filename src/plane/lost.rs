//! A log that is gone as a whole, mark and all, while the others are there. Cold; looked at before anything is changed.
//!
//! Without this a start would take it for a log that was never begun: lost outputs would be run again one by one, and for lost inputs or
//! runs everything that refers to them would be cut back.

use cutline_journal::LogFault;
use cutline_journal::fault::Corruption;
use cutline_journal::recover::Recovered;

/// Checks that a log without a mark is one that nobody has written to yet. All three marks are on disk before the first stage runs, so
/// before the first frame of any log.
///
/// # Errors
/// [`LogFault::Corrupt`] that names the log and what to do.
pub fn check_none_is_lost(logs: [&Recovered; 3]) -> Result<(), LogFault> {
    if logs.iter().all(|log| log.last_seq() == 0) {
        return Ok(());
    }
    let Some(lost) = logs.iter().find(|log| !log.has_mark()) else { return Ok(()) };
    let (files, others) = (lost.files(), logs.iter().map(|log| log.last_seq()).max().unwrap_or(0));
    let name = files.disk_dir().file_name().unwrap_or_default().display();
    let what = format!(
        "the {name} log is gone, its mark too, though another one of these logs has frames up to seq {others}: `cutline repair` says what can be \
         done"
    );
    Err(LogFault::Corrupt(Corruption { path: files.mark(), offset: 0, position: 0, seq: 1, what }))
}
