//! `cargo xtask test` and `cargo xtask soak`: run the suites or the soaks of `tests/suites.toml` one after another and
//! hold each to its time budget.
//!
//! A suite fails if its command does, or if it takes more than half as long again as its budget. It is skipped, by name
//! and with the reason, if a program it wants is not installed or it ends with [`SKIPPED_EXIT_CODE`].

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::process::{self, Ended};
use crate::report;

/// All budgets together stay below this, so that the one command stays one that people run.
const BUDGET_TOTAL_MAX_SECONDS: u64 = 1500;
/// Largest budget of one entry, in the unit of its table: 25 minutes for a suite, a day for a soak.
const BUDGET_MAX: u64 = 1500;
/// A suite may take this many percent of its budget before it fails for being slow.
const OVERRUN_MAX_PERCENT: u64 = 150;
/// At this many times its budget a suite is taken to hang and is killed.
const HANG_FACTOR: u32 = 3;
/// The exit code by which a suite says that it could not run here (as automake and meson have it).
pub const SKIPPED_EXIT_CODE: i32 = 77;

/// What a suite is told of those before it in the same run: `name=passed,name=skipped,...`.
pub const RESULTS_VARIABLE: &str = "XTASK_RESULTS";
/// When the run began, Unix seconds.
pub const BEGAN_VARIABLE: &str = "XTASK_BEGAN";

/// Which table of `tests/suites.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `[[suite]]`: what every change runs.
    Suites,
    /// `[[soak]]`: the same kinds of checks with more of everything, for hours when nobody waits.
    Soaks,
}

impl Table {
    const ALL: [Self; 2] = [Self::Suites, Self::Soaks];

    /// The array's name in the file.
    fn key(self) -> &'static str {
        match self {
            Self::Suites => "suite",
            Self::Soaks => "soak",
        }
    }

    /// The key of an entry's budget, and its unit in seconds.
    fn budget(self) -> (&'static str, u64) {
        match self {
            Self::Suites => ("budget_seconds", 1),
            Self::Soaks => ("minutes", 60),
        }
    }
}

/// One entry of a table.
#[derive(Debug, PartialEq, Eq)]
struct Suite {
    name: String,
    /// Shell text, run by `sh -c` in the workspace root.
    command: String,
    budget_seconds: u64,
    /// Programs that must be on PATH.
    wants: Vec<String>,
    /// Run in place of `command` when a wanted program is missing.
    otherwise: Option<String>,
}

#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// Runs all entries of a table, or those named, and prints the results. Returns whether none failed.
///
/// # Errors
/// When `tests/suites.toml` cannot be read or is wrong, or a name is not in the table.
pub fn run_table(root: &Path, table: Table, names: &[String]) -> Result<bool, String> {
    let suites = read(root, table)?;
    if let Some(unknown) = names.iter().find(|name| suites.iter().all(|suite| suite.name != **name)) {
        let known: Vec<_> = suites.iter().map(|suite| suite.name.as_str()).collect();
        return Err(format!("no {} `{unknown}`; there are: {}", table.key(), known.join(", ")));
    }
    let run_began = SystemTime::now();
    let run_began_s = run_began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut rows = Vec::new();
    for suite in suites.iter().filter(|suite| names.is_empty() || names.contains(&suite.name)) {
        let told = [(RESULTS_VARIABLE, results(&rows)), (BEGAN_VARIABLE, run_began_s.to_string())];
        let began = Instant::now();
        let outcome = run(suite, root, &told);
        rows.push((suite, outcome, began.elapsed()));
    }
    let skipped = report::of_this_run(root, run_began)?.unwrap_or_default();
    let skipped =
        skipped.iter().filter_map(|((binary, test), why)| Some(format!("{binary} {test}: {}", why.as_ref()?)));
    print_table(&rows, &skipped.collect::<Vec<_>>());
    Ok(rows.iter().all(|(_, outcome, _)| !matches!(outcome, Outcome::Failed(_))))
}

/// The names of all suites.
///
/// # Errors
/// When `tests/suites.toml` cannot be read or is wrong.
pub fn names(root: &Path) -> Result<Vec<String>, String> {
    Ok(read(root, Table::Suites)?.into_iter().map(|suite| suite.name).collect())
}

fn read(root: &Path, table: Table) -> Result<Vec<Suite>, String> {
    let path = root.join("tests/suites.toml");
    let text = fs::read_to_string(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
    parse(&text, table).map_err(|fault| format!("{}: {fault}", path.display()))
}

/// The value of [`RESULTS_VARIABLE`].
fn results(rows: &[(&Suite, Outcome, Duration)]) -> String {
    let parts = rows.iter().map(|(suite, outcome, _)| format!("{}={}", suite.name, outcome.word().to_lowercase()));
    parts.collect::<Vec<_>>().join(",")
}

fn run(suite: &Suite, root: &Path, told: &[(&str, String)]) -> Outcome {
    let missing = suite.wants.iter().find(|program| !process::is_installed(program));
    let command = match (missing, &suite.otherwise) {
        (None, _) => &suite.command,
        (Some(_), Some(otherwise)) => otherwise,
        (Some(program), None) => return Outcome::Skipped(format!("{program} is not installed")),
    };
    println!("\n== {}: {command}", suite.name);
    let budget = Duration::from_secs(suite.budget_seconds);
    let began = Instant::now();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(root).envs(told.iter().map(|(name, value)| (name, value)));
    match process::run(&mut shell, budget * HANG_FACTOR) {
        Err(fault) => Outcome::Failed(format!("cannot be started: {fault}")),
        Ok(Ended::Killed) => Outcome::Failed(format!("hung: killed after {} s", (budget * HANG_FACTOR).as_secs())),
        Ok(Ended::Exited(status)) => judge(suite.budget_seconds, status.code(), began.elapsed()),
    }
}

/// What an exit code (`None`: ended by a signal) and a duration mean.
fn judge(budget_seconds: u64, code: Option<i32>, took: Duration) -> Outcome {
    let limit = Duration::from_secs(budget_seconds) * OVERRUN_MAX_PERCENT as u32 / 100;
    match code {
        Some(0) if took > limit => Outcome::Failed(format!("slower than {} s, see tests/suites.toml", limit.as_secs())),
        Some(0) => Outcome::Passed,
        Some(SKIPPED_EXIT_CODE) => Outcome::Skipped("cannot run here, its output says why".into()),
        Some(code) => Outcome::Failed(format!("exit code {code}")),
        None => Outcome::Failed("ended by a signal".into()),
    }
}

/// `skipped_tests`: by name and with the reason, within suites that passed.
fn print_table(rows: &[(&Suite, Outcome, Duration)], skipped_tests: &[String]) {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let width = rows.iter().map(|(suite, ..)| suite.name.len()).max().unwrap_or(0).max("suite".len());
    println!("\n{:width$}  {:7}  {:>8}  {:>8}", "suite", "result", "seconds", "budget");
    for (suite, outcome, took) in rows {
        let (count, why) = match outcome {
            Outcome::Passed => (&mut passed, ""),
            Outcome::Failed(why) => (&mut failed, why.as_str()),
            Outcome::Skipped(why) => (&mut skipped, why.as_str()),
        };
        *count += 1;
        let word = outcome.word();
        let line =
            format!("{:width$}  {word:7}  {:8.1}  {:8}  {why}", suite.name, took.as_secs_f64(), suite.budget_seconds);
        println!("{}", line.trim_end());
    }
    println!();
    skipped_tests.iter().for_each(|test| println!("skipped: {test}"));
    println!("{passed} passed, {failed} failed, {skipped} skipped; {} tests within them skipped", skipped_tests.len());
}

/// Reads one table and refuses what is wrong with the file: all problems of both tables at once, one a line.
fn parse(text: &str, wanted: Table) -> Result<Vec<Suite>, String> {
    let file: toml::Table = text.parse().map_err(|fault| format!("{fault}"))?;
    let known = Table::ALL.map(Table::key);
    let unknown = file.keys().filter(|key| !known.contains(&key.as_str()));
    let mut problems: Vec<String> = unknown.map(|key| format!("unknown key `{key}`")).collect();
    let mut found = Vec::new();
    for table in Table::ALL {
        let suites = read_table(&file, table, &mut problems);
        if table == wanted {
            found = suites;
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems.join("\n")) }
}

fn read_table(file: &toml::Table, table: Table, problems: &mut Vec<String>) -> Vec<Suite> {
    let key = table.key();
    let entries = file.get(key).and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut suites: Vec<Suite> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        match suite(entry, table) {
            Ok(suite) if suites.iter().any(|other| other.name == suite.name) => {
                problems.push(format!("{key} `{}`: the name is used twice", suite.name));
            }
            Ok(suite) => suites.push(suite),
            Err(fault) => problems.push(format!("{key} {}: {fault}", number + 1)),
        }
    }
    if entries.is_empty() {
        problems.push(format!("no [[{key}]] in it"));
    }
    let total = suites.iter().fold(0u64, |sum, suite| sum.saturating_add(suite.budget_seconds));
    if table == Table::Suites && total >= BUDGET_TOTAL_MAX_SECONDS {
        problems.push(format!(
            "the budgets add up to {total} s; together they must stay under {BUDGET_TOTAL_MAX_SECONDS} s"
        ));
    }
    suites
}

fn suite(entry: &toml::Value, table: Table) -> Result<Suite, String> {
    let (budget_key, unit_seconds) = table.budget();
    let entry = entry.as_table().ok_or("not a table")?;
    let known = ["name", "command", budget_key, "wants", "otherwise"];
    if let Some(key) = entry.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("unknown key `{key}`; there are: {}", known.join(", ")));
    }
    let text = |key: &str| match entry.get(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{key}` must be a text that is not empty")),
    };
    let wants = match entry.get("wants") {
        None => Vec::new(),
        Some(value) => {
            let names = value.as_array().ok_or("`wants` must be an array of program names")?;
            let names: Option<Vec<_>> = names.iter().map(|name| name.as_str().map(String::from)).collect();
            names.ok_or("`wants` must hold program names")?
        }
    };
    let budget = entry.get(budget_key).and_then(toml::Value::as_integer);
    let budget =
        budget.and_then(|number| u64::try_from(number).ok()).filter(|number| (1..=BUDGET_MAX).contains(number));
    Ok(Suite {
        name: text("name")?.ok_or("`name` is missing")?,
        command: text("command")?.ok_or("`command` is missing")?,
        budget_seconds: unit_seconds
            * budget.ok_or_else(|| format!("`{budget_key}` must be a whole number from 1 to {BUDGET_MAX}"))?,
        wants,
        otherwise: text("otherwise")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, budget: u64) -> String {
        format!("[[suite]]\nname = \"{name}\"\ncommand = \"true\"\nbudget_seconds = {budget}\n")
    }

    const SOAK: &str = "[[soak]]\nname = \"long\"\ncommand = \"true\"\nminutes = 30\n";

    #[test]
    fn the_committed_table_is_valid() {
        let path = crate::root().join("tests/suites.toml");
        let text = fs::read_to_string(path).unwrap();
        assert!(parse(&text, Table::Suites).unwrap().iter().any(|suite| suite.name == "unit"));
        assert!(parse(&text, Table::Soaks).unwrap().iter().any(|soak| soak.name == "mutations"));
    }

    #[test]
    fn soaks_have_minutes_and_no_part_in_the_sum() {
        let text = one("a", 1499) + SOAK;
        assert_eq!(parse(&text, Table::Soaks).unwrap()[0].budget_seconds, 30 * 60);
        assert_eq!(parse(&text, Table::Suites).unwrap()[0].budget_seconds, 1499);
        let fault = parse(&(one("a", 1500) + SOAK), Table::Soaks).unwrap_err();
        assert!(fault.contains("1500 s"), "what is wrong with the suites is told by either command: {fault}");
    }

    #[test]
    fn all_keys_are_read() {
        let text = one("a", 5) + "wants = [\"python3\"]\notherwise = \"false\"\n";
        let expected = Suite {
            name: "a".into(),
            command: "true".into(),
            budget_seconds: 5,
            wants: vec!["python3".into()],
            otherwise: Some("false".into()),
        };
        assert_eq!(parse(&(text + SOAK), Table::Suites).unwrap(), [expected]);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let text =
            one("a", 900) + &one("a", 900) + &one("b", 900) + &one("c", 0) + "[[suite]]\nname = \"d\"\nbudget = 1\n";
        let fault = parse(&text, Table::Suites).unwrap_err();
        for part in [
            "`a`: the name is used twice",
            "1800 s",
            "suite 4: `budget_seconds`",
            "suite 5: unknown key `budget`",
            "[[soak]]",
        ] {
            assert!(fault.contains(part), "{part} is not in:\n{fault}");
        }
        assert!(parse(SOAK, Table::Soaks).unwrap_err().contains("no [[suite]]"));
    }

    #[test]
    fn half_as_long_again_is_allowed_and_more_is_not() {
        assert!(matches!(judge(10, Some(0), Duration::from_secs(15)), Outcome::Passed));
        assert!(matches!(judge(10, Some(0), Duration::from_millis(15_001)), Outcome::Failed(_)));
        assert!(matches!(judge(10, Some(77), Duration::from_secs(1)), Outcome::Skipped(_)));
        assert!(matches!(judge(10, Some(1), Duration::from_secs(1)), Outcome::Failed(_)));
        assert!(matches!(judge(10, None, Duration::from_secs(1)), Outcome::Failed(_)));
    }

    #[test]
    fn a_missing_program_skips_or_takes_the_other_command() {
        let mut suite = parse(&(one("a", 5) + SOAK), Table::Suites).unwrap().remove(0);
        suite.wants = vec!["no-such-program-here".into()];
        let skipped = run(&suite, Path::new("."), &[]);
        assert!(matches!(&skipped, Outcome::Skipped(why) if why.contains("no-such-program-here")), "{skipped:?}");
        suite.otherwise = Some("exit 3".into());
        let failed = run(&suite, Path::new("."), &[]);
        assert!(matches!(&failed, Outcome::Failed(why) if why == "exit code 3"), "{failed:?}");
    }

    #[test]
    fn a_suite_is_told_of_those_before_it() {
        let suites = parse(&(one("a", 5) + &one("b", 5) + SOAK), Table::Suites).unwrap();
        let rows =
            [(&suites[0], Outcome::Passed, Duration::ZERO), (&suites[1], Outcome::Failed("x".into()), Duration::ZERO)];
        assert_eq!(results(&rows), "a=passed,b=failed");
        let mut asks = parse(&(one("c", 5) + SOAK), Table::Suites).unwrap().remove(0);
        asks.command = format!("test \"${RESULTS_VARIABLE}\" = a=passed,b=failed");
        assert!(matches!(run(&asks, Path::new("."), &[(RESULTS_VARIABLE, results(&rows))]), Outcome::Passed));
    }
}
