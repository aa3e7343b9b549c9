//! What a process tells by lines of `event`: onto the bus, as often as it may print a line.

use std::time::Instant;

use cutline_host::child::log::Allowance;
use serde_json::{Map, Value};

use crate::bus::Bus;
use crate::bus::lifecycle::Lifecycle;

/// How often one process may tell something.
pub struct Telling(Allowance);

impl Telling {
    /// So many times in each second from now on.
    pub fn new(lines_per_s: u32) -> Self {
        Self(Allowance::new(lines_per_s, Instant::now()))
    }

    /// Tells it, if the process may. Returns how many it might not tell in the second before, if that is over.
    pub fn tell(&mut self, bus: &Bus, module: &str, name: String, data: Map<String, Value>) -> Option<u64> {
        let dropped = self.0.over(Instant::now(), false);
        if self.0.take() {
            bus.publish(module, Lifecycle::Told { name, data });
        }
        dropped
    }
}
