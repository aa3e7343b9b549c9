//! Configurations as trees: references, what differs, and one mixed with another.

use super::*;

fn tree(place: &tempfile::TempDir, name: &str, text: &str) -> Tree {
    let path = place.path().join(name);
    std::fs::write(&path, text).expect("writable");
    Tree::read(&[path], &[], &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn around<'a>() -> Around<'a> {
    let variable = |name: &str| (name == "HOME").then(|| "/home/ann".to_owned());
    let file = |path: &str| if path == "/run/token" { Ok("hunter2".to_owned()) } else { Err("not found".to_owned()) };
    let sealed = |path: &str| if path == "/run/sealed" { Ok("swordfish".to_owned()) } else { Err("no key".to_owned()) };
    Around {
        variable: Box::leak(Box::new(variable)),
        file: Box::leak(Box::new(file)),
        sealed: Box::leak(Box::new(sealed)),
    }
}

#[test]
fn who_debugs_a_configuration_sees_no_secret() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let text = "[log]\ndir = \"/a/${file:/run/token}/\"\n[[feed]]\nkind = \"file\"\npath = \"/${sealed:/run/sealed}\"\n\
                [[module]]\nname = \"a\"\ncommand = [\"/bin/true\", \"${HOME}\"]\nenvironment = [\"TOKEN=${file:/run/token}\", \"PLAIN=pass\"]\n\
                [module.config]\nkey = \"${sealed:/run/sealed}\"\n";
    let (config, _) = tree(&place, "a.toml", text).config(&around()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        (config.modules[0].config_json.as_str(), config.resolved.is_empty()),
        ("{\"key\":\"swordfish\"}", false)
    );
    assert_eq!(config.modules[0].sandbox.environment.0, ["TOKEN=hunter2", "PLAIN=pass"]);
    for said in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(said.contains("/a/<secret>") && said.contains("command"), "{said}");
        for secret in ["hunter2", "swordfish", "/home/ann", "pass"] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
    // A module alone, which does not know what references named: what is meant for it is not there at all.
    let module = format!("{:?} {:?}", config.modules[0].sandbox, config.modules[0].config_json);
    assert!(module.contains("<secret>") && !module.contains("hunter2") && !module.contains("swordfish"), "{module}");
    let refused =
        tree(&place, "b.toml", "[log]\ndir = \"${sealed:/none}\"").config(&around()).expect_err("no such file");
    assert!(refused.to_string().contains("/none, which cannot be opened: no key"), "{refused}");
}

#[test]
fn what_a_reference_names_is_in_the_typed_tree_alone() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let text = "[log]\ndir = \"${HOME}/data\"\n[[feed]]\nkind = \"file\"\npath = \"/a/$${x}/${file:/run/token}\"\n";
    let sound = tree(&place, "sound.toml", text);
    let (config, _) = sound.config(&around()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.log.dir, Path::new("/home/ann/data"));
    assert_eq!(config.feeds[0].endpoint, Endpoint::File("/a/${x}/hunter2".into()));
    let keys = sound.keys();
    assert_eq!((&keys["log.dir"].value, keys["log.dir"].origin.line), (&serde_json::json!("<secret>/data"), 2));
    assert_eq!(keys["feed"].value[0]["path"], "/a/${x}/<secret>");
    // A value of the wrong kind is complained of without itself, whatever it is.
    for (text, key) in [
        ("[publish]\ndurability = \"${file:/run/token}\"", "publish.durability"),
        ("[links]\ncuts = \"${file:/run/token}\"", "links.cuts"),
        ("[[feed]]\nkind = \"tcp\"\nlisten = \"${file:/run/token}\"", "feed[0].listen"),
    ] {
        let refused = tree(&place, "wrong.toml", text).config(&around()).expect_err(key).to_string();
        assert!(refused.contains(key) && refused.contains("<secret>") && !refused.contains("hunter2"), "{refused}");
    }
    // What affects outputs is recorded, and what names nothing is named.
    for (text, what) in [
        ("[engine]\nlibrary = \"${HOME}/e.so\"", "recorded"),
        ("[log]\ndir = \"${NOWHERE}\"", "\"NOWHERE\", which is not set"),
        ("[log]\ndir = \"${file:/none}\"", "/none, which cannot be read: not found"),
        ("[log]\ndir = \"${vault:x}\"", "kind \"vault\""),
        ("[log]\ndir = \"${HOME\"", "without its }"),
    ] {
        let refused = tree(&place, "wrong.toml", text).config(&around()).expect_err(what).to_string();
        assert!(refused.contains(what) && refused.contains("wrong.toml:2:"), "{refused}");
    }
}

#[test]
fn what_differs_is_told_by_key_with_when_it_would_be_in_force() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let one = tree(
        &place,
        "one.toml",
        "[scheduler]\ninterval_ms = 100\n[engine.hysteresis]\na = 1\n[publish]\norder = \"run\"",
    );
    let other = tree(
        &place,
        "other.toml",
        "[scheduler]\ninterval_ms = 100\ndelay_ms = 7\n[engine.hysteresis]\nb = 2.0\n[symbols]\nmax = 9\n[clock]\nmax_step_ms = 3",
    );
    let found = differences(&one, &other);
    let told: Vec<(&str, String, String, When)> = found
        .iter()
        .map(|found| (&*found.key, found.before.to_string(), found.after.to_string(), found.when))
        .collect();
    let text = str::to_owned;
    assert_eq!(
        told,
        [
            ("clock.max_step_ms", text("1000"), text("3"), When::Live),
            ("engine.hysteresis.a", text("1"), text("null"), When::AtTick),
            ("engine.hysteresis.b", text("null"), text("2.0"), When::AtTick),
            ("scheduler.delay_ms", text("2000"), text("7"), When::AtTick),
            ("symbols.max", text("4096"), text("9"), When::AtRestart),
        ]
    );
    assert_eq!(differences(&one, &one), []);
    // Some of them taken over: the others stay as they were.
    let mixed = one.with_keys_of(&other, &["engine.hysteresis.a", "engine.hysteresis.b", "scheduler.delay_ms"]);
    let left: Vec<String> = differences(&mixed, &other).into_iter().map(|found| found.key).collect();
    assert_eq!(left, ["clock.max_step_ms", "symbols.max"]);
}

/// It says that everything is to be as it is by default, which nobody means: many an editor empties a file before it writes it.
#[test]
fn an_empty_file_is_refused_and_so_is_one_that_is_written_while_it_is_read() {
    const TEXT: &str = "[scheduler]\ninterval_ms = 777\n";
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join("edited.toml");
    let read = || {
        Tree::read(std::slice::from_ref(&file), &[], &[]).map(|tree| tree.keys()["scheduler.interval_ms"].value.clone())
    };
    std::fs::write(&file, "").expect("writable");
    let why = read().expect_err("refused").to_string();
    assert!(why.ends_with("edited.toml: is empty. Write it anew, or leave it out."), "{why}");
    let (mut whole, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let edits = scope.spawn(|| (0..10_000).for_each(|_| std::fs::write(&file, TEXT).expect("writable")));
        while !edits.is_finished() {
            match read() {
                Ok(value) => {
                    assert_eq!(value, 777);
                    whole += 1;
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(whole > 0 && refused > 0, "{whole} reads went well, {refused} met an edit");
    assert!(Tree::read(&["/dev/null".into()], &[], &[]).is_ok(), "no file, and meant so");
}

#[test]
fn overrides_lie_above_everything_and_are_named_so() {
    let sets = |text: &str| vec![text.to_owned()];
    let tree = Tree::read(&[], &sets("scheduler.interval_ms=5"), &sets("scheduler.interval_ms=7")).expect("two layers");
    let shown = &tree.keys()["scheduler.interval_ms"];
    assert_eq!((&shown.value, &*shown.origin.file, shown.origin.line), (&serde_json::json!(7), "override", 1));
    assert!(
        Tree::read(&[], &[], &sets("scheduler.interval_ms"))
            .is_err_and(|problems| problems.to_string().contains("override:1"))
    );
}

/// The table of what changes when names keys that there are, and whatever it does not name waits for a restart.
#[test]
fn every_key_of_the_config_frame_changes_at_a_tick_or_is_named() {
    for key in Config::known_keys() {
        let is_output = ["scheduler", "symbols", "engine"].contains(&key.split('.').next().unwrap_or_default());
        let waits = ["symbols.max", "engine.state_of_other_engine"].contains(&&*key);
        assert_eq!(when(&key) == When::AtTick, is_output && !waits, "{key}");
    }
    assert_eq!(when("engine.hysteresis.decay_factor"), When::AtTick);
    assert_eq!((when("symbols.maximum"), when("scheduling")), (When::AtTick, When::AtRestart));
}

#[test]
fn a_name_with_a_dot_is_one_name_wherever_keys_are_told_compared_mixed_and_set() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let one = tree(&place, "a.toml", "[engine.hysteresis]\n\"a.b\" = 1\n[engine.hysteresis.a]\nb = 2\n");
    let set = |text: &str| Tree::read(&[], &[text.to_owned()], &[]).expect("a key");
    let other = set("engine.hysteresis.\"a.b\" = 3");
    let found = differences(&one, &other);
    let told: Vec<_> = found.iter().map(|found| (&*found.key, found.before.clone(), found.after.clone())).collect();
    let key = "engine.hysteresis.\"a.b\"";
    assert_eq!(told, [(key, 1.into(), 3.into()), ("engine.hysteresis.a.b", 2.into(), serde_json::Value::Null)]);
    let mixed = one.with_keys_of(&other, &[key]);
    assert_eq!((&mixed.keys()[key].value, &mixed.keys()["engine.hysteresis.a.b"].value), (&3.into(), &2.into()));
}

#[test]
fn entries_of_the_same_names_differ_by_key_and_others_as_a_whole() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let module = |name: &str, more: &str| format!("[[module]]\nname = \"{name}\"\ncommand = [\"x\"]\n{more}\n");
    let of = |modules: &[String]| tree(&place, "a.toml", &modules.concat());
    let one = of(&[module("a", ""), module("b", "[module.limits]\nthreads = 1\n")]);
    let other = of(&[
        module("a", "[module.config]\n\"x.y\" = 1\n"),
        module("b", "required = false\n[module.limits]\nthreads = 2\n"),
    ]);
    let found: Vec<(String, When)> =
        differences(&one, &other).into_iter().map(|found| (found.key, found.when)).collect();
    let key = |key: &str, when| (key.to_owned(), when);
    assert_eq!(
        found,
        [
            key("module[0].config", When::Live),
            key("module[1].limits", When::Live),
            key("module[1].required", When::AtRestart)
        ]
    );
    // Mixed by those that may change: the rest stays as it was, and back again it is the same.
    let live = ["module[0].config", "module[1].limits"];
    let mixed = one.with_keys_of(&other, &live);
    let left: Vec<String> = differences(&mixed, &other).into_iter().map(|found| found.key).collect();
    assert_eq!(left, ["module[1].required"]);
    let (config, _) = mixed.config(&around()).expect("sound");
    assert_eq!((config.modules[0].config_json.as_str(), config.modules[1].limits.threads), ("{\"x.y\":1}", Some(2)));
    assert!(differences(&mixed.with_keys_of(&one, &live), &one).is_empty());
    // Another order, another name or another number of them: nobody knows whose is whose.
    for modules in [&[module("b", ""), module("a", "")][..], &[module("a", ""), module("c", "")], &[module("a", "")]] {
        let found = differences(&one, &of(modules));
        assert_eq!((found[0].key.as_str(), found[0].when, found.len()), ("module", When::AtRestart, 1));
    }
}
