//! Texts that are no configuration: problems, and no panic.

use proptest::prelude::*;

use super::*;

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), format!("a{} = 1", ".a".repeat(100_000))]
    {
        assert!(Config::from_text("deep", &text).is_err());
        assert!(Config::load(&[], &[text]).is_err());
    }
}

/// Lines that look like a config and mostly are none.
fn garbage_line() -> impl Strategy<Value = String> {
    let keys = Config::known_keys();
    let key = prop::sample::select(keys);
    let value = prop_oneof![
        Just("1".to_string()),
        Just("-1".to_string()),
        Just("9223372036854775808".to_string()),
        Just("0x".to_string()),
        Just("1e999".to_string()),
        Just("\"".to_string()),
        Just("[[".to_string()),
        Just("{a=[{}]}".to_string()),
        Just("\"stdin\"".to_string()),
        Just("2020-13-01".to_string()),
        "\\PC{0,12}",
    ];
    (key, value, 0..6u8).prop_map(|(key, value, shape)| {
        let leaf = key.rsplit('.').next().unwrap_or("").to_string();
        match shape {
            0 => format!("[{}]", key.replace("[]", "")),
            1 => format!("[[{}]]", key.replace("[]", "")),
            2 => format!("{} = {value}", key.replace("[]", "")),
            3 => format!("{leaf} {value}"),
            _ => format!("{leaf} = {value}"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = Config::from_text("garbage", &text);
    }

    #[test]
    fn no_likely_text_makes_it_panic_and_every_problem_has_a_line(lines in prop::collection::vec(garbage_line(), 0..12)) {
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        if let Err(problems) = Config::from_text("garbage", &lines.join("\n")) {
            prop_assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                prop_assert!(problem.origin.layer == 1 && (1..=count.max(1)).contains(&problem.origin.line), "{}", problem);
            }
        }
    }

    #[test]
    fn no_set_makes_it_panic(set in "[a-z.=\\[\\]{}\"0-9 ]{0,40}") {
        let _ = Config::load(&[], &[set]);
    }

    #[test]
    fn no_frame_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = OutputConfig::from_canonical_json(&bytes);
    }
}
