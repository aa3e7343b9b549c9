//! Whether a text is a JSON value: compared as it is read, and nothing is made of it. Part of the oracle.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Whether `text` says `value`, each object's keys once and in their order, as canonical JSON has them.
#[must_use]
pub fn says(text: &str, value: &Value) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    Same(value).deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

/// A value that is expected; it is an error if something else comes.
struct Same<'v>(&'v Value);

fn ensure<E: Error>(holds: bool) -> Result<(), E> {
    if holds { Ok(()) } else { Err(E::custom("another value")) }
}

impl<'de> DeserializeSeed<'de> for Same<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Same<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        ensure(self.0.is_null())
    }

    fn visit_bool<E: Error>(self, found: bool) -> Result<(), E> {
        ensure(self.0.as_bool() == Some(found))
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<(), E> {
        ensure(self.0.as_i64() == Some(found))
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<(), E> {
        ensure(self.0.as_u64() == Some(found))
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<(), E> {
        ensure(self.0.is_f64() && self.0.as_f64() == Some(found))
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<(), E> {
        ensure(self.0.as_str() == Some(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut found: A) -> Result<(), A::Error> {
        let Value::Array(items) = self.0 else { return ensure(false) };
        for item in items {
            ensure(found.next_element_seed(Same(item))?.is_some())?;
        }
        // One more is an error of the reader's.
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut found: A) -> Result<(), A::Error> {
        let Value::Object(members) = self.0 else { return ensure(false) };
        for (key, value) in members {
            ensure(found.next_key_seed(SameKey(key))?.is_some())?;
            found.next_value_seed(Same(value))?;
        }
        Ok(())
    }
}

/// A key that is expected.
struct SameKey<'v>(&'v str);

impl<'de> DeserializeSeed<'de> for SameKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for SameKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<(), E> {
        ensure(self.0 == found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_says_its_own_value_and_no_other() {
        let value = json!({"a": [1, -2, 0.5, null, true, "x\u{e9}\n"], "b": {}, "c": {"d": [], "e": u64::MAX}});
        let text = r#"{"a":[1,-2,0.5,null,true,"x\u00e9\n"],"b":{},"c":{"d":[],"e":18446744073709551615}}"#;
        assert!(says(text, &value) && says(&value.to_string(), &value));
        for (part, other) in [
            ("1,-2", "1,-3"),
            ("1,-2", "1.0,-2"),
            ("0.5", "0.25"),
            ("null", "0"),
            ("true", "false"),
            ("\\n\"]", "\\n\",1]"),
            (",\"x\\u00e9\\n\"", ""),
            ("\"b\":{}", "\"b\":{\"\":1}"),
            ("\"b\":{},", ""),
            ("\"b\":{},", "\"b\":{},\"b\":{},"),
            ("\"b\":{}", "\"x\":{}"),
            ("\"d\":[]", "\"d\":{}"),
            ("}}", "}"),
            ("}}", "}}1"),
        ] {
            assert!(text.contains(part) && !says(&text.replacen(part, other, 1), &value), "{part} as {other}");
        }
        assert!(!says(r#"{"b":1,"a":2}"#, &json!({"a": 2, "b": 1})), "keys have their order");
    }
}
