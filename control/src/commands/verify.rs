//! `cutline verify`: the whole of the logs, a window of them, or a living system as it goes on.

mod follow;
mod receipt;

use std::time::Instant;

use cutline::plane::pipeline::EngineFactory;
use cutline::replay::verify::{Verified, Verifier, VerifyFault, Window};
use indicatif::ProgressBar;

use super::replayed::{NEXT, OtherEngines};
use super::{Failure, Outcome, print};
use crate::cli;
pub use follow::FILE as FOLLOW_FILE;

/// `cutline verify`
pub fn verify(args: &cli::Verify) -> Outcome {
    let window = args.window().map_err(Failure::usage)?;
    if args.follow {
        return follow::follow(args, window);
    }
    let started = Instant::now();
    let bar = ProgressBar::new_spinner();
    let engines = args.replayed.engines();
    let mut verifier = open(args, &engines, window).map_err(|fault| failure(args, fault))?;
    let end = verifier.run_to_end(|verified| {
        bar.set_message(format!("{} receipts", verified.receipts_before + verified.receipts));
        bar.tick();
    });
    bar.finish_and_clear();
    // Where it must match, the refusal says it.
    if !args.replayed.engine_must_match {
        OtherEngines::default().warn(verifier.configs());
    }
    receipt::write(args, &verifier, window, end.as_ref().err())?;
    end.map_err(|fault| failure(args, fault))?;
    print(summary(&verifier.verified(), window, started))?;
    check_strict(args, &verifier.verified())
}

fn open<'a>(args: &cli::Verify, engines: &'a EngineFactory, window: Window) -> Result<Verifier<'a>, VerifyFault> {
    let mut verifier = Verifier::open(&args.data, engines, window, args.receipt.is_some())?;
    if args.replayed.engine_must_match {
        verifier.refuse_other_engines()?;
    }
    Ok(verifier)
}

impl cli::Verify {
    fn window(&self) -> Result<Window, String> {
        if let (Some(from), Some(to)) = (self.from_seq, self.to_seq)
            && from > to
        {
            return Err(format!("--from {from} lies behind --to {to}: exchange them"));
        }
        if let (Some(from), Some(to)) = (self.from_ms, self.to_ms)
            && from > to
        {
            return Err(format!("--from-ms {from} lies behind --to-ms {to}: exchange them"));
        }
        let (from_seq, to_seq, from_ms, to_ms) = (self.from_seq, self.to_seq, self.from_ms, self.to_ms);
        Ok(Window { from_seq, to_seq, from_ms, to_ms })
    }
}

fn failure(args: &cli::Verify, fault: VerifyFault) -> Failure {
    match fault {
        VerifyFault::Log(fault) => Failure::reading(fault),
        VerifyFault::Empty { .. } => Failure::usage(fault),
        VerifyFault::OtherEngine(_) => {
            Failure::logs(format!("{}: --engine-must-match: {fault}; {NEXT}", args.data.display()))
        }
        other => Failure::logs(format!("{}: {other}", args.data.display())),
    }
}

fn check_strict(args: &cli::Verify, verified: &Verified) -> Outcome {
    if args.strict && verified.taken > 0 {
        return Err(Failure::logs(format!("--strict: {} outcomes were taken as recorded", verified.taken)));
    }
    Ok(())
}

fn summary(verified: &Verified, window: Window, started: Instant) -> String {
    let mut text = format!(
        "identical: {} receipts, {} ticks, {} runs; outcomes: {} recomputed, {} taken as recorded, {} pending; {} bytes in {:.2} s",
        verified.receipts,
        verified.ticks,
        verified.runs,
        verified.recomputed,
        verified.taken,
        verified.pending,
        verified.bytes,
        started.elapsed().as_secs_f64()
    );
    if let Some(seq) = verified.checkpoint_seq {
        text +=
            &format!("\nbegun with the checkpoint behind ingest_seq {seq}: what lies before it was taken as recorded");
    }
    if verified.checkpoints > 0 {
        text += &format!("\ncheckpoints: {} computed anew", verified.checkpoints);
    }
    if window != Window::default() {
        text += &format!(
            "\nverified through ingest_seq {}; before the window {} receipts were read for its cuts, and {} states were taken as \
             recorded",
            verified.through_seq, verified.receipts_before, verified.states_taken
        );
    }
    text
}
