//! What nextest reports of the suite `unit`: the tests that passed, and what of them said that it could not run here.
//!
//! A test that lacks something on this machine passes with a line `skipped: WHY` on either output, because Rust's harness knows no third
//! outcome. Here it is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Where nextest writes its report (`.config/nextest.toml`): its store lies in the workspace, wherever cargo's target folder is.
const REPORT: &str = "target/nextest/default/junit.xml";
/// How the line of a test begins that says why it was skipped, or a part of it.
const SKIPPED: &str = "skipped: ";

/// Tests by binary and name, each with why it was skipped, if it was.
pub type Report = BTreeMap<(String, String), Option<String>>;

/// The report, if it was written since a run `began`.
///
/// # Errors
/// When it is there and cannot be read.
pub fn of_this_run(root: &Path, began: SystemTime) -> Result<Option<Report>, String> {
    written_since(&root.join(REPORT), began)
}

fn written_since(report: &Path, began: SystemTime) -> Result<Option<Report>, String> {
    let fault = |fault| format!("{}: {fault}", report.display());
    match fs::metadata(report) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(other) => Err(fault(other)),
        Ok(found) if found.modified().map_err(fault)? < began => Ok(None),
        Ok(_) => Ok(Some(read(&fs::read_to_string(report).map_err(fault)?))),
    }
}

/// The test cases of a JUnit report, as nextest writes it.
pub fn read(text: &str) -> Report {
    let attribute = |tag: &str, name: &str| {
        let value = tag.split_once(&format!(" {name}=\""))?.1;
        Some(value.split_once('"')?.0.to_owned())
    };
    let cases = text.split("<testcase").skip(1).map(|case| case.split_once('>').unwrap_or((case, "")));
    let found = cases.filter_map(|(tag, inside)| {
        Some(((attribute(tag, "classname")?, attribute(tag, "name")?), why_skipped(inside)))
    });
    found.collect()
}

/// What a test has said of itself; a tag or an end of a line is before it.
fn why_skipped(inside: &str) -> Option<String> {
    let why = inside.split(['\n', '>']).find_map(|line| line.trim_start().strip_prefix(SKIPPED))?;
    let why = why.split('<').next().unwrap_or(why);
    let entities = [("&quot;", "\""), ("&apos;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    Some(entities.iter().fold(why.to_owned(), |why, (entity, character)| why.replace(entity, character)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_test_is_skipped_that_says_so_on_either_output() {
        let report = "<testsuite name=\"p::b\">\
            <testcase name=\"m::a\" classname=\"p::b\" time=\"1\">\n</testcase>\
            <testcase name=\"out\" classname=\"p::b\"><system-out>\nrunning 1 test\nskipped: &quot;x&quot; is not here\ntest out ... ok\n</system-out></testcase>\
            <testcase name=\"err\" classname=\"p::b\"><system-out></system-out><system-err>skipped: no y</system-err></testcase>\
            <testcase name=\"not\" classname=\"p::c\"><system-out>nothing was skipped: all is here</system-out></testcase>";
        let case = |binary: &str, name: &str, why: Option<&str>| {
            ((binary.to_owned(), name.to_owned()), why.map(str::to_owned))
        };
        let expected = [
            case("p::b", "m::a", None),
            case("p::b", "out", Some("\"x\" is not here")),
            case("p::b", "err", Some("no y")),
            case("p::c", "not", None),
        ];
        assert_eq!(read(report), Report::from(expected));
    }

    #[test]
    fn a_report_of_another_run_does_not_count() {
        let path = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        fs::write(&path, "<testcase name=\"a\" classname=\"b\">").unwrap();
        let now = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(written_since(&path, now + Duration::from_secs(1)), Ok(None));
        assert_eq!(written_since(&path, now).unwrap().unwrap().len(), 1);
        fs::remove_file(path).unwrap();
    }
}
