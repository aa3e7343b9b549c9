//! The order of things, with bodies that only say what is done to them.

use std::cell::RefCell;
use std::time::Duration;

use cutline::config::{Config, Quiet};
use serde_json::json;
use tokio::task::LocalSet;

use super::super::ask::Ask;
use super::super::body::{Act, Body, Ready};
use super::super::modules;
use super::super::registry::{Registry, State};
use super::super::seat::Seat;
use super::*;

/// What was done, in order: `+name` it started, `-name` it stopped, `!name` it begins anew.
type Log = Rc<RefCell<Vec<String>>>;

/// Starts and stops when it is told to, unless it is one that fails.
struct Puppet {
    name: String,
    fails: bool,
    log: Log,
}

impl Body for Puppet {
    fn start(&mut self, reset: bool) -> Act<'_, Result<Ready, Failure>> {
        Box::pin(async move {
            // Others have their turn before it is ready.
            tokio::task::yield_now().await;
            if self.fails {
                return Err(Failure::machine("it never does"));
            }
            self.log.borrow_mut().push(format!("{}{}", if reset { '!' } else { '+' }, self.name));
            Ok(Ready::default())
        })
    }

    fn live(&mut self) -> Act<'_, Result<String, Failure>> {
        Box::pin(std::future::pending())
    }

    fn stop(&mut self, _within: Duration) -> Act<'_, Result<String, Failure>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            self.log.borrow_mut().push(format!("-{}", self.name));
            Ok("done".to_owned())
        })
    }

    fn health(&mut self, within: Duration) -> Act<'_, Result<Value, String>> {
        Box::pin(async move {
            tokio::time::sleep(within).await;
            Err("hangs".to_owned())
        })
    }
}

/// A node with its dependencies; those behind a `!` it is restarted with. A name that ends in `?` is optional, in `~` lazy, in `x` fails.
fn node(name: &str, needs: &str) -> Node {
    let plain = |word: &str| word.trim_start_matches('!').to_owned();
    let with = needs.split_whitespace().filter(|word| word.starts_with('!'));
    Node {
        name: name.to_owned(),
        depends_on: needs.split_whitespace().map(plain).collect(),
        restarts_with: with.map(plain).collect(),
        required: !name.contains('?'),
        lazy: name.contains('~'),
        listener: name.contains('^'),
    }
}

/// Runs a test over these modules; the plane is one of them.
fn with<F: Future<Output = ()>>(set: &str, modules: &[(&str, &str)], test: impl FnOnce(Lifecycle, Log) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let config = Config::load(&[], &[set.to_owned(), "supervisor.start_delay_ms=0".to_owned()]).unwrap().0;
        let nodes = modules.iter().map(|(name, needs)| node(name, needs)).collect();
        let graph = Rc::new(Graph::new(nodes).unwrap());
        let control = Control::new(config, Registry::new(modules::registered(&graph)), Ask::new().0);
        let log = Log::default();
        let seat = |name: &str| Seat {
            name: name.to_owned(),
            body: Box::new(Puppet { name: name.to_owned(), fails: name.ends_with('x'), log: Rc::clone(&log) }),
            is_all: false,
            control: control.clone(),
            attempts: 0,
            failure: None,
        };
        let seats = graph.order().map(|node| (node.name.clone(), seat(&node.name).take())).collect();
        test(Lifecycle::new(graph, seats, control), log).await;
    });
}

fn taken(log: &Log) -> Vec<String> {
    log.borrow_mut().drain(..).collect()
}

async fn start(lifecycle: &Lifecycle) {
    assert!(lifecycle.start_plane().await.is_ok() && lifecycle.start_others().await.is_ok());
}

async fn stop(lifecycle: &Lifecycle) -> Outcome {
    let others = lifecycle.stop_others("test").await;
    lifecycle.stop_plane("test").await.and(others)
}

const SERIAL: &str = "supervisor.parallel_startup=false";
const PARALLEL: &str = "supervisor.parallel_startup=true";

fn sorted(mut log: Vec<String>) -> Vec<String> {
    log.sort();
    log
}

/// Where a line of the log stands.
fn at(log: &[String], line: &str) -> usize {
    log.iter().position(|found| found == line).unwrap_or_else(|| panic!("no {line} in {log:?}"))
}

#[test]
fn everything_starts_behind_what_it_needs_and_ends_before_it() {
    for way in [SERIAL, PARALLEL] {
        let modules = [("plane", ""), ("door^", ""), ("a", "plane"), ("b", "a"), ("c", "plane")];
        with(way, &modules, |lifecycle, log| async move {
            start(&lifecycle).await;
            let up = taken(&log);
            assert_eq!((up.len(), at(&up, "+plane"), at(&up, "+door^")), (5, 0, 4), "{up:?}");
            assert!(at(&up, "+a") < at(&up, "+b"), "{up:?}");
            assert!(stop(&lifecycle).await.is_ok());
            let down = taken(&log);
            assert_eq!((down.len(), at(&down, "-door^"), at(&down, "-plane")), (5, 0, 4), "{down:?}");
            assert!(at(&down, "-b") < at(&down, "-a"), "{down:?}");
        });
    }
}

#[test]
fn an_optional_module_that_fails_takes_those_that_need_it_and_no_others() {
    for way in [SERIAL, PARALLEL] {
        let modules = [("plane", ""), ("a?x", "plane"), ("b?", "a?x"), ("c?", "b?"), ("d", "plane")];
        with(way, &modules, |lifecycle, log| async move {
            start(&lifecycle).await;
            let up = taken(&log);
            let expected = ["+d", "+plane", "-a?x"];
            assert_eq!(sorted(up), expected, "a failed start is stopped");
            for name in ["a?x", "b?", "c?"] {
                let module = lifecycle.control.registry.get(name).unwrap();
                assert!(matches!(module.state, State::Failed { .. }), "{module:?}");
            }
        });
    }
}

#[test]
fn a_required_module_that_fails_or_needs_one_that_did_is_the_start_s_failure() {
    for (way, name, needs) in
        [(SERIAL, "ax", "plane"), (PARALLEL, "ax", "plane"), (SERIAL, "b", "a?x"), (PARALLEL, "b", "a?x")]
    {
        let modules = [("plane", ""), ("a?x", ""), (name, needs)];
        with(way, &modules, |lifecycle, _| async move {
            assert!(lifecycle.start_plane().await.is_ok());
            let Err(StartupError::Critical { module, failure }) = lifecycle.start_others().await else {
                panic!("it started")
            };
            assert_eq!((&*module, failure.code), (name, 3));
        });
    }
}

#[test]
fn a_restart_takes_along_who_needs_it_and_nobody_else() {
    let modules = [("plane", ""), ("db", ""), ("cache", "!db"), ("api", "!cache"), ("page", "api"), ("down", "!db")];
    with(SERIAL, &modules, |lifecycle, log| async move {
        start(&lifecycle).await;
        lifecycle.carry_out("down", Order::Stop, "test").await.unwrap();
        taken(&log);
        lifecycle.carry_out("db", Order::Restart { reset: true }, "test").await.unwrap();
        assert_eq!(taken(&log), ["-api", "-cache", "-db", "!db", "+cache", "+api"], "what did not run stays so");
    });
}

#[test]
fn a_stop_ends_who_needs_it_first_and_a_start_starts_what_it_needs() {
    let modules = [("plane", ""), ("a", ""), ("b", "a"), ("lazy~", "b"), ("other", "")];
    with(SERIAL, &modules, |lifecycle, log| async move {
        start(&lifecycle).await;
        assert_eq!(taken(&log), ["+plane", "+a", "+other", "+b"], "a lazy one waits");
        lifecycle.carry_out("a", Order::Stop, "test").await.unwrap();
        assert_eq!(taken(&log), ["-b", "-a"]);
        lifecycle.carry_out("lazy~", Order::Start, "test").await.unwrap();
        assert_eq!(taken(&log), ["+a", "+b", "+lazy~"]);
        lifecycle.carry_out("lazy~", Order::Start, "test").await.unwrap();
        assert!(taken(&log).is_empty(), "it runs");
    });
}

#[test]
fn a_lazy_module_starts_with_who_needs_it() {
    with(PARALLEL, &[("plane", ""), ("lazy~", ""), ("idle~", ""), ("eager", "lazy~")], |lifecycle, log| async move {
        start(&lifecycle).await;
        assert_eq!(taken(&log), ["+plane", "+lazy~", "+eager"]);
    });
}

#[test]
fn what_cannot_be_done_is_refused_with_what_there_is() {
    with(SERIAL, &[("plane", ""), ("a", "")], |lifecycle, _| async move {
        let within = Duration::from_millis(1);
        let refused = lifecycle.carry_out("b", Order::Stop, "test").await.unwrap_err();
        assert!(refused.contains("there is no module \"b\": there are a, plane"), "{refused}");
        let refused = lifecycle.carry_out("a", Order::Health { within }, "test").await.unwrap_err();
        assert_eq!(refused, "it does not run");
        start(&lifecycle).await;
        for order in [Order::Stop, Order::Restart { reset: false }] {
            let refused = lifecycle.carry_out("plane", order, "test").await.unwrap_err();
            assert!(refused.contains("stop or restart the process"), "{refused}");
        }
        let update = Order::Update { config: Quiet(json!({})), within };
        assert!(lifecycle.carry_out("a", update, "test").await.unwrap_err().contains("restart it"));
    });
}

#[test]
fn a_question_that_hangs_does_not_hold_up_a_stop() {
    with(SERIAL, &[("plane", ""), ("a", "")], |lifecycle, log| async move {
        start(&lifecycle).await;
        let within = Duration::from_secs(3_600);
        let asking = lifecycle.clone();
        let asked =
            tokio::task::spawn_local(async move { asking.carry_out("a", Order::Health { within }, "test").await });
        tokio::task::yield_now().await;
        let busy = lifecycle.carry_out("a", Order::Health { within }, "test").await;
        assert_eq!(busy, Ok(json!(super::super::body::BUSY)), "who asks as well is not told that it fails");
        lifecycle.carry_out("a", Order::Stop, "test").await.unwrap();
        assert_eq!(asked.await.unwrap(), Err("it was stopped meanwhile".to_owned()));
        assert_eq!(taken(&log).last().map(String::as_str), Some("-a"));
    });
}

#[test]
fn a_configuration_waits_until_the_question_before_it_is_answered() {
    with(SERIAL, &[("plane", ""), ("a", "")], |lifecycle, _| async move {
        start(&lifecycle).await;
        let asking = lifecycle.clone();
        let within = Duration::from_millis(20);
        let asked =
            tokio::task::spawn_local(async move { asking.carry_out("a", Order::Health { within }, "test").await });
        tokio::task::yield_now().await;
        let refused =
            lifecycle.carry_out("a", Order::Update { config: Quiet(json!({})), within }, "test").await.unwrap_err();
        assert!(refused.contains("takes no configuration"), "by itself, and not because it was busy: {refused}");
        assert_eq!(asked.await.unwrap(), Err("hangs".to_owned()));
    });
}

#[test]
fn nothing_starts_once_everything_is_being_stopped() {
    with(SERIAL, &[("plane", ""), ("a", ""), ("b", "!a")], |lifecycle, log| async move {
        start(&lifecycle).await;
        let restarting = lifecycle.clone();
        let asked = tokio::task::spawn_local(async move {
            restarting.carry_out("a", Order::Restart { reset: false }, "test").await
        });
        tokio::task::yield_now().await;
        lifecycle.control.stop.request("test");
        assert!(stop(&lifecycle).await.is_ok());
        assert!(asked.await.unwrap().unwrap_err().contains("being stopped"));
        let states = lifecycle.control.registry.all();
        assert!(!states.iter().any(|module| module.state.is_running()), "{states:?}: {:?}", taken(&log));
    });
}
