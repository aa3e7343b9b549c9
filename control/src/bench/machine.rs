//! What the figures were measured on. A number without it says nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::clock::stamp_cost_ns;
use super::cores::Cores;
use super::place::Root;

/// Describes the machine, and the program.
pub fn describe(cores: Cores, root: &Root) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().is_some_and(|found| found.trim() == key));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let notable = ["cldemote", "constant_tsc", "nonstop_tsc", "sha_ni", "avx2", "avx512f", "hypervisor"];
    let system = rustix::system::uname();
    json!({
        "cpu": field("model name"),
        "cpu_flags": notable.iter().filter(|flag| flags.split(' ').any(|found| found == **flag)).collect::<Vec<_>>(),
        "cores_online": cpu.lines().filter(|line| line.starts_with("processor")).count(),
        "cores_allowed": cores.allowed,
        "core_cold": cores.cold,
        "core_hot": cores.hot,
        "kernel": format!("{} {} {}", text_of(system.sysname()), text_of(system.release()), text_of(system.machine())),
        "clock_source": line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "stamp_cost_ns": stamp_cost_ns(),
        "huge_pages_of_tmpfs": line_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        "load_average": line_of("/proc/loadavg"),
        "disk_folder": root.disk(),
        "disk_is_memory": root.is_all_memory(),
        "git_revision": git_revision(),
        "debug_build": cfg!(debug_assertions),
    })
}

/// The description for people.
pub fn text(machine: &Value) -> String {
    let mut text = format!(
        "{}\nkernel {}; clock source {}, two readings differ by {} ns; load {}; revision {}\n\
         core {}: feeder, subscriber, keeper; core {}: what is measured; disk files in {}",
        line(machine),
        shown(&machine["kernel"]),
        shown(&machine["clock_source"]),
        shown(&machine["stamp_cost_ns"]),
        shown(&machine["load_average"]),
        shown(&machine["git_revision"]),
        shown(&machine["core_cold"]),
        shown(&machine["core_hot"]),
        shown(&machine["disk_folder"]),
    );
    if machine["disk_is_memory"] == true {
        text += "\nwarning: that folder lies in memory, so no figure of a disk means anything; give --data DIR";
    }
    if machine["debug_build"] == true {
        text += "\nwarning: this is a debug build, an order of magnitude slower; use cargo run --release";
    }
    text
}

/// The processor in a few words.
pub fn line(machine: &Value) -> String {
    format!(
        "{}, {} of {} cores",
        shown(&machine["cpu"]),
        shown(&machine["cores_allowed"]),
        shown(&machine["cores_online"])
    )
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    }
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn text_of(text: &std::ffi::CStr) -> String {
    text.to_string_lossy().into_owned()
}

/// The revision of the sources around the working directory; with a mark if they were changed since.
fn git_revision() -> Option<String> {
    if !Path::new(".").canonicalize().ok()?.ancestors().any(|folder| folder.join(".git").exists()) {
        return None;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(format!("{}{}", revision.trim(), if changed { "+changes" } else { "" }))
}
