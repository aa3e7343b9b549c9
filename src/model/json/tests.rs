//! The grammar, the limits and the iterators, by hand. `tests/model` asks `serde_json` for a second opinion.

use super::cursor::find_special;
use super::*;

fn fault(text: &str) -> String {
    RawValue::parse(text).expect_err(text).to_string()
}

#[test]
fn accepts_the_grammar_and_nothing_more() {
    for good in [
        "0",
        "-0",
        "1",
        "-12.5e+3",
        "1E-2",
        "0.0",
        "true",
        "false",
        "null",
        "\"\"",
        " [ ] ",
        "{}",
        "[1,[2,{\"a\":[]}],3]",
        "\t{\"a\" : 1 ,\r\n\"b\":[{},[]]} ",
        "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
        "\"\u{7f}\"",
        "1e999",
    ] {
        assert!(RawValue::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "nul",
        "True",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "[",
        "{",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\u{0}\"",
        "1 1",
        "{}{}",
        "[]]",
        "'a'",
        "//",
        "\u{a0}1",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "[\"\\ud800\"]",
    ] {
        assert!(RawValue::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn faults_say_what_and_where() {
    assert_eq!(fault("[1,]"), "expected a value at byte 3");
    assert_eq!(fault("{\"a\":1 \"b\":2}"), "expected ',' or '}' at byte 7");
    assert_eq!(fault("[01]"), "leading zero in a number at byte 2");
    assert_eq!(fault("[\"a\\ud800\"]"), "lone surrogate escape at byte 3");
    assert_eq!(fault("[\"a\tb\"]"), "control character in a string at byte 3");
    assert_eq!(fault("{} x"), "text after the value at byte 3");
    assert_eq!(text(b"\xEF\xBB\xBF{}").unwrap_err().what, "byte order mark");
    assert_eq!(text(b"ab\xFF").unwrap_err(), Fault { what: "invalid UTF-8", at: 2 });
    assert_eq!(text(b"").unwrap_err().what, "empty line");
}

#[test]
fn depth_counts_the_outermost_as_one() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(RawValue::parse(&nested(open, close, 64)).is_ok());
        assert!(fault(&nested(open, close, 65)).starts_with("nesting deeper than 64"));
    }
    let object = |inner: &str| format!("{{\"a\":{inner}}}");
    let drain = |text: &str| {
        let mut members = Members::open(text)?;
        while members.next()?.is_some() {}
        Ok::<(), Fault>(())
    };
    assert!(drain(&object(&nested("[", "]", 63))).is_ok());
    assert!(drain(&object(&nested("[", "]", 64))).is_err());
    assert!(RawValue::parse_within(&nested("[", "]", 63), 1).is_ok());
    assert!(RawValue::parse_within(&nested("[", "]", 64), 1).is_err());
    assert!(RawValue::parse_within("1", 64).is_ok());
    assert!(RawValue::parse_within("{}", 64).is_err());
    assert!(Members::open_within("{}", 63).is_ok());
    assert!(Members::open_within("{}", 64).is_err());
}

#[test]
fn members_come_in_order_with_their_exact_source() {
    let mut members = Members::open(" { \"a\" : [1, {\"x\": \"]\"}] , \"\\u0062\":\"c\\n\",\"a\":-1 } ").unwrap();
    let first = members.next().unwrap().unwrap();
    assert_eq!((first.key.raw, first.value.kind), ("a", Kind::Array));
    assert_eq!(first.value.text, "[1, {\"x\": \"]\"}]");
    let second = members.next().unwrap().unwrap();
    assert!(second.key.has_escapes && second.key.is("b") && !second.key.is("bc") && !second.key.is(""));
    assert_eq!(second.value.string().unwrap(), RawStr { raw: "c\\n", has_escapes: true });
    assert_eq!(members.next().unwrap().unwrap().value.integer(), Ok(-1));
    assert_eq!(members.next(), Ok(None));
    assert_eq!(members.next(), Ok(None));
    assert!(Members::open("[]").is_err());
}

#[test]
fn iterators_stop_after_a_fault() {
    let mut members = Members::open("{\"a\":x,\"b\":1}").unwrap();
    assert!(members.next().is_err());
    assert_eq!(members.next(), Ok(None));
    let mut elements = Elements::open("[1,2 3]").unwrap();
    assert_eq!(elements.next().unwrap().unwrap().integer(), Ok(1));
    assert!(elements.next().is_ok() && elements.next().is_err());
    assert_eq!(elements.next(), Ok(None));
}

#[test]
fn integers_are_digits_within_i64() {
    let integer = |text| RawValue::parse(text).unwrap().integer();
    assert_eq!(integer("9223372036854775807"), Ok(i64::MAX));
    assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
    assert_eq!(integer("-0"), Ok(0));
    assert_eq!(integer("9223372036854775808"), Err(NotInteger::Range));
    for other in ["1.0", "1e3", "1E3", "\"1\"", "true", "null", "[]"] {
        assert_eq!(integer(other), Err(NotInteger::Type), "{other}");
    }
}

#[test]
fn special_bytes_are_found_at_every_place() {
    for len in 0..40 {
        let plain = vec![0xFFu8; len];
        assert_eq!(find_special(&plain, 0), len);
        for at in 0..len {
            for byte in 0..=u8::MAX {
                let mut bytes = plain.clone();
                bytes[at] = byte;
                let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(find_special(&bytes, 0), if special { at } else { len }, "{byte} at {at} of {len}");
                // What follows the first one must not matter, nor what stands before `from`.
                bytes[at + 1..].fill(0);
                let next = if special { at } else { at + 1 };
                assert_eq!(find_special(&bytes, 0), next.min(len));
                assert_eq!(find_special(&bytes, at + 1), (at + 1).min(len));
            }
        }
    }
}

#[test]
fn unescape_keeps_its_limit() {
    let value = RawValue::parse("\"a\\ud83d\\ude00\\\"b\\\\\"").unwrap();
    let string = value.string().unwrap();
    let mut out = String::with_capacity(8);
    assert!(string.unescape(&mut out, 8));
    assert_eq!(out, "a\u{1f600}\"b\\");
    assert!(string.is("a\u{1f600}\"b\\"));
    let mut short = String::new();
    assert!(!string.unescape(&mut short, 7));
    assert!(short.len() <= 7);
}
