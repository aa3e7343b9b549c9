//! A disk in memory on which every fault can be made to happen, by seed, and whose power can be lost at any step.
//!
//! ```text
//! Disk calls ──► page cache ──sync_data, sync_dir──► medium
//!                    │                                  │
//!                    └─ restarted(): all of it          └─ power_lost(seed): all of it, and of the cache any sectors,
//!                       (a process died)                   names and lengths, in any order (the machine died)
//! ```
//!
//! Used by the journal's tests and by the simulator behind `cutline sim`, which is part of the product: so it is always
//! compiled, not behind a feature. No other code names it, and [`crate::disk::OsDisk`] never comes here. Any thread; one lock.
//! It reads no clock and no random source but its seed: the same calls have the same answers.
//!
//! Memory copies of segments are real files in real memory also with a simulated disk; whether there is room for them is
//! decided here, and making and removing one is a step like any other. After [`SimDisk::power_lost`] whoever simulates removes their folder.
//! A disk [`SimDisk::with_memory`] has them itself, without a system call, and loses them with the power.

mod faults;
mod names;
mod node;
mod seam;
mod state;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::faults::Faults;
use self::names::Names;
use self::state::State;
use crate::layout::to_usize;

/// What somebody wants to do between two steps.
type Visit = Box<dyn FnOnce() + Send>;

/// A simulated disk; clones are the same one.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// The next one, and before which step.
    visit: Arc<Mutex<Option<(u64, Visit)>>>,
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk that is mounted at `root`. `seed` decides which calls the faults hit.
    #[must_use]
    pub fn new(root: &Path, seed: u64) -> Self {
        Self::of(State::new(root, seed))
    }

    /// The same disk, empty, of a machine whose memory is simulated too.
    #[must_use]
    pub fn with_memory(self) -> Self {
        self.state().memory = Some(Names::default());
        self
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), visit: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked did so outside: no call here leaves a half-made state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for a call that may take a step.
    fn stepping(&self) -> MutexGuard<'_, State> {
        let steps = self.steps();
        let due = self.visit.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(before, _)| *before == steps);
        if let Some((_, visit)) = due {
            visit();
        }
        self.state()
    }

    /// From here on these faults happen.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Calls so far that could change something: each is a place where the power can be lost.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// When so many steps are done, every further one fails and changes nothing; reads go on.
    pub fn stop_at(&self, steps: u64) {
        self.state().stop_at = Some(steps);
    }

    /// Calls `visit` once, before the step of this number: what a follower sees in the middle of another's work. It may use
    /// this disk.
    pub fn visit_before(&self, step: u64, visit: impl FnOnce() + Send + 'static) {
        *self.visit.lock().unwrap_or_else(PoisonError::into_inner) = Some((step, Box::new(visit)));
    }

    /// Whether a step was refused or will be.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let state = self.state();
        state.stop_at.is_some_and(|at| state.steps >= at)
    }

    /// Another disk, as this one is found after a process died: everything is in the page cache. Its steps begin at 0, it
    /// does not stop, and it has no faults.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let mut state = self.state().clone();
        state.restart();
        Self::of(state)
    }

    /// Another disk, as this one may be found after a power loss: everything that was flushed, and of the rest whatever
    /// `seed` says: any sectors of 512 bytes, any names, any lengths. Steps and faults as with [`SimDisk::restarted`].
    #[must_use]
    pub fn power_lost(&self, seed: u64) -> Self {
        let disk = self.restarted();
        disk.state().lose_power(seed);
        disk
    }

    /// This disk, as another process finds it; see [`SimDisk::restarted`]. Whoever had files open on it is dead.
    pub fn restart(&self) {
        self.state().restart();
    }

    /// This disk after a power loss; see [`SimDisk::power_lost`]. Whoever had files open on it is dead.
    pub fn lose_power(&self, seed: u64) {
        let mut state = self.state();
        state.restart();
        state.lose_power(seed);
    }

    /// Nanoseconds that slow flushes have taken since this was asked last: nobody slept, the caller's clock has to move.
    #[must_use]
    pub fn take_waited_ns(&self) -> u64 {
        std::mem::take(&mut self.state().waited_ns)
    }

    /// The last steps, for the message of whatever failed.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.iter().map(ToString::to_string).collect()
    }

    /// Bits on the medium go wrong: those of `mask` in the byte at `offset`. False if there is no such byte.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> bool {
        let mut state = self.state();
        let Some(node) = state.node_of(path).filter(|node| offset < node.bytes().len() as u64) else { return false };
        node.flip(to_usize(offset), mask);
        true
    }

    /// All files and their lengths, by name.
    #[must_use]
    pub fn lens(&self) -> Vec<(PathBuf, u64)> {
        self.state().files().map(|(path, bytes)| (path.to_owned(), bytes.len() as u64)).collect()
    }

    /// The first in the order of names that `look` finds something in, of all that lies in a folder. No call to the disk: nothing goes
    /// wrong here.
    pub fn find_name<T>(&self, dir: &Path, look: impl FnMut(&OsStr) -> Option<T>) -> Option<T> {
        self.state().names_in(dir).find_map(look)
    }

    /// Some bytes of a file, as far as it has them; none if there is no such file.
    #[must_use]
    pub fn bytes(&self, path: &Path, offset: u64, len: u64) -> Vec<u8> {
        let mut state = self.state();
        let bytes = state.node_of(path).map(|node| node.bytes()).unwrap_or_default();
        let from = to_usize(offset).min(bytes.len());
        bytes[from..(from + to_usize(len)).min(bytes.len())].to_vec()
    }

    /// The medium and the page cache have other bytes from `offset` on, as far as the file reaches: what a write that went astray
    /// leaves.
    pub fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) {
        if let Some(node) = self.state().node_of(path) {
            node.overwrite(to_usize(offset), bytes);
        }
    }

    /// All files and what they hold, by name.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.state().files().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect()
    }

    /// Writes all files to a folder of the real disk, for tools that read one.
    ///
    /// # Errors
    /// The real disk's.
    pub fn export(&self, folder: &Path) -> io::Result<()> {
        let state = self.state();
        for (path, bytes) in state.files() {
            let to = folder.join(path.strip_prefix(state.root()).unwrap_or(path));
            if let Some(dir) = to.parent() {
                std::fs::create_dir_all(dir)?;
            }
            std::fs::write(to, bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Access, Disk};

    const ROOT: &str = "/sim";

    fn path(name: &str) -> PathBuf {
        Path::new(ROOT).join(name)
    }

    /// Names that may be there after a power loss, over many seeds.
    fn outcomes(disk: &SimDisk) -> std::collections::BTreeSet<Vec<(PathBuf, Vec<u8>)>> {
        (0..200).map(|seed| disk.power_lost(seed).files()).collect()
    }

    #[test]
    fn a_name_is_there_for_certain_once_its_folder_is_flushed() {
        let disk = SimDisk::new(Path::new(ROOT), 1);
        disk.create_dir(&path("log")).expect("made");
        disk.sync_dir(Path::new(ROOT)).expect("flushed");
        for name in ["log/a", "log/b"] {
            disk.open(&path(name), Access::Create).expect("made").sync_data().expect("flushed");
        }
        let [a, b] = ["log/a", "log/b"].map(|name| (path(name), Vec::new()));
        let any = [vec![], vec![a.clone()], vec![b.clone()], vec![a.clone(), b.clone()]];
        assert_eq!(outcomes(&disk), any.into_iter().collect());
        disk.sync_dir(&path("log")).expect("flushed");
        disk.remove(&path("log/a")).expect("removed");
        assert_eq!(outcomes(&disk), [vec![b.clone()], vec![a, b]].into());
    }

    #[test]
    fn what_lies_in_a_folder_without_a_durable_name_goes_with_it() {
        let disk = SimDisk::new(Path::new(ROOT), 1);
        disk.create_dir(&path("log")).expect("made");
        disk.open(&path("log/a"), Access::Create).expect("made");
        disk.sync_dir(&path("log")).expect("flushed");
        assert_eq!(outcomes(&disk), [vec![], vec![(path("log/a"), Vec::new())]].into());
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_then_says_so() {
        let disk = SimDisk::new(Path::new(ROOT), 1);
        disk.set_faults(Faults { capacity_bytes: Some(1000), ..Faults::default() });
        let file = disk.open(&path("a"), Access::Create).expect("made");
        assert_eq!(file.reserve(1001).expect_err("full").kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.write_at(&[1; 900], 0).expect("room"), 900);
        assert_eq!(file.write_at(&[2; 300], 800).expect("some"), 200);
        assert_eq!(file.write_at(&[2; 300], 1000).expect_err("full").kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.write_at(&[3; 1000], 0).expect("its own room"), 1000);
    }

    #[test]
    fn the_same_seed_does_the_same() {
        let history = |seed| {
            let disk = SimDisk::new(Path::new(ROOT), seed);
            let faults =
                Faults { write_one_in: 3, sync_one_in: 3, short_write_one_in: 2, name_one_in: 4, ..Faults::default() };
            disk.set_faults(faults);
            let mut answers = Vec::new();
            for round in 0..60 {
                let file = disk.open(&path(&format!("{}", round % 7)), Access::Create);
                answers.push(file.map_err(|error| error.kind()).and_then(|file| {
                    let wrote = file.write_at(&[round; 3000], 100).map_err(|error| error.kind())?;
                    file.sync_data().map_err(|error| error.kind())?;
                    Ok(wrote)
                }));
            }
            (answers, disk.power_lost(seed).files())
        };
        assert_eq!(history(5), history(5));
        assert_ne!(history(5), history(6));
    }

    #[test]
    fn memory_of_a_simulated_machine_outlives_a_process_and_not_the_power() {
        let disk = SimDisk::new(Path::new(ROOT), 1).with_memory();
        let name = Path::new("/memory/log/a");
        let made = disk.create_region(name, 4096).expect("made");
        disk.create_region(name, 4096).expect_err("it exists");
        made.store_bytes(8, &[7; 8]);
        drop(made);
        disk.restart();
        let mut start = [0; 16];
        disk.read_region(name, &mut start).expect("there");
        assert_eq!(start[8..], [7; 8]);
        assert_eq!(disk.list_regions(Path::new("/memory/log")).expect("listed"), ["a"]);
        assert!(disk.list_regions(Path::new("/memory")).expect("listed").is_empty());
        let held = disk.open_region(name, 4096, false).expect("there");
        disk.open_region(name, 4097, false).expect_err("shorter");
        disk.lose_power(1);
        assert!(disk.open_region(name, 1, false).expect_err("gone").is_not_found());
        assert_eq!(disk.remove_region(name).expect_err("gone").kind(), io::ErrorKind::NotFound);
        held.load_bytes(8, &mut start);
        assert_eq!(start[..8], [7; 8], "who has it mapped keeps it");
    }

    #[test]
    fn a_stopped_disk_changes_nothing_and_tells_the_visitor_before() {
        let disk = SimDisk::new(Path::new(ROOT), 1);
        let seen = Arc::new(Mutex::new(None));
        let (visited, there) = (seen.clone(), disk.clone());
        disk.visit_before(1, move || *visited.lock().expect("mine") = Some(there.files().len()));
        disk.stop_at(1);
        let file = disk.open(&path("a"), Access::Create).expect("made");
        file.write_at(&[1], 0).expect_err("stopped");
        assert_eq!((disk.files(), *seen.lock().expect("mine")), (vec![(path("a"), Vec::new())], Some(1)));
        assert_eq!(disk.restarted().steps(), 0);
    }
}
