//! The files by which a kernel tells of itself, below a root: the machine's own, or a copy of another one's. Reads only.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `/proc` and `/sys` are.
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The files below this folder.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// A path of that machine on this one.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The whole of a file.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(Path::new(path))).ok()
    }

    /// A value in one line; of several choices the one in brackets.
    pub fn value(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let value = match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
            Some((chosen, _)) => chosen.to_owned(),
            None => text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        Some(value)
    }

    /// Names in a folder that are a prefix and a number, in the numbers' order.
    pub fn numbered(&self, folder: &str, prefix: &str) -> Vec<(usize, String)> {
        let entries = fs::read_dir(self.path(Path::new(folder))).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut found: Vec<_> =
            names.filter_map(|name| Some((name.strip_prefix(prefix)?.parse().ok()?, name))).collect();
        found.sort_unstable();
        found
    }
}
