//! TOML text as a tree in which every key and value knows the file and line it came from. Cold; allocates freely, never panics
//! on any text.
//!
//! Layers merge in order: tables key by key, everything else (arrays too) is replaced whole by the later layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::path;
use super::problem::{Origin, Problem};

/// A table: key to where the key was written and what it holds.
pub(super) type Table = BTreeMap<String, Entry>;

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key was written.
    pub key: Origin,
    /// What it holds.
    pub node: Node,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value begins.
    pub origin: Origin,
    /// The value.
    pub data: Data,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// JSON's null; TOML has none.
    Null,
    /// A TOML date or time, as written.
    Date(String),
    Array(Vec<Node>),
    Table(Table),
    /// Something a problem was already reported for; readers pass over it in silence.
    Invalid,
}

impl Data {
    /// What the value is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the string {text:?}"),
            Self::Integer(value) => format!("the integer {value}"),
            Self::Float(value) => format!("the float {value:?}"),
            Self::Boolean(value) => format!("{value}"),
            Self::Null => "null".into(),
            Self::Date(text) => format!("the date {text}"),
            Self::Array(_) => "an array".into(),
            Self::Table(_) => "a table".into(),
            Self::Invalid => "invalid".into(),
        }
    }
}

/// Reads one layer. Syntax errors go to `problems`; what could be understood beside them is returned all the same.
pub(super) fn parse(layer: usize, file: &str, text: &str, problems: &mut Vec<Problem>) -> Node {
    let (root, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::new(layer, file, text, !errors.is_empty());
    for error in &errors {
        let origin = lines.at(error.span().map_or(0, |span| span.start));
        // The first error of a line is the cause, the others are its consequences.
        if problems.iter().any(|earlier| earlier.origin == origin) {
            continue;
        }
        problems.push(Problem {
            origin,
            key: String::new(),
            what: format!("not valid TOML: {}", error.message().replace('\n', ", ")),
            next_step: "Correct the line; config/default.toml shows every key as it is written.".into(),
        });
    }
    let mut path = Vec::new();
    let data = lines.table(root.into_inner(), &mut path, problems);
    Node { origin: Origin { line: 0, ..lines.at(0) }, data }
}

/// Reads one `key=value`, the `nth` of the place that `file` stands for, as a layer with a single key. A value that is not TOML is taken as a string, so that
/// `engine.mode=truth` needs no quotes inside quotes.
pub(super) fn parse_set(layer: usize, file: &str, nth: u32, text: &str, problems: &mut Vec<Problem>) -> Node {
    let origin = Origin { layer, file: file.into(), line: nth };
    let empty = Node { origin: origin.clone(), data: Data::Table(Table::new()) };
    let mut refuse = |what: String| {
        problems.push(Problem {
            origin: origin.clone(),
            key: String::new(),
            what,
            next_step: "Write --set section.key=value.".into(),
        });
    };
    let Some((path, value)) = text.split_once('=') else {
        refuse(format!("{text:?} has no '='"));
        return empty;
    };
    let Some(keys) = path::names(path).filter(|keys| keys.len() <= DEPTH_MAX) else {
        refuse(format!("{path:?} is not a key"));
        return empty;
    };
    let value = value.trim();
    let data = match DeValue::parse(value) {
        Ok(parsed) => {
            // All spans lie within one argument: each of its parts has the argument's place.
            let lines = Lines { starts: Vec::new(), origin: origin.clone(), has_errors: false };
            let mut path = keys.clone();
            lines.data(parsed.into_inner(), &origin, &mut path, problems)
        }
        Err(_) => Data::Text(value.to_string()),
    };
    keys.into_iter().rev().fold(Node { origin: origin.clone(), data }, |node, key| {
        let entry = Entry { key: origin.clone(), node };
        Node { origin: origin.clone(), data: Data::Table(Table::from([(key, entry)])) }
    })
}

/// A JSON document as a layer; used for the config frames of the runs log, which have no lines.
pub(super) fn from_json(origin: &Origin, json: Json) -> Node {
    let data = match json {
        Json::Null => Data::Null,
        Json::Bool(value) => Data::Boolean(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Data::Integer(value),
            (None, Some(value)) => Data::Float(value),
            (None, None) => Data::Null,
        },
        Json::String(text) => Data::Text(text),
        Json::Array(items) => Data::Array(items.into_iter().map(|item| from_json(origin, item)).collect()),
        Json::Object(fields) => Data::Table(
            fields
                .into_iter()
                .map(|(key, value)| (key, Entry { key: origin.clone(), node: from_json(origin, value) }))
                .collect(),
        ),
    };
    Node { origin: origin.clone(), data }
}

/// Lays `over` on top of `base`.
pub(super) fn merge(base: &mut Node, over: Node) {
    match (&mut base.data, over) {
        (Data::Table(under), Node { data: Data::Table(table), origin }) => {
            base.origin = origin;
            for (name, entry) in table {
                match under.get_mut(&name) {
                    Some(existing) => {
                        existing.key = entry.key;
                        merge(&mut existing.node, entry.node);
                    }
                    None => {
                        under.insert(name, entry);
                    }
                }
            }
        }
        (_, over) => *base = over,
    }
}

/// Deepest key of `--set`; TOML files are bounded by their parser.
const DEPTH_MAX: usize = 16;

/// From byte offsets to lines.
struct Lines {
    /// Byte offset at which each line starts; empty = everything is on the origin's own line.
    starts: Vec<usize>,
    origin: Origin,
    /// The text has syntax errors, so that a value may be a stand-in of the parser's.
    has_errors: bool,
}

impl Lines {
    fn new(layer: usize, file: &str, text: &str, has_errors: bool) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        Self { starts, origin: Origin { layer, file: Arc::from(file), line: 0 }, has_errors }
    }

    fn at(&self, offset: usize) -> Origin {
        if self.starts.is_empty() {
            return self.origin.clone();
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        Origin { line: u32::try_from(line).unwrap_or(u32::MAX), ..self.origin.clone() }
    }

    fn node(&self, value: Spanned<DeValue<'_>>, path: &mut Vec<String>, problems: &mut Vec<Problem>) -> Node {
        let span = value.span();
        let origin = self.at(span.start);
        // The parser stands in an integer without extent for a value it could not read; its error is already in the list.
        let data = if self.has_errors && span.is_empty() && value.get_ref().is_integer() {
            Data::Invalid
        } else {
            self.data(value.into_inner(), &origin, path, problems)
        };
        Node { origin, data }
    }

    fn data(&self, value: DeValue<'_>, origin: &Origin, path: &mut Vec<String>, problems: &mut Vec<Problem>) -> Data {
        let mut refuse = |what: String| {
            problems.push(Problem {
                origin: origin.clone(),
                key: path.join("."),
                what,
                next_step: "Set a number within the key's limits.".into(),
            });
            Data::Invalid
        };
        match value {
            DeValue::String(text) => Data::Text(text.into_owned()),
            DeValue::Boolean(value) => Data::Boolean(value),
            DeValue::Datetime(date) => Data::Date(date.to_string()),
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(value) => Data::Float(value),
                Err(_) => refuse(format!("{float} is no float")),
            },
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(value) => Data::Integer(value),
                Err(_) => refuse(format!("{integer} does not fit in 64 bits")),
            },
            DeValue::Array(items) => {
                let name = path.pop().unwrap_or_default();
                let mut nodes = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(format!("{name}[{index}]"));
                    nodes.push(self.node(item.clone(), path, problems));
                    path.pop();
                }
                path.push(name);
                Data::Array(nodes)
            }
            DeValue::Table(table) => self.table(table, path, problems),
        }
    }

    fn table(&self, table: DeTable<'_>, path: &mut Vec<String>, problems: &mut Vec<Problem>) -> Data {
        let mut result = Table::new();
        for (key, value) in table {
            let origin = self.at(key.span().start);
            let name = key.into_inner().into_owned();
            path.push(name.clone());
            let node = self.node(value, path, problems);
            path.pop();
            result.insert(name, Entry { key: origin, node });
        }
        Data::Table(result)
    }
}
