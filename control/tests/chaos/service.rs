//! How long the lanes took per item, by stage, and how often they lost their core meanwhile: of quiet runs and chaotic ones, in rounds beside each other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::common::live::Running;

/// See the module.
#[derive(Debug)]
pub struct Service {
    /// p50 and p99 of `stage_time`, ns, by stage.
    stages: BTreeMap<String, [u64; 2]>,
    /// Times that the kernel took a lane's core away.
    preemptions: u64,
    seconds: f64,
}

impl Service {
    /// Of a process that runs, since its start.
    pub fn of(running: &Running) -> Self {
        let stat = running.stat();
        let stages = stat["histograms"].as_array().into_iter().flatten().filter(|histogram| {
            histogram["name"] == "stage_time" && histogram["count"].as_u64().is_some_and(|count| count > 0)
        });
        let quantile = |histogram: &Value, name: &str| histogram["quantiles"][name].as_u64().unwrap_or(0);
        let stages = stages.map(|histogram| {
            let name = histogram["label"].as_str().unwrap_or_default().trim_start_matches("stage=").to_owned();
            (name, [quantile(histogram, "p50"), quantile(histogram, "p99")])
        });
        let preemptions = running.lanes().into_iter().filter_map(|lane| {
            let path = format!("/proc/{}/task/{lane}/status", running.pid());
            let status = std::fs::read_to_string(path).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        });
        Self { stages: stages.collect(), preemptions: preemptions.sum(), seconds: running.seconds() }
    }

    fn preemptions_per_s(&self) -> u64 {
        (self.preemptions as f64 / self.seconds) as u64
    }
}

/// Runs of each kind that are compared, in turns: a round.
pub const ROUND: usize = 5;

/// Prints each round, and how often the median of its chaotic runs lies above all its quiet ones; returns what does so in any round. By chance
/// alone a comparison does so once in twelve.
pub fn compare(quiet: &[Service], chaotic: &[Service]) -> Vec<String> {
    let mut above = Vec::new();
    println!("stage_time, ns per item:");
    let stages: BTreeSet<&String> = quiet.iter().flat_map(|service| service.stages.keys()).collect();
    for stage in stages {
        for (at, name) in ["p50", "p99"].into_iter().enumerate() {
            let of = |round: &[Service]| {
                let mut all: Vec<u64> = round.iter().map(|service| service.stages[stage][at]).collect();
                all.sort_unstable();
                all
            };
            let rounds = quiet.chunks(ROUND).map(of).zip(chaotic.chunks(ROUND).map(of));
            let rounds: Vec<_> =
                rounds.map(|(quiet, chaotic)| (quiet[0], quiet[ROUND - 1], chaotic[ROUND / 2])).collect();
            let over = rounds.iter().filter(|(_, most, median)| median > most).count();
            let told = rounds.iter().map(|(least, most, median)| format!("quiet {least} to {most}, chaotic {median}"));
            println!(
                "{stage:<10} {name}  above in {over} of {}: {}",
                rounds.len(),
                told.collect::<Vec<_>>().join("; ")
            );
            if over > 0 {
                above.push(format!("{name} of {stage}"));
            }
        }
    }
    let per_s = |all: &[Service]| -> Vec<u64> { all.iter().map(Service::preemptions_per_s).collect() };
    println!("preemptions of lanes per second: quiet {:?}  chaotic {:?}", per_s(quiet), per_s(chaotic));
    above
}
