//! Systems with modules of scripted manners (`control/tests/modules/manners.py`), watched through the record of events.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::live::Running;
use super::{Place, config, cutline, wait_until};

/// The interpreter by its own path (what PATH has may be a script that starts another one), and where its own files lie. Asked once.
fn interpreter() -> &'static [String] {
    static ASKED: OnceLock<Vec<String>> = OnceLock::new();
    ASKED.get_or_init(|| {
        let ask = ["-c", "import sys; print(sys.executable); print(sys.base_prefix)"];
        let output = Command::new("python3").args(ask).output().expect("python3");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    })
}

/// The interpreter.
pub fn python() -> String {
    interpreter()[0].clone()
}

/// Where its own files lie.
pub fn python_prefix() -> String {
    interpreter()[1].clone()
}

/// An interpreter that has the package of clients/python; `None`, having said why, where this machine cannot have one.
pub fn python_with_package() -> Option<PathBuf> {
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/python/tests/install.py");
    let made = match Command::new("python3").arg(install).output() {
        Ok(made) => made,
        Err(fault) => {
            println!("skipped: python3: {fault}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&made.stderr);
    if made.status.code() == Some(77) {
        println!("{said}");
        return None;
    }
    assert!(made.status.success(), "{said}");
    Some(PathBuf::from(String::from_utf8(made.stdout).expect("UTF-8").trim_end()))
}

/// What a module of a Python engine begins with that is to have a network between the supervisor and its process that is as this file says:
/// what an engine imports it may also start.
pub fn between_within(mode: &str) -> String {
    format!("{}\nwithin_this_process(pathlib.Path({mode:?}))\n", include_str!("../modules/between.py"))
}

/// A `[[module]]` of these manners; `more` are further keys.
pub fn module(name: &str, manners: &[&str], more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/manners.py");
    let words: Vec<String> =
        [python(), script.to_owned()].into_iter().chain(manners.iter().map(|word| (*word).to_owned())).collect();
    let read =
        if more.contains("read = ") { String::new() } else { format!("read = [{:?}, {script:?}]\n", python_prefix()) };
    format!("[[module]]\nname = {name:?}\ncommand = {words:?}\n{read}{more}\n")
}

/// A `[[module]]` without any, written for a shell.
pub fn polite(name: &str, more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/polite.sh");
    format!("[[module]]\nname = {name:?}\ncommand = [{script:?}]\n{more}\n")
}

/// A configuration with a Unix feed, this `[supervisor]` and what follows it, and these modules; its path and the data directory. Nothing is
/// recovered unless it says so.
pub fn system(place: &Place, supervisor: &str, modules: &[String]) -> (String, String) {
    let data = place.path("data");
    let recovery = if supervisor.contains("[recovery]") { "" } else { "[recovery]\nauto = false\n" };
    let more = format!(
        "dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{}\"\n[supervisor]\n{supervisor}\n{recovery}{}",
        place.path("feed.sock"),
        modules.concat()
    );
    (config(place, "modules", &more), data)
}

/// What was recorded so far.
pub fn events(data: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{data}/events.jsonl")).unwrap_or_default();
    // The last line may be on its way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The events of one kind that happened to a module.
pub fn of(events: &[Value], module: &str, event: &str) -> Vec<Value> {
    events.iter().filter(|found| found["module"] == module && found["event"] == event).cloned().collect()
}

/// Waits until an event of this kind has happened to a module.
pub fn wait_for(data: &str, module: &str, event: &str) -> Value {
    let mut found = Vec::new();
    wait_until(&format!("{module} has {event}"), || {
        found = of(&events(data), module, event);
        !found.is_empty()
    });
    found.remove(0)
}

/// Starts it and waits until everything that was to start has.
pub fn up(place: &Place, config: &str, data: &str) -> Running {
    let running = Running::start(place, config, data);
    wait_for(data, "system", "up");
    running
}

/// What a module has printed so far.
pub fn printed(data: &str, module: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("{data}/modules.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["module"] == module)
        .map(|line| line["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// How far the feed handler is in its file, as its health says, bytes.
pub fn fed_bytes(data: &str, module: &str) -> Option<u64> {
    let told = cutline(&["modules", data, "--json"]).stdout;
    let modules: Vec<Value> = serde_json::from_slice(&told).unwrap_or_default();
    let found = modules.into_iter().find(|found| found["name"] == module)?;
    found["metrics"]["own"]["position_bytes"].as_f64().map(|bytes| bytes as u64)
}
