//! A pinned lane's core is that lane's alone: whatever else this process does, and whatever it starts, keeps off it.

use cutline::config::Config;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and every thread and process that it starts, off the lanes' cores. When it goes, the calling thread may be where
/// it could be before.
pub struct OffLanes(Option<CpuSet>);

impl OffLanes {
    /// Off the cores that this configuration pins lanes to, unless there are no others.
    pub fn keep(config: &Config) -> Self {
        let Ok(before) = sched_getaffinity(None) else { return Self(None) };
        let mut others = before;
        config.lanes.iter().filter_map(|lane| lane.core).for_each(|core| others.unset(core));
        let is_kept = others != before && others.count() > 0 && sched_setaffinity(None, &others).is_ok();
        Self(is_kept.then_some(before))
    }
}

impl Drop for OffLanes {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Refused only if these cores were taken away meanwhile.
            let _ = sched_setaffinity(None, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cores of this thread while it keeps off lanes that are pinned to these, and afterwards.
    fn cores_with_lanes_on(lanes: &[usize]) -> [CpuSet; 2] {
        let text: String = lanes
            .iter()
            .zip(["\"ingest\", \"sequence\"", "\"cut\", \"invoke\", \"publish\""])
            .map(|(core, stages)| format!("[[lane]]\ncore = {core}\nidle = \"park\"\nstages = [{stages}]\n"))
            .collect();
        let text = format!("[engine]\nuse = \"scripted\"\n{text}");
        let config = Config::from_text("lanes.toml", &text).unwrap_or_else(|problems| panic!("{problems}")).0;
        let off_lanes = OffLanes::keep(&config);
        let kept = sched_getaffinity(None).expect("this thread's cores");
        drop(off_lanes);
        [kept, sched_getaffinity(None).expect("this thread's cores")]
    }

    #[test]
    fn a_thread_keeps_off_lanes_as_long_as_there_is_another_core_and_is_free_afterwards() {
        let mut two = CpuSet::new();
        let all = sched_getaffinity(None).expect("this thread's cores");
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).take(2).collect();
        let [first, second] = cores[..] else { return eprintln!("skipped: a process may use one core here") };
        cores.iter().for_each(|core| two.set(*core));
        sched_setaffinity(None, &two).expect("fewer than before");
        assert!(cores_with_lanes_on(&[first, second]) == [two, two]);
        let mut rest = CpuSet::new();
        rest.set(second);
        assert!(cores_with_lanes_on(&[first, first]) == [rest, two]);
    }
}
