//! A file of lines that grows up to a size, is then put aside under a number, and of which a few are kept: `events.jsonl`, `events.1.jsonl`
//! (the newest of the others), and so on. Used by whoever writes; it blocks as long as the disk does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes at which a file is put aside.
const MAX_BYTES: u64 = 8 << 20;
/// How long the end waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether a thread has ended, which nothing else tells.
const LOOK: Duration = Duration::from_millis(1);
/// Files that are kept beside the one that is written.
const KEPT: u32 = 3;

/// See the module.
pub struct Rolled {
    dir: PathBuf,
    name: &'static str,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl Rolled {
    /// Goes on with `<dir>/<name>.jsonl`, or begins it.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn open(dir: &Path, name: &'static str) -> io::Result<Self> {
        Self::with_max(dir, name, MAX_BYTES)
    }

    fn with_max(dir: &Path, name: &'static str, max_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path(dir, name, 0))?;
        let bytes = file.metadata()?.len();
        Ok(Self { dir: dir.to_owned(), name, file, bytes, max_bytes })
    }

    /// Writes one line, to which the end of line is added, by one call of the system: a reader sees whole lines or none.
    ///
    /// # Errors
    /// The disk does not take it. A line that is there in part is the last one of a file that could not be finished.
    pub fn write(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            self.roll()?;
        }
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        for number in (0..KEPT).rev() {
            match fs::rename(path(&self.dir, self.name, number), path(&self.dir, self.name, number + 1)) {
                Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
                _ => {}
            }
        }
        *self = Self::with_max(&self.dir, self.name, self.max_bytes)?;
        Ok(())
    }
}

/// Waits until a thread that writes has written everything and ended, for a moment at most: a disk may stand still.
pub fn finish(thread: &JoinHandle<()>) {
    let until = Instant::now() + PATIENCE;
    while !thread.is_finished() && Instant::now() < until {
        thread::sleep(LOOK);
    }
}

fn path(dir: &Path, name: &str, number: u32) -> PathBuf {
    dir.join(if number == 0 { format!("{name}.jsonl") } else { format!("{name}.{number}.jsonl") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_whole_in_files_of_a_bounded_size() {
        let place = tempfile::tempdir().unwrap();
        let line = |number: u32| format!("{number:03}-{}", "x".repeat(15)).into_bytes();
        let mut rolled = Rolled::with_max(place.path(), "e", 100).unwrap();
        for number in 0..60 {
            if number % 7 == 0 {
                // A start goes on where the one before it has ended.
                rolled = Rolled::with_max(place.path(), "e", 100).unwrap();
            }
            rolled.write(line(number)).unwrap();
        }
        let read = |number| fs::read_to_string(path(place.path(), "e", number));
        let kept: Vec<String> = (0..=KEPT).rev().map(|number| read(number).unwrap()).collect();
        assert!(kept.iter().all(|text| text.len() <= 100));
        let expected: String = (40..60).map(|number| String::from_utf8(line(number)).unwrap() + "\n").collect();
        assert_eq!(kept.concat(), expected);
        assert!(read(KEPT + 1).is_err());
    }
}
