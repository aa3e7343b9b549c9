//! `cutline tail`: follows the published events from another process.

use std::io::{self, BufWriter, Write};
use std::thread;
use std::time::Duration;

use cutline::replay::records;
use cutline_journal::{LogFault, Start, Tail};

use super::{Failure, Outcome, note, output};
use crate::cli;

/// Wait between two looks at a log that has nothing new.
const IDLE: Duration = Duration::from_millis(1);
/// Wait between two looks for a log that does not exist yet.
const ABSENT: Duration = Duration::from_millis(50);

/// `cutline tail`
pub fn tail(args: &cli::Tail) -> Outcome {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut follower = loop {
        match Tail::open(&args.data, "outputs", args.from) {
            Ok(tail) => break tail,
            Err(LogFault::Absent(_)) if !args.no_follow && args.data.is_dir() => thread::sleep(ABSENT),
            Err(fault) => return Err(Failure::reading(fault)),
        }
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut line = Vec::new();
    while left > 0 {
        let frame = match follower.poll() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                if let Err(error) = out.flush() {
                    return output(Err(error));
                }
                if args.no_follow {
                    break;
                }
                thread::sleep(IDLE);
                if let Err(fault) = follower.prepare() {
                    follower = told(args, fault)?;
                }
                continue;
            }
            Err(fault) => {
                follower = told(args, fault)?;
                continue;
            }
        };
        if records::event(&frame, args.raw, &mut line).map_err(Failure::logs)? {
            line.push(b'\n');
            if let Err(error) = out.write_all(&line) {
                return output(Err(error));
            }
            line.clear();
            left -= 1;
        }
    }
    output(out.flush())
}

/// Goes on where a follower has to that was told that what it followed is gone; any other fault ends it.
fn told(args: &cli::Tail, mut fault: LogFault) -> Result<Tail, Failure> {
    let mut before = None;
    loop {
        let from = match fault {
            LogFault::Rewound { to } => to,
            LogFault::Lagged { oldest } => oldest,
            fault => return Err(Failure::reading(fault)),
        };
        if before.replace(from) == Some(from) {
            return Err(Failure::reading(fault));
        }
        note(format_args!("{fault}; going on there"));
        // What a log was cut back to may be given up by now.
        match Tail::open(&args.data, "outputs", Start::Position(from)) {
            Ok(follower) => return Ok(follower),
            Err(later) => fault = later,
        }
    }
}
