//! `cargo xtask guarantees`: every promise of `docs/guarantees.md` names tests that exist and, in a run of all suites, that ran.
//!
//! Read are the rows of the page's tables, `| promise | tests |`. A test stands in a code span: `FILE::TEST` of the suite
//! `unit`, `SUITE: FILE::TEST` of another, or `suite SUITE` for a program that is no Rust test. That it exists is looked up in
//! the file; that it ran, in the report that nextest writes and in what `cargo xtask test` says of the suites before this one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proc_macro2::{TokenStream, TokenTree};

use crate::report::{self, Report};
use crate::suites;

/// The page.
const PAGE: &str = "docs/guarantees.md";
/// The suite whose tests nextest reports.
const UNIT: &str = "unit";

/// A promise and what shows it.
#[derive(Debug, PartialEq, Eq)]
struct Promise {
    /// Line in the page, from 1.
    line: usize,
    text: String,
    tests: Vec<Test>,
}

#[derive(Debug, PartialEq, Eq)]
struct Test {
    suite: String,
    /// File and function; none for a suite that is no Rust test.
    function: Option<(String, String)>,
}

/// What is known of this run.
#[derive(Debug, Default)]
struct Ran {
    /// Suites that ran before this one, and whether they passed (else they were skipped or failed).
    suites: BTreeMap<String, bool>,
    /// Nextest's report of this run; none if it wrote none.
    unit: Option<Report>,
}

/// Checks the page. Prints the problems; returns whether there are none.
///
/// # Errors
/// When something cannot be read.
pub fn check(root: &Path) -> Result<bool, String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|fault| format!("{path}: {fault}"));
    let known = suites::names(root)?;
    let ran = ran(root)?;
    let promises = promises(&read(PAGE)?);
    let mut files: BTreeMap<String, Result<BTreeSet<String>, String>> = BTreeMap::new();
    let mut problems = Vec::new();
    let (mut tests, mut unproven) = (0, Vec::new());
    for promise in &promises {
        let mut problem = |what: String| problems.push(format!("{PAGE}:{}: {what}", promise.line));
        if promise.tests.is_empty() {
            problem(format!("no test of `{}`", promise.text));
        }
        for test in &promise.tests {
            tests += 1;
            if !known.contains(&test.suite) {
                problem(format!("no suite `{}` in tests/suites.toml", test.suite));
            }
            if let Some((file, name)) = &test.function {
                let found =
                    files.entry(file.clone()).or_insert_with(|| read(file).and_then(|text| tests_in(file, &text)));
                match found {
                    Ok(names) if names.contains(name) => {}
                    Ok(_) => {
                        problem(format!("{file} has no test `{name}`: name the one that fails without the promise"))
                    }
                    Err(fault) => problem(fault.clone()),
                }
            }
            match did_run(test, &ran, root) {
                Some(true) => {}
                Some(false) => problem(format!("{} did not run and pass in this run", show(test))),
                None => unproven.push(show(test)),
            }
        }
    }
    problems.iter().for_each(|problem| println!("{problem}"));
    let named = BTreeSet::from_iter(&unproven);
    named.iter().for_each(|test| println!("not run here: {test}"));
    let ran = if ran.suites.is_empty() {
        "not run here, only looked up".into()
    } else {
        format!("{} not run here", unproven.len())
    };
    println!("guarantees: {} promises, {tests} tests named, {ran}, {} problems", promises.len(), problems.len());
    Ok(problems.is_empty())
}

fn show(test: &Test) -> String {
    match &test.function {
        Some((file, name)) => format!("{file}::{name}"),
        None => format!("suite {}", test.suite),
    }
}

/// Whether a test ran and passed; none if its suite did not run before this one in this run, or the test was skipped in it.
fn did_run(test: &Test, ran: &Ran, root: &Path) -> Option<bool> {
    let passed = *ran.suites.get(&test.suite)?;
    let (Some((file, name)), Some(unit), UNIT) = (&test.function, &ran.unit, test.suite.as_str()) else {
        return Some(passed);
    };
    let (binary, module) = binary_of(root, file)?;
    let found = unit.iter().find(|((own, path), _)| {
        *own == binary && path.starts_with(&module) && (path == name || path.ends_with(&format!("::{name}")))
    });
    match found {
        Some((_, Some(_))) if passed => None,
        _ => Some(passed && found.is_some()),
    }
}

/// Nextest's id of the binary that a file belongs to, and the start of its tests' names.
fn binary_of(root: &Path, file: &str) -> Option<(String, String)> {
    let (folder, inside) = match file.split_once("/tests/").filter(|(folder, _)| !folder.contains("src")) {
        Some((folder, rest)) => (folder, format!("tests/{rest}")),
        None => match file.split_once("/src/") {
            Some((folder, rest)) => (folder, format!("src/{rest}")),
            None => ("", file.to_owned()),
        },
    };
    let manifest: toml::Table = fs::read_to_string(root.join(folder).join("Cargo.toml")).ok()?.parse().ok()?;
    let package = manifest.get("package")?.get("name")?.as_str()?;
    let stem = inside.trim_end_matches(".rs");
    if let Some(rest) = stem.strip_prefix("tests/") {
        let (binary, module) = rest.split_once('/').unwrap_or((rest, ""));
        let module = if module == "main" { "" } else { module };
        return Some((format!("{package}::{binary}"), module.replace('/', "::")));
    }
    let module = stem.strip_prefix("src/")?.trim_end_matches("/mod");
    if root.join(folder).join("src/lib.rs").is_file() {
        return Some((package.to_owned(), if module == "lib" { String::new() } else { module.replace('/', "::") }));
    }
    let bins = manifest.get("bin").and_then(|bins| bins.get(0)).and_then(|bin| bin.get("name"));
    let binary = bins.and_then(toml::Value::as_str).unwrap_or(package);
    Some((format!("{package}::bin/{binary}"), if module == "main" { String::new() } else { module.replace('/', "::") }))
}

/// The promises of a page: rows of tables whose head is `| promise | tests |`.
fn promises(page: &str) -> Vec<Promise> {
    let mut found = Vec::new();
    let mut inside = false;
    for (line, row) in (1..).zip(page.lines()) {
        inside = row.starts_with("| promise | tests |") || inside && row.starts_with('|');
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        if let (true, [text, tests]) = (inside, cells.as_slice())
            && *text != "promise"
        {
            let spans = tests.split('`').skip(1).step_by(2);
            found.push(Promise { line, text: (*text).to_owned(), tests: spans.map(test).collect() });
        }
    }
    found
}

/// A test by what stands in its code span.
fn test(span: &str) -> Test {
    if let Some(suite) = span.strip_prefix("suite ") {
        return Test { suite: suite.to_owned(), function: None };
    }
    let (suite, path) = span.split_once(": ").unwrap_or((UNIT, span));
    let (file, name) = path.rsplit_once("::").unwrap_or((path, ""));
    Test { suite: suite.to_owned(), function: Some((file.to_owned(), name.to_owned())) }
}

/// The names of the test functions of a file, also of those inside of macros.
fn tests_in(path: &str, text: &str) -> Result<BTreeSet<String>, String> {
    let tokens: TokenStream = text.parse().map_err(|fault| format!("{path}: {fault}"))?;
    let mut found = BTreeSet::new();
    collect_tests(tokens, &mut found);
    Ok(found)
}

fn collect_tests(stream: TokenStream, found: &mut BTreeSet<String>) {
    let tokens: Vec<_> = stream.into_iter().collect();
    let mut marked = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                marked |= at > 0 && tokens[at - 1].to_string() == "#" && group.to_string().replace(' ', "") == "[test]";
                collect_tests(group.stream(), found);
            }
            TokenTree::Ident(word) if marked && word == "fn" => {
                found.extend(tokens.get(at + 1).map(ToString::to_string));
                marked = false;
            }
            _ => {}
        }
    }
}

/// What the run that this is a part of has done so far.
fn ran(root: &Path) -> Result<Ran, String> {
    let Ok(results) = std::env::var(suites::RESULTS_VARIABLE) else { return Ok(Ran::default()) };
    let began = std::env::var(suites::BEGAN_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let suites = results.split(',').filter_map(|part| part.split_once('='));
    let suites: BTreeMap<_, _> = suites
        .filter(|(_, result)| *result != "skipped")
        .map(|(name, result)| (name.to_owned(), result == "passed"))
        .collect();
    Ok(Ran { unit: report::of_this_run(root, UNIX_EPOCH + Duration::from_secs(began))?, suites })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "# G\n\n| promise | tests |\n|---|---|\n";

    #[test]
    fn rows_are_promises_and_spans_are_tests() {
        let page = format!(
            "{ROW}| It holds. | `journal/tests/crash.rs::a`, `hot-path: tests/b.rs::c`, `suite d` |\n\n| x | `e` |\n"
        );
        let function = |file: &str, name: &str| Some((file.to_owned(), name.to_owned()));
        let tests = vec![
            Test { suite: "unit".into(), function: function("journal/tests/crash.rs", "a") },
            Test { suite: "hot-path".into(), function: function("tests/b.rs", "c") },
            Test { suite: "d".into(), function: None },
        ];
        let found: Vec<_> = promises(&page).into_iter().filter(|promise| !promise.text.starts_with('-')).collect();
        assert_eq!(found, [Promise { line: 5, text: "It holds.".into(), tests }]);
    }

    #[test]
    fn tests_are_found_in_macros_and_other_functions_are_not() {
        let text = "#[test]\nfn a() {}\nfn b() {}\nproptest! { #[test]\n #[ignore] fn c(x in 0..9) {} }\n// #[test] fn d() {}\n";
        assert_eq!(tests_in("x.rs", text).unwrap(), BTreeSet::from(["a".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn files_belong_to_the_binaries_that_nextest_names() {
        let binary = |file| binary_of(&crate::root(), file).unwrap();
        let pair = |binary: &str, module: &str| (binary.to_owned(), module.to_owned());
        assert_eq!(binary("journal/tests/crash.rs"), pair("cutline-journal::crash", ""));
        assert_eq!(binary("tests/model/binary.rs"), pair("cutline::model", "binary"));
        assert_eq!(binary("tests/contract/main.rs"), pair("cutline::contract", ""));
        assert_eq!(binary("src/ingest/tests/drafts.rs"), pair("cutline", "ingest::tests::drafts"));
        assert_eq!(binary("xtask/src/rules/mod.rs"), pair("xtask::bin/xtask", "rules"));
    }

    #[test]
    fn only_what_ran_and_passed_counts() {
        let case = |name: &str, skipped: Option<&str>| {
            (("cutline-journal::crash".to_owned(), name.to_owned()), skipped.map(str::to_owned))
        };
        let report = Report::from([case("m::a", None), case("m::c", Some("no such file"))]);
        let mut ran = Ran { unit: Some(report), suites: BTreeMap::from([("unit".into(), true)]) };
        let root = crate::root();
        assert_eq!(did_run(&test("journal/tests/crash.rs::a"), &ran, &root), Some(true));
        assert_eq!(did_run(&test("journal/tests/crash.rs::b"), &ran, &root), Some(false));
        assert_eq!(did_run(&test("journal/tests/crash.rs::c"), &ran, &root), None, "it was skipped");
        assert_eq!(did_run(&test("journal/tests/model.rs::a"), &ran, &root), Some(false));
        assert_eq!(did_run(&test("suite loom"), &ran, &root), None, "it has not run before this suite");
        ran.suites.insert("loom".into(), false);
        assert_eq!(did_run(&test("suite loom"), &ran, &root), Some(false));
    }
}
