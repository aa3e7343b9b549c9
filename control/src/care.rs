//! Looking after what runs: starts the tasks that watch the data plane, ask modules, measure what is used, guard the disk, and recover.
//! Called once, on the control thread, before any module starts; the tasks end with the bus, or with the thread.

use tokio::task::spawn_local;

use crate::supervisor::context::Control;
use crate::{health, recovery, resources};

/// Starts them.
pub fn start(control: &Control) {
    spawn_local(health::plane::watch(control.clone()));
    spawn_local(health::modules::watch(control.clone()));
    spawn_local(health::talk::watch(control.clone()));
    spawn_local(resources::monitor::watch(control.clone()));
    spawn_local(resources::guard::watch(control.clone()));
    spawn_local(recovery::driver::run(control.clone(), control.bus.listen()));
}
