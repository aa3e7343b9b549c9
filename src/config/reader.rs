//! Typed reads from the merged document. Each key of the config is read in one place, with its type and limits; what was asked for
//! is by definition what is known. Cold.
//!
//! A read that fails notes a problem and returns a stand-in within the limits, so that the rest is checked too. The stand-in is
//! never used: a config with problems is not handed out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::choice::Choice;
use super::document::{Data, Entry, Node, Table};
use super::problem::{Origin, Problem, Warning, nearest};

/// What the reads have found so far.
#[derive(Default)]
pub(super) struct Report {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
    /// Every path asked for, with `[]` for the index of an array of tables.
    pub known: BTreeSet<String>,
    /// Tables whose keys are not ours.
    pub open: BTreeSet<String>,
    /// A file had syntax errors, so that what is missing may only be unreadable.
    pub incomplete: bool,
}

impl Report {
    /// Whether the key, something in it or something it is in already has a problem.
    pub fn is_bad(&self, key: &str) -> bool {
        is_bad(&self.problems, key)
    }
}

/// Whether one of the problems lies in the key, in something in it or in something it is in.
pub(super) fn is_bad(problems: &[Problem], key: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        !outer.is_empty()
            && inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    problems.iter().any(|problem| within(&problem.key, key) || within(key, &problem.key))
}

/// One table of the document, or the place where it should have been.
pub(super) struct Section<'a> {
    report: &'a RefCell<Report>,
    /// As shown to the user: `feed[0]`.
    path: String,
    /// As listed among the known: `feed[]`.
    known_path: String,
    origin: &'a Origin,
    table: Option<&'a Table>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub fn root(report: &'a RefCell<Report>, root: &'a Node) -> Self {
        let table = if let Data::Table(table) = &root.data { Some(table) } else { None };
        Self { report, path: String::new(), known_path: String::new(), origin: &root.origin, table }
    }

    /// A table in this one.
    pub fn section(&self, key: &str) -> Self {
        let node = self.ask(key);
        let table = node.and_then(|node| match &node.data {
            Data::Table(table) => Some(table),
            _ => {
                self.mistyped(key, node, "a table", &format!("Write [{}] and its keys below it.", self.path_of(key)));
                None
            }
        });
        Self {
            report: self.report,
            path: self.path_of(key),
            known_path: join(&self.known_path, key),
            origin: node.map_or(self.origin, |node| &node.origin),
            table,
        }
    }

    /// The tables of an array of tables, in their order.
    pub fn entries(&self, key: &str, count_max: usize) -> Vec<Self> {
        let Some(node) = self.ask(key) else { return Vec::new() };
        let next_step = format!("Write one [[{key}]] for each.");
        let Data::Array(items) = &node.data else {
            self.mistyped(key, node, "an array of tables", &next_step);
            return Vec::new();
        };
        if items.len() > count_max {
            self.problem(key, format!("has {} entries, at most {count_max} are allowed", items.len()), "Remove some.");
        }
        let mut entries = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            let table = match &item.data {
                Data::Table(table) => Some(table),
                _ => {
                    self.mistyped(&format!("{key}[{index}]"), item, "a table", &next_step);
                    None
                }
            };
            let known_path = format!("{}[]", join(&self.known_path, key));
            entries.push(Self { report: self.report, path, known_path, origin: &item.origin, table });
        }
        entries
    }

    /// An integer within limits.
    pub fn integer(&self, key: &str, limits: RangeInclusive<u64>) -> u64 {
        let least = *limits.start();
        self.optional_integer(key, limits).unwrap_or_else(|| {
            self.missing(key);
            least
        })
    }

    /// The same, narrowed. The limits must lie within 32 bits.
    pub fn integer_u32(&self, key: &str, limits: RangeInclusive<u32>) -> u32 {
        let limits = u64::from(*limits.start())..=u64::from(*limits.end());
        u32::try_from(self.integer(key, limits)).unwrap_or(u32::MAX)
    }

    /// A power of two within limits.
    pub fn power_of_two(&self, key: &str, limits: RangeInclusive<u64>) -> u64 {
        let value = self.integer(key, limits.clone());
        if !value.is_power_of_two() {
            let above = value.checked_next_power_of_two().filter(|above| limits.contains(above));
            let near = above.unwrap_or_else(|| *limits.end());
            self.problem(key, format!("is {value}, not a power of two"), &format!("Set {near} or {}.", near / 2));
        }
        value
    }

    /// An integer that may be absent.
    pub fn optional_integer(&self, key: &str, limits: RangeInclusive<u64>) -> Option<u64> {
        let node = self.ask(key)?;
        let (least, most) = (*limits.start(), *limits.end());
        let next_step = format!("Set {key} to an integer from {least} to {most}.");
        match &node.data {
            Data::Integer(value) => match u64::try_from(*value).ok().filter(|value| limits.contains(value)) {
                Some(value) => return Some(value),
                None => self.problem(key, format!("is {value}, outside {least} to {most}"), &next_step),
            },
            _ => self.mistyped(key, node, "an integer", &next_step),
        }
        Some(least)
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> bool {
        self.optional_boolean(key).unwrap_or_else(|| {
            self.missing(key);
            false
        })
    }

    /// `true` or `false`, or absent.
    pub fn optional_boolean(&self, key: &str) -> Option<bool> {
        let node = self.ask(key)?;
        let Data::Boolean(value) = &node.data else {
            self.mistyped(key, node, "true or false", &format!("Set {key} to true or false."));
            return Some(false);
        };
        Some(*value)
    }

    /// One of a few words.
    pub fn choice<C: Choice>(&self, key: &str) -> C {
        self.optional_choice(key).unwrap_or_else(|| {
            self.missing(key);
            C::WORDS[0].1
        })
    }

    /// One of a few words, or absent.
    pub fn optional_choice<C: Choice>(&self, key: &str) -> Option<C> {
        let node = self.ask(key)?;
        Some(self.word(key, node).unwrap_or(C::WORDS[0].1))
    }

    /// A list of words; those that are none are left out.
    pub fn choices<C: Choice>(&self, key: &str) -> Vec<C> {
        let items = self.array(key);
        items.iter().enumerate().filter_map(|(index, item)| self.word(&format!("{key}[{index}]"), item)).collect()
    }

    /// A string.
    pub fn text(&self, key: &str) -> String {
        self.optional_text(key).unwrap_or_else(|| {
            self.missing(key);
            String::new()
        })
    }

    /// A string that may be absent.
    pub fn optional_text(&self, key: &str) -> Option<String> {
        let node = self.ask(key)?;
        let Data::Text(text) = &node.data else {
            self.mistyped(key, node, "a string", "Put the value in double quotes.");
            return Some(String::new());
        };
        Some(text.clone())
    }

    /// A list of strings.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let items = self.array(key);
        let texts = items.iter().enumerate().map(|(index, item)| match &item.data {
            Data::Text(text) => text.clone(),
            _ => {
                self.mistyped(&format!("{key}[{index}]"), item, "a string", "Put the value in double quotes.");
                String::new()
            }
        });
        texts.collect()
    }

    /// A list of integers within limits; those that are none are left out.
    pub fn integers(&self, key: &str, limits: RangeInclusive<u64>) -> Vec<u64> {
        let (least, most) = (limits.start(), limits.end());
        let next_step = format!("Set an integer from {least} to {most}.");
        let items = self.array(key).iter().enumerate();
        let values = items.filter_map(|(index, item)| {
            let key = format!("{key}[{index}]");
            let Data::Integer(value) = &item.data else {
                self.mistyped(&key, item, "an integer", &next_step);
                return None;
            };
            let within = u64::try_from(*value).ok().filter(|value| limits.contains(value));
            if within.is_none() {
                let what = format!("is {value}, outside {least} to {most}");
                self.problem_at(&item.origin, &key, what, &next_step);
            }
            within
        });
        values.collect()
    }

    /// A table whose keys are somebody else's.
    pub fn open_table(&self, key: &str) -> Option<&'a Table> {
        let path = join(&self.known_path, key);
        self.report.borrow_mut().open.insert(path);
        self.section(key).table
    }

    /// Whether a key is written, whatever it holds. The key counts as known from then on.
    pub fn has(&self, key: &str) -> bool {
        self.ask(key).is_some()
    }

    /// Whether nobody has set a key: it has its default, or is absent.
    pub fn is_default(&self, key: &str) -> bool {
        self.ask(key).is_none_or(|node| node.origin.layer == 0)
    }

    /// Whether what is not in this section was not written. A section that is absent or mistyped, or a file that could not be read in
    /// full, has its own problem already.
    pub fn is_whole(&self) -> bool {
        self.table.is_some() && !self.report.borrow().incomplete
    }

    /// Whether a key of this section has a problem already.
    pub fn is_bad(&self, key: &str) -> bool {
        self.report.borrow().is_bad(&self.path_of(key))
    }

    /// Notes a problem with a key of this section, at its value or, if there is none, at the section.
    pub fn problem(&self, key: &str, what: String, next_step: &str) {
        self.problem_at(self.origin_of(key), key, what, next_step);
    }

    fn ask(&self, key: &str) -> Option<&'a Node> {
        self.report.borrow_mut().known.insert(join(&self.known_path, key));
        self.table?.get(key).map(|entry| &entry.node)
    }

    fn array(&self, key: &str) -> &'a [Node] {
        let Some(node) = self.ask(key) else {
            self.missing(key);
            return &[];
        };
        let Data::Array(items) = &node.data else {
            self.mistyped(key, node, "an array", "Put the values in square brackets.");
            return &[];
        };
        items
    }

    fn word<C: Choice>(&self, key: &str, node: &Node) -> Option<C> {
        let words: Vec<String> = C::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
        let next_step = format!("Set {}.", words.join(" or "));
        let Data::Text(word) = &node.data else {
            self.mistyped(key, node, "a string", &next_step);
            return None;
        };
        let choice = C::from_word(word);
        if choice.is_none() {
            self.problem_at(&node.origin, key, format!("{word:?} is none of its values"), &next_step);
        }
        choice
    }

    fn missing(&self, key: &str) {
        if self.is_whole() {
            self.problem(key, "is missing".into(), &format!("Set {key}; config/default.toml says how."));
        }
    }

    /// Notes a value of the wrong type, unless a problem was reported for it before.
    pub fn mistyped(&self, key: &str, node: &Node, expected: &str, next_step: &str) {
        if !matches!(node.data, Data::Invalid) {
            self.problem_at(&node.origin, key, format!("must be {expected}, is {}", node.data.describe()), next_step);
        }
    }

    fn problem_at(&self, origin: &Origin, key: &str, what: String, next_step: &str) {
        let problems = &mut self.report.borrow_mut().problems;
        let key = self.path_of(key);
        // What follows the first problem of a key is about its stand-in.
        if !problems.iter().any(|problem| problem.key == key) {
            problems.push(Problem { origin: origin.clone(), key, what, next_step: next_step.into() });
        }
    }

    fn origin_of(&self, key: &str) -> &'a Origin {
        self.table.and_then(|table| table.get(key)).map_or(self.origin, |entry| &entry.node.origin)
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// Where the value at a path such as `feed[0].listen` was written.
pub(super) fn origin_at<'a>(root: &'a Node, path: &str) -> Option<&'a Origin> {
    let mut node = root;
    for part in path.split('.') {
        let (key, index) = match part.split_once('[') {
            Some((key, rest)) => (key, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Data::Table(table) = &node.data else { return None };
        node = &table.get(key)?.node;
        if let Some(index) = index {
            let Data::Array(items) = &node.data else { return None };
            node = items.get(index)?;
        }
    }
    Some(&node.origin)
}

/// Notes every key of the document that no read asked for.
pub(super) fn unknown_keys(root: &Node, report: &mut Report) {
    let mut found = Vec::new();
    if let Data::Table(table) = &root.data {
        unknown_in(table, "", "", report, &mut found);
    }
    report.problems.append(&mut found);
}

fn unknown_in(table: &Table, path: &str, known_path: &str, report: &Report, found: &mut Vec<Problem>) {
    for (name, Entry { key, node }) in table {
        let (path, known) = (join(path, name), join(known_path, name));
        if !report.known.contains(&known) {
            let what = "unknown key".to_string();
            found.push(Problem {
                origin: key.clone(),
                key: path,
                what,
                next_step: suggestion(name, known_path, report),
            });
            continue;
        }
        if report.open.contains(&known) {
            continue;
        }
        match &node.data {
            // Below something that should not be a table (or an array), nothing could be known.
            Data::Table(inner) if has_keys(&known, report) => unknown_in(inner, &path, &known, report, found),
            Data::Array(items) if has_keys(&format!("{known}[]"), report) => {
                for (index, item) in items.iter().enumerate() {
                    if let Data::Table(inner) = &item.data {
                        unknown_in(inner, &format!("{path}[{index}]"), &format!("{known}[]"), report, found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn has_keys(table: &str, report: &Report) -> bool {
    report.known.iter().any(|known| known.strip_prefix(table).is_some_and(|rest| rest.starts_with('.')))
}

/// What was probably meant: a sibling with a similar name, else the same name in another section.
fn suggestion(name: &str, section: &str, report: &Report) -> String {
    let siblings = || {
        report.known.iter().filter_map(|known| {
            let (parent, leaf) = known.rsplit_once('.').unwrap_or(("", known));
            (parent == section).then_some(leaf)
        })
    };
    // The name without its prefix or unit, such as segment for segment_bytes, is the other common slip.
    let partly = || siblings().find(|leaf| name.len() > 2 && (leaf.ends_with(name) || leaf.starts_with(name)));
    if let Some(near) = nearest(name, siblings()).or_else(partly) {
        return format!("Did you mean {:?}?", join(section, near));
    }
    let leaf_of = |known: &str| known.rsplit('.').next().is_some_and(|leaf| leaf == name);
    let elsewhere: Vec<String> =
        report.known.iter().filter(|known| leaf_of(known)).map(|known| format!("{known:?}")).collect();
    if !elsewhere.is_empty() {
        return format!("Did you mean {}?", elsewhere.join(" or "));
    }
    "Remove it; config/default.toml lists every key.".into()
}

fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.is_empty()) {
        (true, _) => key.into(),
        (_, true) => path.into(),
        _ => format!("{path}.{key}"),
    }
}
