//! The CONFIG frame: what of the configuration affects outputs, and nothing else.

use super::*;

#[test]
fn the_config_frame_is_canonical_and_reads_back() {
    let text = "[symbols]\nmode = \"list\"\nlist = [\"\u{e9}\", \"A\\\"\"]\n[engine]\nmode = \"hysteresis\"\nuse = \"scripted\"\n\
                [engine.hysteresis]\nb = 1e16\na = { z = 1e-7, y = [true, \"x\"] }\nc = 3\n[engine.retry]\nmax_elapsed_ms = 50\n";
    let output = good(text).output;
    let json = output.to_canonical_json();
    let expected = concat!(
        r#"{"engine":{"hysteresis":{"a":{"y":[true,"x"],"z":1e-07},"b":1e+16,"c":3},"mode":"hysteresis","output_max_bytes":65536,"#,
        r#""retry":{"max_attempts":1,"max_delay_ms":1000,"max_elapsed_ms":50,"min_delay_ms":100},"state_max_bytes":65536,"#,
        r#""timestamp_multiple_ms":1,"use":"scripted"},"scheduler":{"catch_up":"run","catch_up_max_ticks":1000,"delay_ms":2000,"#,
        r#""interval_ms":180000,"mode":"boundary"},"symbols":{"list":["\u00e9","A\""],"max":4096,"mode":"list"}}"#,
    );
    assert_eq!(json, expected);
    let mut canonical = Vec::new();
    crate::model::canonical::canonicalize(&json, &mut canonical).expect("JSON");
    assert_eq!(canonical, json.as_bytes());
    assert_eq!(OutputConfig::from_canonical_json(json.as_bytes()).expect("legal"), output);
    let default = Config::embedded_default().output;
    assert_eq!(OutputConfig::from_canonical_json(default.to_canonical_json().as_bytes()).expect("legal"), default);
}

#[test]
fn every_key_that_affects_outputs_is_in_the_frame() {
    let has = |output: &OutputConfig, key: &str| {
        let json: serde_json::Value = serde_json::from_str(&output.to_canonical_json()).expect("JSON");
        json.pointer(&format!("/{}", key.replace('.', "/"))).is_some()
    };
    // Where an engine works is nobody's business but ours: its answers are the same.
    let elsewhere = ["engine.host", "engine.timeout_ms", "engine.require_sandbox", "engine.process"];
    let by_choice = [
        ("engine.library", "[engine]\nlibrary = \"a \\\"b\\\".so\"\n"),
        ("engine.python", "[engine]\npython = \"regime_engine.engine\"\n"),
        ("engine.command", "[engine]\ncommand = [\"./a\", \"b c\"]\n"),
        ("engine.state_of_other_engine", "[engine]\nstate_of_other_engine = \"reset\"\n"),
        ("publish.order", "[publish]\norder = \"symbol\"\n"),
    ];
    let sections = ["scheduler.", "symbols.", "engine."];
    let keys = Config::known_keys().into_iter().filter(|key| sections.iter().any(|section| key.starts_with(section)));
    let default = Config::embedded_default().output;
    for key in keys.filter(|key| !elsewhere.iter().any(|other| key.starts_with(other))) {
        assert!(has(&default, &key) || by_choice.iter().any(|(choice, _)| *choice == key), "{key}");
    }
    for (key, text) in by_choice {
        let output = good(text).output;
        assert!(has(&output, key) && !has(&default, key), "{key}");
        assert_eq!(OutputConfig::from_canonical_json(output.to_canonical_json().as_bytes()).expect("legal"), output);
    }
}

#[test]
fn a_frame_that_cannot_be_understood_is_refused() {
    let json = Config::embedded_default().output.to_canonical_json();
    for (from, to) in [
        ("\"interval_ms\":180000", "\"interval_ms\":0"),
        ("\"interval_ms\":180000", "\"interval_ms\":null"),
        ("\"interval_ms\":180000", "\"interval_ms\":18446744073709551615"),
        ("\"mode\":\"seen\"", "\"mode\":\"list\""),
        ("\"mode\":\"seen\"", "\"mode\":\"some\""),
        ("\"mode\":\"seen\"", "\"mode\":\"seen\",\"later\":1"),
        ("\"min_delay_ms\":100", "\"min_delay_ms\":1000000"),
        ("{\"engine\"", "{\"motor\""),
        ("}}", "}"),
    ] {
        let broken = json.replace(from, to);
        assert_ne!(broken, json);
        assert!(OutputConfig::from_canonical_json(broken.as_bytes()).is_err(), "{broken}");
    }
    for text in ["", "null", "[]", "3"] {
        assert!(OutputConfig::from_canonical_json(text.as_bytes()).is_err(), "{text}");
    }
}
