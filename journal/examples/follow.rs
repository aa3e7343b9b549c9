//! Follows a log of a Cutline data directory and prints one line per frame.
//!
//! `cargo run --example follow -- DIR outputs [SEQ]`: from sequence SEQ on, or what comes next without it.

use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use cutline_journal::{LogFault, Start, Tail};

/// Pause when nothing has come, so that this program costs nothing beside those that are in a hurry.
const IDLE: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, name, start) = match arguments.as_slice() {
        [dir, name] => (dir, name, Some(Start::Now)),
        [dir, name, seq] => (dir, name, seq.parse().ok().map(Start::Seq)),
        _ => return usage(),
    };
    let Some(start) = start else { return usage() };
    match follow(Path::new(dir), name, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("follow: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: follow DIR inputs|runs|outputs [SEQ]");
    ExitCode::FAILURE
}

fn follow(dir: &Path, name: &str, start: Start) -> Result<(), LogFault> {
    let mut tail = Tail::open(dir, name, start)?;
    loop {
        match tail.poll() {
            Ok(Some(frame)) => {
                let header = frame.header;
                println!("{} {} kind {} {} bytes", header.position, header.seq, header.kind, frame.payload.len());
            }
            Ok(None) => sleep(IDLE),
            // Both say where the log goes on; what lies between is gone, and a real subscriber tells its own readers.
            Err(fault @ (LogFault::Rewound { to } | LogFault::Lagged { oldest: to })) => {
                eprintln!("follow: {fault}");
                tail = Tail::open(dir, name, Start::Position(to))?;
            }
            Err(fault) => return Err(fault),
        }
    }
}
