//! The calls that must all say the same: each case twice in a row, then one symbol after the other and backwards, in a fresh process, and
//! later on.

use std::collections::BTreeMap;

use cutline::invoke::engine::EngineFault;

use super::cases::Case;
use super::session::{Said, Session, is_fatal};

/// Cases that a process may die of before the others are left out.
const FATAL_MAX: usize = 3;

/// A case of which the process died, or for which it took too long.
pub struct Fatal {
    pub at: usize,
    pub fault: EngineFault,
    /// The last lines that it printed.
    pub printed: Vec<String>,
}

/// What was said when it was said first.
pub struct Trace {
    /// The state that each case was asked with.
    states: Vec<Vec<u8>>,
    /// What was said to it, and what when it was asked at once again; `None`: nobody asked, or the process did not survive it.
    said: Vec<Option<[Said; 2]>>,
    /// The cases of which the process died or for which it took too long.
    pub fatal: Vec<Fatal>,
    /// Cases that were not asked since too many were fatal.
    pub left_out: usize,
}

impl Trace {
    /// Number, state and first answer of each case that has one.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = (usize, &[u8], &Said)> + Clone {
        let said = self.said.iter().enumerate();
        said.filter_map(|(at, said)| Some((at, &*self.states[at], &said.as_ref()?[0])))
    }
}

/// Cases to which two passes said different things.
#[derive(Default)]
pub struct Differing {
    pub count: usize,
    /// The smallest of them: its number, and what was said.
    pub smallest: Option<(usize, [Said; 2])>,
}

impl Differing {
    pub fn add(&mut self, at: usize, cases: &[Case], said: [Said; 2]) {
        self.count += 1;
        let is_smaller = |(other, _): &(usize, _)| cases[at].normalized.len() < cases[*other].normalized.len();
        if self.smallest.as_ref().is_none_or(is_smaller) {
            self.smallest = Some((at, said));
        }
    }

    /// Adds those of another pass.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.smallest = self.smallest.take().or(other.smallest);
    }
}

/// Asks each case twice in a row, in their order, each symbol's state handed on. Cases in `skip` are left out, and fatal ones put there.
pub fn record(session: &mut Session, cases: &[Case], skip: &mut [bool]) -> (Trace, Differing) {
    let mut now: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut trace = Trace { states: Vec::new(), said: Vec::new(), fatal: Vec::new(), left_out: 0 };
    let mut repeated = Differing::default();
    for (at, case) in cases.iter().enumerate() {
        let state = now.entry(&case.symbol).or_default();
        trace.states.push(state.clone());
        if skip[at] || trace.fatal.len() == FATAL_MAX {
            trace.left_out += usize::from(!skip[at]);
            skip[at] = true;
            trace.said.push(None);
            continue;
        }
        let first = session.ask(case, state);
        let again = if first.as_ref().is_err_and(is_fatal) { first.clone() } else { session.ask(case, state) };
        if let Err(fault) = &again
            && is_fatal(fault)
        {
            trace.fatal.push(Fatal { at, fault: fault.clone(), printed: session.last_lines() });
            skip[at] = true;
            trace.said.push(None);
            continue;
        }
        if first != again {
            repeated.add(at, cases, [first.clone(), again.clone()]);
        }
        if let Ok(reply) = &first {
            state.clone_from(&reply.state);
        }
        trace.said.push(Some([first, again]));
    }
    (trace, repeated)
}

/// Asks what [`record`] asked, in the same order with the same states.
pub fn replay(session: &mut Session, cases: &[Case], trace: &Trace) -> Differing {
    let mut differing = Differing::default();
    for (at, said) in trace.said.iter().enumerate() {
        let Some(said) = said else { continue };
        let other = said.iter().find_map(|said| {
            let other = session.repeats(&cases[at], &trace.states[at], said).err()?;
            Some([said.clone(), other])
        });
        if let Some(pair) = other {
            differing.add(at, cases, pair);
        }
    }
    differing
}

/// Asks again in another order: one symbol after the other, the newest case first.
pub fn backwards(session: &mut Session, cases: &[Case], trace: &Trace) -> Differing {
    let mut calls: Vec<_> = trace.calls().rev().collect();
    calls.sort_by_key(|(at, ..)| &cases[*at].symbol);
    ask_again(session, cases, calls.into_iter())
}

/// Asks these calls of a trace again.
pub fn ask_again<'a>(
    session: &mut Session,
    cases: &[Case],
    calls: impl Iterator<Item = (usize, &'a [u8], &'a Said)>,
) -> Differing {
    let mut differing = Differing::default();
    for (at, state, said) in calls {
        if let Err(other) = session.repeats(&cases[at], state, said) {
            differing.add(at, cases, [said.clone(), other]);
        }
    }
    differing
}

/// Cases to which two places say different things, of those that both were asked with the same state.
pub fn compare(cases: &[Case], one: &Trace, other: &Trace) -> Differing {
    let mut differing = Differing::default();
    for (at, (one_said, other_said)) in one.said.iter().zip(&other.said).enumerate() {
        if let (Some([said, _]), Some([else_said, _])) = (one_said, other_said)
            && one.states[at] == other.states[at]
            && said != else_said
        {
            differing.add(at, cases, [said.clone(), else_said.clone()]);
        }
    }
    differing
}
