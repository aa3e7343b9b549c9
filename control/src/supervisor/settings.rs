//! Hands modules what `[module.config]` says by now, as the configuration in force changes. A module that does not run finds it in its
//! welcome when it starts. One that refuses goes on with what it had; that is in the registry until it takes another one, or starts again.

use std::sync::Arc;
use std::time::Duration;

use cutline::config::Quiet;
use tokio::select;

use super::ask::Order;
use super::context::Control;
use super::registry::Module;
use crate::bus::lifecycle::Lifecycle;
use crate::commands::note;

/// How long a module may take to acknowledge.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Who asks.
const WHO: &str = "configuration";

/// Follows the configuration for as long as there is one. One that changes while a module starts it may have in its welcome, or not: that is
/// found out once it runs.
pub async fn follow(control: Control) {
    let (mut configs, mut happens) = (control.config.subscribe(), control.bus.listen());
    loop {
        let config = Arc::clone(&configs.borrow_and_update());
        for module in &config.modules {
            hand(&control, &module.name, &module.config_json).await;
        }
        let goes_on = select! {
            changed = configs.changed() => changed.is_ok(),
            event = happens.next() => event.is_some(),
        };
        if !goes_on {
            return;
        }
    }
}

/// Hands a module what its configuration says, if it runs and has not been.
async fn hand(control: &Control, name: &str, config_json: &Quiet<String>) {
    let is_due = |module: &Module| module.state.is_running() && module.handed != *config_json;
    if !control.registry.get(name).is_some_and(|module| is_due(&module)) {
        return;
    }
    let config = serde_json::from_str(config_json).unwrap_or_default();
    let order = Order::Update { config: Quiet(config), within: ACK_TIMEOUT };
    let refused = control.ask.ask(name, order, WHO).await.err().unwrap_or_default();
    control.registry.change(name, |module| {
        module.handed.clone_from(config_json);
        module.config_refused.clone_from(&refused);
    });
    if !refused.is_empty() {
        note(format_args!("{name}: {refused}"));
    }
    control.bus.publish(name, Lifecycle::Configured { refused });
}

#[cfg(test)]
mod tests {
    use cutline::config::Config;
    use serde_json::{Value, json};
    use tokio::task::{LocalSet, spawn_local};

    use super::super::ask::Ask;
    use super::super::registry::{Health, Registry, State};
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
        let handed = Quiet("{\"value\":1}".to_owned());
        let running = |name: &str| Module { state: state.clone(), handed: handed.clone(), ..Module::new(name, true) };
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

            // Welcomed with what was in force before.
            control.registry.change("a", |module| module.state = State::Starting { since_ms: 0 });
            control.config.send_replace(Arc::new(config(5, 3)));
            tokio::task::yield_now().await;
            assert!(orders.try_recv().is_err(), "it does not run");
            control.registry.change("a", |module| module.state = state.clone());
            control.bus.publish("a", Lifecycle::Ready { took_ms: 0, version: String::new() });
            let asked = orders.recv().await.unwrap();
            let Order::Update { config, .. } = asked.order else { panic!("{:?}", asked.order) };
            assert_eq!((&*asked.module, &*config), ("a", &json!({"value": 5})));
        });
    }
}
