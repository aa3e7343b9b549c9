//! What a running product holds in memory: `cutline run` in a process of its own, default configuration, after a tick over many
//! symbols. Live log memory, which the configuration sizes, is told apart from everything else.

use std::fs;
use std::hint::spin_loop;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cutline::model::frames::OUTCOME;
use cutline_journal::{Start, Tail};

use super::records::Snapshots;
use crate::bench::cannot;
use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::harness::{Case, Context};
use crate::bench::peer::Peer;
use crate::bench::record::{COUNT, HELD_MB, MB, Record};
use crate::commands::{Failure, Outcome, generate::now_ms};

/// Symbols at full scale.
const SYMBOLS: u64 = 10_000;
const INTERVAL_MS: i64 = 1_000;
/// Longest wait for the start, and for the outputs.
const WAIT_MAX_S: f64 = 30.0;
const LOOK: Duration = Duration::from_millis(1);

/// The case.
pub fn case() -> Case {
    Case::new("memory after a tick", run)
}

fn run(context: &Context, record: &mut Record<'_>) -> Outcome {
    if context.warm_up {
        return Ok(());
    }
    let symbols = u32::try_from(context.count(SYMBOLS)).unwrap_or(u32::MAX).min(100_000);
    let place = context.root.place()?;
    let (socket, config) = (place.data.join("feed.sock"), place.data.join("memory.toml"));
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let text = format!(
        "[[feed]]\nkind = \"unix\"\nlisten = {}\nformat = \"binary\"\n[scheduler]\nmode = \"boundary\"\n\
         interval_ms = {INTERVAL_MS}\ndelay_ms = 0\n[symbols]\nmax = {symbols}\n[engine]\nuse = \"scripted\"\nmode = \"truth\"\n\
         [log]\ndir = {}\nlive_dir = {}\n",
        quoted(&socket),
        quoted(&place.data),
        quoted(&place.live),
    );
    fs::write(&config, text).map_err(cannot("write", &config))?;
    let mut product = Peer::start(&["run".to_owned(), config.display().to_string()])?;
    let mut stream = connect(&socket, &mut product)?;
    let mut outputs = Tail::open(&place.data, "outputs", Start::Oldest).map_err(Failure::reading)?;
    let mut snapshots = Snapshots::new(symbols)?;
    snapshots.set_boundary((now_ms() / INTERVAL_MS + 1) * INTERVAL_MS);
    stream.write_all(&snapshots.bytes).map_err(cannot("write to", &socket))?;
    // Whichever tick takes them in: each has a run then.
    let (mut outcomes, start) = (0, now_ns());
    while outcomes < symbols {
        match outputs.poll().map_err(Failure::reading)? {
            Some(frame) => outcomes += u32::from(frame.header.kind == OUTCOME),
            None if seconds_since(start) > WAIT_MAX_S => {
                return Err(Failure::machine(format!("only {outcomes} of {symbols} symbols have had a run")));
            }
            None => spin_loop(),
        }
    }
    let held = Held::of(product.id(), &place.live)?;
    record.value("symbols", COUNT, f64::from(symbols));
    record.value("private and file pages", HELD_MB, (held.private + held.files) as f64 / 1e6);
    record.value("private pages", HELD_MB, held.private as f64 / 1e6);
    record.value("file pages", HELD_MB, held.files as f64 / 1e6);
    record.value("live log memory", MB, held.live as f64 / 1e6);
    Ok(())
}

fn connect(socket: &Path, product: &mut Peer) -> Result<UnixStream, Failure> {
    let start = now_ns();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if seconds_since(start) > WAIT_MAX_S => return Err(cannot("connect to", socket)(error)),
            Err(_) => product.check()?,
        }
        std::thread::sleep(LOOK);
    }
}

/// Bytes of a process that are in memory.
#[derive(Default)]
struct Held {
    /// Nobody else's and no file's.
    private: u64,
    /// Of the program and of files on disk, though others may map them too.
    files: u64,
    /// Of files in the folder of live logs.
    live: u64,
}

impl Held {
    fn of(process: u32, live: &Path) -> Result<Self, Failure> {
        let path = format!("/proc/{process}/smaps");
        let text = fs::read_to_string(&path).map_err(cannot("read", Path::new(&path)))?;
        Ok(Self::read(&text, &live.display().to_string()))
    }

    /// Of the kernel's text: a line per mapping that ends with its path, and then lines of a name, a number and kB.
    fn read(smaps: &str, live: &str) -> Self {
        let (mut held, mut is_live) = (Self::default(), false);
        for line in smaps.lines() {
            let mut words = line.split_ascii_whitespace();
            let first = words.next().unwrap_or_default();
            let bytes =
                || line.split_ascii_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024;
            match first {
                "Rss:" if is_live => held.live += bytes(),
                "Rss:" => held.files += bytes(),
                "Anonymous:" if !is_live => {
                    held.private += bytes();
                    held.files -= bytes();
                }
                name if !name.ends_with(':') => is_live = line.contains(live),
                _ => {}
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_apart_by_what_they_belong_to() {
        let smaps = "55d0-55d9 r-xp 00000000 fe:00 12 /usr/bin/cutline\nSize: 40 kB\nRss: 30 kB\nAnonymous: 10 kB\nVmFlags: rd ex\n\
                     7f00-7f10 rw-p 00000000 00:00 0 \nRss: 7 kB\nAnonymous: 7 kB\n\
                     7f20-7f30 rw-s 00000000 00:1a 5 /dev/shm/x-live/inputs-1\nRss: 500 kB\nAnonymous: 0 kB\n\
                     7f40-7f50 r--s 00000000 fe:00 6 /data/cutline/x\nRss: 3 kB\nAnonymous: 0 kB\n";
        let held = Held::read(smaps, "/dev/shm/x-live");
        assert_eq!((held.private, held.files, held.live), (17 * 1024, 23 * 1024, 500 * 1024));
    }
}
