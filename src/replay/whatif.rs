//! Another cadence over recorded receipts: which runs would be others, and which SnapshotInputs would no longer be late.
//!
//! Two cut states read the same receipts side by side: one ticks as was recorded, one as proposed. Engines are called only where
//! that is asked for, once for each run of either side. Reads the logs of a living or a dead system and disturbs neither. Cold.

mod side;

use std::fmt;
use std::path::Path;

use cutline_journal::{LogFault, LogFiles, Lookup};

use side::{Entry, Key, Side};

use crate::config::{self, OutputConfig};
use crate::cut::cadence::{Cadence, CadenceError};
use crate::cut::state::Tick;
use crate::model::frames::{CONFIG, NAME, TICK, TICKS_SKIPPED};
use crate::model::receipt::RECEIPT;
use crate::model::run_id::RunId;
use crate::plane::pipeline::EngineFactory;
use crate::plane::settings::{cadence_of, read_config_frame};
use crate::replay::verify::{VerifyFault, from_first_frame};
use crate::sequence::names::NameTables;

/// Most ticks that are compared: those of a year, one a second.
const TICKS_MAX: u128 = 365 * 24 * 3600;

/// What is to be otherwise; what is `None` stays as it was last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// `scheduler.mode`.
    pub mode: Option<config::Cadence>,
    /// `scheduler.interval_ms`.
    pub interval_ms: Option<i64>,
    /// `scheduler.delay_ms`.
    pub delay_ms: Option<i64>,
}

/// What one cadence makes of the receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ticks.
    pub ticks: u64,
    /// Runs.
    pub runs: u64,
    /// Runs without SnapshotInputs.
    pub missing: u64,
    /// SnapshotInputs that came after their run was cut.
    pub late: u64,
    /// Runs that the engine failed; 0 where it was not asked.
    pub failed: u64,
}

/// How a run would differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Differs {
    /// It has SnapshotInputs where it had none.
    Gains,
    /// It has none where it had one.
    Loses,
    /// It selects another one.
    Selects,
    /// There is no such run any more.
    Gone,
    /// There was no such run.
    New,
}

/// A run that would differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its symbol.
    pub symbol: String,
    /// Its engine timestamp, Unix ms.
    pub engine_timestamp_ms: i64,
    /// How.
    pub differs: Differs,
    /// `ingest_seq` of what it selected.
    pub before: Option<u64>,
    /// `ingest_seq` of what it would select.
    pub after: Option<u64>,
}

/// What would be otherwise.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// The cadence that was in force last.
    pub recorded: Cadence,
    /// The one that was asked about.
    pub proposed: Cadence,
    /// As recorded.
    pub before: Totals,
    /// As proposed.
    pub after: Totals,
    /// Runs that would differ, by [`Differs`] in its order.
    pub differing: [u64; 5],
    /// Runs with the same selection.
    pub same: u64,
    /// Those of them whose run_id is another one, because their cut ends elsewhere.
    pub other_ids: u64,
    /// Runs of both whose outcome is another one; `None` where no engine was asked.
    pub other_outcomes: Option<u64>,
    /// SnapshotInputs that would no longer be late.
    pub no_longer_late: u64,
    /// Those that would be late and were not.
    pub newly_late: u64,
    /// The first runs that would differ.
    pub first: Vec<Difference>,
}

/// Why nothing can be said.
#[derive(Debug)]
pub enum WhatIfFault {
    /// The logs cannot be read, or an engine cannot be had.
    Read(VerifyFault),
    /// The cadence is refused.
    Cadence(CadenceError),
    /// There are no ticks to compare with.
    NoTicks,
    /// The cadence has too many ticks between the first recorded one and the last.
    TooManyTicks {
        /// How many.
        ticks: u128,
    },
}

impl fmt::Display for WhatIfFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(fault) => fault.fmt(f),
            Self::Cadence(error) => error.fmt(f),
            Self::NoTicks => f.write_str(
                "the runs log has no tick yet to compare with: let it run for an interval, or backfill a capture",
            ),
            Self::TooManyTicks { ticks } => write!(
                f,
                "this cadence has {ticks} ticks between the first recorded one and the last, and at most {TICKS_MAX} are compared: \
                 choose a longer interval, and look with `dump DIR runs --all` whether the recorded times are sound"
            ),
        }
    }
}

impl std::error::Error for WhatIfFault {}

impl From<LogFault> for WhatIfFault {
    fn from(fault: LogFault) -> Self {
        Self::Read(fault.into())
    }
}

impl From<VerifyFault> for WhatIfFault {
    fn from(fault: VerifyFault) -> Self {
        Self::Read(fault)
    }
}

/// What the runs log says of time.
struct Recorded {
    ticks: Vec<Tick>,
    /// First and last planned time of ticks that were skipped.
    skipped: Vec<(i64, i64)>,
    /// With the first planned time that each applies to.
    configs: Vec<(i64, OutputConfig, RunId)>,
}

fn read_runs(data: &Path) -> Result<Recorded, WhatIfFault> {
    let mut tail = from_first_frame(data, "runs")?;
    let mut recorded = Recorded { ticks: Vec::new(), skipped: Vec::new(), configs: Vec::new() };
    while let Some(frame) = tail.poll()? {
        let header = frame.header;
        match header.kind {
            TICK => recorded.ticks.push(Tick { planned_ts_ms: header.aux, engine_timestamp_ms: header.ts_ms }),
            TICKS_SKIPPED => recorded.skipped.push((header.ts_ms, header.aux)),
            CONFIG => {
                let (config, digest) = read_config_frame(frame.payload).map_err(VerifyFault::Engine)?;
                // One that no tick followed, as where a process died before it, was never in force.
                recorded.configs.retain(|(from_ms, ..)| *from_ms < header.aux);
                // The first one applies to everything, whatever the other cadence's first tick is.
                let from_ms = if recorded.configs.is_empty() { i64::MIN } else { header.aux };
                recorded.configs.push((from_ms, config, digest));
            }
            _ => {}
        }
    }
    Ok(recorded)
}

/// The ticks that `cadence` has from the first recorded one to the last, but where ticks were skipped.
fn proposed_ticks(cadence: Cadence, recorded: &Recorded) -> Result<impl Iterator<Item = Tick>, WhatIfFault> {
    let (Some(first), Some(last)) = (recorded.ticks.first(), recorded.ticks.last()) else {
        return Err(WhatIfFault::NoTicks);
    };
    let (planned, interval_ms) = match cadence {
        Cadence::Timer { interval_ms } => (Some(first.planned_ts_ms), interval_ms),
        // The first boundary that is not before the first recorded one.
        Cadence::Boundary { interval_ms, delay_ms } => {
            let before_ms = first.engine_timestamp_ms.saturating_sub(1).saturating_add(delay_ms);
            (cadence.first_planned(before_ms), interval_ms)
        }
    };
    let span_ms = i128::from(last.engine_timestamp_ms) - i128::from(planned.unwrap_or(i64::MAX));
    let ticks = u128::try_from(span_ms / i128::from(interval_ms)).unwrap_or(0);
    if ticks > TICKS_MAX {
        return Err(WhatIfFault::TooManyTicks { ticks });
    }
    let ticks = std::iter::successors(planned, move |planned| cadence.next_planned(*planned))
        .map(move |planned_ts_ms| Tick { planned_ts_ms, engine_timestamp_ms: cadence.engine_timestamp(planned_ts_ms) })
        .take_while(|tick| tick.engine_timestamp_ms <= last.engine_timestamp_ms)
        .filter(|tick| !recorded.skipped.iter().any(|(from, to)| (*from..=*to).contains(&tick.planned_ts_ms)));
    Ok(ticks)
}

fn proposed_cadence(change: Change, config: &OutputConfig) -> Result<Cadence, CadenceError> {
    let scheduler = &config.scheduler;
    let interval_ms = change.interval_ms.unwrap_or(scheduler.interval_ms);
    let cadence = match change.mode.unwrap_or(scheduler.mode) {
        config::Cadence::Timer => Cadence::timer(interval_ms)?,
        config::Cadence::Boundary => Cadence::boundary(interval_ms, change.delay_ms.unwrap_or(scheduler.delay_ms))?,
    };
    cadence.check_timestamp_multiple(config.engine.timestamp_multiple_ms)?;
    Ok(cadence)
}

/// Compares what was recorded with what `change` would give; outcomes too if there are `engines` to ask. Of the runs that would
/// differ the first `first_max` are told one by one.
///
/// # Errors
/// [`WhatIfFault`].
pub fn whatif(
    data: &Path,
    change: Change,
    engines: Option<&EngineFactory>,
    first_max: usize,
) -> Result<WhatIf, WhatIfFault> {
    let recorded = read_runs(data)?;
    let (_, last, _) = recorded.configs.last().ok_or(WhatIfFault::NoTicks)?;
    let proposed = proposed_cadence(change, last).map_err(WhatIfFault::Cadence)?;
    let ticks = proposed_ticks(proposed, &recorded)?;
    let cut_kind = u8::from(matches!(proposed, Cadence::Boundary { .. }));
    let mut tail = from_first_frame(data, "inputs")?;
    let segment_bytes = tail.segment_bytes();
    let lookup = || Lookup::new(LogFiles::find(data, "inputs"), segment_bytes);
    let side_engines = || engines.map(|engines| (engines, lookup()));
    let mut before = Side::new(recorded.ticks.iter().copied(), &recorded.configs, None, side_engines());
    let mut after = Side::new(ticks, &recorded.configs, Some(cut_kind), side_engines());
    let mut names = NameTables::new(usize::MAX);
    let result = WhatIf {
        recorded: cadence_of(last),
        proposed,
        before: Totals::default(),
        after: Totals::default(),
        differing: [0; 5],
        same: 0,
        other_ids: 0,
        other_outcomes: engines.map(|_| 0),
        no_longer_late: 0,
        newly_late: 0,
        first: Vec::new(),
    };
    let mut comparison = Comparison { lookup: lookup(), first_max, result };
    while let Some(frame) = tail.poll()? {
        match frame.header.kind {
            NAME => names.define(frame.header.flags, str::from_utf8(frame.payload).unwrap_or_default()),
            RECEIPT => {
                before.tick_until(frame.header.ts_ns, &names)?;
                after.tick_until(frame.header.ts_ns, &names)?;
                comparison.compare(&mut before, &mut after, &names)?;
                let late = (before.receipt(&frame.header, &names), after.receipt(&frame.header, &names));
                comparison.result.no_longer_late += u64::from(late == (true, false));
                comparison.result.newly_late += u64::from(late == (false, true));
            }
            _ => {}
        }
    }
    before.tick_until(i64::MAX, &names)?;
    after.tick_until(i64::MAX, &names)?;
    comparison.compare(&mut before, &mut after, &names)?;
    Ok(WhatIf { before: before.totals, after: after.totals, ..comparison.result })
}

/// Puts the two sides' runs together, as far as both have come.
struct Comparison {
    lookup: Lookup,
    first_max: usize,
    result: WhatIf,
}

impl Comparison {
    fn compare(&mut self, before: &mut Side<'_>, after: &mut Side<'_>, names: &NameTables) -> Result<(), LogFault> {
        let done = before.done_through().min(after.done_through());
        loop {
            let next = [&before.runs, &after.runs]
                .into_iter()
                .filter_map(|runs| runs.first_key_value())
                .map(|(key, _)| *key)
                .min();
            let Some(key) = next.filter(|(timestamp_ms, _)| *timestamp_ms <= done) else { return Ok(()) };
            let (was, is) = (before.runs.remove(&key), after.runs.remove(&key));
            self.note(key, was, is, names)?;
        }
    }

    fn note(&mut self, key: Key, was: Option<Entry>, is: Option<Entry>, names: &NameTables) -> Result<(), LogFault> {
        let result = &mut self.result;
        if let (Some(was), Some(is), Some(others)) = (&was, &is, &mut result.other_outcomes) {
            *others += u64::from(was.outcome != is.outcome);
        }
        let position = |entry: Option<Entry>| entry.map_or(0, |entry| entry.position);
        let differs = match (was, is) {
            (Some(was), Some(is)) if was.position == is.position => {
                result.same += 1;
                result.other_ids += u64::from(was.run_id != is.run_id);
                return Ok(());
            }
            (Some(Entry { position: 0, .. }), Some(_)) => Differs::Gains,
            (Some(_), Some(Entry { position: 0, .. })) => Differs::Loses,
            (Some(_), Some(_)) => Differs::Selects,
            (Some(_), None) => Differs::Gone,
            (None, _) => Differs::New,
        };
        result.differing[differs as usize] += 1;
        if result.first.len() < self.first_max {
            let symbol = names.symbols.name(key.1).unwrap_or_default().to_owned();
            let (before, after) = (self.seq_at(position(was))?, self.seq_at(position(is))?);
            self.result.first.push(Difference { symbol, engine_timestamp_ms: key.0, differs, before, after });
        }
        Ok(())
    }

    fn seq_at(&mut self, position: u64) -> Result<Option<u64>, LogFault> {
        if position == 0 {
            return Ok(None);
        }
        Ok(Some(self.lookup.frame(position)?.header.seq))
    }
}
