//! The grammar, the limits and the iterators, by hand. `tests/model` asks `serde_json` for a second opinion.

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

/// A string byte by byte, by the letter of RFC 8259: whether it is one, and whether it has escapes.
fn string_by_the_letter(inside: &str) -> Option<bool> {
    let units = |hex: &str| {
        let digits = hex.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        digits.and_then(|digits| u16::from_str_radix(digits, 16).ok())
    };
    let mut rest = inside;
    let mut has_escapes = false;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '"' | '\0'..=' ' if first != ' ' => return None,
            '\\' => {
                has_escapes = true;
                let kind = rest.chars().next()?;
                rest = &rest[kind.len_utf8()..];
                match kind {
                    'u' => {
                        let unit = units(rest)?;
                        rest = &rest[4..];
                        if (0xD800..0xDC00).contains(&unit) {
                            let low = units(rest.strip_prefix("\\u")?)?;
                            rest = &rest[6..];
                            (0xDC00..0xE000).contains(&low).then_some(())?;
                        } else if (0xDC00..0xE000).contains(&unit) {
                            return None;
                        }
                    }
                    '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {}
                    _ => return None,
                }
            }
            _ => {}
        }
    }
    Some(has_escapes)
}

fn assert_string(inside: &str) {
    let text = format!("\"{inside}\"");
    let read = RawValue::parse(&text).map(|value| value.has_escapes).ok();
    assert_eq!(read, string_by_the_letter(inside), "{inside:?}");
}

#[test]
fn strings_are_read_alike_at_every_place() {
    // Lengths around the steps of 16 and 64 bytes, and everything that matters at each place in them.
    let pieces = [
        "\"",
        "\\",
        "\\\"",
        "\\\\",
        "\\\\\\",
        "\\\\\\\"",
        "\\n",
        "\\x",
        "\\u00e9",
        "\\u00g9",
        "\\u12",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00",
        "\\ud83d\\ud83d",
        "\\ud83d\\u0041",
        "\u{1}",
        "\n",
        "\u{0}",
        "\u{1f}",
        "\u{7f}",
        "\u{e9}",
        "\u{1f600}",
        "\\\n",
        "\\\u{e9}",
    ];
    for len in (0..20).chain(40..90).chain([127, 128, 129, 200]) {
        let plain = "a".repeat(len);
        assert_string(&plain);
        for at in (0..=len).filter(|at| len < 90 || at % 16 < 3 || at % 16 > 12) {
            for piece in pieces {
                assert_string(&format!("{}{piece}{}", &plain[..at], &plain[at..]));
            }
        }
    }
}

#[test]
fn escapes_stand_together_in_any_order() {
    let pieces = ["\\\"", "\\\\", "\\n", "\\ud83d\\ude00", "\\u0041", "a", "aaaaaaa", "\\", "\\ude00", "\\x"];
    // A linear congruence; the last three pieces, which mostly break the string, are taken less often.
    let mut state = 7u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    for _ in 0..20_000 {
        let kinds = if next(4) == 0 { 10 } else { 7 };
        let inside: String = (0..next(60)).map(|_| pieces[next(kinds) as usize]).collect();
        assert_string(&inside);
    }
}

#[test]
fn numbers_are_read_alike_at_every_length() {
    let by_the_letter = |text: &str| {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) =
            text.split_once(['e', 'E']).map_or((text, None), |(left, right)| (left, Some(right)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(left, right)| (left, Some(right)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
    };
    for sign in ["", "-", "--", "+"] {
        for whole in
            (0..20).map(|len| "1234567890123456789"[..len].to_owned()).chain(["0".into(), "01".into(), "00".into()])
        {
            for fraction in
                (0..20).map(|len| format!(".{}", "0".repeat(len))).chain(["".into(), "..1".into(), ".1.1".into()])
            {
                for exponent in ["", "e1", "E+10", "e-", "e", "e1.0", "x", "e0123456789012345678"] {
                    let text = format!("{sign}{whole}{fraction}{exponent}");
                    for text in [text.clone(), format!("[{text},1]"), format!("{{\"a\":{text}}}")] {
                        let inner =
                            text.trim_matches(['[', ']', '{', '}']).trim_end_matches(",1").trim_start_matches("\"a\":");
                        assert_eq!(RawValue::parse(&text).is_ok(), by_the_letter(inner), "{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn integers_of_every_length_are_what_the_library_parses() {
    let digits = "98765432109876543210";
    for len in 1..=20 {
        for at in 0..len {
            for digit in ['0', '9'] {
                let mut text = digits[..len].to_owned();
                text.replace_range(at..=at, &digit.to_string());
                if text.len() > 1 && text.starts_with('0') {
                    continue;
                }
                for text in [text.clone(), format!("-{text}")] {
                    let expected = text.parse().map_err(|_| NotInteger::Range);
                    assert_eq!(RawValue::parse(&text).unwrap().integer(), expected, "{text}");
                }
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
