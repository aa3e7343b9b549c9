//! Other configurations in a simulated world: sent to the process that runs, or there at the next start; and what must hold of when they
//! come into force.

use std::collections::BTreeSet;

use super::host::Hosts;
use super::marks::Mark;
use super::mirror::Record;
use super::step::{Step, Violation};
use super::variant::Variant;
use super::world::World;
use crate::model::frames::{CONFIG, TICK};

impl World {
    /// The configuration is another one from here on.
    pub(super) fn change(&mut self, variant: Variant) -> Result<(), Violation> {
        // Whoever sends a change waits for the one before it.
        if variant == self.plan.variant() || self.process.as_ref().is_some_and(|process| process.changes.is_out()) {
            return Ok(());
        }
        self.note(Step::Change(variant.clone()));
        self.follow()?;
        self.plan.become_variant(&variant);
        self.configs.clear();
        self.given.push(variant);
        let config = self.config(self.last_lanes)?;
        let ticks = if self.troubled || !self.has_looked { None } else { Some(self.ticks()) };
        let hosts = self.hosts();
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.change(&config, &hosts) {
            Ok(()) => {}
            Err(fault) => return Err(self.violation(format!("a change is refused: {fault}"))),
        }
        self.sent_at = ticks;
        Ok(())
    }

    /// Engine hosts of a process.
    pub(super) fn hosts(&mut self) -> Hosts {
        Hosts { around: self.around.clone(), in_flight: self.plan.in_flight, random: self.random.fork() }
    }

    /// Looks whether a change has come into force, and whether it did when it had to: behind the tick that was coming, no later.
    pub(super) fn look_for_change(&mut self) -> Result<(), Violation> {
        let Some(in_force) = self.process.as_mut().and_then(|process| process.changes.look()) else { return Ok(()) };
        self.marks.set(Mark::ChangedLive);
        self.marks.set_if(Mark::EngineReplaced, in_force.replaced.iter().any(|replaced| replaced.bench.is_some()));
        self.follow()?;
        let Some(sent_at) = self.sent_at.take().filter(|_| !self.troubled) else { return Ok(()) };
        let records = self.mirrors[1].records.iter().map(|record| &record.header);
        let Some((at, frame)) = records.enumerate().rfind(|(_, header)| header.kind == CONFIG) else {
            return Err(self.violation("a change is in force, and the runs log does not say so"));
        };
        let waited = self.mirrors[1].records[..at].iter().filter(|record| record.header.kind == TICK).count() - sent_at;
        if waited > 1 || frame.aux != in_force.effective_ms {
            let (is, said) = (in_force.effective_ms, frame.aux);
            let what = format!(
                "a change has waited for {waited} ticks, and is in force from {is} on; the runs log says {said}"
            );
            return Err(self.violation(what));
        }
        self.changed.push((frame.position, frame.crc));
        Ok(())
    }

    /// Which decisions are changes while a process ran, as far as that is known.
    pub(super) fn live_changes(&self) -> BTreeSet<usize> {
        let is_live = |record: &Record| self.changed.contains(&(record.header.position, record.header.crc));
        let records = self.mirrors[1].records.iter().enumerate();
        records.filter(|(_, record)| is_live(record)).map(|(index, _)| index).collect()
    }

    fn ticks(&self) -> usize {
        self.mirrors[1].records.iter().filter(|record| record.header.kind == TICK).count()
    }
}
