//! Regions: what is mapped is the file, faults are values that say what to do, a full file system is one of them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

use cutline_shm::region::{Region, RegionCause, RegionStep};

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn two_mappings_and_the_file_are_the_same_bytes() {
    let dir = temp();
    let path = dir.path().join("a");
    let writer = Region::create_new(&path, 8192).expect("create");
    let reader = Region::open_read(&path, 8192).expect("open");
    let other_writer = Region::open_write(&path, 1).expect("open");
    assert_eq!((writer.len(), reader.len(), other_writer.len()), (8192, 8192, 8192));
    assert!(writer.is_writable() && other_writer.is_writable() && !reader.is_writable());

    writer.atomic_u64(8184).store(7, Ordering::Release);
    other_writer.atomic_u32(4096).fetch_add(5, Ordering::Relaxed);
    assert_eq!(reader.atomic_u64(8184).load(Ordering::Acquire), 7);
    assert_eq!(reader.atomic_u32(4096).load(Ordering::Relaxed), 5);

    writer.store_bytes(16, b"thirteen byte");
    let mut back = [0xff; 13];
    reader.load_bytes(16, &mut back);
    assert_eq!(&back, b"thirteen byte");

    drop(other_writer);
    let file = std::fs::read(&path).expect("read");
    // SAFETY: nobody writes any more: the writers are this test's own.
    assert_eq!(unsafe { reader.bytes() }, &file[..]);
    // SAFETY: as above.
    assert_eq!(unsafe { reader.slice(16, 13) }, b"thirteen byte");
    assert_eq!(&file[16..32], b"thirteen byte\0\0\0");
}

#[test]
fn created_files_are_zero_and_not_to_be_written_by_name() {
    let dir = temp();
    let path = dir.path().join("a");
    let region = Region::create(&path, 100).expect("create");
    let mode = std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777;
    assert_eq!(mode & !0o440, 0, "mode {mode:o}");
    assert_eq!(region.len(), 100);
    assert_eq!(std::fs::read(&path).expect("read"), vec![0; 100]);
    drop(region);
    let again = Region::open_write(&path, 100).expect("who takes it over may");
    let mode = std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777;
    assert_eq!(mode & !0o440, 0, "mode {mode:o} once it is taken over");
    again.store_bytes(0, &[7; 8]);
    assert_eq!(std::fs::read(&path).expect("read")[..8], [7; 8]);
}

#[test]
fn create_replaces_and_leaves_old_mappings_whole() {
    let dir = temp();
    let path = dir.path().join("a");
    let old = Region::create(&path, 4096).expect("create");
    old.atomic_u64(0).store(1, Ordering::Relaxed);
    let reader = Region::open_read(&path, 1).expect("open");
    let new = Region::create(&path, 64).expect("replace");
    assert_eq!(new.atomic_u64(0).load(Ordering::Relaxed), 0);
    assert_eq!(reader.atomic_u64(0).load(Ordering::Relaxed), 1, "the old pages are still there");
    assert_eq!(reader.atomic_u64(4088).load(Ordering::Relaxed), 0, "and not cut short");
}

#[test]
fn create_new_refuses_and_does_not_touch_an_existing_file() {
    let dir = temp();
    let path = dir.path().join("a");
    std::fs::write(&path, b"mine").expect("write");
    let fault = Region::create_new(&path, 64).expect_err("exists");
    assert!(fault.is_exists() && fault.step() == RegionStep::Create, "{fault}");
    assert_eq!(std::fs::read(&path).expect("read"), b"mine");
}

#[test]
fn what_cannot_be_mapped_is_refused_with_the_path() {
    let dir = temp();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("empty"), b"").expect("write");
    std::fs::write(path("short"), b"123").expect("write");
    let fifo = Command::new("mkfifo").arg(path("pipe")).status();

    let check = |path: PathBuf, expect_len: usize, cause: RegionCause| {
        for fault in [Region::open_read(&path, expect_len), Region::open_write(&path, expect_len)] {
            let fault = fault.expect_err("refused");
            assert!(fault.to_string().contains(&path.display().to_string()), "{fault}");
            if !path.is_dir() {
                assert_eq!(fault.cause(), &cause, "{fault}");
            }
        }
    };
    check(path("empty"), 0, RegionCause::Empty);
    check(path("short"), 4, RegionCause::TooShort { found_bytes: 3, expected_bytes: 4 });
    check(path("none"), 0, RegionCause::Errno(2));
    check(dir.path().to_path_buf(), 0, RegionCause::NotAFile);
    if fifo.is_ok_and(|status| status.success()) {
        check(path("pipe"), 0, RegionCause::NotAFile);
    }
    assert!(Region::open_read(&path("none"), 0).expect_err("none").is_not_found());
    assert_eq!(Region::create(&path("zero"), 0).expect_err("zero").cause(), &RegionCause::Empty);
    assert!(!path("zero").exists());
}

#[test]
fn populate_keeps_the_bytes_and_refuses_a_reader() {
    let dir = temp();
    let path = dir.path().join("a");
    let region = Region::create_new(&path, 3 * 4096 + 5).expect("create");
    region.atomic_u64(4096).store(9, Ordering::Relaxed);
    region.populate_write().expect("populate");
    assert_eq!(region.atomic_u64(4096).load(Ordering::Relaxed), 9);
    let reader = Region::open_read(&path, 1).expect("open");
    assert_eq!(reader.populate_write().expect_err("read-only").cause(), &RegionCause::ReadOnly);
}

#[test]
fn words_outside_or_misaligned_are_programmer_errors() {
    let dir = temp();
    let region = Region::create_new(&dir.path().join("a"), 20).expect("create");
    let refused = |bits: u32, offset: usize| {
        let access = || match bits {
            32 => u64::from(region.atomic_u32(offset).load(Ordering::Relaxed)),
            _ => region.atomic_u64(offset).load(Ordering::Relaxed),
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(access)).is_err()
    };
    assert!(!refused(32, 16) && !refused(64, 8));
    assert!(refused(32, 20), "the end");
    assert!(refused(32, 2), "misaligned");
    assert!(refused(64, 16), "half of it is outside");
    assert!(refused(64, 4), "misaligned");
    assert!(refused(64, usize::MAX - 7), "no overflow");
    let slice = || {
        // SAFETY: nobody writes.
        unsafe { region.slice(16, 5) }.len()
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(slice)).is_err());
}

/// A tmpfs of one MiB that goes away with the test.
struct SmallTmpfs(tempfile::TempDir);

impl SmallTmpfs {
    fn mount() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let dir = temp();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).status();
        done.is_ok_and(|status| status.success()).then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallTmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[test]
fn a_full_tmpfs_is_a_fault_with_numbers() {
    let Some(tmpfs) = SmallTmpfs::mount() else {
        println!("skipped: a_full_tmpfs_is_a_fault_with_numbers (mounting a tmpfs needs root)");
        return;
    };
    let half = Region::create_new(&tmpfs.path().join("half"), 512 * 1024).expect("fits");
    let path = tmpfs.path().join("two");
    let fault = Region::create_new(&path, 2 * 1024 * 1024).expect_err("does not fit");
    assert!(fault.is_full(), "{fault}");
    let RegionCause::Full { wanted_bytes, free_bytes } = fault.cause() else { panic!("{fault}") };
    assert_eq!(*wanted_bytes, 2 * 1024 * 1024);
    assert!(free_bytes.is_some_and(|free| free > 0 && free <= 512 * 1024), "{fault}");
    let text = fault.to_string();
    for word in [path.to_str().expect("utf-8"), "2097152", "log.live_dir", "log.segment_bytes", "/dev/shm"] {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
    assert!(!path.exists(), "nothing is left behind");
    half.populate_write().expect("what was reserved can be touched");

    let fault = cutline_shm::cnc::CncWriter::create(&tmpfs.path().join("cnc"), 0).expect_err("does not fit");
    assert!(fault.to_string().contains("log.live_dir"), "{fault}");
    assert_eq!(std::fs::read_dir(tmpfs.path()).expect("list").count(), 1, "only the half is there");
}
