//! Layouts only grow: `docs/formats.md` against the golden files of `tests/layouts/v1/`. Pure.
//!
//! The page is bound to the code field by field by `tests/formats/`; this binds it to what was once released. What a
//! golden file says stays true: a field keeps its place, a frame keeps its kind. New are only whole tables, whole kinds,
//! and fields where `reserved` or `zero` was; [`check`] gives the golden files with them.

use std::collections::BTreeMap;

/// Where the golden files lie.
pub const FOLDER: &str = "tests/layouts/v1";
/// The page they are made from.
pub const PAGE: &str = "docs/formats.md";
/// The golden file of the table of frame kinds.
const KINDS: &str = "frame-kinds.txt";
/// What to do about a change that is none.
const INSTEAD: &str = "what exists is read by it; take the change back, or give the new layout a name, a magic and golden files \
                       of its own and keep reading this one";

/// What the check found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub problems: Vec<String>,
    /// Golden files by name that are not as the page would have them, but may become so.
    pub additions: BTreeMap<String, String>,
}

/// Compares the page with the golden files, by name.
pub fn check(page: &str, golden: &BTreeMap<String, String>) -> Found {
    let now = files_of(page);
    let mut found = Found::default();
    for (name, old) in golden {
        let Some(new) = now.get(name) else {
            found.problems.push(format!("{FOLDER}/{name}:1: layouts: {PAGE} has no such table any more: {INSTEAD}"));
            continue;
        };
        let kept: Vec<_> = new.lines().collect();
        for (number, line) in (1..).zip(old.lines()) {
            if !is_free(line) && !kept.contains(&line) {
                found
                    .problems
                    .push(format!("{FOLDER}/{name}:{number}: layouts: `{line}` is not in {PAGE} any more: {INSTEAD}"));
            }
        }
    }
    if found.problems.is_empty() {
        found.additions = now.into_iter().filter(|(name, new)| golden.get(name) != Some(new)).collect();
    }
    found
}

/// Whether a line is of bytes that additions may take.
fn is_free(line: &str) -> bool {
    line.split(' ').nth(2).is_some_and(|field| field == "zero" || field == "reserved")
}

/// The golden files that the page gives: a line with the size, and one for each field (offset, size, name, magic).
fn files_of(page: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap_or((section, ""));
        let Some((name, size)) = title.rsplit_once(" (") else { continue };
        let mut text = format!("{name}: {}\n", size.trim_end_matches(')'));
        for row in rows_below(body, "| offset | size | field | meaning |") {
            if let [offset, size, field, meaning, ..] = row.as_slice() {
                let magic = meaning.strip_prefix('`').and_then(|rest| rest.split('`').next());
                let magic = magic.filter(|_| *field == "magic").map(|magic| format!(" {magic}")).unwrap_or_default();
                text.push_str(&format!("{offset} {size} {field}{magic}\n"));
            }
        }
        let file: String = name
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("-");
        files.insert(format!("{file}.txt"), text);
    }
    let kinds = rows_below(page, "| log | kind | frame | what it holds |");
    files.insert(KINDS.into(), kinds.iter().map(|row| format!("{}\n", row[..row.len().min(3)].join(" "))).collect());
    files
}

/// The cells of the rows below a table's head.
fn rows_below<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().skip_while(|line| *line != head).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| offset | size | field | meaning |\n|---|---|---|---|\n";

    /// A page with one layout of 16 bytes and one frame kind, and more rows or kinds.
    fn page(rows: &str, kinds: &str) -> String {
        format!(
            "# F\n\n### A table (16 bytes)\n\n{HEAD}| 0 | 8 | magic | `CUT1` |\n{rows}\n\n| log | kind | frame | what it holds |\n\
             |---|---|---|---|\n| all | 0x01 | ONE | x |\n{kinds}"
        )
    }

    const ROWS: &str = "| 8 | 2 | a | text |\n| 10 | 6 | reserved | zero |\n";

    fn golden() -> BTreeMap<String, String> {
        check(&page(ROWS, ""), &BTreeMap::new()).additions
    }

    #[test]
    fn golden_files_are_made_from_the_page() {
        let golden = golden();
        assert_eq!(golden["a-table.txt"], "A table: 16 bytes\n0 8 magic CUT1\n8 2 a\n10 6 reserved\n");
        assert_eq!(golden["frame-kinds.txt"], "all 0x01 ONE\n");
        assert_eq!(check(&page(ROWS, ""), &golden), Found::default());
    }

    #[test]
    fn additions_are_taken() {
        let more =
            page("| 8 | 2 | a | text |\n| 10 | 4 | b | new |\n| 14 | 2 | zero | |\n", "| all | 0x02 | TWO | y |\n");
        let found = check(&more, &golden());
        assert_eq!(found.problems, [""; 0]);
        assert_eq!(found.additions["a-table.txt"], "A table: 16 bytes\n0 8 magic CUT1\n8 2 a\n10 4 b\n14 2 zero\n");
        assert_eq!(found.additions["frame-kinds.txt"], "all 0x01 ONE\nall 0x02 TWO\n");
    }

    #[test]
    fn a_change_that_is_no_addition_is_found() {
        let changed = [
            (page(ROWS, "").replace("(16 bytes)", "(24 bytes)"), "a-table.txt:1: "),
            (page(ROWS, "").replace("CUT1", "CUT2"), "a-table.txt:2: "),
            (page("| 8 | 4 | a | text |\n| 12 | 4 | reserved | zero |\n", ""), "a-table.txt:3: "),
            (page("| 8 | 2 | other | text |\n| 10 | 6 | reserved | zero |\n", ""), "a-table.txt:3: "),
            (page(ROWS, "").replace("### A table", "### B table"), "a-table.txt:1: "),
            (page(ROWS, "").replace("0x01", "0x03"), "frame-kinds.txt:1: "),
        ];
        for (page, place) in changed {
            let found = check(&page, &golden());
            assert_eq!(found.problems.len(), 1, "{place}: {found:?}");
            assert!(found.problems[0].starts_with(&format!("{FOLDER}/{place}layouts: ")), "{place}: {found:?}");
            assert!(found.additions.is_empty(), "nothing is written over a problem");
        }
    }
}
