//! `cutline log truncate`: ends a log earlier, where what lies behind is bad and cannot be had back.
//!
//! What is cut off is kept in a folder beside the log. The log begins a new generation, so that followers past the cut are told.
//! Before the mark is written anew the old one promises more than there is: a truncation that was cut short is refused by
//! everything else, and may be done again.

use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use cutline_journal::truncate::NewEnd;
use cutline_journal::{LogFault, LogFiles, Start, Tail, Watermarks};
use cutline_shm::owner::Owner;

use super::must_be;
use crate::cli::LogTruncate;
use crate::commands::{Failure, Outcome, print};
use crate::offline::recorded;

/// Where a log is to end, and what of it stays.
struct Cut {
    end: NewEnd,
    last_seq: u64,
    frames: u64,
}

/// `cutline log truncate`
pub fn truncate(args: &LogTruncate) -> Outcome {
    let name = args.log.name();
    must_be(&args.data, name)?;
    let _owner = if args.write { Some(Owner::acquire(&args.data).map_err(Failure::machine)?) } else { None };
    let files = LogFiles::find(&args.data, name);
    if Watermarks::open(&files).map_err(Failure::reading)?.is_some() {
        return Err(Failure::machine(format!(
            "{name}: its process is alive, or died and left it in memory: stop it, or start it once so that it recovers, then cut"
        )));
    }
    let cut = find(&args.data, name, args.at)?;
    let behind: Vec<u64> =
        files.disk_bases().map_err(Failure::reading)?.into_iter().filter(|&base| base > cut.end.base()).collect();
    let aside = args.data.join(format!("{name}.cut-{}", cut.end.position));
    let kept =
        format!("{} frames up to seq {} stay, and it ends at position {}", cut.frames, cut.last_seq, cut.end.position);
    let gone =
        format!("the end of one segment and {} whole segments go, copies of them to {}", behind.len(), aside.display());
    if !args.write {
        return print(format_args!("{name}: {kept}\n{name}: {gone}\nnothing was changed: --write does it"));
    }
    let request = serde_json::json!({"command": "log truncate", "log": name, "at": cut.end.position});
    recorded(&args.data, request, || carry_out(&files, &cut, &behind, &aside))?;
    print(format_args!("{name}: cut off; {kept}\n{name}: {gone}\nnext: cutline log check {}", args.data.display()))
}

/// Finds the frame that is to be the first one gone, or the end of what is right.
fn find(data: &Path, name: &str, at: u64) -> Result<Cut, Failure> {
    let mut tail = Tail::open(data, name, Start::Oldest).map_err(Failure::reading)?;
    let (segment_bytes, log_id) = (tail.segment_bytes(), tail.log_id());
    let cut = |position, next_seq: u64, frames| Cut {
        end: NewEnd { position, log_id, segment_bytes },
        last_seq: next_seq - 1,
        frames,
    };
    let (mut frames, mut in_group, mut last) = (0, false, tail.position());
    loop {
        let end = tail.position();
        match tail.poll() {
            Ok(Some(frame)) if frame.header.position == at && !in_group => {
                return Ok(cut(at, frame.header.seq, frames));
            }
            Ok(Some(frame)) if frame.header.position >= at => {
                let text = "no group of frames begins there; the last one before it begins at";
                return Err(Failure::usage(format!(
                    "--at {at}: {text} {last}: `cutline log dump` shows where frames begin"
                )));
            }
            Ok(Some(frame)) => {
                frames += 1;
                last = if in_group { last } else { frame.header.position };
                in_group = frame.more;
            }
            Ok(None) | Err(LogFault::Corrupt(_)) if end == at && !in_group => {
                return Ok(cut(at, tail.next_seq(), frames));
            }
            Ok(None) | Err(LogFault::Corrupt(_)) => {
                let end = if in_group { last } else { end };
                let text = "the log ends, or is bad, before it; the last position to cut at is";
                return Err(Failure::usage(format!("--at {at}: {text} {end}")));
            }
            Err(fault) => return Err(Failure::reading(fault)),
        }
    }
}

fn carry_out(files: &LogFiles, cut: &Cut, behind: &[u64], aside: &Path) -> Outcome {
    let failed = |why: &dyn Display| {
        let place = files.disk_dir().display();
        Failure::machine(format!("cannot cut {place}: {why}; do it again, the copies are in {}", aside.display()))
    };
    copy(files, cut.end.base(), behind, aside).map_err(|error| failed(&error))?;
    cutline_journal::truncate::truncate(files, cut.end).map_err(|fault| failed(&fault))
}

/// Keeps what is about to be changed or removed. What an earlier try has kept stays.
fn copy(files: &LogFiles, last: u64, behind: &[u64], aside: &Path) -> io::Result<()> {
    fs::create_dir_all(aside)?;
    let segments = [last].into_iter().chain(behind.iter().copied()).map(|base| files.disk_segment(base));
    for path in segments.chain([files.mark()]) {
        let kept = aside.join(path.file_name().unwrap_or_default());
        if path.exists() && !kept.exists() {
            // Under another name until it is whole.
            let unfinished = kept.with_extension("unfinished");
            fs::copy(&path, &unfinished)?;
            File::open(&unfinished)?.sync_all()?;
            fs::rename(&unfinished, &kept)?;
        }
    }
    File::open(aside)?.sync_all()
}
