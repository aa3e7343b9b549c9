//! What two samples say: rates, shares, percentiles, as text in tables. Pure.

use cutline::plane::counters as table;
use cutline_shm::counters::{CounterDef, CounterView};
use cutline_shm::histograms::HistogramView;
use cutline_shm::status::State;

use super::number::{bytes, count, duration, percent};
use super::sample::Sample;
use crate::utc::utc;

/// A link that is fuller than this, in percent, is worth a look.
const FULL_PERCENT: u64 = 75;
/// Distinct errors that are shown; `cutline errors` has them all.
const ERRORS_MAX: usize = 20;

/// How a line is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Plain,
    /// Look here.
    Alarm,
}

/// A line of a table.
pub struct Row {
    /// What stands in its columns.
    pub cells: Vec<String>,
    /// How it is to be read.
    pub tone: Tone,
}

/// A table.
pub struct Section {
    /// Column heads with the width of each; the last column takes what is left.
    pub columns: Vec<(&'static str, u16)>,
    /// Its lines.
    pub rows: Vec<Row>,
}

/// A picture.
pub struct View {
    /// Lines above the tables.
    pub head: Vec<(String, Tone)>,
    /// The tables, the most important first.
    pub sections: Vec<Section>,
}

impl View {
    /// What happened between two samples of one process; without the first, or of another process, since its start.
    pub fn between(before: Option<&Sample>, now: &Sample) -> Self {
        let before = before.filter(|before| now.follows(before) && now.at_ns > before.at_ns);
        let span = Span { before, now };
        let sections = vec![span.rates(), span.modules(), span.lanes(), span.links(), span.latencies(), span.faults()];
        Self { head: span.head(), sections }
    }

    /// Adds a line above the tables, in place of the last one that was added so.
    pub fn says(&mut self, text: String) {
        self.head.truncate(HEAD_LINES);
        self.head.push((text, Tone::Alarm));
    }
}

/// Lines of [`Span::head`].
const HEAD_LINES: usize = 2;

struct Span<'a> {
    before: Option<&'a Sample>,
    now: &'a Sample,
}

impl Span<'_> {
    fn seconds(&self) -> f64 {
        let began_ns = self.before.map_or(self.now.start_ns, |before| before.at_ns);
        self.now.at_ns.saturating_sub(began_ns).max(1) as f64 / 1e9
    }

    /// By how much a counter of this label has risen.
    fn rise(&self, def: &CounterDef, label: &str) -> u64 {
        let before = self.before.map_or(0, |before| before.value(def, label));
        self.now.value(def, label).saturating_sub(before)
    }

    fn rise_of_all(&self, def: &CounterDef) -> u64 {
        self.now.sum(def).saturating_sub(self.before.map_or(0, |before| before.sum(def)))
    }

    fn per_second(&self, rise: u64) -> String {
        count(rise as f64 / self.seconds())
    }

    fn head(&self) -> Vec<(String, Tone)> {
        let now = self.now;
        let state = now.state.map_or("state unknown", State::name);
        let age = now.at_ns.saturating_sub(now.start_ns).max(0).unsigned_abs();
        let span = if self.before.is_some() { "now" } else { "since its start" };
        let text = format!(
            "{}  pid {}  {state}  up {}  figures {span}, {}",
            now.place,
            now.pid,
            duration(age),
            utc(now.at_ns)
        );
        let well = now.trouble.is_none() && matches!(now.state, Some(State::Running)) && now.reason.is_empty();
        let reasons: Vec<&str> = [now.trouble.as_deref().unwrap_or_default(), &now.reason]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        let reason = if well { "ready".to_owned() } else { reasons.join("; ") };
        let tone = if well { Tone::Plain } else { Tone::Alarm };
        vec![(text, tone), (reason, tone)]
    }

    fn rates(&self) -> Section {
        let failed =
            self.rise_of_all(&table::RUNS_OUTCOME).saturating_sub(self.rise(&table::RUNS_OUTCOME, "completed"));
        let rows = [
            ("receipts", self.rise_of_all(&table::INPUTS_RECEIPTS), self.now.sum(&table::INPUTS_RECEIPTS)),
            ("ticks", self.rise_of_all(&table::CUT_TICKS), self.now.sum(&table::CUT_TICKS)),
            ("runs", self.rise_of_all(&table::RUNS_OUTCOME), self.now.sum(&table::RUNS_OUTCOME)),
            (
                "runs failed",
                failed,
                self.now.sum(&table::RUNS_OUTCOME) - self.now.value(&table::RUNS_OUTCOME, "completed"),
            ),
            ("events", self.rise_of_all(&table::PUBLISH_EVENTS), self.now.sum(&table::PUBLISH_EVENTS)),
        ];
        let rows = rows.map(|(name, rise, total)| Row {
            cells: vec![name.to_owned(), self.per_second(rise), count(total as f64)],
            tone: if name == "runs failed" && rise > 0 { Tone::Alarm } else { Tone::Plain },
        });
        Section { columns: vec![("FLOW", 14), ("per second", 12), ("total", 16)], rows: rows.into() }
    }

    fn modules(&self) -> Section {
        let rows = self.now.modules.iter().map(|module| Row {
            cells: vec![
                module.name.clone(),
                module.state.clone(),
                module.pid.map_or_else(String::new, |pid| pid.to_string()),
                module.uses.clone(),
                module.detail.clone(),
            ],
            tone: if module.is_well { Tone::Plain } else { Tone::Alarm },
        });
        Section {
            columns: vec![("MODULE", 22), ("state", 12), ("pid", 9), ("uses", 18), ("", 0)],
            rows: rows.collect(),
        }
    }

    fn lanes(&self) -> Section {
        let rows = self.now.lanes.iter().map(|lane| {
            let of = |def| self.rise(def, &lane.name);
            let (busy, idle, blocked) = (of(&table::LANE_BUSY), of(&table::LANE_IDLE), of(&table::LANE_BLOCKED));
            let (all, stalls) = (busy + idle + blocked, of(&table::LANE_STALLS));
            let beat_ns = self.now.at_ns.saturating_sub(lane.beat_ns).max(0).unsigned_abs();
            let longest_ns = self.now.value(&table::LANE_LONGEST, &lane.name);
            let mut cells = vec![lane.name.clone()];
            cells.extend([busy, idle, blocked].map(|part| percent(part, all)));
            cells.extend([self.per_second(all), duration(longest_ns), count(stalls as f64), duration(beat_ns)]);
            Row { cells, tone: if stalls > 0 || blocked > 0 { Tone::Alarm } else { Tone::Plain } }
        });
        let columns = vec![
            ("LANE (of its cycles)", 22),
            ("busy", 9),
            ("idle", 9),
            ("blocked", 9),
            ("cycles/s", 12),
            ("longest", 10),
            ("stalls", 8),
            ("last beat", 10),
        ];
        Section { columns, rows: rows.collect() }
    }

    fn links(&self) -> Section {
        let rows = self.now.each(&table::LINK_CAPACITY).map(|link| {
            let (used, capacity) = (self.now.value(&table::LINK_USED, &link.label), link.value);
            let full = capacity > 0 && used.saturating_mul(100) / capacity >= FULL_PERCENT;
            let cells = vec![labelled(link).to_owned(), bytes(used), bytes(capacity), percent(used, capacity)];
            Row { cells, tone: if full { Tone::Alarm } else { Tone::Plain } }
        });
        Section { columns: vec![("LINK", 22), ("used", 12), ("of", 12), ("depth", 9)], rows: rows.collect() }
    }

    /// What each stage does and how long things take, in the order in which an event meets them.
    fn latencies(&self) -> Section {
        let histogram = |def: &CounterDef, label: &str| {
            let name = def.name;
            self.now.histograms.iter().find(|found| found.name == name && found.label == label && found.count > 0)
        };
        let stages = self.now.each(&table::STAGE_ITEMS).map(|stage| {
            let blocked = self.rise(&table::STAGE_BLOCKED, &stage.label);
            let items = self.rise(&table::STAGE_ITEMS, &stage.label);
            let time = histogram(&table::STAGE_TIME, &stage.label);
            let mut cells = vec![labelled(stage).to_owned(), self.per_second(items), self.per_second(blocked)];
            cells.extend(percentiles(time));
            Row { cells, tone: if blocked > 0 { Tone::Alarm } else { Tone::Plain } }
        });
        let whole = [("a run's engine calls", &table::RUN_DURATION), ("tick to visible", &table::PUBLISH_LATENCY)];
        let runs = self.rise_of_all(&table::RUNS_OUTCOME);
        let whole = whole.into_iter().map(|(name, def)| {
            let mut cells = vec![name.to_owned(), self.per_second(runs), String::new()];
            cells.extend(percentiles(histogram(def, "")));
            Row { cells, tone: Tone::Plain }
        });
        let columns = vec![
            ("STAGE (times: since start)", 28),
            ("items/s", 12),
            ("blocked/s", 11),
            ("p50", 10),
            ("p99", 10),
            ("p99.9", 10),
            ("max", 10),
        ];
        Section { columns, rows: stages.chain(whole).collect() }
    }

    /// The latest first.
    fn faults(&self) -> Section {
        let mut errors: Vec<_> = self.now.errors.iter().collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.last_ns));
        let recent_ns = self.before.map_or(i64::MAX, |before| before.at_ns);
        let rows = errors.into_iter().take(ERRORS_MAX).map(|error| Row {
            cells: vec![utc(error.last_ns), count(error.count as f64), error.text.clone()],
            tone: if error.last_ns >= recent_ns { Tone::Alarm } else { Tone::Plain },
        });
        Section { columns: vec![("LAST FAULTS", 26), ("times", 8), ("", 0)], rows: rows.collect() }
    }
}

/// What stands behind the `=` of a label that has one key.
fn labelled(counter: &CounterView) -> &str {
    counter.label.split_once('=').map_or(&counter.label, |(_, value)| value)
}

fn percentiles(histogram: Option<&HistogramView>) -> [String; 4] {
    let of = |q| histogram.and_then(|found| found.percentile(q));
    [of(0.5), of(0.99), of(0.999), histogram.map(|found| found.max)].map(|ns| ns.map_or("-".to_owned(), duration))
}
