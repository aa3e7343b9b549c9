//! What `/proc` says of processes and threads. Reads a few small files a call and nothing else; any thread, cold.
//!
//! A process may end at any moment: what cannot be read is `None`, and no fault.

use std::fs;
use std::path::Path;

/// One line of `/proc/PID/stat` or `/proc/PID/task/TID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `D`, `T`, `Z` and so on; see proc(5).
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Processor time, clock ticks.
    pub ticks: u64,
    /// Processor time of children that it has waited for, clock ticks.
    pub waited_ticks: u64,
    /// Threads.
    pub threads: u32,
    /// Resident memory, pages; those that it shares with others count too.
    pub resident_pages: u64,
}

impl Stat {
    /// Reads the text of such a file.
    pub fn parse(text: &str) -> Option<Self> {
        // Behind the name, which may hold anything, in parentheses.
        let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
        let (parent, group) = (number(0)?, number(0)?);
        let (user, system) = (number(8)?, number(0)?);
        let (waited_user, waited_system) = (number(0)?, number(0)?);
        let (threads, resident_pages) = (number(2)?, number(3)?);
        Some(Self {
            state,
            parent: parent.try_into().ok()?,
            group: group.try_into().ok()?,
            ticks: user + system,
            waited_ticks: waited_user + waited_system,
            threads: threads.try_into().ok()?,
            resident_pages,
        })
    }

    /// Reads `DIR/stat`, where the directory is that of a process or of a thread.
    pub fn read(dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(dir.join("stat")).ok()?)
    }
}

/// How often a thread gave its core up, and how often the kernel took it away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// It waited for something.
    pub voluntary: u64,
    /// Somebody else's turn.
    pub involuntary: u64,
}

impl Switches {
    /// Reads the text of a thread's `status` file.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.trim().parse().ok()
        };
        Some(Self { voluntary: number("voluntary_ctxt_switches")?, involuntary: number("nonvoluntary_ctxt_switches")? })
    }

    /// Reads `DIR/status` of a thread.
    pub fn read(dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(dir.join("status")).ok()?)
    }
}

/// Clock ticks in a second: the unit of [`Stat::ticks`].
pub fn ticks_per_s() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// Busy and all processor time of the machine since its start, clock ticks over all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Neither idle nor waiting for a disk.
    pub busy_ticks: u64,
    /// All of it.
    pub all_ticks: u64,
}

impl Machine {
    /// Reads the text of `/proc/stat`.
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let times: Vec<u64> = line.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
        if times.len() < 5 {
            return None;
        }
        let all_ticks = times.iter().sum();
        Some(Self { busy_ticks: all_ticks - times[3] - times[4], all_ticks })
    }

    /// Reads `/proc/stat`.
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }
}

/// Share of the machine's memory that cannot be had, from the text of `/proc/meminfo`, 0 to 1.
pub fn memory_used(text: &str) -> Option<f64> {
    let kib = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    let (total, available) = (kib("MemTotal")?, kib("MemAvailable")?);
    (total > 0.0).then(|| 1.0 - (available / total).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str = "S 17 23 5 0 -1 4194304 100 7 1 2 31 12 5 6 20 0 9 0 123456 222222 77 18446744073709551615 1";

    #[test]
    fn our_own_is_as_the_kernel_says() {
        let stat = Stat::read(Path::new("/proc/thread-self")).expect("Linux");
        assert_eq!(Some(stat.parent), rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()));
        assert!(stat.threads >= 2 && stat.resident_pages > 0 && stat.state == 'R', "{stat:?}");
        assert!(Switches::read(Path::new("/proc/thread-self")).is_some());
        let machine = Machine::read().expect("Linux");
        assert!(machine.busy_ticks > 0 && machine.busy_ticks <= machine.all_ticks);
        let used = memory_used(&fs::read_to_string("/proc/meminfo").expect("Linux")).expect("Linux");
        assert!(used > 0.0 && used < 1.0, "{used}");
    }

    #[test]
    fn a_process_that_is_gone_is_no_fault() {
        assert_eq!(Stat::read(Path::new("/proc/0")), None);
        assert_eq!(Switches::read(Path::new("/proc/0")), None);
    }

    proptest! {
        /// A process chooses its name, and may choose one that looks like the fields behind it.
        #[test]
        fn the_name_changes_nothing(name in "[ -~]{0,15}") {
            let stat = Stat::parse(&format!("4711 ({name}) {REST}")).expect("all fields are there");
            prop_assert_eq!((stat.state, stat.parent, stat.group), ('S', 17, 23));
            prop_assert_eq!((stat.ticks, stat.waited_ticks, stat.threads, stat.resident_pages), (43, 11, 9, 77));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,200}", cut in 0_usize..120) {
            let _ = (Stat::parse(&text), Switches::parse(&text), Machine::parse(&text), memory_used(&text));
            let line = format!("1 (a) {REST}");
            let _ = Stat::parse(&line[..cut.min(line.len())]);
        }
    }
}
