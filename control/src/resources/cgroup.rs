//! cgroups v2, where our own group is ours to write (systemd: `Delegate=yes`): one group for each `[[module]]`, by which the kernel keeps its
//! limits, counts what all of its processes use, and ends them together. Cold; reads and writes small files of the kernel.
//!
//! ```text
//! our group/              cgroup.subtree_control = those of cpu, memory and pids that we are given
//! ├─ supervisor/          this process, and engine processes: a group that hands controllers on may have no processes of its own
//! ├─ module-feed/         cpu.max memory.max pids.max
//! └─ module-export/
//! ```
//!
//! A controller that is not there (it belongs to cgroups v1, or was not delegated) leaves its limit to the other means of [`super::limits`].
//! The root group is the machine's and never ours. All of it is removed at the end.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cutline::config::Limits;

/// The group of this process below its own.
const OWN: &str = "supervisor";
/// What names of modules' groups begin with.
const OF_MODULE: &str = "module-";
/// How long the kernel has to take killed processes out of a group.
const PATIENCE: Duration = Duration::from_secs(1);
/// The period of `cpu.max`, µs.
const PERIOD_US: u64 = 100_000;

/// Controllers of ours that groups have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// `cpu.max`.
    pub cpu: bool,
    /// `memory.max` and `memory.current`.
    pub memory: bool,
    /// `pids.max` and `pids.current`.
    pub pids: bool,
}

impl Controllers {
    fn of(text: &str) -> Self {
        let has = |name| text.split_whitespace().any(|found| found == name);
        Self { cpu: has("cpu"), memory: has("memory"), pids: has("pids") }
    }

    fn names(self) -> Vec<&'static str> {
        let all = [("cpu", self.cpu), ("memory", self.memory), ("pids", self.pids)];
        all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
    }
}

/// The groups of this process, or why it has none.
#[derive(Clone, Debug)]
pub struct Cgroups(Result<Group, String>);

/// One group, which may or may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
    controllers: Controllers,
}

impl Cgroups {
    /// None, for this reason.
    pub fn none(why: &str) -> Self {
        Self(Err(why.to_owned()))
    }

    /// Makes what lies below our own group and moves this process into its place. Before any thread or child of ours needs another place.
    pub fn enter() -> Self {
        let read = |path: &str| fs::read_to_string(path).map_err(|fault| format!("{path}: {fault}"));
        let group = || Group::enter(&own_group(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?);
        Self(group())
    }

    /// What is there, for people.
    pub fn text(&self) -> String {
        match &self.0 {
            Err(why) => format!("modules have no cgroups: {why}"),
            Ok(group) => {
                let names = group.controllers.names();
                let means = if names.is_empty() { "no controller of ours".to_owned() } else { names.join(", ") };
                format!("modules have cgroups below {} with {means}", group.path.display())
            }
        }
    }

    /// The group of a module.
    pub fn of(&self, module: &str) -> Option<Group> {
        let own = self.0.as_ref().ok()?;
        Some(Group { path: own.path.join(format!("{OF_MODULE}{module}")), controllers: own.controllers })
    }

    /// Removes everything below our own group, with the processes in groups of modules, and moves this process back into it.
    pub fn leave(&self) {
        let Ok(own) = &self.0 else { return };
        let entries = fs::read_dir(&own.path).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(OF_MODULE)) {
            Group { path: entry.path(), controllers: own.controllers }.remove();
        }
        // Whatever of it cannot be undone is undone with the group itself, by who has made that.
        for name in own.controllers.names() {
            let _ = own.write("cgroup.subtree_control", &format!("-{name}"));
        }
        let _ = own.write("cgroup.procs", "0");
        let _ = fs::remove_dir(own.path.join(OWN));
    }
}

impl Group {
    /// Our own, with this process in its place below.
    fn enter(found: &Path) -> Result<Self, String> {
        // This program became itself again.
        let path = if found.ends_with(OWN) { found.parent().unwrap_or(found) } else { found };
        let mut group = Self { path: path.to_owned(), controllers: Controllers::default() };
        let fault = |fault: io::Error| format!("{} is not ours to write: {fault}", path.display());
        make(&path.join(OWN)).map_err(fault)?;
        group.write(&format!("{OWN}/cgroup.procs"), "0").map_err(fault)?;
        let offered = Controllers::of(&group.read("cgroup.controllers").map_err(fault)?);
        for name in offered.names() {
            // Not while other processes are in our group.
            let _ = group.write("cgroup.subtree_control", &format!("+{name}"));
        }
        group.controllers = Controllers::of(&group.read("cgroup.subtree_control").map_err(fault)?);
        Ok(group)
    }

    /// Makes it, with these limits and without whoever was left in it.
    ///
    /// # Errors
    /// It cannot be made, or a limit cannot be set.
    pub fn begin(&self, limits: &Limits) -> io::Result<()> {
        make(&self.path)?;
        self.kill();
        self.limit(limits)
    }

    /// Sets its limits, those that are not set too: as far as there are controllers for them.
    ///
    /// # Errors
    /// The kernel does not take one.
    pub fn limit(&self, limits: &Limits) -> io::Result<()> {
        let most = |most: Option<u64>| most.map_or("max".to_owned(), |most| most.to_string());
        if self.controllers.cpu {
            let quota_us = limits.cpu_percent.map(|percent| percent.saturating_mul(PERIOD_US) / 100);
            self.write("cpu.max", &format!("{} {PERIOD_US}", most(quota_us)))?;
        }
        if self.controllers.memory {
            self.write("memory.max", &most(limits.memory_bytes))?;
            // It is one module: a part of it alone is of no use. Older kernels kill by process.
            let _ = self.write("memory.oom.group", "1");
        }
        if self.controllers.pids {
            self.write("pids.max", &most(limits.threads))?;
        }
        Ok(())
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    /// What it keeps limits by.
    pub const fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// Where a process enters it.
    pub fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Processor time that all of its processes have used, those that have ended too, ns.
    pub fn cpu_ns(&self) -> Option<u64> {
        let stat = self.read("cpu.stat").ok()?;
        let used_us = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(used_us.trim().parse::<u64>().ok()?.saturating_mul(1_000))
    }

    /// Its processes.
    pub fn processes(&self) -> Option<Vec<u32>> {
        Some(self.read("cgroup.procs").ok()?.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Memory of all of its processes with the kernel's for them, bytes, where there is the controller.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.read("memory.current").ok()?.trim().parse().ok()
    }

    /// How many of its processes the kernel has ended because memory ran out, since the group was made; 0 without the controller.
    pub fn oom_kills(&self) -> u64 {
        let events = self.read("memory.events").unwrap_or_default();
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
    }

    /// Ends every process in it.
    pub fn kill(&self) {
        // Not there before Linux 5.14: there the process group has to do.
        let _ = self.write("cgroup.kill", "1");
    }

    /// Ends every process in it and removes it, as soon as the kernel lets it.
    fn remove(&self) {
        self.kill();
        let until = Instant::now() + PATIENCE;
        // What has ended and is not gone yet holds it for some milliseconds.
        while self.is_there() && fs::remove_dir(&self.path).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.path.join(file))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(file), text)
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(fault) if fault.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Where the group of this process lies, by `/proc/self/mountinfo` and `/proc/self/cgroup`. Pure.
fn own_group(mounts: &str, groups: &str) -> Result<PathBuf, String> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this kernel has no cgroups v2")?;
    // Behind the dash: file system, source, options; before it, fourth and fifth: what of it is mounted, and where.
    let mount = mounts.lines().find_map(|line| {
        let (before, behind) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        behind.starts_with("cgroup2 ").then_some((fields.next()?, fields.next()?))
    });
    let (root, place) = mount.ok_or("cgroups v2 are not mounted")?;
    let below = if root == "/" { Some(own) } else { own.strip_prefix(root) };
    let below = below.ok_or_else(|| format!("our group {own} is not below {root}, which is what is mounted"))?;
    if own == "/" {
        return Err("this process is in the machine's root group: start it in one of its own (systemd: Delegate=yes)"
            .to_owned());
    }
    Ok(Path::new(place).join(below.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str =
        "24 1 0:22 / /proc rw - proc proc rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn our_group_is_where_it_is_mounted_and_never_the_root() {
        let at = |mounts: &str, groups: &str| own_group(mounts, groups);
        let service = "1:name=systemd:/x\n0::/system.slice/cutline.service\n";
        assert_eq!(at(MOUNTS, service), Ok("/sys/fs/cgroup/system.slice/cutline.service".into()));
        let container = "30 24 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(at(container, "0::/box/a\n"), Ok("/sys/fs/cgroup/a".into()));
        assert!(at(container, "0::/other\n").is_err_and(|why| why.contains("/box")));
        assert!(at(MOUNTS, "0::/\n").is_err_and(|why| why.contains("Delegate=yes")));
        assert!(at("", service).is_err_and(|why| why.contains("not mounted")));
        assert!(at(MOUNTS, "4:memory:/\n").is_err_and(|why| why.contains("no cgroups v2")));
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them_and_only_where_a_controller_is() {
        let place = tempfile::tempdir().unwrap();
        let group =
            |cpu, memory, pids| Group { path: place.path().join("a"), controllers: Controllers { cpu, memory, pids } };
        let limits = Limits { cpu_percent: Some(150), memory_bytes: Some(1 << 20), descriptors: 64, threads: Some(4) };
        group(true, true, true).begin(&limits).unwrap();
        let read = |file: &str| fs::read_to_string(place.path().join("a").join(file));
        for (file, text) in [("cpu.max", "150000 100000"), ("memory.max", "1048576"), ("pids.max", "4")] {
            assert_eq!(read(file).unwrap(), text);
        }
        assert_eq!(group(true, true, true).oom_kills(), 0);
        fs::write(place.path().join("a/memory.events"), "oom 3\noom_kill 2\noom_group_kill 1\n").unwrap();
        assert_eq!(group(true, true, true).oom_kills(), 2);
        group(true, true, false)
            .limit(&Limits { cpu_percent: None, memory_bytes: None, descriptors: 64, threads: None })
            .unwrap();
        for (file, text) in [("cpu.max", "max 100000"), ("memory.max", "max"), ("pids.max", "4")] {
            assert_eq!(read(file).unwrap(), text);
        }
        fs::remove_dir_all(place.path().join("a")).unwrap();
        group(false, false, false).begin(&limits).unwrap();
        assert!(read("cpu.max").is_err() && read("memory.max").is_err());
    }
}
