//! What is lost on top of the process, while it is dead.

use std::fs;
use std::path::{Path, PathBuf};

use cutline::sim::random::Random;

use crate::common::frames::segments;
use crate::common::{cutline, succeed};

/// Something to lose.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The counters.
    Counters,
    /// A segment's file on disk, of any log.
    Segment,
}

impl Loss {
    /// Loses it, and looks at what is said and done about it.
    pub fn happen(self, data: &str, random: &mut Random) {
        match self {
            Self::Counters => counters(data),
            Self::Segment => segment(data, random),
        }
    }
}

fn counters(data: &str) {
    // Nothing is there when it was killed before it had any.
    let _ = fs::remove_file(format!("{data}/live/cnc"));
    let said = String::from_utf8_lossy(&cutline(&["repair", data]).stdout).into_owned();
    assert!(said.contains("counters: gone, which harms nothing") || said.is_empty(), "{said}");
}

/// Moves a segment away. If memory has it the next start writes it again; else `repair` names it, until it is back. Not the first one:
/// nothing says that it was there.
fn segment(data: &str, random: &mut Random) {
    let log = ["inputs", "runs", "outputs"][random.index(3)];
    if !Path::new(&format!("{data}/{log}")).exists() {
        return;
    }
    let files = segments(data, log);
    // Nor one that was made ahead of need: nothing is in it.
    let begun: Vec<&PathBuf> = files.iter().filter(|file| is_begun(file)).skip(1).collect();
    if begun.is_empty() {
        return;
    }
    let lost = begun[random.index(begun.len())];
    let name = lost.file_name().expect("a file").to_str().expect("digits");
    let aside = format!("{data}/aside");
    fs::rename(lost, &aside).expect("the same file system");
    if Path::new(&format!("{data}/live/{log}/{name}")).exists() {
        return;
    }
    let said = cutline(&["repair", data]);
    let said = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert!(said.contains(&format!("{log}: broken")) && said.contains(name), "{name} is not named: {said}");
    fs::rename(&aside, lost).expect("the same file system");
}

fn is_begun(file: &Path) -> bool {
    fs::read(file).expect("readable").iter().take(64).any(|&byte| byte != 0)
}

/// Loses the whole outputs log, and perhaps what memory has of it, and has it made anew: every event that there was is there again.
pub fn outputs(data: &str, memory_too: bool) {
    let before = events(data);
    fs::remove_dir_all(format!("{data}/outputs")).expect("there");
    let memory = format!("{data}/live/outputs");
    if memory_too && Path::new(&memory).exists() {
        fs::remove_dir_all(&memory).expect("there");
    }
    let said = succeed(&["repair", data, "--write"]);
    assert!(said.contains("outputs: made anew"), "{said}");
    let after = events(data);
    assert!(
        after.starts_with(&before),
        "{} events were there, and are not among the {} now",
        before.len(),
        after.len()
    );
}

/// What `dump` shows, without what only the lost log knew: when an event was published, and at which attempt.
fn events(data: &str) -> Vec<serde_json::Value> {
    let dump = succeed(&["dump", data, "outputs"]);
    let events = dump.lines().map(|line| {
        let mut event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let fields = event.as_object_mut().expect("an object");
        fields.remove("published_ts_ms");
        fields.remove("attempt");
        event
    });
    events.collect()
}
