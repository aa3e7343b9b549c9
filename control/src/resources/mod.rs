//! What processes and disks have and use, and what is done when it is too much or too little. Cold; no lane is ever slowed.
//!
//! | file | what |
//! |---|---|
//! | [`proc`] | `/proc`: processes, threads, the machine |
//! | [`tree`], [`usage`] | which processes are a module's, and what they use |
//! | [`limits`] | what they may use, and by which means that is enforced |
//! | [`cgroup`] | groups of processes as the kernel has them, where they are ours to make |
//! | [`duty`], [`pace`] | a limit of processor time without cgroups |
//! | [`throttle`] | when our own cold parts do less |
//! | [`disk`], [`guard`] | room in front of the logs |
//! | [`monitor`] | the task that measures |

pub mod cgroup;
pub mod disk;
pub mod duty;
pub mod guard;
pub mod limits;
pub mod monitor;
pub mod pace;
pub mod proc;
pub mod throttle;
pub mod tree;
pub mod usage;

use usage::Usage;

use crate::health::report::{Issue, IssueKind, Report};

/// What a module uses, and which limits that exceeds: key, used, and what may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// What it uses.
    pub usage: Usage,
    /// What is too much.
    pub over: Vec<(&'static str, u64, u64)>,
}

impl Watched {
    /// Adds it to what is known of how the module is.
    pub fn add_to(&self, report: &mut Report) {
        report.metrics.cpu_percent = self.usage.cpu_percent;
        report.metrics.memory_bytes = Some(self.usage.memory_bytes);
        for (limit, used, most) in &self.over {
            let text =
                format!("it uses {used} of limits.{limit} = {most}: raise the limit, or find out what it needs it for");
            report.issues.push(Issue::new(IssueKind::LimitExceeded, text));
            report.grade = report.grade.max(IssueKind::LimitExceeded.grade());
        }
    }
}
