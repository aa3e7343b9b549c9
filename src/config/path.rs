//! A key as people write it, and its names: joined by dots, in quotes where TOML wants them, as in `engine.hysteresis."a.b"`. Pure.

use serde_json::Deserializer;

/// Adds a name at the end.
pub(super) fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) {
        path.push_str(name);
    } else {
        path.push_str(&serde_json::Value::from(name).to_string());
    }
}

/// Its names; `None` if it is no key.
pub(super) fn names(key: &str) -> Option<Vec<String>> {
    let (mut names, mut rest) = (Vec::new(), key.trim());
    loop {
        let (name, behind) = if rest.starts_with('"') {
            let mut quoted = Deserializer::from_str(rest).into_iter::<String>();
            let name = quoted.next()?.ok()?;
            (name, rest[quoted.byte_offset()..].trim_start())
        } else {
            let (name, behind) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
            (Some(name.trim()).filter(|name| !name.is_empty() && !name.contains('"'))?.to_owned(), behind)
        };
        names.push(name);
        if behind.is_empty() {
            return Some(names);
        }
        rest = behind.strip_prefix('.')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_names_and_dots_and_anything_else_is_none() {
        let of = |key| names(key).map(|names| names.join("|"));
        assert_eq!(of("engine.hysteresis.\"a.b\""), Some("engine|hysteresis|a.b".to_owned()));
        assert_eq!(of(" log . \"\\\"\" .module[0]"), Some("log|\"|module[0]".to_owned()));
        for no in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "a\"b\"", "a.\"b\".", "\"a\\x\""] {
            assert_eq!(of(no), None, "{no}");
        }
    }

    proptest! {
        #[test]
        fn names_come_back_from_what_they_were_joined_to(all in proptest::collection::vec(".*", 1..5)) {
            let mut key = String::new();
            all.iter().for_each(|name| push(&mut key, name));
            prop_assert_eq!(names(&key), Some(all));
        }
    }
}
