//! Limits of the process itself, set while it runs.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::common::live::Running;
use crate::common::pressure::Trial;
use crate::common::{Place, config};

/// Sets the soft limit of a resource of a living process to `to`, and to what it was at the end.
fn under_limit(resource: Resource, to: u64, why: &[&str]) {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let more = format!(
        "dir = \"{data}\"\n[links]\nreceipts_bytes = 131072\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
    );
    let config = config(&place, "limits", &more);
    let mut trial = Trial::of(Running::start(&place, &config, &data), &data, &socket);
    let pid = Pid::from_raw(trial.running.pid().cast_signed());
    let set = |current| {
        let limit = Rlimit { current, ..rustix::process::getrlimit(resource) };
        prlimit(pid, resource, limit).expect("our own child").current
    };
    let before = set(Some(to));
    trial.is_held_back(why);
    set(before);
    assert!(trial.comes_back().contains("ready again"));
}

#[test]
fn too_few_file_descriptors_hold_sources_back_until_there_are_more() {
    under_limit(Resource::Nofile, 3, &["Too many open files", "ulimit -n"]);
}

#[test]
fn too_little_address_space_holds_sources_back_until_there_is_more() {
    under_limit(Resource::As, 1 << 20, &["Cannot allocate memory", "ulimit -v"]);
}
