//! `cutline verify`

use std::time::Instant;

use cutline::replay::verify::{VerifyFault, verify as replay};
use indicatif::ProgressBar;

use super::{Failure, Outcome, engines, print};
use crate::cli;

/// `cutline verify`
pub fn verify(args: &cli::Verify) -> Outcome {
    let started = Instant::now();
    let bar = ProgressBar::new_spinner();
    let verified = replay(&args.data, &engines, |receipts| {
        bar.set_message(format!("{receipts} receipts"));
        bar.tick();
    });
    bar.finish_and_clear();
    let verified = verified.map_err(|fault| match fault {
        VerifyFault::Log(fault) => Failure::reading(fault),
        other => Failure::logs(format!("{}: {other}", args.data.display())),
    })?;
    print(format_args!(
        "identical: {} receipts, {} ticks, {} runs; outcomes: {} recomputed, {} taken as recorded, {} pending; {} bytes in {:.2} s",
        verified.receipts,
        verified.ticks,
        verified.runs,
        verified.recomputed,
        verified.taken,
        verified.pending,
        verified.bytes,
        started.elapsed().as_secs_f64()
    ))?;
    if args.strict && verified.taken > 0 {
        return Err(Failure::logs(format!("--strict: {} outcomes were taken as recorded", verified.taken)));
    }
    Ok(())
}
