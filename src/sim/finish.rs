//! The liveness phase of a simulated world, and the last look at everything: faults stop, whatever waits drains within a bound, the
//! logs are closed, and what they hold follows from what was received.

use std::hash::Hash as _;

use super::facts::Facts;
use super::follower::Follower;
use super::marks::Mark;
use super::mirror::{CLOCK_STEP, LOGS, Mirror, OUTCOME, STARTED};
use super::oracle::{self, Excuses, Rules, Totals};
use super::process::{KeeperStep, Process, engines};
use super::shown::Decision;
use super::step::{Crash, Step, Violation};
use super::world::{Ended, World};
use crate::replay::verify::verify;
use crate::replay::whatif::{Change, whatif};
use crate::sequence::stage::TimeSource;
use cutline_journal::Start;
use cutline_journal::sim::Faults;

/// Time that passes in a round, ns.
const ROUND_NS: u64 = 200_000;

impl World {
    /// Ends the faults and waits until everything has drained; then closes the logs.
    ///
    /// # Errors
    /// What does not come to its end.
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.set_faults(Faults::default());
        self.take(Step::Engine(false))?;
        if !self.has_room {
            self.take(Step::Room)?;
        }
        if self.process.is_none() {
            self.start_any()?;
        }
        if self.plan.time == TimeSource::Receipts {
            self.rounds("a capture does not come to its end", |world| {
                world.process.as_ref().is_none_or(Process::is_done)
            })?;
            return self.close();
        }
        self.rounds("receipts are not taken", |world| world.feeds.iter().all(super::feed::Feed::is_over))?;
        // All of them are in time for a tick that is still to come.
        let until_ns = self.time.real_ns() + (2 * self.plan.interval_ms + self.plan.delay_ms.unwrap_or(0)) * 1_000_000;
        if self.plan.interval_ms > 100 {
            self.time.pass(self.plan.interval_ms.unsigned_abs() * 1_000_000);
        }
        self.rounds("ticks or runs do not come to their end", move |world| {
            world.time.real_ns() > until_ns && world.is_up_to_date()
        })?;
        self.stop_and_close(true)
    }

    /// Somebody gives the inputs log more room, for which the process is started again.
    pub(super) fn make_room(&mut self) -> Result<(), Violation> {
        self.note(Step::Room);
        if self.process.is_some() {
            self.crash(Crash::Process)?;
        }
        self.has_room = true;
        self.configs.clear();
        Ok(())
    }

    fn is_up_to_date(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let now_ms = process.clock.now_ns().div_euclid(1_000_000);
        let next_ms = self.mirrors[1].last_planned_ms().map(|last_ms| last_ms + self.plan.interval_ms);
        let all_started = self.mirrors[1].count(STARTED) == self.mirrors[2].count(OUTCOME);
        all_started && next_ms.is_some_and(|next_ms| now_ms <= next_ms + 3)
    }

    /// Rounds of everything that there is, until `done`.
    fn rounds(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Violation> {
        let bound = 20_000 + 20 * self.plan.lines;
        for _ in 0..bound {
            self.follow()?;
            if done(self) {
                return Ok(());
            }
            self.round();
            self.look_for_change()?;
        }
        let process = self.process.as_ref();
        let reason = process.map(|process| process.watch.reason().to_owned()).unwrap_or_default();
        let (started, outcomes) = (self.mirrors[1].count(STARTED), self.mirrors[2].count(OUTCOME));
        let waiting: u64 = self.feeds.iter().map(super::feed::Feed::waiting).sum();
        Err(self.violation(format!(
            "{what} within {bound} rounds: {waiting} lines wait to be sent, {} receipts are stored, {outcomes} of {started} \
             runs have an outcome, the last tick was planned at {:?}, now it is {} ms; {reason}",
            self.mirrors[0].receipts.len(),
            self.mirrors[1].last_planned_ms(),
            self.time.real_ns() / 1_000_000
        )))
    }

    fn round(&mut self) {
        for feed in 0..self.feeds.len() {
            if self.feeds[feed].waiting() > 0 && self.feeds[feed].pipe().is_empty() {
                self.send_lines(feed, self.plan.burst);
            }
        }
        self.turn_everything();
    }

    fn turn_everything(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.cycle(&mut self.marks);
        for step in [KeeperStep::Prepare, KeeperStep::Flush, KeeperStep::Flush, KeeperStep::Flush] {
            self.step_keeper(step);
        }
        if self.plan.retires() {
            self.step_keeper(KeeperStep::Zero);
        }
        self.tend();
        // Nobody has to wait for a tick that is still to come.
        let waits = self.is_up_to_date() && self.feeds.iter().all(super::feed::Feed::is_over);
        self.time.pass(if waits { self.plan.interval_ms.unsigned_abs() * 50_000 } else { ROUND_NS });
    }

    /// Asks the process to stop, waits, and closes the logs. Where the disk is in trouble a stop that does not come to its end is given
    /// up, as the command does it.
    pub(super) fn stop_and_close(&mut self, must: bool) -> Result<(), Violation> {
        self.note(Step::Stop);
        if let Some(process) = &mut self.process {
            process.stop();
        }
        let may_be_given_up = !must && self.troubled;
        let bound = 20_000 + 20 * self.plan.lines;
        for round in 0..bound {
            if self.process.as_ref().is_none_or(Process::is_done) {
                return self.close();
            }
            if may_be_given_up && round > 6_000 {
                break;
            }
            self.turn_everything();
        }
        if may_be_given_up {
            return self.crash(Crash::Abort);
        }
        Err(self.violation(format!("a stop does not come to its end within {bound} rounds")))
    }

    pub(super) fn close(&mut self) -> Result<(), Violation> {
        self.follow()?;
        let Some(process) = self.process.take() else { return Ok(()) };
        let by_stop = process.stopping;
        let durable = process.durable();
        let closed = process.close();
        self.mirrors.iter_mut().for_each(Mirror::leave);
        let is_closed = closed.is_ok();
        self.note(Step::Close(closed.map_err(|fault| fault.to_string())));
        self.ended = Ended { by_stop, whole: is_closed };
        if !is_closed {
            self.durable = durable;
            return if self.troubled { Ok(()) } else { Err(self.violation("the logs cannot be closed")) };
        }
        self.happened.stops += u64::from(by_stop);
        self.marks.set_if(Mark::StoppedClean, by_stop);
        self.durable = [u64::MAX; 3];
        Ok(())
    }

    /// Looks at everything once more, from the disk alone.
    ///
    /// # Errors
    /// What does not follow from what was received.
    pub fn judge(&mut self) -> Result<(Totals, Facts), Violation> {
        for (log, name) in LOGS.iter().enumerate() {
            let files = self.files(name);
            self.mirrors[log].reopen(files, u64::MAX).map_err(|what| self.violation(what))?;
        }
        self.compare_intake()?;
        // Somebody who comes when all is over.
        self.followers.push(Follower::new(Start::Oldest, 500));
        for index in 0..self.followers.len() {
            while self.follower_reads(index)? {}
            self.followers[index].compare(&self.mirrors[2].frames).map_err(|what| self.violation(what))?;
        }
        let facts = Facts::read(&mut self.mirrors).map_err(|what| self.violation(what))?;
        self.marks.add(&self.around.reached());
        if let Some(wrong) = self.around.first_wrong() {
            return Err(self.violation(wrong));
        }
        let restarted = self.happened.starts > 1;
        let excuses = Excuses { down: self.engine_was_down, stopped: self.happened.stops > 0, restarted };
        let rules = Rules { given: self.given.clone(), live: self.live_changes(), ..self.plan.rules() };
        let totals = oracle::check(&rules, &facts, excuses).map_err(|what| self.violation(what))?;
        self.replay(totals)?;
        self.mark_facts(&facts, totals);
        self.happened.simulated_ns = self.time.monotonic_ns();
        self.mirrors.iter().for_each(|mirror| mirror.frames.hash(&mut self.digest));
        Ok((totals, facts))
    }

    /// The product's own verification, and its own reading of which configuration was in force at which tick.
    fn replay(&mut self, totals: Totals) -> Result<(), Violation> {
        let folder = self.folder.join("export");
        self.disk.export(&folder).map_err(|error| self.violation(format!("export: {error}")))?;
        let engines = engines(super::engine::Around::default());
        let verified = verify(&folder, &engines, |_| {}).map_err(|fault| self.violation(format!("verify: {fault}")))?;
        if verified.pending > 0 {
            return Err(self.violation(format!("verify: {verified:?}")));
        }
        self.marks.set_if(Mark::VerifiedBehind, self.oldest(0) > 0);
        if totals.ticks == 0 || (0..3).any(|log| self.oldest(log) > 0) {
            return Ok(());
        }
        let told =
            whatif(&folder, Change::default(), None, 0).map_err(|fault| self.violation(format!("whatif: {fault}")))?;
        let (is, due) = ((told.before.ticks, told.before.runs), (totals.ticks, totals.runs));
        if is == due { Ok(()) } else { Err(self.violation(format!("whatif finds {is:?} ticks and runs of {due:?}"))) }
    }

    fn mark_facts(&mut self, facts: &Facts, totals: Totals) {
        let failed = |kind: &str| facts.events.iter().any(|event| event.error_kind() == Some(kind));
        let any = |event_type| facts.events.iter().any(|event| event.event_type.as_deref() == Some(event_type));
        for (mark, kind) in [
            (Mark::FailedMissing, "missing_snapshot_inputs"),
            (Mark::FailedEngine, "engine_failure"),
            (Mark::FailedTimeout, "engine_timeout"),
            (Mark::FailedUnavailable, "engine_unavailable"),
            (Mark::FailedInvalid, "engine_output_invalid"),
            (Mark::FailedState, "hysteresis_state_failure"),
            (Mark::FailedShutdown, "shutdown"),
        ] {
            self.marks.set_if(mark, failed(kind));
        }
        self.marks.set_if(Mark::Completed, any("EngineRunCompleted"));
        self.marks.set_if(Mark::Hysteresis, any("HysteresisDecisionPublished"));
        self.marks.set_if(Mark::Retried, facts.events.iter().any(|event| event.attempt > Some(1)));
        let empty = |frame: &Decision| matches!(frame, Decision::Tick(tick) if tick.skipped > 0);
        self.marks.set_if(Mark::EmptyTick, facts.decisions.iter().any(empty));
        self.marks.set_if(Mark::ClockStepped, self.mirrors[1].count(CLOCK_STEP) > 0);
        self.marks.set_if(Mark::Overtaken, totals.overtaken > 0);
        self.marks.set_if(Mark::ManySymbols, totals.widest >= 1_000);
        self.marks.set_if(Mark::SymbolsOverMax, self.plan.symbols as u64 > self.plan.symbols_max);
        let line_max_bytes = usize::try_from(self.plan.line_max_bytes).unwrap_or(usize::MAX);
        self.marks.set_if(Mark::Truncated, facts.receipts.iter().any(|receipt| receipt.line.len() == line_max_bytes));
        self.marks.set_if(Mark::Undecoded, totals.refused > 0);
        self.marks.set_if(Mark::BinaryEvent, totals.binary_events > 0);
        self.marks.set_if(Mark::BinaryRefused, totals.binary_refused > 0);
        self.marks.set_if(Mark::BinaryUnread, totals.binary_unread > 0);
        self.marks.set_if(Mark::BinaryBroken, self.feeds.iter().any(super::feed::Feed::has_broken_off));
        let segment_bytes = self.plan.segment_bytes;
        for (mark, log) in [(Mark::RolledInputs, 0), (Mark::RolledRuns, 1), (Mark::RolledOutputs, 2)] {
            let last = self.mirrors[log].frames.last();
            self.marks.set_if(mark, last.is_some_and(|last| last.position >= segment_bytes));
        }
    }
}
