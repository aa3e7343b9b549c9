//! File systems: where logs are kept, and where their live part is.

use std::path::{Path, PathBuf};

use super::Wants;
use super::finding::{Finding, State};
use super::host::Host;

/// File systems that keep what was flushed, and tell when they cannot.
const DISKS: [&str; 8] = ["ext4", "xfs", "btrfs", "f2fs", "zfs", "ext3", "ext2", "bcachefs"];
/// Those that do not, and what is wrong with each.
const OTHERS: [(&str, &str); 9] = [
    ("tmpfs", "is memory: a reboot takes it all"),
    ("ramfs", "is memory: a reboot takes it all"),
    ("overlay", "is a container's own layer, which goes with it: mount a volume there"),
    ("nfs", "answers a flush over the network, in its own time"),
    ("nfs4", "answers a flush over the network, in its own time"),
    ("cifs", "answers a flush over the network, in its own time"),
    ("9p", "is another machine's, with its own idea of a flush"),
    ("virtiofs", "is another machine's, with its own idea of a flush"),
    ("fuse", "is a program, with its own idea of a flush"),
];

/// A line of `/proc/mounts`.
pub struct Mount {
    /// Where it is mounted.
    pub place: String,
    /// What it is.
    pub kind: String,
    /// How.
    pub options: String,
}

/// Everything that is mounted, in the order of mounting.
pub fn mounts(host: &Host) -> Vec<Mount> {
    let text = host.text("/proc/mounts").unwrap_or_default();
    let mounts = text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind, options) = (words.next()?, words.next()?, words.next()?);
        Some(Mount { place: unescaped(place), kind: kind.to_owned(), options: options.to_owned() })
    });
    mounts.collect()
}

/// The kernel writes a space in a path as `\040`.
fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

pub(super) fn examine(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>) {
    let log = &wants.config.log;
    let disk = kind_of(host, &log.dir);
    let wrong = disk.as_deref().and_then(|kind| {
        let family = kind.split('.').next().unwrap_or(kind);
        OTHERS.iter().find(|(other, _)| *other == family).map(|(_, what)| *what)
    });
    let how = format!("{} {}; set log.dir", disk.as_deref().unwrap_or_default(), wrong.unwrap_or_default());
    let why = "what was flushed must be there after the power failed";
    let is_known = disk.as_deref().is_some_and(|kind| wrong.is_some() || DISKS.contains(&kind));
    let mut finding = Finding::fact("log.dir", disk, "ext4|xfs|btrfs|f2fs|zfs", why, &how, wrong.is_none());
    if !is_known {
        finding.state = State::Unknown;
    }
    findings.push(finding);
    let live = kind_of(host, &log.live_dir);
    let is_well = live.as_deref() == Some("tmpfs");
    let why = "a page of a disk's file system is written back, and a lane that touches it waits";
    let how = "set log.live_dir to a folder in /dev/shm, or \"\"";
    findings.push(Finding::fact("log.live_dir", live, "tmpfs", why, how, is_well));
}

/// The file system that a path is on, or will be.
fn kind_of(host: &Host, path: &Path) -> Option<String> {
    let path = settled(&std::path::absolute(path).ok()?);
    let mounts = mounts(host);
    let over = mounts.iter().filter(|mount| path.starts_with(&mount.place));
    // The deepest, and of several in one place the one on top.
    over.max_by_key(|mount| mount.place.len()).map(|mount| mount.kind.clone())
}

/// The path without links, as far as it is there.
fn settled(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    match existing {
        Some((part, real)) => real.join(path.strip_prefix(part).unwrap_or(Path::new(""))),
        None => path.to_path_buf(),
    }
}
