//! How far a file was sent, kept in a small file of its own over restarts. What cannot be read of it is no position: then everything is sent
//! again, which is allowed, and nothing is left out, which is not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which file.
    pub file: PathBuf,
    /// Which file it was that had this name.
    pub inode: u64,
    /// Bytes of it, unpacked, that were sent: whole lines.
    pub bytes: u64,
}

impl Position {
    /// What is kept there, if it is of this file.
    pub fn load(kept: &Path, file: &Path, inode: u64) -> u64 {
        let found = fs::read(kept).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        found.filter(|found| found.file == file && found.inode == inode).map_or(0, |found| found.bytes)
    }

    /// Keeps it there, whole or not at all.
    pub fn store(&self, kept: &Path) -> io::Result<()> {
        let mut unfinished = kept.as_os_str().to_owned();
        unfinished.push("~");
        fs::write(&unfinished, serde_json::to_vec(self)?)?;
        fs::rename(&unfinished, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_one_file_and_anything_else_is_the_beginning() {
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("position");
        let load = |file: &str, inode| Position::load(&kept, Path::new(file), inode);
        assert_eq!(load("a", 1), 0);
        Position { file: "a".into(), inode: 1, bytes: 7 }.store(&kept).unwrap();
        assert_eq!((load("a", 1), load("b", 1), load("a", 2)), (7, 0, 0));
        fs::write(&kept, "{\"file\":\"a\"").unwrap();
        assert_eq!(load("a", 1), 0);
    }
}
