//! Other settings for an invoke stage: prepared off the lane as a value, taken into use between the runs started before and those started
//! after.

use std::collections::VecDeque;

use super::call::{Answer, AnswerLimits, touched};
use super::desk::{Buffers, Current};
use super::host::Host;
use super::retry::RetryPolicy;
use crate::cut::counts::RUN_HEAD_MAX_BYTES;

/// Most calls per poll.
pub(super) const CALLS_MAX: usize = 16;
/// Most calls in flight that are made use of: each has its buffers.
const IN_FLIGHT_MAX: usize = 128;

/// What an invoke stage works by from a run on. Once the stage has it in use, what it replaced is in its place.
pub struct InvokeChange {
    /// When a failed call is repeated.
    pub retry: RetryPolicy,
    /// What runs are worked on with; `None` if it stays.
    pub bench: Option<Bench>,
}

/// An engine's host, and the room for its runs.
pub struct Bench {
    pub(super) host: Box<dyn Host>,
    /// Identity of the host's engine.
    pub(super) engine: [u8; 32],
    pub(super) limits: AnswerLimits,
    /// Runs in order, from the first that was not handed on.
    pub(super) line: VecDeque<Current>,
    /// Those of runs that were handed on.
    pub(super) buffers: Vec<Buffers>,
    /// Those that no call in flight has.
    pub(super) tickets: Vec<u32>,
}

impl Bench {
    /// A bench for this host, whose answers have at most `limits`.
    #[must_use]
    pub fn new(host: Box<dyn Host>, limits: AnswerLimits) -> Self {
        let in_flight = host.in_flight_max().clamp(1, IN_FLIGHT_MAX);
        // A host that answers at once has nothing in flight when the next call begins.
        let runs_max = CALLS_MAX + if in_flight == 1 { 0 } else { in_flight };
        let buffers = || Buffers { head: touched(RUN_HEAD_MAX_BYTES), answer: Answer::new(limits) };
        Self {
            engine: host.digest(),
            host,
            limits,
            line: VecDeque::with_capacity(runs_max),
            buffers: std::iter::repeat_with(buffers).take(runs_max).collect(),
            tickets: (0..in_flight as u32).rev().collect(),
        }
    }
}
