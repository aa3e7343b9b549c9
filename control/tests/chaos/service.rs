//! How long the lanes of a process took per item, by stage, and how often they lost their core meanwhile.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::live::Running;

/// See the module.
#[derive(Debug)]
pub struct Service {
    /// p50 and p99 of `stage_time`, ns, by stage.
    pub stages: BTreeMap<String, [u64; 2]>,
    /// Times that the kernel took a lane's core away.
    pub preemptions: u64,
    pub seconds: f64,
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

    pub fn preemptions_per_s(&self) -> u64 {
        (self.preemptions as f64 / self.seconds) as u64
    }
}
