//! The control thread's side of the talk, with a socket that plays the engine process.

use cutline::config::Config;
use cutline_host::process::Event;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream as Stream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::bus::What;
use crate::bus::health::Health;
use crate::bus::lifecycle::Lifecycle;
use crate::health::system::SystemStatus;
use crate::supervisor::ask::Ask;
use crate::supervisor::registry::Registry;

const NAME: &str = "engine:invoke/0";
/// Asked often, and not waited for for long; a few lines each second.
const HEALTH: &str = "[engine.process]\nlog_lines_per_s = 3\n[health]\ninterval_ms = 100\ninterval_min_ms = 50\ninterval_max_ms = 100\ntimeout_ms = 50\nunhealthy_threshold = 1\n";

/// The engine's end.
struct Process(BufReader<Stream>);

impl Process {
    /// The next line; null at the end.
    async fn line(&mut self) -> Value {
        let mut line = String::new();
        // Whoever is gone with lines of ours unread resets the connection: that is an end too.
        let _ = self.0.read_line(&mut line).await;
        serde_json::from_str(&line).unwrap_or_default()
    }

    async fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.expect("it is listened to");
    }

    /// Says hello, and waits for the first question, whose number it returns.
    async fn asked(&mut self) -> u64 {
        self.say(r#"{"type":"hello","protocol":1}"#).await;
        self.say(r#"{"type":"ready"}"#).await;
        let question = self.line().await;
        assert_eq!(question["type"], "health");
        question["id"].as_u64().expect("a number")
    }
}

/// Waits until a process counts as so well; what else is known of it then.
async fn until(control: &Control, heard: &mut crate::bus::Listener, wanted: Grade) -> Report {
    loop {
        let event = heard.next().await.expect("the bus is open");
        let is_it = event.module == NAME;
        if matches!(&event.what, What::Health(Health::Changed { grade, .. }) if is_it && *grade == wanted) {
            return control.board.get(NAME).expect("a report");
        }
    }
}

/// Runs a test with a process that takes calls, and was welcomed; dropping the desk ends it.
fn with<F: Future<Output = ()>>(test: impl FnOnce(Control, crate::bus::Listener, Process) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let config = Config::from_text("test.toml", HEALTH).expect("a configuration").0;
        let control = Control::new(config, Registry::default(), Ask::new().0);
        let mut heard = control.bus.listen();
        let watching = spawn_local(watch(control.clone()));
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        theirs.set_nonblocking(true).expect("a socket");
        let desk = control.engines.desk("invoke");
        desk.started(0, 1, ours);
        desk.heard(0, Event::Ready("{}"));
        let mut process = Process(BufReader::new(Stream::from_std(theirs).expect("a runtime")));
        let welcome = process.line().await;
        assert_eq!((&welcome["type"], &welcome["module"]), (&json!("welcome"), &json!(NAME)));
        until(&control, &mut heard, Grade::Healthy).await;
        test(control.clone(), heard, process).await;
        assert_eq!(control.engines.processes().len(), 1, "its life is its lane's");
        drop(desk);
        let gone = async {
            while control.board.get(NAME).is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), gone).await.expect("with it what was known of it");
        watching.abort();
    });
}

#[test]
fn who_does_not_answer_has_one_question_before_it_and_is_degraded_until_it_does() {
    with(|control, mut heard, mut process| async move {
        let id = process.asked().await;
        let silent = until(&control, &mut heard, Grade::Degraded).await;
        assert!(silent.issues[0].kind == IssueKind::NoAnswer && silent.failures >= 1, "{silent:?}");
        assert!(matches!(control.board.system(), SystemStatus::Degraded { .. }));
        let second = timeout(Duration::from_millis(250), process.line()).await;
        assert!(second.is_err(), "it was asked again: {second:?}");
        process.say(&format!(r#"{{"type":"health","id":{},"status":"degraded"}}"#, id + 1)).await;
        process.say(&format!(r#"{{"type":"health","id":{id},"status":"healthy","metrics":{{"calls":3}}}}"#)).await;
        let well = until(&control, &mut heard, Grade::Healthy).await;
        assert_eq!(well.metrics.own.get("calls"), Some(&3.0), "late, and still its answer");
        assert_eq!(process.line().await["id"], id + 1, "and then it is asked again");
    });
}

#[test]
fn what_it_says_of_itself_counts_and_is_never_critical() {
    with(|control, mut heard, mut process| async move {
        let id = process.asked().await;
        process.say(&format!(r#"{{"type":"health","id":{id},"status":"unhealthy","reason":"no data"}}"#)).await;
        let ill = until(&control, &mut heard, Grade::Unhealthy).await;
        assert_eq!(ill.issues[0].text, "no data");
        assert!(matches!(control.board.system(), SystemStatus::Degraded { .. }));
    });
}

#[test]
fn what_it_tells_is_recorded_as_often_as_it_may_print_a_line() {
    with(|_, mut heard, mut process| async move {
        let id = process.asked().await;
        let lines: Vec<_> = (0..8)
            .map(|number| format!(r#"{{"type":"event","name":"loaded","data":{{"number":{number}}}}}"#))
            .chain([format!(r#"{{"type":"health","id":{id},"status":"unhealthy"}}"#)])
            .collect();
        process.say(&lines.join("\n")).await;
        let mut told = Vec::new();
        loop {
            let event = heard.next().await.expect("the bus is open");
            match &event.what {
                What::Lifecycle(Lifecycle::Told { name, data }) if event.module == NAME => {
                    told.push((name.clone(), data["number"].as_u64().expect("a number")));
                }
                What::Health(Health::Changed { grade: Grade::Unhealthy, .. }) => break,
                _ => {}
            }
        }
        assert_eq!(told, [0, 1, 2].map(|number| ("loaded".to_owned(), number)));
    });
}

#[test]
fn who_does_not_keep_to_the_protocol_is_not_listened_to_any_more_and_lives_on() {
    for (lines, why) in [
        (&["garbage"][..], "garbage"),
        (&[r#"{"type":"hello","protocol":9}"#], "version 9"),
        (&[r#"{"type":"hello","protocol":1}"#, r#"{"type":"hello","protocol":1}"#], "hello twice"),
    ] {
        with(|control, mut heard, mut process| async move {
            for line in lines {
                process.say(line).await;
            }
            let broken = until(&control, &mut heard, Grade::Degraded).await;
            assert!(broken.issues[0].text.contains(why), "{broken:?}");
            while process.line().await["type"] == "health" {}
            assert_eq!(process.line().await, Value::Null, "the end");
        });
    }
}

#[test]
fn who_closes_its_end_or_says_nothing_is_well_as_long_as_it_runs() {
    with(|control, mut heard, process| async move {
        drop(process);
        let ill = timeout(Duration::from_millis(150), until(&control, &mut heard, Grade::Degraded)).await;
        assert!(ill.is_err(), "{ill:?}");
        assert_eq!(control.board.get(NAME).map(|report| report.grade), Some(Grade::Healthy));
    });
}
