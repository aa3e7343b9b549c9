//! A module's body against processes that a shell plays, with the socket as their standard input.

use std::process::Command;

use cutline::config::Config;
use serde_json::json;

use super::*;
use crate::bus::Listener;
use crate::supervisor::ask::Ask;
use crate::supervisor::registry::Registry;

/// Says hello and that it is ready, and then what `answers` does with each `$line`, whose `$id` is known.
fn script(answers: &str) -> String {
    format!(
        "say() {{ echo \"$1\" >&0; }}\nsay '{{\"type\":\"hello\",\"protocol\":1,\"version\":\"7\"}}'\nsay '{{\"type\":\"ready\"}}'\n\
         while read -r line; do id=${{line#*\\\"id\\\":}}; id=${{id%%[,\\}}]*}}\n{answers}\ndone\n"
    )
}

/// Runs a test with a module that is this script, which has begun.
fn with<F: Future<Output = ()>>(script: &str, test: impl FnOnce(Process, Listener) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = Config::from_text("test.toml", "[[module]]\nname = \"m\"\ncommand = [\"sh\"]\n").unwrap().0;
        let module = config.modules[0].clone();
        let plan = Plan::new(&module, &config.supervisor, Vec::new(), None).unwrap();
        let control = Control::new(config, Registry::default(), Ask::new().0);
        let heard = control.bus.listen();
        // Nobody reads what it prints.
        let (output, _lines) = Output::new();
        let mut process = Process::new(module, control, output);
        let (wire, theirs) = Wire::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let child = Child::start(command, theirs, 1_000).unwrap();
        process.adopt(child, wire, plan, None, false).await.unwrap();
        test(process, heard).await;
    });
}

const SOON: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn it_is_ready_when_it_says_so_and_answers_what_it_is_asked() {
    let answers = "case $line in *health*) say \"{\\\"type\\\":\\\"health\\\",\\\"id\\\":$id,\\\"status\\\":\\\"degraded\\\",\\\"reason\\\":\\\"slow\\\"}\";;\n\
                   *good*) say \"{\\\"type\\\":\\\"ack\\\",\\\"id\\\":$id,\\\"ok\\\":true}\";;\n\
                   *bad*) say \"{\\\"type\\\":\\\"ack\\\",\\\"id\\\":$id,\\\"ok\\\":false,\\\"error\\\":\\\"no such key\\\"}\";; esac";
    with(&script(answers), |mut process, _| async move {
        let ready = process.ready().await.unwrap();
        assert!(ready.version == "7" && ready.pid.is_some());
        let health = process.health(PATIENCE).await.unwrap();
        assert_eq!(health, json!({"status": "degraded", "reason": "slow", "metrics": {}, "issues": []}));
        assert_eq!(process.update(json!({"good": 1}), PATIENCE).await, Ok(Value::Null));
        let refused = process.update(json!({"bad": 1}), PATIENCE).await.unwrap_err();
        assert!(refused.contains("goes on with the one before: no such key"), "{refused}");
        process.stop(Duration::ZERO).await.unwrap_or_else(|failure| panic!("{}", failure.message));
    });
}

#[test]
fn an_answer_that_comes_late_is_nobody_else_s() {
    // It answers each question with the next one.
    let answers = "[ -n \"$before\" ] && say \"{\\\"type\\\":\\\"health\\\",\\\"id\\\":$before,\\\"status\\\":\\\"healthy\\\"}\"\n\
                   case $line in *health*) before=$id;; esac";
    with(&script(answers), |mut process, _| async move {
        process.ready().await.unwrap();
        for _ in 0..2 {
            let fault = process.health(SOON).await.unwrap_err();
            assert_eq!(fault, "no answer within 200 ms");
        }
        process.stop(Duration::ZERO).await.unwrap_or_else(|failure| panic!("{}", failure.message));
    });
}

#[test]
fn who_dies_of_a_question_has_died() {
    with(&script("case $line in *health*) echo oh >&2; exit 3;; esac"), |mut process, _| async move {
        process.ready().await.unwrap();
        let fault = process.health(PATIENCE).await.unwrap_err();
        assert!(fault.contains("exit status 3; it printed last: oh"), "{fault}");
        let Err(failure) = process.live().await else { panic!("it lives") };
        assert!(failure.message.contains("exit status 3"), "{}", failure.message);
    });
}

#[test]
fn what_it_tells_is_told_as_often_as_it_may_print() {
    let flood = script("say '{\"type\":\"event\",\"name\":\"seen\",\"data\":{\"n\":1}}'; sleep 1000");
    with(&flood, |mut process, mut heard| async move {
        process.ready().await.unwrap();
        let told = tokio::select! {
            ended = process.live() => panic!("{:?}", ended.err().map(|failure| failure.message)),
            told = heard.next() => told.expect("an event"),
        };
        let told = serde_json::to_value(&*told).unwrap();
        assert_eq!((&told["event"], &told["name"], &told["data"]), (&json!("told"), &json!("seen"), &json!({"n": 1})));
        process.stop(Duration::ZERO).await.unwrap_or_else(|failure| panic!("{}", failure.message));
    });
}

#[test]
fn whoever_does_not_keep_to_the_protocol_is_ended() {
    for (script, why) in [
        ("echo '{\"type\":\"ready\"}' >&0; sleep 1000", "did not say hello first"),
        ("echo '{\"type\":\"hello\",\"protocol\":9}' >&0; sleep 1000", "speaks version 9"),
        ("for _ in 1 2; do echo '{\"type\":\"hello\",\"protocol\":1}' >&0; done; sleep 1000", "hello twice"),
        ("echo nonsense >&0; sleep 1000", "nonsense"),
    ] {
        with(script, |mut process, _| async move {
            let fault = process.ready().await.unwrap_err();
            assert!(fault.contains(why), "{fault}");
            let how = process.stop(Duration::ZERO).await.unwrap_or_else(|failure| panic!("{}", failure.message));
            assert!(how.contains("SIGKILL"), "{how}");
        });
    }
}

#[test]
fn what_it_says_before_it_dies_is_heard_before_that() {
    let hello = "echo '{\"type\":\"hello\",\"protocol\":1}' >&0; echo '{\"type\":\"ready\"}' >&0";
    let script = format!("{hello}; echo '{{\"type\":\"event\",\"name\":\"last\"}}' >&0; exit 5");
    for _ in 0..20 {
        with(&script, |mut process, mut heard| async move {
            process.ready().await.unwrap();
            assert!(process.live().await.is_err());
            process.control.bus.close();
            let told = heard.next().await.map(|event| serde_json::to_value(&*event).unwrap());
            assert_eq!(told.expect("the last word")["name"], "last");
        });
    }
}
