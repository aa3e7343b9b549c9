//! What recovery remembers beyond this process: when the system was restarted. A small file beside the logs, `recovery.json`, replaced as a
//! whole. Blocks as the disk does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When the system was restarted, Unix ms, oldest first.
    pub restarts_ms: Vec<i64>,
}

impl Memory {
    /// What lies in `dir`. What is not there, or damaged, was never.
    pub fn read(dir: &Path) -> Self {
        let text = fs::read_to_string(path(dir)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Restarts within the last `window_ms`.
    pub fn recent(&self, now_ms: i64, window_ms: u64) -> usize {
        let since_ms = now_ms.saturating_sub_unsigned(window_ms);
        self.restarts_ms.iter().filter(|at_ms| **at_ms > since_ms).count()
    }

    /// Adds one, and forgets those before the window.
    pub fn add(&mut self, now_ms: i64, window_ms: u64) {
        let since_ms = now_ms.saturating_sub_unsigned(window_ms);
        self.restarts_ms.retain(|at_ms| *at_ms > since_ms);
        self.restarts_ms.push(now_ms);
    }

    /// Takes the last one back.
    pub fn take_back(&mut self) {
        self.restarts_ms.pop();
    }

    /// Writes it: whoever reads finds this or what was there before.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let unfinished = path(dir).with_extension("json.new");
        fs::write(&unfinished, serde_json::to_vec(self)?)?;
        fs::rename(unfinished, path(dir))
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("recovery.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_outlives_the_process_and_forgets_what_is_long_ago() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(Memory::read(place.path()), Memory::default());
        let mut memory = Memory::default();
        for now_ms in [1_000, 1_500, 2_400] {
            memory.add(now_ms, 1_000);
        }
        memory.write(place.path()).unwrap();
        let read = Memory::read(place.path());
        assert_eq!(read.restarts_ms, [1_500, 2_400]);
        assert_eq!((read.recent(2_499, 1_000), read.recent(2_500, 1_000), read.recent(9_999, 1_000)), (2, 1, 0));
        memory.take_back();
        assert_eq!(memory.restarts_ms, [1_500]);
    }

    #[test]
    fn a_damaged_file_is_none() {
        let place = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", "{\"restarts_ms\": 5}"] {
            fs::write(path(place.path()), text).unwrap();
            assert_eq!(Memory::read(place.path()), Memory::default(), "{text}");
        }
    }
}
