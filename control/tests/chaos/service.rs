//! How long the lanes took per item, by stage, and how often they lost their core meanwhile: of quiet runs and chaotic ones, beside each other.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::live::Running;

/// See the module.
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

    fn preemptions_per_s(&self) -> f64 {
        self.preemptions as f64 / self.seconds
    }
}

/// Prints both, and whether the chaotic ones lie within what the quiet ones differ by among themselves; returns what lies above.
pub fn compare(quiet: &[Service], chaotic: &[Service]) -> Vec<String> {
    let mut above = Vec::new();
    println!("stage_time, ns per item:");
    for stage in quiet.iter().flat_map(|service| service.stages.keys()).collect::<std::collections::BTreeSet<_>>() {
        for (at, name) in ["p50", "p99"].into_iter().enumerate() {
            let of = |all: &[Service]| -> Vec<u64> {
                all.iter().filter_map(|service| service.stages.get(stage)).map(|both| both[at]).collect()
            };
            let (quiet, chaotic) = (of(quiet), of(chaotic));
            let (least, most) = (quiet.iter().min().copied(), quiet.iter().max().copied());
            let median = |all: &[u64]| {
                let mut all = all.to_vec();
                all.sort_unstable();
                all.get(all.len() / 2).copied()
            };
            let middle = median(&chaotic);
            let how = if middle < least {
                "less than any"
            } else if middle <= most {
                "within the spread"
            } else {
                above.push(format!("{name} of {stage}"));
                "more than any"
            };
            println!("{stage:<10} {name}  quiet {quiet:?}  chaotic {chaotic:?}  median {} {how}", middle.unwrap_or(0));
        }
    }
    let per_s =
        |all: &[Service]| -> Vec<u64> { all.iter().map(|service| service.preemptions_per_s() as u64).collect() };
    println!("preemptions of lanes per second: quiet {:?}  chaotic {:?}", per_s(quiet), per_s(chaotic));
    above
}
