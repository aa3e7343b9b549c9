//! Looking after what runs: the tasks that watch the data plane, ask modules, measure what is used, guard the disk, and recover. Started once,
//! on the control thread, before any module is.

use tokio::task::{AbortHandle, spawn_local};

use crate::bus::event::SYSTEM;
use crate::bus::lifecycle::{Lifecycle, Step};
use crate::supervisor::context::Control;
use crate::{health, recovery, resources};

/// Those that end before the data plane does.
pub struct Monitors([AbortHandle; 4]);

/// Starts them all. The guard of the disk, on which lanes that finish still write, and recovery, which does nothing any more once everything is
/// being stopped, end with the thread.
pub fn start(control: &Control) -> Monitors {
    spawn_local(resources::guard::watch(control.clone()));
    spawn_local(recovery::driver::run(control.clone(), control.bus.listen()));
    let monitors = [
        spawn_local(health::plane::watch(control.clone())),
        spawn_local(health::modules::watch(control.clone())),
        spawn_local(health::talk::watch(control.clone())),
        spawn_local(resources::monitor::watch(control.clone())),
    ];
    Monitors(monitors.map(|monitor| monitor.abort_handle()))
}

impl Monitors {
    /// Nothing is looked at any more.
    pub fn stop(self, control: &Control) {
        self.0.iter().for_each(AbortHandle::abort);
        control.bus.publish(SYSTEM, Lifecycle::Step { step: Step::MonitorsStopped });
    }
}

#[cfg(test)]
mod tests {
    use cutline::config::Config;
    use tokio::runtime;
    use tokio::task::{LocalSet, yield_now};

    use super::*;
    use crate::supervisor::ask::Ask;
    use crate::supervisor::registry::Registry;

    #[test]
    fn monitors_end_when_they_are_told_to_and_not_before() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let control = Control::new(Config::embedded_default().clone(), Registry::new(Vec::new()), Ask::new().0);
            let monitors = start(&control);
            let tasks = monitors.0.clone();
            yield_now().await;
            assert!(!tasks.iter().any(AbortHandle::is_finished));
            monitors.stop(&control);
            yield_now().await;
            assert!(tasks.iter().all(AbortHandle::is_finished));
        });
    }
}
