//! `cutline generate`: a synthetic feed to a file or a socket.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Failure, Outcome, output};
use crate::cli;
use crate::generate::{Generator, Settings};

/// Longest wait between two writes of a paced feed.
const PACE: Duration = Duration::from_millis(1);

/// `cutline generate`
pub fn generate(args: &cli::Generate) -> Outcome {
    let settings = Settings {
        seed: args.seed,
        symbols: args.symbols,
        start_ms: args.start_ms.unwrap_or_else(now_ms),
        interval_ms: args.interval_ms,
        events_per_second: args.rate,
        hostile_permille: args.hostile,
    };
    let generator = Generator::new(settings).map_err(Failure::usage)?;
    let target = open(&args.to).map_err(|error| {
        let text = format!("cannot write to {}: {error}; --to takes a file, -, tcp:HOST:PORT or unix:PATH", args.to);
        if error.kind() == io::ErrorKind::InvalidInput { Failure::usage(text) } else { Failure::machine(text) }
    })?;
    let sent = send(generator, target, args.paced, |sent| sent < args.count);
    if args.to == "-" {
        return output(sent);
    }
    // Unlike a reader of standard output, a receiver that hangs up has not seen enough.
    sent.map_err(|error| {
        Failure::machine(format!("cannot go on writing to {}: {error}; not everything was sent", args.to))
    })
}

/// Writes lines while `more` says so, at the feed's own pace or as fast as the target takes them.
pub fn send(
    mut generator: Generator,
    target: Box<dyn Write>,
    paced: bool,
    mut more: impl FnMut(u64) -> bool,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, target);
    let mut line = Vec::new();
    let mut sent = 0;
    while more(sent) {
        line.clear();
        let due_ns = generator.next_line(&mut line);
        while paced && now_ms() < due_ns / 1_000_000 {
            out.flush()?;
            thread::sleep(PACE);
            if !more(sent) {
                return out.flush();
            }
        }
        out.write_all(&line)?;
        sent += 1;
    }
    out.flush()
}

/// Opens a target as the command line names it.
pub fn open(target: &str) -> io::Result<Box<dyn Write>> {
    if target == "-" {
        return Ok(Box::new(io::stdout()));
    }
    if let Some(address) = target.strip_prefix("tcp:") {
        let stream = TcpStream::connect(address)?;
        // What is due goes at once, and not when what went before is acknowledged.
        stream.set_nodelay(true)?;
        return Ok(Box::new(stream));
    }
    match target.strip_prefix("unix:") {
        Some(path) => Ok(Box::new(UnixStream::connect(path)?)),
        None => Ok(Box::new(File::create(target)?)),
    }
}

/// Real time, Unix ms.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
