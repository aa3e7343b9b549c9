//! A configuration as its files and overrides have it: every key with its value and where it was written, before it is read as a typed
//! [`Config`]. Kept by who reloads, so that two of them can be compared and mixed key by key. Cold; reads the files it is given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::document::{self, Data, Entry, Node, Table};
use super::path;
use super::problem::{Origin, Problem, Problems, Warning};
use super::reference::{Around, Resolved};
use super::{Config, default_layer, read, read_text};

/// See the module. References in it stand as they were written.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
}

/// A key's value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The value; `<secret>` in place of what a reference names.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

impl Tree {
    /// Merges the embedded default, `files` in order, `sets` (`key=value`, in order) and `overrides` (the same, above all).
    ///
    /// # Errors
    /// What cannot be read or is no TOML.
    pub fn read(files: &[PathBuf], sets: &[String], overrides: &[String]) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let tree = Self::parse(files, sets, overrides, &mut problems);
        if problems.is_empty() { Ok(tree) } else { Err(Problems(problems)) }
    }

    /// The same with what can be understood beside `problems`.
    pub(super) fn parse(files: &[PathBuf], sets: &[String], overrides: &[String], problems: &mut Vec<Problem>) -> Self {
        let mut root = default_layer(problems);
        let mut layer = 1;
        for file in files {
            match read_text(layer, file) {
                Ok(text) => {
                    document::merge(&mut root, document::parse(layer, &file.display().to_string(), &text, problems));
                }
                Err(problem) => problems.push(problem),
            }
            layer += 1;
        }
        for (name, sets) in [("--set", sets), ("override", overrides)] {
            for (nth, set) in (1..).zip(sets) {
                document::merge(&mut root, document::parse_set(layer, name, nth, set, problems));
                layer += 1;
            }
        }
        Self { root }
    }

    /// Reads and checks it; references are looked up in `around`. What they name is not in what is said of problems.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn config(&self, around: &Around<'_>) -> Result<(Config, Vec<Warning>), Problems> {
        self.checked(around, Vec::new())
    }

    pub(super) fn checked(
        &self,
        around: &Around<'_>,
        mut problems: Vec<Problem>,
    ) -> Result<(Config, Vec<Warning>), Problems> {
        let (mut root, mut resolved) = (self.root.clone(), Resolved::default());
        resolved.resolve(&mut root, around, &mut problems);
        let hide = |found: Vec<Problem>| -> Vec<Problem> {
            found.into_iter().map(|problem| Problem { what: resolved.hide(&problem.what), ..problem }).collect()
        };
        match read::config(vec![root], problems) {
            Ok((config, warnings)) => {
                let warnings = hide(warnings);
                Ok((Config { resolved, ..config }, warnings))
            }
            Err(Problems(found)) => Err(Problems(hide(found))),
        }
    }

    /// Every key that has a value, by name; an array is one value.
    #[must_use]
    pub fn keys(&self) -> BTreeMap<String, Shown> {
        let mut keys = BTreeMap::new();
        leaves(&self.root, &mut String::new(), &mut |key, node| {
            keys.insert(key.to_owned(), Shown { value: shown(node), origin: node.origin.clone() });
        });
        keys
    }

    /// The same beside another tree: of an array of tables whose entries have the same names in both, each entry's keys are told by
    /// themselves, `module[0].limits`.
    pub(super) fn keys_beside(&self, other: &Self) -> BTreeMap<String, Shown> {
        let mut keys = BTreeMap::new();
        let told = |node: &Node| Shown { value: shown(node), origin: node.origin.clone() };
        leaves(&self.root, &mut String::new(), &mut |key, node| {
            let beside = path::names(key).and_then(|names| at(&other.root, &names));
            match (entries(node), beside.and_then(|entry| entries(&entry.node))) {
                (Some(own), Some(others)) if has_same_names(&own, &others) => {
                    let all = own.iter().enumerate();
                    keys.extend(all.flat_map(|(index, table)| {
                        table.iter().map(move |(name, entry)| (format!("{key}[{index}].{name}"), told(&entry.node)))
                    }));
                }
                _ => drop(keys.insert(key.to_owned(), told(node))),
            }
        });
        keys
    }

    /// The same tree with those keys of `other` that are chosen, where they differ: set as there, or away as there.
    #[must_use]
    pub fn with_keys_of(&self, other: &Self, keys: &[&str]) -> Self {
        let mut root = self.root.clone();
        for names in keys.iter().filter_map(|key| path::names(key)) {
            match at(&other.root, &names) {
                Some(entry) => put(&mut root, &names, entry.clone()),
                None => remove(&mut root, &names),
            }
        }
        Self { root }
    }

    /// Whether a key is the same in both, as written.
    pub(super) fn has_same(&self, other: &Self, key: &str) -> bool {
        let names = path::names(key).unwrap_or_default();
        match (at(&self.root, &names), at(&other.root, &names)) {
            (Some(one), Some(other)) => is_same(&one.node, &other.node),
            (None, None) => true,
            _ => false,
        }
    }
}

/// Calls `say` with every value that is no table, and with empty tables whose keys are somebody else's.
fn leaves(node: &Node, path: &mut String, say: &mut impl FnMut(&str, &Node)) {
    let Data::Table(table) = &node.data else { return say(path, node) };
    for (name, entry) in table {
        let len = path.len();
        path::push(path, name);
        leaves(&entry.node, path, say);
        path.truncate(len);
    }
}

fn at<'a>(root: &'a Node, names: &[String]) -> Option<&'a Entry> {
    let (last, tables) = names.split_last()?;
    let mut node = root;
    for name in tables {
        let Data::Table(table) = &node.data else { return None };
        node = match (table.get(name), indexed(name)) {
            (Some(entry), _) => &entry.node,
            (None, Some((array, index))) => match &table.get(array)?.node.data {
                Data::Array(items) => items.get(index)?,
                _ => return None,
            },
            (None, None) => return None,
        };
    }
    if let Data::Table(table) = &node.data { table.get(last) } else { None }
}

/// `module[3]` as its array and its index.
fn indexed(name: &str) -> Option<(&str, usize)> {
    let (array, index) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((array, index.parse().ok()?))
}

/// The tables of an array that has nothing else.
fn entries(node: &Node) -> Option<Vec<&Table>> {
    let Data::Array(items) = &node.data else { return None };
    items.iter().map(|item| if let Data::Table(table) = &item.data { Some(table) } else { None }).collect()
}

fn has_same_names(one: &[&Table], other: &[&Table]) -> bool {
    let is_same_name = |(one, other): (&&Table, &&Table)| match (one.get("name"), other.get("name")) {
        (Some(one), Some(other)) => is_same(&one.node, &other.node),
        (one, other) => one.is_none() && other.is_none(),
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same_name)
}

/// The entry of an array that a part of a path names.
fn entry_of<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Node> {
    let (array, index) = indexed(name)?;
    match &mut table.get_mut(array)?.node.data {
        Data::Array(items) => items.get_mut(index),
        _ => None,
    }
}

fn put(root: &mut Node, names: &[String], entry: Entry) {
    let Some((first, rest)) = names.split_first() else { return };
    if !matches!(root.data, Data::Table(_)) {
        root.data = Data::Table(Table::new());
    }
    let Data::Table(table) = &mut root.data else { return };
    if rest.is_empty() {
        table.insert(first.clone(), entry);
        return;
    }
    if let Some(item) = entry_of(table, first) {
        return put(item, rest, entry);
    }
    let origin = entry.key.clone();
    let empty =
        || Entry { key: origin.clone(), node: Node { origin: origin.clone(), data: Data::Table(Table::new()) } };
    let inner = table.entry(first.clone()).or_insert_with(empty);
    put(&mut inner.node, rest, entry);
}

fn remove(root: &mut Node, names: &[String]) {
    let (Some((first, rest)), Data::Table(table)) = (names.split_first(), &mut root.data) else { return };
    if rest.is_empty() {
        table.remove(first);
    } else if let Some(item) = entry_of(table, first) {
        remove(item, rest);
    } else if let Some(entry) = table.get_mut(first) {
        remove(&mut entry.node, rest);
    }
}

fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.data, &other.data) {
        (Data::Table(one), Data::Table(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && is_same(&one.1.node, &other.1.node))
        }
        (Data::Array(one), Data::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Data::Text(one), Data::Text(other)) | (Data::Date(one), Data::Date(other)) => one == other,
        (Data::Integer(one), Data::Integer(other)) => one == other,
        (Data::Float(one), Data::Float(other)) => one.to_bits() == other.to_bits(),
        (Data::Boolean(one), Data::Boolean(other)) => one == other,
        (Data::Null, Data::Null) => true,
        _ => false,
    }
}

fn shown(node: &Node) -> Value {
    match &node.data {
        Data::Text(text) => Value::from(super::reference::shown(text)),
        Data::Integer(value) => Value::from(*value),
        Data::Float(value) => Value::from(*value),
        Data::Boolean(value) => Value::from(*value),
        Data::Date(text) => Value::from(text.as_str()),
        Data::Array(items) => items.iter().map(shown).collect(),
        Data::Table(table) => table.iter().map(|(name, entry)| (name.clone(), shown(&entry.node))).collect(),
        Data::Null | Data::Invalid => Value::Null,
    }
}
