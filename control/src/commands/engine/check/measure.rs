//! How long a call takes, and what the engine's process holds on to over many of them.

use std::fs;

use hdrhistogram::Histogram;

use super::cases::Case;
use super::passes::{Differing, Trace};
use super::session::Session;

/// Longest time of a call that is told apart: an hour, ns.
const CALL_MAX_NS: u64 = 3_600_000_000_000;
/// Looks at memory, apart by as many calls.
const LOOKS: u64 = 8;
/// The first looks are not compared: allocators and caches fill up.
const WARM_LOOKS: usize = 2;
/// A process that grows by less between two looks is not said to leak.
const GROWTH_MIN_BYTES: u64 = 32 * 1024;
/// Descriptors or threads more than at the first look that are still no leak.
const HANDLES_MORE_MAX: u64 = 4;

/// What a process holds. `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub resident_bytes: Option<u64>,
    pub descriptors: Option<u64>,
    pub threads: Option<u64>,
}

impl Held {
    fn of(pid: u32) -> Self {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        let entries = |name| fs::read_dir(format!("/proc/{pid}/{name}")).ok().map(|entries| entries.count() as u64);
        Self {
            resident_bytes: pages.map(|pages| pages * rustix::param::page_size() as u64),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// Many calls in one process.
pub struct Steady {
    /// Of the calls that were answered, ns.
    pub took_ns: Histogram<u64>,
    pub calls: u64,
    pub held: Vec<Held>,
    /// Where it did not say what it said at first.
    pub differing: Differing,
    /// Whether it was the same process all the time: else what it held cannot be compared.
    pub is_one_process: bool,
}

/// What grows with every look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    Memory,
    Descriptors,
    Threads,
}

impl Steady {
    /// What grew all the time, from how much to how much.
    pub fn leaks(&self) -> Vec<(Leak, u64, u64)> {
        let held = self.held.get(WARM_LOOKS..).filter(|_| self.is_one_process).unwrap_or_default();
        let [first, .., last] = held else { return Vec::new() };
        let grows = |pair: &[Held]| {
            pair[1].resident_bytes.unwrap_or(0) >= pair[0].resident_bytes.unwrap_or(0) + GROWTH_MIN_BYTES
        };
        let mut leaks = Vec::new();
        // One step may be hidden by a page that was there already, or be taken back.
        if held.windows(2).filter(|pair| grows(pair)).count() + 1 >= held.len() - 1
            && let (Some(from), Some(to)) = (first.resident_bytes, last.resident_bytes)
        {
            leaks.push((Leak::Memory, from, to));
        }
        let handles =
            [(Leak::Descriptors, first.descriptors, last.descriptors), (Leak::Threads, first.threads, last.threads)];
        for (what, from, to) in handles {
            if let (Some(from), Some(to)) = (from, to)
                && to > from + HANDLES_MORE_MAX
            {
                leaks.push((what, from, to));
            }
        }
        leaks
    }
}

/// Makes `calls` calls, those of the trace over and over.
pub fn steady(session: &mut Session, cases: &[Case], trace: &Trace, calls: u64) -> Steady {
    let pid = session.pid();
    let mut steady = Steady {
        took_ns: Histogram::new_with_bounds(1, CALL_MAX_NS, 3).expect("bounds that are allowed"),
        calls: 0,
        held: Vec::with_capacity(LOOKS as usize + 1),
        differing: Differing::default(),
        is_one_process: true,
    };
    let mut over_and_over = trace.calls().cycle();
    for look in 0..LOOKS {
        for _ in 0..calls / LOOKS {
            let Some((at, state, said)) = over_and_over.next() else { return steady };
            if let Err(other) = session.repeats(&cases[at], state, said) {
                steady.differing.add(at, cases, [said.clone(), other]);
            }
            steady.calls += 1;
            if said.is_ok() {
                steady.took_ns.saturating_record(u64::try_from(session.took.as_nanos()).unwrap_or(u64::MAX));
            }
        }
        steady.is_one_process &= look == 0 || session.pid() == pid;
        steady.held.push(Held::of(session.pid()));
    }
    steady
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaks(resident: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> u64) -> Vec<Leak> {
        let held =
            |look| Held { resident_bytes: Some(resident(look)), descriptors: Some(descriptors(look)), threads: None };
        let steady = Steady {
            took_ns: Histogram::new(3).unwrap(),
            calls: 0,
            held: (0..LOOKS).map(held).collect(),
            differing: Differing::default(),
            is_one_process: true,
        };
        steady.leaks().into_iter().map(|(leak, ..)| leak).collect()
    }

    #[test]
    fn what_grows_all_the_time_leaks_and_nothing_else_does() {
        assert_eq!(leaks(|_| 1 << 24, |_| 5), []);
        assert_eq!(leaks(|look| (1 << 24) + look * 100_000, |_| 5), [Leak::Memory]);
        assert_eq!(leaks(|look| (1 << 24) + look.min(5) * 1_000_000, |_| 5), [], "it fills up");
        assert_eq!(leaks(|look| (1 << 24) + (look % 2) * 1_000_000, |_| 5), [], "it is given back");
        assert_eq!(leaks(|look| (1 << 24) + look * 100, |_| 5), [], "too little to tell");
        assert_eq!(leaks(|_| 1 << 24, |look| 5 + look), [Leak::Descriptors]);
        assert_eq!(leaks(|_| 1 << 24, |look| 5 + look.min(3)), []);
    }

    #[test]
    fn our_own_process_holds_something() {
        let held = Held::of(std::process::id());
        assert!(held.resident_bytes.unwrap() > 100_000 && held.descriptors.unwrap() > 2 && held.threads.unwrap() > 0);
    }
}
