//! Names, files and the count of what was done to them: a simulated disk behind its lock.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutline_shm::region::Region;
use rustix::io::Errno;

use super::faults::{Faults, Random};
use super::names::Names;
use super::node::{Luck, Node, SECTOR_BYTES};
use crate::disk::Access;
use crate::layout::to_usize;

/// Steps that are remembered for a failure's message.
const TRACE_STEPS: usize = 64;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

/// A name that was made or removed and not flushed yet.
#[derive(Clone, Debug)]
struct NameChange {
    path: PathBuf,
    entry: Option<Entry>,
}

/// A step that was taken; made into words only when somebody asks.
#[derive(Clone, Debug)]
pub(super) struct DiskStep {
    number: u64,
    what: &'static str,
    path: PathBuf,
    /// Offset and bytes.
    range: Option<(u64, u64)>,
}

impl fmt::Display for DiskStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.number, self.what, self.path.display())?;
        self.range.map_or(Ok(()), |(at, len)| write!(f, ", {len} bytes at {at}"))
    }
}

#[derive(Clone, Debug)]
pub(super) struct State {
    root: PathBuf,
    nodes: Vec<Node>,
    names: Names<Entry>,
    durable_names: Names<Entry>,
    pending_names: Vec<NameChange>,
    /// Files in memory, if they are simulated too.
    pub memory: Option<Names<Arc<Region>>>,
    pub faults: Faults,
    pub random: Random,
    pub steps: u64,
    pub stop_at: Option<u64>,
    pub waited_ns: u64,
    pub trace: VecDeque<DiskStep>,
}

impl State {
    pub fn new(root: &Path, seed: u64) -> Self {
        Self {
            root: root.to_owned(),
            nodes: Vec::new(),
            names: Names::default(),
            durable_names: Names::default(),
            pending_names: Vec::new(),
            memory: None,
            faults: Faults::default(),
            random: Random::new(seed),
            steps: 0,
            stop_at: None,
            waited_ns: 0,
            trace: VecDeque::new(),
        }
    }

    /// The same disk, found by another process: it works, and everything is as it was.
    pub fn restart(&mut self) {
        self.faults = Faults::default();
        (self.steps, self.stop_at, self.waited_ns) = (0, None, 0);
        // Nobody has a file without a name open any more.
        let named: BTreeSet<usize> = [&self.names, &self.durable_names]
            .into_iter()
            .flat_map(Names::values)
            .copied()
            .chain(self.pending_names.iter().filter_map(|change| change.entry))
            .filter_map(|entry| if let Entry::File(node) = entry { Some(node) } else { None })
            .collect();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if !named.contains(&index) {
                *node = Node::default();
            }
        }
    }

    /// Counts a step that changes something; refused once the disk has stopped.
    pub fn step(&mut self, what: &'static str, path: &Path, range: Option<(u64, u64)>) -> io::Result<()> {
        if self.stop_at.is_some_and(|at| self.steps >= at) {
            return Err(io::Error::other("the simulated disk was stopped here"));
        }
        if self.trace.len() == TRACE_STEPS {
            self.trace.pop_front();
        }
        self.trace.push_back(DiskStep { number: self.steps, what, path: path.to_owned(), range });
        self.steps += 1;
        Ok(())
    }

    fn name_step(&mut self, what: &'static str, path: &Path) -> io::Result<()> {
        self.step(what, path, None)?;
        if self.random.one_in(self.faults.name_one_in) { Err(Errno::IO.into()) } else { Ok(()) }
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.root.starts_with(path) || self.names.get(path) == Some(&Entry::Folder)
    }

    fn set_name(&mut self, path: &Path, entry: Option<Entry>) {
        match entry {
            Some(entry) => drop(self.names.insert(path, entry)),
            None => drop(self.names.remove(path)),
        }
        self.pending_names.push(NameChange { path: path.to_owned(), entry });
    }

    pub fn open(&mut self, path: &Path, access: Access) -> io::Result<usize> {
        if self.random.one_in(self.faults.open_one_in) {
            return Err(Errno::MFILE.into());
        }
        match self.names.get(path) {
            Some(Entry::File(node)) => return Ok(*node),
            Some(Entry::Folder) => return Err(Errno::ISDIR.into()),
            None if access != Access::Create => return Err(Errno::NOENT.into()),
            None => {}
        }
        if !path.parent().is_some_and(|dir| self.is_folder(dir)) {
            return Err(Errno::NOENT.into());
        }
        self.name_step("create", path)?;
        self.nodes.push(Node::default());
        let node = self.nodes.len() - 1;
        self.set_name(path, Some(Entry::File(node)));
        Ok(node)
    }

    pub fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> =
            dir.ancestors().take_while(|dir| !self.is_folder(dir)).map(Path::to_owned).collect();
        for dir in missing.into_iter().rev() {
            self.name_step("create folder", &dir)?;
            self.set_name(&dir, Some(Entry::Folder));
        }
        Ok(())
    }

    pub fn list(&mut self, dir: &Path) -> io::Result<Vec<OsString>> {
        if !self.is_folder(dir) {
            return Err(Errno::NOENT.into());
        }
        Ok(self.names_in(dir).map(OsString::from).collect())
    }

    /// Names of what lies in a folder, in their order.
    pub fn names_in<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a OsStr> {
        self.names.inside(dir)
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        if !matches!(self.names.get(path), Some(Entry::File(_))) {
            return Err(Errno::NOENT.into());
        }
        self.name_step("remove", path)?;
        self.set_name(path, None);
        Ok(())
    }

    pub fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.is_folder(dir) {
            return Err(Errno::NOENT.into());
        }
        self.name_step("flush folder", dir)?;
        let (flushed, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending_names).into_iter().partition(|change| change.path.parent() == Some(dir));
        self.pending_names = pending;
        for change in flushed {
            apply(&mut self.durable_names, change);
        }
        Ok(())
    }

    pub fn len(&self, node: usize) -> u64 {
        self.nodes[node].bytes().len() as u64
    }

    pub fn read(&mut self, node: usize, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.random.one_in(self.faults.read_one_in) {
            return Err(Errno::IO.into());
        }
        let bytes = self.nodes[node].bytes();
        let from = to_usize(offset).min(bytes.len());
        let read = into.len().min(bytes.len() - from);
        into[..read].copy_from_slice(&bytes[from..from + read]);
        if self.random.one_in(self.faults.flip_one_in)
            && let Some(byte) = into[..read].get_mut(to_usize(self.random.below(read as u64)))
        {
            *byte ^= 1 << self.random.below(8);
        }
        Ok(read)
    }

    /// Bytes that can still be added to files.
    fn free_bytes(&self) -> u64 {
        let Some(capacity) = self.faults.capacity_bytes else { return u64::MAX };
        let used = self.names.values().map(|entry| match entry {
            Entry::File(node) => self.len(*node),
            Entry::Folder => 0,
        });
        capacity.saturating_sub(used.sum())
    }

    pub fn write(&mut self, node: usize, path: &Path, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.step("write", path, Some((offset, bytes.len() as u64)))?;
        let (mut len, at) = (bytes.len() as u64, to_usize(offset));
        if self.random.one_in(self.faults.write_one_in) {
            let part = whole_sectors(offset, self.random.below(len + 1)).min(self.len(node).saturating_sub(offset));
            self.nodes[node].write(at, &bytes[..to_usize(part)]);
            return Err(Errno::IO.into());
        }
        if len > 1 && self.random.one_in(self.faults.short_write_one_in) {
            let part = whole_sectors(offset, 1 + self.random.below(len - 1));
            len = if part == 0 { len } else { part };
        }
        let beyond = (offset + len).saturating_sub(self.len(node));
        len = len.saturating_sub(beyond.saturating_sub(self.free_bytes()));
        if len == 0 && !bytes.is_empty() {
            return Err(Errno::NOSPC.into());
        }
        self.nodes[node].write(at, &bytes[..to_usize(len)]);
        Ok(to_usize(len))
    }

    pub fn zero(&mut self, node: usize, path: &Path, from: u64, to: u64) -> io::Result<()> {
        self.step("clear", path, Some((from, to.saturating_sub(from))))?;
        if self.random.one_in(self.faults.write_one_in) {
            return Err(Errno::IO.into());
        }
        if to.saturating_sub(self.len(node)) > self.free_bytes() {
            return Err(Errno::NOSPC.into());
        }
        self.nodes[node].zero(to_usize(from), to_usize(to.saturating_sub(from)));
        Ok(())
    }

    pub fn set_len(&mut self, node: usize, path: &Path, len: u64) -> io::Result<()> {
        if len == self.len(node) {
            return Ok(());
        }
        self.step("size", path, Some((0, len)))?;
        if self.random.one_in(self.faults.name_one_in) {
            return Err(Errno::IO.into());
        }
        if len.saturating_sub(self.len(node)) > self.free_bytes() {
            return Err(Errno::NOSPC.into());
        }
        self.nodes[node].set_len(to_usize(len));
        Ok(())
    }

    pub fn sync(&mut self, node: usize, path: &Path) -> io::Result<()> {
        self.step("flush", path, None)?;
        if self.random.one_in(self.faults.slow_sync_one_in) {
            self.waited_ns += self.faults.slow_sync_ns;
        }
        let file = &mut self.nodes[node];
        if self.random.one_in(self.faults.sync_one_in) {
            file.sync_failed(&mut self.random);
            return Err(Errno::IO.into());
        }
        if self.random.one_in(self.faults.misdirect_one_in) {
            file.sync_misdirected(&mut self.random);
        } else {
            file.sync();
        }
        Ok(())
    }

    /// The disk after a power loss: what was flushed, and any part of what was not.
    pub fn lose_power(&mut self, seed: u64) {
        let mut random = Random::new(seed);
        let luck = Luck::of(&mut random);
        self.memory = self.memory.as_ref().map(|_| Names::default());
        let mut stopped = BTreeSet::new();
        for change in std::mem::take(&mut self.pending_names) {
            if !stopped.contains(&change.path) && luck.holds(&mut random) {
                apply(&mut self.durable_names, change);
            } else {
                stopped.insert(change.path);
            }
        }
        // What lies in a folder that is not there is not there.
        let all = self.durable_names.clone();
        let in_place = |path: &Path| {
            path.ancestors()
                .skip(1)
                .take_while(|dir| !self.root.starts_with(dir))
                .all(|dir| all.get(dir) == Some(&Entry::Folder))
        };
        self.durable_names.retain(|path| in_place(path));
        self.names = self.durable_names.clone();
        self.nodes.iter_mut().for_each(|node| node.lose_power(&mut random));
        self.random = random;
    }

    /// Files by name, as they are seen.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.names.iter().filter_map(|(path, entry)| match entry {
            Entry::File(node) => Some((path, self.nodes[*node].bytes())),
            Entry::Folder => None,
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn node_of(&mut self, path: &Path) -> Option<&mut Node> {
        match self.names.get(path) {
            Some(Entry::File(node)) => self.nodes.get_mut(*node),
            _ => None,
        }
    }
}

/// As many of `len` bytes from `offset` on as end with a sector: a system that is interrupted stops there.
fn whole_sectors(offset: u64, len: u64) -> u64 {
    let end = offset + len;
    (end - end % SECTOR_BYTES as u64).saturating_sub(offset)
}

fn apply(names: &mut Names<Entry>, change: NameChange) {
    match change.entry {
        Some(entry) => drop(names.insert(&change.path, entry)),
        None => drop(names.remove(&change.path)),
    }
}
