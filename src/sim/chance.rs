//! What happens next in a simulated world: the seed's choices, one at a time. Nothing is done here; [`super::world`] does it.
//!
//! Choices are drawn whether they are let happen or not, so that a scenario with less trouble or fewer steps is still the same one
//! ([`super::changes`]).

use cutline_journal::sim::Faults;

use super::marks::Mark;
use super::process::{KeeperStep, Process};
use super::step::{Crash, Step, Violation};
use super::world::World;
use crate::sequence::stage::TimeSource;

impl World {
    /// The safety phase, as far as the pipeline does not come to its end by itself.
    ///
    /// # Errors
    /// The first promise that did not hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..self.plan.steps {
            if self.process.is_none() {
                self.come_back()?;
            } else if self.process.as_ref().is_some_and(Process::is_done) {
                return Ok(());
            } else {
                self.any_step()?;
            }
        }
        Ok(())
    }

    fn any_step(&mut self) -> Result<(), Violation> {
        match self.random.below(1_000) {
            0..600 => self.any_lane(),
            600..740 => {
                let keeper = [KeeperStep::Prepare, KeeperStep::Flush, KeeperStep::Flush, KeeperStep::Zero];
                let step = Step::Keeper(self.random.pick(&keeper));
                self.take(step)
            }
            740..830 => self.some_time(),
            830..900 => {
                let feed = self.random.index(self.feeds.len());
                let lines = self.random.between(1, self.plan.burst);
                self.take(Step::Feed(feed, lines))
            }
            900..945 => self.any_follower(),
            945..965 => self.take(Step::Tend),
            965..975 => self.take(Step::Look),
            _ => self.trouble(),
        }
    }

    pub(super) fn any_lane(&mut self) -> Result<(), Violation> {
        let Some(process) = &self.process else { return Ok(()) };
        let lane = self.random.index(process.lanes.len());
        self.take(Step::Lane(lane))
    }

    pub(super) fn some_time(&mut self) -> Result<(), Violation> {
        let interval_ns = self.plan.interval_ms.unsigned_abs() * 1_000_000;
        let share = if self.plan.symbols > 100 { 30 } else { 2 };
        let most = self.random.pick(&[20_000, 1_000_000, interval_ns / share]);
        let step = Step::Time(self.random.below(most + 1));
        self.take(step)
    }

    fn any_follower(&mut self) -> Result<(), Violation> {
        let index = self.random.index(self.followers.len());
        let dies = self.random.one_in(12);
        // The last one comes late.
        if index + 1 == self.followers.len() {
            if self.happened.steps < self.plan.steps / 3 {
                return Ok(());
            }
            self.marks.set(Mark::FollowerLate);
        }
        self.take(Step::Follower(index, dies))
    }

    /// Whether the trouble that was drawn just now is let happen.
    pub(super) fn is_let(&mut self) -> bool {
        self.troubles += 1;
        self.plan.kept.as_ref().is_none_or(|kept| kept.contains(&self.troubles))
    }

    fn trouble(&mut self) -> Result<(), Violation> {
        let troubles = self.plan.troubles;
        let step = match self.random.below(100) {
            0..12 if troubles.crash => Step::Crash(Crash::Process),
            12..18 if troubles.crash && troubles.disk => Step::Crash(Crash::InDisk),
            18..24 if troubles.power => Step::Crash(Crash::Machine),
            24..32 if troubles.stop && self.plan.time == TimeSource::Clock => Step::Stop,
            32..52 if troubles.engine => Step::Engine(!self.around.is_down()),
            52..60 if troubles.clock => {
                Step::Clock(self.random.pick(&[-200_000_000, -3_000_000, 1_000_000, 90_000_000, 10_000_000_000]))
            }
            60..85 if troubles.disk => Step::Disk(if self.troubled { Faults::default() } else { self.any_faults() }),
            85..95 if self.plan.changes => Step::Change(self.plan.another_variant(&mut self.random)),
            _ => return Ok(()),
        };
        if self.is_let() { self.take(step) } else { Ok(()) }
    }

    fn any_faults(&mut self) -> Faults {
        let random = &mut self.random;
        let mut chance = |least: u32| if random.one_in(3) { least * 3_u32.pow(random.below(4) as u32) } else { 0 };
        let faults = Faults {
            write_one_in: chance(2),
            short_write_one_in: chance(2),
            sync_one_in: chance(2),
            slow_sync_one_in: chance(2),
            slow_sync_ns: 30_000_000,
            read_one_in: chance(4),
            flip_one_in: chance(4),
            name_one_in: chance(2),
            memory_one_in: chance(2),
            ..Faults::default()
        };
        let capacity_bytes = self.random.one_in(4).then_some(0);
        Faults { capacity_bytes, ..faults }
    }
}
