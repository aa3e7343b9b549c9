//! A disk that is there and refuses.

use std::path::{Path, PathBuf};

use crate::common::live::Running;
use crate::common::mounts::{mount, read_only, run, with_private_mounts};
use crate::common::pressure::Trial;
use crate::common::{Place, config};

/// Of the test's own file systems.
const DISK_BYTES: u64 = 48 << 20;

/// A process whose log.dir is on the file system at `disk`.
fn trial(place: &Place, disk: &Path) -> Trial {
    let (data, socket) = (disk.join("data"), place.path("feed.sock"));
    let data = data.to_str().expect("UTF-8");
    let more = format!(
        "dir = \"{data}\"\n[links]\nreceipts_bytes = 131072\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
    );
    let config = config(place, "disk", &more);
    Trial::of(Running::start(place, &config, data), data, &socket)
}

fn folder(place: &Place) -> PathBuf {
    let disk = PathBuf::from(place.path("disk"));
    std::fs::create_dir(&disk).expect("writable");
    disk
}

#[test]
fn a_disk_that_becomes_read_only_holds_sources_back_until_it_is_writable() {
    with_private_mounts("disk::a_disk_that_becomes_read_only_holds_sources_back_until_it_is_writable", || {
        let place = Place::new();
        let disk = folder(&place);
        mount(&disk, DISK_BYTES);
        let mut trial = trial(&place, &disk);
        let at = disk.to_str().expect("UTF-8");
        read_only(&place, at);
        trial.is_held_back(&["Read-only file system", "mount it for writing", at]);
        run("umount", &[at]);
        assert!(trial.comes_back().contains("ready again"));
    });
}

/// A device in memory whose writes fail with EIO while it may not have memory; removed at the end.
struct Device {
    number: String,
}

impl Device {
    const CONTROL: &str = "/sys/class/zram-control";

    fn new(bytes: u64) -> Option<Self> {
        let number = std::fs::read_to_string(format!("{}/hot_add", Self::CONTROL)).ok()?.trim().to_owned();
        let device = Self { number };
        std::fs::write(device.knob("disksize"), bytes.to_string()).ok()?;
        Path::new(&device.path()).exists().then_some(device)
    }

    fn path(&self) -> String {
        format!("/dev/zram{}", self.number)
    }

    fn knob(&self, name: &str) -> String {
        format!("/sys/block/zram{}/{name}", self.number)
    }

    /// Bytes that it may have; 0 = no limit.
    fn limit(&self, bytes: u64) {
        std::fs::write(self.knob("mem_limit"), bytes.to_string()).expect("it is ours");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::fs::write(self.knob("reset"), "1");
        let _ = std::fs::write(format!("{}/hot_remove", Self::CONTROL), &self.number);
    }
}

#[test]
fn a_disk_with_io_errors_holds_sources_back_until_they_end() {
    with_private_mounts("disk::a_disk_with_io_errors_holds_sources_back_until_they_end", || {
        let place = Place::new();
        let disk = folder(&place);
        let Some(device) = Device::new(DISK_BYTES) else {
            eprintln!(
                "skipped: disk::a_disk_with_io_errors_holds_sources_back_until_they_end needs root and the kernel's zram"
            );
            return;
        };
        // Without a journal of its own, which would shut the whole file system after the first error.
        run("mkfs.ext4", &["-q", "-O", "^has_journal", "-E", "lazy_itable_init=0", &device.path()]);
        run("mount", &[&device.path(), disk.to_str().expect("UTF-8")]);
        let mut trial = trial(&place, &disk);
        device.limit(4096);
        trial.is_held_back(&["Input/output error", disk.to_str().expect("UTF-8")]);
        device.limit(0);
        assert!(trial.comes_back().contains("ready again"));
        run("umount", &[disk.to_str().expect("UTF-8")]);
    });
}
