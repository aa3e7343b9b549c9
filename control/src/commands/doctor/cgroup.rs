//! What a container or a service may use: a quota of processor time stops every thread of it at once, lanes too.

use super::Wants;
use super::finding::Finding;
use super::host::Host;

/// One hierarchy of groups in which this process is.
struct Group {
    /// Where it is mounted.
    mount: String,
    /// The group and those that it is in, the root last.
    paths: Vec<String>,
}

pub(super) fn examine(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>) {
    let groups = host.text("/proc/self/cgroup");
    let cores = groups.as_deref().map(|groups| least(cpu_quotas(host, groups)));
    findings.push(Finding::fact(
        "cgroup.cpu",
        cores.map(|cores| cores.map_or("none".into(), |cores| format!("{cores:.2} cores"))),
        "no quota",
        "once it is used up, every thread stands still until the next period: lanes too",
        "remove CPUQuota= from the service file, or --cpus from the container; give cores instead (AllowedCPUs=, --cpuset-cpus)",
        cores == Some(None),
    ));
    let bytes = groups.as_deref().map(|groups| least(memory_limits(host, groups)));
    findings.push(Finding::fact(
        "cgroup.memory",
        bytes.map(|bytes| bytes.map_or("none".into(), |bytes| format!("{:.0} MiB", bytes / 1048576.0))),
        &format!("> {} MiB", wants.live_bytes >> 20),
        "the live logs are memory of the group, and beyond its limit the kernel kills",
        "a larger MemoryMax= in the service file, or --memory of the container",
        bytes.is_some_and(|bytes| bytes.is_none_or(|bytes| bytes > wants.live_bytes as f64)),
    ));
}

fn least(values: Vec<f64>) -> Option<f64> {
    values.into_iter().min_by(f64::total_cmp)
}

/// Where the group with this controller lies: cgroup v2, or v1's own hierarchy. `/proc/self/cgroup` has lines `number:controllers:path`.
fn groups(text: &str, controller: &str) -> Vec<Group> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mount = if controllers.is_empty() {
            "/sys/fs/cgroup".to_owned()
        } else if controllers.split(',').any(|name| name == controller) {
            format!("/sys/fs/cgroup/{controllers}")
        } else {
            return None;
        };
        let paths = std::path::Path::new(path).ancestors().map(|path| path.display().to_string());
        Some(Group { mount, paths: paths.collect() })
    });
    lines.collect()
}

/// Cores' worth of time that each group may have that has a limit.
fn cpu_quotas(host: &Host, text: &str) -> Vec<f64> {
    let number = |text: String| text.parse::<f64>().ok().filter(|number| *number > 0.0);
    each(host, &groups(text, "cpu"), |value| {
        if let Some(max) = value("cpu.max") {
            let (quota, period) = max.split_once(' ')?;
            return Some(number(quota.to_owned())? / number(period.to_owned())?);
        }
        Some(number(value("cpu.cfs_quota_us")?)? / number(value("cpu.cfs_period_us")?)?)
    })
}

/// Bytes that each group may have that has a limit.
fn memory_limits(host: &Host, text: &str) -> Vec<f64> {
    // v1 says "no limit" by the largest number of pages there is.
    let unlimited = (i64::MAX - (1 << 20)) as f64;
    each(host, &groups(text, "memory"), |value| {
        let text = value("memory.max").or_else(|| value("memory.limit_in_bytes"))?;
        text.parse::<f64>().ok().filter(|bytes| *bytes < unlimited)
    })
}

/// What `read` finds in each group, given a way to read its files.
fn each(host: &Host, groups: &[Group], read: impl Fn(&dyn Fn(&str) -> Option<String>) -> Option<f64>) -> Vec<f64> {
    let folders = groups.iter().flat_map(|group| {
        group.paths.iter().map(move |path| format!("{}{}", group.mount, if path == "/" { "" } else { path }))
    });
    folders.filter_map(|folder| read(&|file: &str| host.value(&format!("{folder}/{file}")))).collect()
}
