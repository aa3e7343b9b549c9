//! Limits of a process: those of this one stand for those of the service, which has them from where it is started.

use super::Wants;
use super::finding::Finding;
use super::host::Host;

/// Descriptors besides connections: segments, followers, what engines share.
const OTHER_FILES: u64 = 1024;

pub(super) fn examine(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>) {
    let memlock = limit(host, "Max locked memory");
    findings.push(Finding::fact(
        "limit.memlock",
        memlock.map(|bytes| shown(bytes, 1024, " KiB")),
        &format!(">= {} KiB", wants.live_bytes / 1024),
        "memory of the live logs that may be locked",
        "LimitMEMLOCK=infinity in the service file",
        memlock.is_some_and(|bytes| bytes >= wants.live_bytes),
    ));
    let (files, wanted) = (limit(host, "Max open files"), u64::from(wants.config.ingest.connections_max) + OTHER_FILES);
    findings.push(Finding::fact(
        "limit.nofile",
        files.map(|files| shown(files, 1, "")),
        &format!(">= {wanted}"),
        "ingest.connections_max, segments, followers",
        &format!("LimitNOFILE={wanted} in the service file"),
        files.is_some_and(|files| files >= wanted),
    ));
}

/// The limit in force, `u64::MAX` for none.
fn limit(host: &Host, name: &str) -> Option<u64> {
    let text = host.text("/proc/self/limits")?;
    let soft = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

fn shown(value: u64, unit: u64, name: &str) -> String {
    if value == u64::MAX { "unlimited".into() } else { format!("{}{name}", value / unit) }
}
