//! `cutline doctor`: what of the host matters to Cutline: found, wanted, why, and how to change it.
//!
//! Reads `/proc`, `/sys` and the configuration, writes nothing. What can be set at run time `tuning/host.sh` applies and takes back; the
//! names are the same there. What this machine does not show is `unknown`, which is no failure.

mod cgroup;
mod cores;
mod cpu_list;
mod finding;
mod host;
mod interrupts;
mod kernel;
mod limits;
mod memory;
mod place;

use std::path::Path;

use cutline::config::Config;

use super::{Failure, Outcome, load_config, print, room};
use crate::cli;
use finding::{Finding, State};
use host::Host;

/// What the configuration asks of the host.
struct Wants<'a> {
    config: &'a Config,
    /// Cores that lanes are pinned to, in order.
    cores: Vec<usize>,
    /// Bytes of memory that the live logs take.
    live_bytes: u64,
}

/// `cutline doctor`
pub fn doctor(args: &cli::Doctor) -> Outcome {
    let config = load_config(&args.config)?;
    let findings = examine(&args.root, &config);
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    if args.json {
        let knobs: Vec<_> = findings.iter().map(Finding::to_json).collect();
        print(serde_json::json!({"wrong": wrong, "knobs": knobs}))?;
    } else {
        findings.iter().try_for_each(print)?;
    }
    match wrong {
        0 => Ok(()),
        _ => Err(Failure { message: format!("{wrong} of {} are not as wanted", findings.len()), code: 1 }),
    }
}

/// Everything, in the order cores, interrupts, kernel, memory, disk, limits.
fn examine(root: &Path, config: &Config) -> Vec<Finding> {
    let host = Host::at(root);
    let mut cores: Vec<usize> = config.lanes.iter().filter_map(|lane| lane.core).collect();
    cores.sort_unstable();
    cores.dedup();
    let wants = Wants { config, cores, live_bytes: room::live_segments(config) * config.log.segment_bytes };
    let mut findings = Vec::new();
    cores::examine(&host, &wants, &mut findings);
    interrupts::examine(&host, &wants, &mut findings);
    kernel::examine(&host, &mut findings);
    memory::examine(&host, &wants, &mut findings);
    place::examine(&host, &wants, &mut findings);
    limits::examine(&host, &wants, &mut findings);
    cgroup::examine(&host, &wants, &mut findings);
    findings
}
