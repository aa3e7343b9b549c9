//! Memory that cannot be had.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::live::Running;
use crate::common::mounts::{mount, with_private_mounts};
use crate::common::pressure::Trial;
use crate::common::{Place, config, wait_until};

const SHM_BYTES: u64 = 8 << 20;

/// Takes every byte that becomes free in a file system, until it is told to end; then gives them all back.
fn hog(path: String, over: &AtomicBool) {
    let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("writable");
    while !over.load(Ordering::Relaxed) {
        let mut takes = || file.write(&[1; 1 << 12]).is_ok() || over.load(Ordering::Relaxed);
        wait_until("a page becomes free for others", &mut takes);
    }
    drop(file);
    std::fs::remove_file(path).expect("ours");
}

#[test]
fn a_dev_shm_that_others_fill_holds_sources_back_until_there_is_room() {
    with_private_mounts("memory::a_dev_shm_that_others_fill_holds_sources_back_until_there_is_room", || {
        mount(Path::new("/dev/shm"), SHM_BYTES);
        let place = Place::new();
        let (data, socket) = (place.path("data"), place.path("feed.sock"));
        let more = format!(
            "dir = \"{data}\"\n[links]\nreceipts_bytes = 131072\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
        );
        let config = config(&place, "shm", &more);
        let text = std::fs::read_to_string(&config).expect("just written");
        std::fs::write(&config, text.replace(&place.path("live-shm"), "/dev/shm/live")).expect("writable");
        let mut trial = Trial::of(Running::start(&place, &config, &data), &data, &socket);

        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let hog = thread::spawn(move || hog("/dev/shm/hog".to_owned(), &until));
        trial.is_held_back(&["no space left", "/dev/shm/live", "log.live_dir"]);
        over.store(true, Ordering::Relaxed);
        hog.join().expect("the hog");
        assert!(trial.comes_back().contains("ready again"));
    });
}
