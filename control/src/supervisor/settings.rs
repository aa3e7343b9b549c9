//! Hands modules what `[module.config]` says by now, as the configuration in force changes. A module that does not run finds it in its
//! welcome when it starts. One that refuses goes on with what it had; that is in the registry until it takes another one, or starts again.

use std::collections::BTreeMap;
use std::time::Duration;

use cutline::config::{Config, Quiet};

use super::ask::Order;
use super::context::Control;
use crate::bus::lifecycle::Lifecycle;
use crate::commands::note;

/// How long a module may take to acknowledge.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Who asks.
const WHO: &str = "configuration";

/// Follows the configuration for as long as there is one.
pub async fn follow(control: Control) {
    let mut configs = control.config.subscribe();
    let mut handed = by_name(&configs.borrow_and_update());
    while configs.changed().await.is_ok() {
        let now = by_name(&configs.borrow_and_update());
        for (name, config_json) in &now {
            let runs = control.registry.get(name).is_some_and(|module| module.state.is_running());
            if runs && handed.get(name) != Some(config_json) {
                let config = serde_json::from_str(config_json).unwrap_or_default();
                let order = Order::Update { config: Quiet(config), within: ACK_TIMEOUT };
                let refused = control.ask.ask(name, order, WHO).await.err().unwrap_or_default();
                control.registry.change(name, |module| module.config_refused.clone_from(&refused));
                if !refused.is_empty() {
                    note(format_args!("{name}: {refused}"));
                }
                control.bus.publish(name, Lifecycle::Configured { refused });
            }
        }
        handed = now;
    }
}

fn by_name(config: &Config) -> BTreeMap<String, String> {
    config.modules.iter().map(|module| (module.name.clone(), module.config_json.0.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tokio::task::{LocalSet, spawn_local};

    use super::super::ask::Ask;
    use super::super::registry::{Health, Module, Registry, State};
    use super::*;

    fn config(of_a: u32, of_b: u32) -> Config {
        let module = |name, value| {
            format!("[[module]]\nname = \"{name}\"\ncommand = [\"x\"]\n[module.config]\nvalue = {value}\n")
        };
        Config::from_text("test.toml", &[module("a", of_a), module("b", of_b)].concat()).unwrap().0
    }

    #[test]
    fn who_runs_is_handed_what_is_otherwise_for_it_and_what_comes_of_it_is_told() {
        let state = State::Running { since_ms: 0, health: Health::Unknown };
        let running = |name: &str| Module { state: state.clone(), ..Module::new(name, true) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (ask, mut orders) = Ask::new();
            let control = Control::new(config(1, 1), Registry::new(vec![running("a"), running("b")]), ask);
            let mut heard = control.bus.listen();
            spawn_local(follow(control.clone()));
            tokio::task::yield_now().await;
            for (of_a, of_b, name, answer) in [(2, 1, "a", Ok(Value::Null)), (2, 3, "b", Err("no".to_owned()))] {
                control.config.send_replace(Arc::new(config(of_a, of_b)));
                let asked = orders.recv().await.unwrap();
                assert_eq!((&*asked.module, &*asked.who), (name, WHO));
                let Order::Update { config, .. } = asked.order else { panic!("{:?}", asked.order) };
                assert_eq!(*config, json!({"value": of_a.max(of_b)}));
                asked.answer.send(answer).unwrap();
                let told = serde_json::to_value(&*heard.next().await.unwrap()).unwrap();
                let refused = if name == "b" { "no" } else { "" };
                assert_eq!((&told["event"], &told["refused"]), (&json!("configured"), &json!(refused)));
                assert_eq!(control.registry.get(name).unwrap().config_refused, refused);
            }
            control.config.send_replace(Arc::new(config(2, 3)));
            tokio::task::yield_now().await;
            assert!(orders.try_recv().is_err(), "the same is not handed again");
        });
    }
}
