//! References in the strings of a configuration: `${NAME}` is a variable of the environment, `${file:PATH}` the content of a file without
//! the line's end, `${sealed:PATH}` the same of a file that is encrypted. What they name is a secret: it is in the typed tree alone, never
//! in what is shown, compared, recorded or complained of, nor in a typed tree's `Debug`.
//!
//! `$${` is `${` itself. Looked up through [`Around`], so that this folder reads neither environment nor files by itself.

use std::fmt;
use std::ops::Deref;

use super::document::{Data, Node};
use super::problem::Problem;
use super::reload::{When, when};

/// What stands in place of a secret wherever a configuration is shown.
pub const SECRET: &str = "<secret>";
/// Longest value of a reference, bytes.
const VALUE_MAX_BYTES: usize = 64 << 10;

/// Where references are looked up.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The content of a file, or why there is none.
    pub file: &'a dyn Fn(&str) -> Result<String, String>,
    /// What is sealed in a file, or why there is none.
    pub sealed: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Around<'static> {
    /// The environment and the files of this process, with nobody who opens what is sealed.
    #[must_use]
    pub fn of_process() -> Self {
        let sealed = &|_: &str| Err("nobody here can open it: the `cutline` program can".to_owned());
        Self { variable: &|name| std::env::var(name).ok(), file: &read_line, sealed }
    }
}

/// The content of a file without its line's end.
///
/// # Errors
/// Why it cannot be read.
pub fn read_line(path: &str) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = std::fs::File::open(path).map_err(|error| error.to_string())?;
    opened.take(VALUE_MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() > VALUE_MAX_BYTES {
        return Err(format!("has more than {VALUE_MAX_BYTES} bytes"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// What references were replaced by. Its `Debug` says how many they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Resolved(Vec<String>);

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {SECRET}", self.0.len())
    }
}

/// What is meant for somebody else and may hold secrets, whether by reference or as written: its `Debug` is [`SECRET`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Quiet<T>(pub T);

impl<T> Deref for Quiet<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Quiet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET)
    }
}

/// A piece of a string.
enum Piece<'a> {
    Plain(&'a str),
    /// What stands between `${` and `}`.
    Reference(&'a str),
    /// A `${` without its `}`.
    Open,
}

/// The pieces of a string; `$${` is the plain text `${`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(begin) = rest.find("${") {
        if rest[..begin].ends_with('$') {
            pieces.extend([Piece::Plain(&rest[..begin - 1]), Piece::Plain("${")]);
            rest = &rest[begin + 2..];
            continue;
        }
        pieces.push(Piece::Plain(&rest[..begin]));
        let Some(len) = rest[begin + 2..].find('}') else {
            pieces.push(Piece::Open);
            return pieces;
        };
        pieces.push(Piece::Reference(&rest[begin + 2..begin + 2 + len]));
        rest = &rest[begin + 3 + len..];
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

/// A string as it may be shown.
pub(super) fn shown(text: &str) -> String {
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Plain(text) => (*text).to_owned(),
        Piece::Reference(_) | Piece::Open => SECRET.to_owned(),
    };
    pieces(text).iter().map(piece).collect()
}

impl Resolved {
    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the references in all strings below `node`; those that name nothing are problems.
    pub(super) fn resolve(&mut self, node: &mut Node, around: &Around<'_>, problems: &mut Vec<Problem>) {
        let mut path = String::new();
        self.walk(node, &mut path, around, problems);
    }

    fn walk(&mut self, node: &mut Node, path: &mut String, around: &Around<'_>, problems: &mut Vec<Problem>) {
        let len = path.len();
        let mut refused = None;
        match &mut node.data {
            // What affects outputs is recorded in the runs log, and so no place for a secret.
            Data::Text(text) if text.contains("${") && when(path) == When::AtTick => {
                refused = Some("is recorded in the logs, where no reference's value may be".into());
            }
            Data::Text(text) if text.contains("${") => match self.replaced(text, around) {
                Ok(replaced) => *text = replaced,
                Err(what) => refused = Some(what),
            },
            Data::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    self.walk(item, path, around, problems);
                    path.truncate(len);
                }
            }
            Data::Table(table) => {
                for (name, entry) in table {
                    if len > 0 {
                        path.push('.');
                    }
                    path.push_str(name);
                    self.walk(&mut entry.node, path, around, problems);
                    path.truncate(len);
                }
            }
            _ => {}
        }
        if let Some(what) = refused {
            let next_step = "Write ${NAME} for a variable, ${file:PATH} for a file, ${sealed:PATH} for an encrypted one, or $${ for these two signs.".into();
            problems.push(Problem { origin: node.origin.clone(), key: path.clone(), what, next_step });
            node.data = Data::Invalid;
        }
    }

    fn replaced(&mut self, text: &str, around: &Around<'_>) -> Result<String, String> {
        let mut out = String::new();
        for piece in pieces(text) {
            let value = match piece {
                Piece::Plain(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Open => return Err("has a ${ without its }".into()),
                Piece::Reference(reference) => match reference.split_once(':') {
                    Some(("file", path)) => (around.file)(path)
                        .map_err(|why| format!("names the file {path}, which cannot be read: {why}"))?,
                    Some(("sealed", path)) => (around.sealed)(path)
                        .map_err(|why| format!("names the sealed file {path}, which cannot be opened: {why}"))?,
                    Some((kind, _)) => {
                        return Err(format!("has a reference of kind {kind:?}, and there are only file: and sealed:"));
                    }
                    None => (around.variable)(reference)
                        .ok_or_else(|| format!("names the variable {reference:?}, which is not set"))?,
                },
            };
            out.push_str(&value);
            self.0.push(value);
        }
        Ok(out)
    }

    /// A text without what was replaced.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let secrets = self.0.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| {
            // As a problem quotes it, too.
            let quoted = format!("{secret:?}");
            text.replace(quoted.trim_matches('"'), SECRET).replace(secret.as_str(), SECRET)
        })
    }
}
