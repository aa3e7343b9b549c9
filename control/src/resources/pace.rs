//! Keeps a process group to its share of processor time by stopping it and letting it go ([`Duty`]), where no cgroup does. One task for each
//! module that has such a limit.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::sleep;

use super::duty::{Act, Duty};
use super::proc::ticks_per_s;
use super::usage::Group;

/// Between two looks: a clock tick is not told more finely by most kernels.
const LOOK: Duration = Duration::from_millis(20);

/// Lets the group go when it is dropped, wherever it stands.
struct Leash {
    group: Pid,
    is_stopped: bool,
}

impl Leash {
    fn act(&mut self, act: Act) {
        self.is_stopped = act == Act::Stop;
        let signal = if self.is_stopped { Signal::STOP } else { Signal::CONT };
        // That there is nobody left is no fault.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.is_stopped {
            self.act(Act::Go);
        }
    }
}

/// Keeps the group that `root` leads to so many percent of a core, until it is dropped or the group is gone. A descendant that leaves the
/// group is counted and not stopped: the rest of the group pays for it.
pub async fn keep(root: u32, percent: u32) {
    let Some(pid) = i32::try_from(root).ok().and_then(Pid::from_raw) else { return };
    let mut leash = Leash { group: pid, is_stopped: false };
    let (began, mut group) = (Instant::now(), Group::new(root));
    let now_ns = |at: Instant| u64::try_from(at.duration_since(began).as_nanos()).unwrap_or(u64::MAX);
    let used_ns = |ticks: u64| ticks.saturating_mul(1_000_000_000 / ticks_per_s().max(1));
    let Some(ticks) = group.ticks() else { return };
    let mut duty = Duty::new(percent, used_ns(ticks), 0);
    loop {
        sleep(LOOK).await;
        let Some(ticks) = group.ticks() else { return };
        if let Some(act) = duty.look(used_ns(ticks), now_ns(Instant::now())) {
            leash.act(act);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    use tokio::runtime::Builder;
    use tokio::task::LocalSet;

    use super::*;
    use crate::resources::proc::Stat;

    struct Hog(Child);

    impl Hog {
        /// Two processes that compute, in a group of their own.
        fn start() -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done & while :; do :; done"]).process_group(0);
            Self(command.spawn().expect("sh"))
        }

        fn state(&self) -> char {
            Stat::read(&PathBuf::from(format!("/proc/{}", self.0.id()))).expect("it lives").state
        }
    }

    impl Drop for Hog {
        fn drop(&mut self) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_group_that_computes_gets_its_share_and_is_let_go_at_the_end() {
        let hog = Hog::start();
        let (root, before) = (hog.0.id(), Instant::now());
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let held = tokio::time::timeout(Duration::from_millis(1_500), keep(root, 20)).await;
            assert!(held.is_err(), "it goes on as long as the group does");
        });
        let used_s = Group::new(root).ticks().expect("it lives") as f64 / ticks_per_s() as f64;
        let elapsed_s = before.elapsed().as_secs_f64();
        // A burst of 0.1 s, and what two processes use between two looks of a loaded machine.
        assert!(used_s < 0.2 * elapsed_s + 0.3, "{used_s} s of {elapsed_s} s");
        assert!(used_s > 0.05, "it was not held for good: {used_s} s");
        assert_ne!(hog.state(), 'T', "it was let go");
    }

    #[test]
    fn a_group_that_is_gone_is_nobody_s_business() {
        let hog = Hog::start();
        let root = hog.0.id();
        drop(hog);
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(5), keep(root, 20)).await.expect("it ends") });
    }
}
