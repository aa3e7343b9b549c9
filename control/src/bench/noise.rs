//! The machine's noise: how often and for how long a thread that only spins is not running. What a latency owes to this
//! is not the product's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clock::{histogram, now_ns};
use super::cores;
use super::harness::Context;
use super::record::{NS, PER_S, PERCENT_LOST, Record, Results};
use crate::commands::{Failure, Outcome};

/// A gap between two looks at the clock that is longer than this is somebody else's doing.
const GAP_NS: u64 = 10_000;
/// How long the cores are watched at the start of each round of a suite.
const BESIDE: Duration = Duration::from_millis(200);
/// How long the suite of its own watches in each round.
const HICCUP: Duration = Duration::from_secs(5);

/// What a core was seen to do.
struct Gaps {
    spans: Histogram<u64>,
    lost_ns: u64,
    watched_ns: u64,
}

/// Watches both cores for `length` at once.
fn watch(context: &Context, length: Duration) -> Result<[(usize, Gaps); 2], Failure> {
    let cores = context.cores;
    let go = Arc::new(AtomicBool::new(false));
    let start = Arc::clone(&go);
    let hot = cores::spawn(cores.hot, move || {
        while !start.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        spin(length)
    })?;
    go.store(true, Ordering::Release);
    let cold = spin(length);
    Ok([(cores.cold, cold), (cores.hot, cores::join(hot)?)])
}

fn spin(length: Duration) -> Gaps {
    let start = now_ns();
    let end = start + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX / 2);
    let (mut last, mut lost_ns, mut spans) = (start, 0, histogram());
    while last < end {
        let now = now_ns();
        if now - last > GAP_NS {
            spans.saturating_record(now - last);
            lost_ns += now - last;
        }
        last = now;
    }
    Gaps { spans, lost_ns, watched_ns: last - start }
}

fn tell(gaps: &Gaps, record: &mut Record<'_>) {
    let seconds = gaps.watched_ns as f64 / 1e9;
    record.value("gaps over 10 µs", PER_S, gaps.spans.len() as f64 / seconds);
    record.value("time lost in them", PERCENT_LOST, 100.0 * gaps.lost_ns as f64 / gaps.watched_ns as f64);
    record.value("longest gap", NS, gaps.spans.max() as f64);
}

/// Watches the cores for a moment and takes it down as cases of `suite`.
pub fn beside(context: &Context, suite: &'static str, discard: bool, results: &mut Results) -> Outcome {
    for (core, gaps) in watch(context, context.time(BESIDE))? {
        let case = format!("noise of core {core}");
        tell(&gaps, &mut Record { results: &mut *results, suite, case: &case, discard });
    }
    Ok(())
}

/// The suite `hiccup`: the same for longer, with how long the gaps are.
pub fn hiccup(context: &Context, record: &mut Record<'_>) -> Outcome {
    for (core, gaps) in watch(context, context.time(HICCUP))? {
        let case = format!("core {core}");
        let Record { suite, discard, .. } = *record;
        let mut record = Record { results: &mut *record.results, suite, case: &case, discard };
        tell(&gaps, &mut record);
        record.latency("gap", &gaps.spans);
    }
    Ok(())
}
