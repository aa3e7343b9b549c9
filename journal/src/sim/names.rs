//! What there is by path: a map that compares paths as the texts they are, since a simulated disk is asked for little else.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// See the module. Paths are absolute and without `.`, `..` and doubled slashes, as the journal makes them: one text, one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names<T>(BTreeMap<OsString, T>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Names<T> {
    pub fn get(&self, path: &Path) -> Option<&T> {
        self.0.get(path.as_os_str())
    }

    pub fn insert(&mut self, path: &Path, what: T) -> Option<T> {
        self.0.insert(path.as_os_str().to_owned(), what)
    }

    pub fn remove(&mut self, path: &Path) -> Option<T> {
        self.0.remove(path.as_os_str())
    }

    pub fn retain(&mut self, holds: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _| holds(Path::new(path)));
    }

    /// All of them, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &T)> {
        self.0.iter().map(|(path, what)| (Path::new(path), what))
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// Names of what lies in a folder itself, in their order.
    pub fn inside<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a OsStr> {
        let dir = dir.as_os_str();
        let behind =
            self.0.range::<OsStr, _>((Bound::Excluded(dir), Bound::Unbounded)).map(|(path, _)| path.as_bytes());
        let below = behind.map_while(|path| path.strip_prefix(dir.as_bytes()));
        let names = below.filter_map(|rest| rest.strip_prefix(b"/"));
        names.filter(|name| !name.contains(&b'/')).map(OsStr::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_folder_is_neither_below_nor_beside_it() {
        let mut names = Names::default();
        for path in ["/a", "/a/x", "/a/y/z", "/a.b", "/a/y", "/a/b.c", "/b", "/a-c/d"] {
            names.insert(Path::new(path), ());
        }
        let inside = |dir| names.inside(Path::new(dir)).map(|name| name.to_str().expect("a text")).collect::<Vec<_>>();
        assert_eq!(inside("/a"), ["b.c", "x", "y"]);
        assert_eq!((inside("/a/y"), inside("/a-c"), inside("/a/x")), (vec!["z"], vec!["d"], vec![]));
    }
}
