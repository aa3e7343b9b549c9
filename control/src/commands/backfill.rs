//! `cutline backfill`: a capture through the same pipeline, its clock driven by the receipts.

use std::time::{Duration, Instant};

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;
use cutline_journal::{Start, Tail};
use indicatif::{ProgressBar, ProgressStyle};

use super::signals::StopRequest;
use super::{Failure, Outcome, capture, live, load_config, print};
use crate::cli;

/// `cutline backfill`
pub fn backfill(args: &cli::Backfill) -> Outcome {
    let mut config_args = args.config.clone();
    if let Some(data) = &args.data {
        let path = data.to_str().ok_or_else(|| Failure::usage("--data is not UTF-8"))?;
        config_args.sets.push(format!("log.dir={}", toml_string(path)));
    }
    let config = load_config(&config_args)?;
    let data = &config.log.dir;
    if !args.append && Tail::open(data, "inputs", Start::Oldest).is_ok() {
        let text = "already holds logs: give another --data, or --append to go on with them";
        return Err(Failure::usage(format!("{} {text}", data.display())));
    }
    let stop =
        StopRequest::listen().map_err(|error| Failure::machine(format!("cannot listen for signals: {error}")))?;
    let capture = capture::open(&args.input)?;
    let bar = progress_bar(capture.total_bytes);
    let (read, failed) = (capture.read.clone(), capture.failed.clone());
    let feed = FeedSettings {
        name: args.input.display().to_string(),
        source: FeedAddress::Reader(capture.reader),
        format: Format::Ndjson,
    };
    let started = Instant::now();
    let pipeline = live::open(&config, vec![feed], TimeSource::Receipts)?;
    live::report_recovery(&pipeline);
    let before = pipeline.recovery.receipts;
    live::drive(pipeline, &config, || {
        bar.set_position(read.get());
        stop.is_set()
    })?;
    bar.finish_and_clear();
    summary(data, before, started.elapsed())?;
    failed.check(&args.input)
}

/// A TOML basic string.
pub fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn progress_bar(total_bytes: u64) -> ProgressBar {
    let bar = if total_bytes > 0 { ProgressBar::new(total_bytes) } else { ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed} eta {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What the logs have now; they had `before` receipts.
fn summary(data: &std::path::Path, before: u64, elapsed: Duration) -> Outcome {
    let end = |name| {
        Tail::open(data, name, Start::Now).map(|tail| (tail.next_seq() - 1, tail.position())).map_err(Failure::reading)
    };
    let ((receipts, inputs_bytes), (_, runs_bytes), (events, outputs_bytes)) =
        (end("inputs")?, end("runs")?, end("outputs")?);
    let (added, seconds) = (receipts - before, elapsed.as_secs_f64());
    let bytes = inputs_bytes + runs_bytes + outputs_bytes;
    print(format_args!(
        "{added} receipts in {seconds:.2} s ({1:.0} receipts/s); with them {receipts} receipts, {events} events, {bytes} bytes in {0}, \
         all on disk\nnext: cutline verify {0}",
        data.display(),
        added as f64 / seconds,
    ))
}
