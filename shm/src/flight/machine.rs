//! What the machine did: samples of each lane, and, of each slow receipt or run, what happened while it was under way. Cold, one thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout::{
    LANES_AT, MOMENT_BYTES, MOMENTS_AT, Moment, RUNS_AT, SAMPLES, SAMPLES_PER_STEAL, SLOW_BYTES, SLOWEST, Sample,
    SlowRecord, WINDOWS, samples_at,
};
use super::slowest::{GROUP, Kept};
use super::{CELL_BYTES, THREAD_AT};
use crate::region::Region;
use crate::slot;
use crate::trail::{self, Trail};

/// Slots of slow runs and receipts together.
const SLOTS: usize = 2 * WINDOWS * SLOWEST;

/// See the module.
#[derive(Debug)]
pub struct MachineWriter {
    region: Arc<Region>,
    lanes: Vec<Trail>,
    /// Slow runs, and slow receipts.
    kept: [Kept; 2],
    /// Versions of the slow records whose moment is written.
    seen: Vec<u64>,
    /// How many records those were, by group.
    noted: Vec<u64>,
}

impl MachineWriter {
    pub(super) fn new(region: Arc<Region>, lanes: usize, kept: [Kept; 2]) -> Self {
        let trail = |lane| Trail::new(Arc::clone(&region), samples_at(lane), SAMPLES);
        let groups = kept.iter().map(|kept| kept.counts().count()).sum();
        Self { lanes: (0..lanes).map(trail).collect(), kept, seen: vec![0; SLOTS], noted: vec![0; groups], region }
    }

    /// The threads of the lanes, as the system numbers them; `None` for one that has not begun.
    pub fn threads(&self) -> impl Iterator<Item = Option<u32>> + '_ {
        (0..self.lanes.len()).map(|lane| {
            let thread = self.region.atomic_u64(LANES_AT + lane * CELL_BYTES + THREAD_AT).load(Ordering::Relaxed);
            u32::try_from(thread).ok().filter(|&thread| thread > 0)
        })
    }

    /// What the machine took from a lane since the last sample.
    pub fn sample(&mut self, lane: usize, sample: &Sample) {
        if let Some(trail) = self.lanes.get_mut(lane) {
            trail.record(sample);
        }
    }

    /// Writes down the moments of what was slow since the last call, from the samples, the last of which is of `now_ns`. Says at how many
    /// slots it has looked: at none where nothing is new.
    pub fn note_moments(&mut self, now_ns: i64) -> usize {
        let (mut samples, mut looked) = (None, 0);
        let mut groups = 0..self.noted.len();
        for (half, kept) in self.kept.iter().enumerate() {
            for (count, of_half) in kept.counts().zip(0..) {
                let Some(group) = groups.next() else { return looked };
                if count == self.noted[group] {
                    continue;
                }
                let slots = of_half * GROUP..((of_half + 1) * GROUP).min(SLOTS / 2);
                looked += slots.len();
                for index in slots.map(|slot| half * (SLOTS / 2) + slot) {
                    let found = slot::load::<SlowRecord>(&self.region, RUNS_AT + index * SLOW_BYTES);
                    // What came while the samples were taken has its turn when they have come so far.
                    let is_new = |(version, record): &(u64, SlowRecord)| {
                        *version != self.seen[index] && record.until_ns <= now_ns
                    };
                    let Some((version, record)) = found.filter(is_new) else { continue };
                    // Two versions a record.
                    self.noted[group] += (version - self.seen[index]) / 2;
                    self.seen[index] = version;
                    let samples = samples.get_or_insert_with(|| load_samples(&self.region, self.lanes.len()));
                    let moment = Moment { of: version, ..moment(samples, &record) };
                    slot::store(&self.region, MOMENTS_AT + index * MOMENT_BYTES, &moment);
                }
            }
        }
        looked
    }
}

/// The samples of all lanes.
pub(super) fn load_samples(region: &Region, lanes: usize) -> Vec<Vec<Sample>> {
    (0..lanes).map(|lane| trail::load(region, samples_at(lane), SAMPLES).0).collect()
}

/// What the machine did while this was under way, as far as these samples of the lanes tell.
pub(super) fn moment(lanes: &[Vec<Sample>], record: &SlowRecord) -> Moment {
    let (from_ns, until_ns) = (record.until_ns.saturating_sub(record.latency_ns), record.until_ns);
    let mut found = Moment::default();
    for (lane, samples) in (0..).zip(lanes) {
        let (mut waited_ns, mut preempted, mut steal_ns, mut covered_ns) = (0_u64, 0_u32, 0_u64, 0_u64);
        for sample in samples {
            let span_ns = i64::from(sample.span_us) * 1_000;
            // How much of what is looked at lies in this long before the sample.
            let overlap_ns = |long_ns: i64| {
                let begin_ns = sample.until_ns.saturating_sub(long_ns).max(from_ns);
                u64::try_from(sample.until_ns.min(until_ns).saturating_sub(begin_ns)).unwrap_or(0)
            };
            if overlap_ns(span_ns.saturating_mul(SAMPLES_PER_STEAL.into())) > 0 {
                steal_ns += u64::from(sample.steal_us) * 1_000;
            }
            let seen_ns = overlap_ns(span_ns);
            if seen_ns == 0 {
                continue;
            }
            covered_ns = covered_ns.saturating_add(seen_ns);
            waited_ns += u64::from(sample.waited_us) * 1_000;
            preempted = preempted.saturating_add(sample.preempted);
            found.minor_faults = found.minor_faults.saturating_add(sample.minor_faults);
            found.major_faults = found.major_faults.saturating_add(sample.major_faults);
        }
        if waited_ns > found.waited_ns || lane == 0 {
            (found.waited_ns, found.preempted, found.lane) = (waited_ns, preempted, lane);
        }
        found.steal_ns = found.steal_ns.max(steal_ns);
        found.covered_ns = found.covered_ns.max(covered_ns);
    }
    found
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::slowest::Slowest;
    use super::*;

    const MS: i64 = 1_000_000;

    fn sample(until_ms: i64, waited_us: u32, preempted: u32) -> Sample {
        Sample {
            until_ns: until_ms * MS,
            span_us: 50_000,
            waited_us,
            preempted,
            minor_faults: 1,
            steal_us: 10_000,
            ..Sample::default()
        }
    }

    fn slow(from_ms: i64, until_ms: i64) -> SlowRecord {
        SlowRecord { latency_ns: (until_ms - from_ms) * MS, until_ns: until_ms * MS, ..SlowRecord::default() }
    }

    #[test]
    fn every_record_has_its_moment_once_and_a_look_costs_what_is_new() {
        let bytes = crate::flight::layout::flight_bytes(1);
        let region = Arc::new(Region::in_process(std::path::Path::new("flight"), bytes).expect("memory"));
        let [mut runs, mut receipts] =
            [RUNS_AT, crate::flight::layout::RECEIPTS_AT].map(|at| Slowest::new(Arc::clone(&region), at));
        let mut machine = MachineWriter::new(Arc::clone(&region), 1, [runs.told(), receipts.told()]);
        // The version of a record and of its moment: the same once that is written.
        let pair = |index: usize| {
            let moment =
                slot::load::<Moment>(&region, MOMENTS_AT + index * MOMENT_BYTES).map_or(0, |(_, moment)| moment.of);
            (slot::version(&region, RUNS_AT + index * SLOW_BYTES), moment)
        };
        assert_eq!(machine.note_moments(0), 0);
        (1..=150).for_each(|ms| runs.keep(&slow(0, ms)));
        receipts.keep(&slow(0, 5));
        assert_eq!(machine.note_moments(1_000 * MS), 4 * GROUP, "three groups of runs, one of receipts");
        assert!((0..150).chain([SLOTS / 2]).all(|index| pair(index) == (2, 2)));
        assert_eq!(machine.note_moments(1_000 * MS), 0, "nothing is new");
        // Slot 0 has the least slow of the first window; all of it is replaced, twice what is the least slow then.
        (151..=2_002).for_each(|ms| runs.keep(&slow(0, ms)));
        assert_eq!(machine.note_moments(1_500 * MS), SLOWEST.div_ceil(GROUP) * GROUP);
        assert!(machine.note_moments(1_500 * MS) > 0, "what ended after the last sample is looked at again");
        assert!(machine.note_moments(9_000 * MS) > 0);
        assert!((0..SLOWEST).all(|index| pair(index).0 == pair(index).1 && pair(index).0 > 0));
        assert_eq!(machine.note_moments(9_000 * MS), 0);
        runs.keep(&slow(0, 5_000));
        assert_eq!(machine.note_moments(9_000 * MS), GROUP);
    }

    #[test]
    fn a_moment_is_of_the_samples_that_touch_it_and_of_the_lane_that_waited_most() {
        let lanes = [
            vec![sample(100, 5, 1), sample(150, 7, 1), sample(200, 9, 1), sample(250, 900, 9)],
            vec![sample(100, 900, 9), sample(150, 0, 0), sample(200, 40, 2), sample(250, 0, 0)],
        ];
        let found = moment(&lanes, &slow(110, 190));
        assert_eq!((found.lane, found.waited_ns, found.preempted), (1, 40_000, 2));
        assert_eq!(
            (found.minor_faults, found.steal_ns),
            (4, 30 * MS.unsigned_abs()),
            "steal of the look at 250, which is of 200 ms, too"
        );
        assert_eq!(found.covered_ns, 80 * MS.unsigned_abs());
        assert_eq!(moment(&lanes, &slow(250, 300)), Moment::default(), "nothing is known of that time");
        let stolen = Moment { steal_ns: 30 * MS.unsigned_abs(), ..Moment::default() };
        assert_eq!(moment(&lanes, &slow(0, 50)), stolen, "before the first sample began, within its look at steal");
        assert_eq!(moment(&lanes, &slow(190, 260)).covered_ns, 60 * MS.unsigned_abs());
        assert_eq!(moment(&[], &slow(0, 1)), Moment::default());
    }
}
