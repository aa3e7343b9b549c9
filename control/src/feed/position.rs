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
    /// Bytes of it, unpacked, that have arrived whatever happened since: whole lines.
    pub bytes: u64,
    /// Bytes that were taken by a socket of a Cutline on this machine, whole lines, and which start of it that was. Who dies leaves in a
    /// socket what it has written: as long as the one that reads lives, this has arrived.
    #[serde(default)]
    pub taken: Option<(u64, String)>,
}

/// Where to go on in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes that need not be sent again, whatever happens.
    pub arrived: u64,
    /// Bytes to leave out.
    pub sent: u64,
}

impl Position {
    /// What is kept there, if it is of this file, for whoever was started by this start of Cutline.
    pub fn load(kept: &Path, file: &Path, inode: u64, system: &str) -> Place {
        let found = fs::read(kept).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let Some(found) = found.filter(|found| found.file == file && found.inode == inode) else {
            return Place::default();
        };
        let sent = found.taken.filter(|(_, by)| !by.is_empty() && by == system).map_or(found.bytes, |(taken, _)| taken);
        Place { arrived: found.bytes, sent: sent.max(found.bytes) }
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
        let load = |file: &str, inode| Position::load(&kept, Path::new(file), inode, "one").sent;
        assert_eq!(load("a", 1), 0);
        Position { file: "a".into(), inode: 1, bytes: 7, taken: None }.store(&kept).unwrap();
        assert_eq!((load("a", 1), load("b", 1), load("a", 2)), (7, 0, 0));
        fs::write(&kept, "{\"file\":\"a\"").unwrap();
        assert_eq!(load("a", 1), 0);
    }

    #[test]
    fn what_was_taken_counts_for_the_start_that_took_it() {
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("position");
        let load = |system| Position::load(&kept, Path::new("a"), 1, system);
        Position { file: "a".into(), inode: 1, bytes: 7, taken: Some((12, "one".to_owned())) }.store(&kept).unwrap();
        assert_eq!(load("one"), Place { arrived: 7, sent: 12 });
        assert_eq!([load("two"), load("")], [Place { arrived: 7, sent: 7 }; 2]);
        Position { file: "a".into(), inode: 1, bytes: 7, taken: Some((12, String::new())) }.store(&kept).unwrap();
        assert_eq!(load(""), Place { arrived: 7, sent: 7 }, "nobody knows who that was");
    }
}
