//! `[supervisor]` and `[[module]]`.

use super::*;

#[test]
fn a_module_needs_no_more_than_a_command() {
    let config = good("[[module]]\ncommand = [\"./feed\"]\n");
    let [module] = &config.modules[..] else { panic!("one module") };
    assert_eq!((&*module.name, &*module.command), ("module-0", &["./feed".to_owned()][..]));
    assert_eq!(
        (module.ready.clone(), module.start, module.recovery),
        (Probe::Protocol, StartMode::Eager, RecoveryStrategy::Restart)
    );
    assert_eq!(*module.config_json, "{}");
    assert!(module.required && !module.prewarm && !module.sandbox.network && !module.sandbox.processes);
    assert_eq!((module.limits.descriptors, module.limits.memory_bytes), (256, None));
    let defaults = &config.supervisor;
    assert_eq!(
        (defaults.startup_timeout_ms, defaults.start_delay_ms, defaults.parallel_startup),
        (60_000, 1_000, false)
    );
    assert_eq!((defaults.shutdown_timeout_ms, module.shutdown_timeout_ms), (30_000, None));
    assert!(!defaults.require_sandbox);
    assert!(Config::embedded_default().modules.is_empty());
}

#[test]
fn each_probe_is_read_as_it_is_written() {
    let probe = |ready: &str| {
        good(&format!("[[module]]\ncommand = [\"x\"]\nnetwork = true\nready = {ready}\n")).modules.remove(0).ready
    };
    assert_eq!(probe("{}"), Probe::Protocol);
    assert_eq!(probe("{notify = true}"), Probe::Notify);
    assert_eq!(probe("{notify = false}"), Probe::Protocol);
    assert_eq!(probe("{command = [\"a\", \"b\"]}"), Probe::Program(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(probe("{tcp = \"[::1]:80\"}"), Probe::Tcp("[::1]:80".to_owned()));
    assert_eq!(probe("{tcp = \"/run/x.sock\"}"), Probe::Tcp("/run/x.sock".to_owned()));
    assert_eq!(probe("{http = \"h:1/a/b?c\"}"), Probe::Http("h:1".to_owned(), "/a/b?c".to_owned()));
    assert_eq!(probe("{http = \"h:1\"}"), Probe::Http("h:1".to_owned(), "/".to_owned()));
}

#[test]
fn everything_that_is_wrong_with_modules_is_told_at_once() {
    let text = "\
[[module]]
name = \"plane\"
command = []
[[module]]
name = \"a\"
command = [\"x\"]
depends_on = [\"plane\", \"plane\"]
restarts_with = [\"b\"]
[module.ready]
tcp = \"nowhere\"
http = \"x:1\"
[[module]]
name = \"a\"
start = \"soon\"
environment = [\"=x\"]
prewarm = 1
limits = {descriptors = 1, memroy_bytes = 1}
";
    let found: Vec<(u32, String)> = bad(text).into_iter().map(|(line, key, _)| (line, key)).collect();
    let expected = [
        (2, "module[0].name"),
        (3, "module[0].command"),
        (7, "module[1].depends_on[1]"),
        (8, "module[1].restarts_with[0]"),
        (10, "module[1].ready.tcp"),
        (11, "module[1].ready.http"),
        (12, "module[2].command"),
        (13, "module[2].name"),
        (14, "module[2].start"),
        (15, "module[2].environment"),
        (16, "module[2].prewarm"),
        (17, "module[2].limits.descriptors"),
        (17, "module[2].limits.memroy_bytes"),
    ];
    assert_eq!(found, expected.map(|(line, key)| (line, key.to_owned())));
}

#[test]
fn what_is_the_module_s_own_is_handed_on_as_it_is() {
    let text =
        "[[module]]\ncommand = [\"x\"]\n[module.config]\nvenues = [\"b\", \"a\"]\n[module.config.limits]\nrate = 1.5\n";
    assert_eq!(*good(text).modules[0].config_json, r#"{"limits":{"rate":1.5},"venues":["b","a"]}"#);
}

#[test]
fn a_configuration_that_fits_into_no_line_is_refused() {
    let text = |len| format!("[[module]]\ncommand = [\"x\"]\n[module.config]\ntext = \"{}\"\n", "x".repeat(len));
    good(&text(64_000));
    assert_eq!(only(&text(65_000)).1, "module[0].config");
}

#[test]
fn who_may_have_no_socket_cannot_notify() {
    let key = "module[0].ready.notify".to_owned();
    assert_eq!(only("[[module]]\ncommand = [\"x\"]\n[module.ready]\nnotify = true\n"), (4, key));
}

#[test]
fn prewarming_who_does_not_wait_is_odd() {
    assert_eq!(warned("[[module]]\ncommand = [\"x\"]\nprewarm = true\n"), [(3, "module[0].prewarm".to_owned())]);
}
