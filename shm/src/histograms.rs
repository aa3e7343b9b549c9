//! Histograms in mapped memory: log-linear buckets, recorded by lanes, read by anybody.
//!
//! [`Histogram::record`] may be called from any thread: two relaxed adds and a compare, no syscall, no allocation.
//! Values 0 to 63 are exact; from there each power of two has 32 buckets, and a percentile is the middle of its bucket:
//! at most 1/64 (1.6 %) off. Values of 2^40 (18 minutes in ns) and above share one bucket, whose percentile is the
//! maximum, which is kept exactly. The count is the sum of the buckets and not a word of its own: one add less on the
//! hot path, and it can never disagree with them.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::counters::load_meta;
use crate::layout::{
    BUCKET_COUNT, HISTOGRAM_BUCKETS_AT, HISTOGRAM_BYTES, HISTOGRAM_MAX_AT, HISTOGRAM_SUM_AT, HISTOGRAMS_AT,
    SUB_BUCKET_BITS, VALUE_BITS, get_text,
};
use crate::region::Region;

const SUB_BUCKETS: u64 = 1 << SUB_BUCKET_BITS;
const OVER: usize = BUCKET_COUNT - 1;

/// Which bucket counts `value`.
#[inline]
const fn bucket_of(value: u64) -> usize {
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let power = u64::BITS - 1 - value.leading_zeros();
    if power >= VALUE_BITS {
        return OVER;
    }
    // The top six bits of the value: a leading one, which the power stands for, and five that choose the sub-bucket.
    let shift = power - SUB_BUCKET_BITS;
    let sub = (value >> shift) - SUB_BUCKETS;
    (SUB_BUCKETS * (shift as u64 + 1) + sub) as usize
}

/// The value that stands for a bucket below `OVER`: its middle.
const fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    let low = (SUB_BUCKETS + bucket % SUB_BUCKETS) << shift;
    low + ((1 << shift) - 1) / 2
}

pub(crate) const fn histogram_at(index: usize) -> usize {
    HISTOGRAMS_AT + index * HISTOGRAM_BYTES
}

/// Records into one histogram of the cnc file.
#[derive(Clone, Debug)]
pub struct Histogram {
    region: Arc<Region>,
    at: usize,
}

impl Histogram {
    pub(crate) fn new(region: Arc<Region>, index: usize) -> Self {
        Self { region, at: histogram_at(index) }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&self, value: u64) {
        self.record_times(value, 1);
    }

    /// Counts a value that so many had.
    #[inline]
    pub fn record_times(&self, value: u64, times: u64) {
        let bucket = self.at + HISTOGRAM_BUCKETS_AT + bucket_of(value) * 8;
        self.region.atomic_u64(bucket).fetch_add(times, Ordering::Relaxed);
        self.region.atomic_u64(self.at + HISTOGRAM_SUM_AT).fetch_add(value.wrapping_mul(times), Ordering::Relaxed);
        let max = self.region.atomic_u64(self.at + HISTOGRAM_MAX_AT);
        // A new maximum is rare; the read-modify-write is only paid then.
        if value > max.load(Ordering::Relaxed) {
            max.fetch_max(value, Ordering::Relaxed);
        }
    }
}

/// One histogram as a reader finds it: a copy that no longer changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramView {
    /// Name.
    pub name: String,
    /// Label; may be empty.
    pub label: String,
    /// Unit of the values.
    pub unit: String,
    /// One sentence for people.
    pub help: String,
    /// Values recorded.
    pub count: u64,
    /// Their sum (wrapping).
    pub sum: u64,
    /// The largest, exactly.
    pub max: u64,
    buckets: Vec<u64>,
}

impl HistogramView {
    /// The value that at least the share `q` (0.0 to 1.0; outside is taken as the nearer end, not-a-number as 0) of all
    /// recorded values do not exceed, to 1/64; `None` if nothing was recorded.
    #[must_use]
    pub fn percentile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        // A float as integer saturates and takes not-a-number as 0, so this is a rank in 1..=count for every q.
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0_u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                let value = if bucket == OVER { self.max } else { middle_of(bucket) };
                return Some(value.min(self.max));
            }
        }
        // Not reached: count is the saturating sum of the buckets.
        Some(self.max)
    }

    /// Mean of the recorded values; `None` if nothing was recorded.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

pub(crate) fn load_histogram(region: &Region, index: usize) -> Option<HistogramView> {
    let at = histogram_at(index);
    let meta = load_meta(region, at)?;
    let word = |offset: usize| region.atomic_u64(at + offset).load(Ordering::Relaxed);
    let buckets: Vec<u64> = (0..BUCKET_COUNT).map(|bucket| word(HISTOGRAM_BUCKETS_AT + bucket * 8)).collect();
    Some(HistogramView {
        name: get_text(&meta.name, meta.name_bytes.into()),
        label: get_text(&meta.label, meta.label_bytes.into()),
        unit: get_text(&meta.unit, meta.unit_bytes.into()),
        help: get_text(&meta.help, meta.help_bytes.into()),
        count: buckets.iter().fold(0, |sum: u64, count| sum.saturating_add(*count)),
        sum: word(HISTOGRAM_SUM_AT),
        max: word(HISTOGRAM_MAX_AT),
        buckets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_their_middles_are_near() {
        let mut last = 0;
        let mut values: Vec<u64> = (0..4096).collect();
        for power in 12..VALUE_BITS {
            for part in 0..200_u64 {
                values.push((1 << power) + ((1_u64 << power) / 200) * part);
            }
            values.push((1 << (power + 1)) - 1);
        }
        for value in values {
            let bucket = bucket_of(value);
            assert!(bucket == last || bucket == last + 1, "value {value}: bucket {last}, then {bucket}");
            last = bucket;
            let off = middle_of(bucket).abs_diff(value);
            assert!(off * 64 <= value, "value {value} is shown as {}", middle_of(bucket));
            assert_eq!(bucket_of(middle_of(bucket)), bucket);
        }
        assert_eq!(last, OVER - 1, "2^40 - 1 is in the last bucket but one");
        for over in [1 << VALUE_BITS, (1 << VALUE_BITS) * 3 / 2, (2 << VALUE_BITS) - 1, u64::MAX] {
            assert_eq!(bucket_of(over), OVER, "{over}");
        }
    }

    #[test]
    fn small_values_are_exact() {
        for value in 0..64 {
            assert_eq!(middle_of(bucket_of(value)), value);
        }
    }
}
