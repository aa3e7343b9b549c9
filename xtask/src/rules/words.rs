//! Names that may stand in listed places only. Pure.

use super::allow::Allowed;
use super::source::{Form, Name, Source};

/// A rule about names.
pub struct Rule {
    /// By which the allow list speaks of it.
    pub name: &'static str,
    /// Names it is about: `a::b` wherever these segments follow each other, `a::*` with anything behind, `a!` a macro,
    /// `.a` a member, `a` anywhere.
    names: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

/// What no file of the data plane may say outside the places in the allow list.
pub const DATA_PLANE: &[Rule] = &[
    Rule {
        name: "clock",
        names: &[
            "SystemTime",
            "Instant",
            "clock_gettime",
            "gettimeofday",
            "ClockId",
            "_rdtsc",
            "__rdtscp",
            "ticks::now",
            ".now_ns",
            ".modified",
            "asm!",
            "global_asm!",
        ],
        instead: "take the time as an argument; only the clock and who polls stages read it",
    },
    Rule {
        name: "randomness",
        names: &[
            "RandomState",
            "DefaultHasher",
            "rand::*",
            "std::random",
            "getrandom",
            "fastrand",
            "thread_rng",
            "OsRng",
            "Uuid",
        ],
        instead: "derive it from what the logs hold, or take a seed as an argument",
    },
    Rule {
        name: "hash order",
        names: &["HashMap", "HashSet", "hash_map", "hash_set", "hashbrown"],
        instead: "use a BTreeMap or a Vec, whose order is the same in every process",
    },
    Rule {
        name: "threads",
        names: &["spawn", "spawn_scoped", "spawn_unchecked", "thread::scope", "Command"],
        instead: "make it a stage on a lane, or work of the keeper",
    },
    Rule {
        name: "environment",
        names: &["std::env", "env::*", "env!", "option_env!", "current_dir", "path::absolute"],
        instead: "make it a key of config/default.toml",
    },
    Rule {
        name: "output",
        names: &["print!", "println!", "eprint!", "eprintln!", "dbg!", "stdout", "stderr", "log::*", "tracing::*"],
        instead: "count it, or tell it by a notice; control prints",
    },
    Rule {
        name: "raw_payload",
        names: &["raw_payload", "RawPayload"],
        instead: "leave it where it is: it is opaque, only the scan that skips it may name it",
    },
    Rule {
        name: "normalized",
        names: &["normalized", "Normalized", "read_normalized", "from_normalized"],
        instead: "use what the envelope or the snapshot has read of it",
    },
];

/// What no file outside ring, shm, journal and the C ABI may say.
pub const OUTSIDE_UNSAFE: &[Rule] = &[Rule {
    name: "unsafe",
    names: &["unsafe"],
    instead: "put what needs it into ring, shm, journal or host, behind a safe function with its reasons",
}];

/// Whose files [`RECOVERY`] is about.
pub const OF_RECOVERY: &str = "control/src/recovery/";
/// What recovery may not say: by these names one reaches a lane.
pub const RECOVERY: &[Rule] = &[Rule {
    name: "recovery",
    names: &["levers", "Levers", "reload", "Reloader", "cutline::plane", "cutline_host", "cutline_ring"],
    instead: "ask the supervisor; recovery never touches a lane",
}];

/// What these files say against `rules`, but for what is allowed.
pub fn check<'a>(sources: impl IntoIterator<Item = &'a Source>, rules: &[Rule], allowed: &mut Allowed) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        for name in &source.names {
            for rule in rules {
                let Some(word) = rule.names.iter().find(|word| matches(word, name)) else { continue };
                if !allowed.takes(rule.name, &source.path, word) {
                    problems.push(format!(
                        "{}:{}: {}: `{}` may not stand here: {}",
                        source.path,
                        name.line,
                        rule.name,
                        name.segments.join("::"),
                        rule.instead
                    ));
                }
            }
        }
    }
    problems
}

/// Whether `word` of a rule is about `name`.
fn matches(word: &str, name: &Name) -> bool {
    if let Some(word) = word.strip_suffix('!') {
        return name.form == Form::Macro && name.segments.last().is_some_and(|last| last == word);
    }
    if let Some(word) = word.strip_prefix('.') {
        return name.form == Form::Member && name.segments.last().is_some_and(|last| last == word);
    }
    let parts: Vec<_> = word.split("::").collect();
    name.segments.windows(parts.len()).any(|window| window.iter().zip(&parts).all(|(a, b)| *b == "*" || a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of one file in the data plane without an allow list.
    fn problems(text: &str) -> Vec<String> {
        let source = Source::read("src/cut/stage.rs", text).unwrap();
        check(&[source], DATA_PLANE, &mut Allowed::default())
    }

    /// `text` is found against `rule` on its second line, and nothing else is.
    fn assert_found(rule: &str, text: &str) {
        let found = problems(&format!("fn before() {{}}\n{text}\nfn behind() {{}}\n"));
        assert!(!found.is_empty(), "{text} was not found");
        let start = format!("src/cut/stage.rs:2: {rule}: ");
        assert!(found.iter().all(|problem| problem.starts_with(&start)), "{text}: {found:?}");
    }

    #[test]
    fn clock_reads_are_found() {
        for text in [
            "use std::time::Instant;",
            "fn f() { std::time::SystemTime::now(); }",
            "use rustix::time::{clock_gettime, ClockId};",
            "fn f() { unsafe { core::arch::x86_64::_rdtsc() }; }",
            "fn f() { cutline_ring::ticks::now(); }",
            "fn f(clock: &Clock) -> i64 { clock.now_ns() }",
            "fn f() { assert!(matches!(x, Some(y) if y < Instant::now())); }",
        ] {
            assert_found("clock", text);
        }
        assert_eq!(problems("fn f(now_ns: i64) -> i64 { now_ns }"), [""; 0]);
    }

    #[test]
    fn unseeded_randomness_is_found() {
        for text in
            ["use std::hash::RandomState;", "fn f() -> u64 { rand::random() }", "use std::hash::DefaultHasher as H;"]
        {
            assert_found("randomness", text);
        }
    }

    #[test]
    fn hash_order_is_found() {
        assert_found("hash order", "use std::collections::{BTreeMap, HashMap};");
        assert_found("hash order", "type A = std::collections::hash_map::Entry<'static, u8, u8>;");
    }

    #[test]
    fn threads_are_found() {
        assert_found("threads", "fn f() { std::thread::spawn(|| ()); }");
        assert_found("threads", "fn f() { Builder::new().spawn(run); }");
        assert_found("threads", "fn f() { thread::scope(|s| ()); }");
        assert_found("threads", "use std::process::Command;");
    }

    #[test]
    fn the_environment_is_found() {
        assert_found("environment", "use std::env;");
        assert_found("environment", "fn f() { env::var(\"A\"); }");
        assert_found("environment", "const A: &str = env!(\"A\");");
        assert_eq!(problems("fn f(env: u8) -> u8 { env }"), [""; 0]);
    }

    #[test]
    fn output_is_found() {
        for text in ["fn f() { println!(); }", "fn f() { tracing::info!(\"a\"); }", "fn f() { std::io::stderr(); }"] {
            assert_found("output", text);
        }
    }

    #[test]
    fn raw_payload_and_normalized_are_found() {
        assert_found("raw_payload", "fn f(e: &Slots) { e.get(Field::RawPayload); }");
        assert_found("normalized", "fn f(e: &Envelope) -> &str { e.normalized }");
        assert_found("normalized", "fn f(e: &[u8]) { Snapshot::from_normalized(e); }");
    }

    #[test]
    fn recovery_that_reaches_for_a_lane_is_found() {
        for text in
            ["fn f(c: &Control) { c.levers(); }", "use cutline::plane::levers;", "fn f() { control.reload.ask() }"]
        {
            let source = Source::read("control/src/recovery/driver.rs", text).unwrap();
            let found = check(&[source], RECOVERY, &mut Allowed::default());
            assert!(found[0].starts_with("control/src/recovery/driver.rs:1: recovery: "), "{found:?}");
        }
    }

    #[test]
    fn unsafe_is_found() {
        let source = Source::read("control/src/main.rs", "\nfn f() { unsafe { g() } }\n").unwrap();
        let found = check(&[source], OUTSIDE_UNSAFE, &mut Allowed::default());
        assert!(found[0].starts_with("control/src/main.rs:2: unsafe: "), "{found:?}");
    }
}
