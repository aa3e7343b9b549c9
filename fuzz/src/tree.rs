//! The independent reading of JSON: a tree built by `serde_json`, with numbers kept as their text.
//!
//! The contract's rules beyond RFC 8259 are added here: depth, no lone surrogate, the last of equal keys, integers as `-?digits`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting that the contract allows.
const DEPTH_MAX: u32 = 64;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

/// A number, compared as the contract means it: integers by their digits, others as doubles, bit by bit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    /// `-?digits`; `-0` is `0`.
    Integer(String),
    /// Bits of the double nearest to it.
    Float(u64),
}

/// The value in `text` if the contract takes it for JSON.
pub(crate) fn parse(text: &str) -> Option<Tree> {
    value(text, 0)
}

/// The same of a line's bytes.
pub(crate) fn parse_bytes(line: &[u8]) -> Option<Tree> {
    parse(std::str::from_utf8(line).ok()?)
}

fn value(text: &str, depth: u32) -> Option<Tree> {
    let text = serde_json::from_str::<&RawValue>(text).ok()?.get();
    let deeper = depth + 1;
    Some(match text.as_bytes().first()? {
        b'n' => Tree::Null,
        b't' | b'f' => Tree::Bool(text == "true"),
        b'"' => Tree::String(serde_json::from_str(text).ok()?),
        b'[' if deeper <= DEPTH_MAX => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Tree::Array(items.into_iter().map(|item| value(item.get(), deeper)).collect::<Option<_>>()?)
        }
        b'{' if deeper <= DEPTH_MAX => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let mut object = BTreeMap::new();
            for (key, member) in members {
                object.insert(key, value(member.get(), deeper)?);
            }
            Tree::Object(object)
        }
        b'[' | b'{' => return None,
        _ => Tree::Number(number(text)?),
    })
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let zero = digits == "0";
        return Some(Number::Integer(if zero { digits } else { text }.to_owned()));
    }
    text.parse().ok().map(|float: f64| Number::Float(float.to_bits()))
}

/// Members in their order, duplicates included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Tree {
    pub(crate) fn object(&self) -> Option<&BTreeMap<String, Tree>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub(crate) fn str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// An integer within `i64`.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Number(Number::Integer(digits)) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether every number in it fits a double, so that it has a canonical form.
    pub(crate) fn is_finite(&self) -> bool {
        match self {
            Self::Number(Number::Float(bits)) => f64::from_bits(*bits).is_finite(),
            Self::Array(items) => items.iter().all(Self::is_finite),
            Self::Object(members) => members.values().all(Self::is_finite),
            _ => true,
        }
    }
}
