//! The order of things: starts what there is to start, each when what it needs is ready; stops it in the reverse order; and carries out what
//! is asked for in between. Decides by the graph and the registry, orders the seats, and waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::ask::{Answer, Order};
use super::context::Control;
use super::fault::StartupError;
use super::graph::{Graph, Node};
use super::plane;
use super::seat::{Do, Handle};
use crate::commands::{Failure, Outcome};

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Lifecycle {
    graph: Rc<Graph>,
    seats: Rc<BTreeMap<String, Handle>>,
    control: Control,
}

/// How the start of a module came out, for those that wait for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Waiting,
    Up,
    Failed,
}

impl Lifecycle {
    /// Of these modules, none of which runs; each node has its seat.
    pub fn new(graph: Rc<Graph>, seats: BTreeMap<String, Handle>, control: Control) -> Self {
        Self { graph, seats: Rc::new(seats), control }
    }

    /// Starts the data plane, which owns the place that everything else writes to.
    pub async fn start_plane(&self) -> Result<(), StartupError> {
        self.start(plane::NAME, false).await.map_err(|failure| critical(plane::NAME, failure))
    }

    /// Starts everything else but what is lazy and not needed. An optional module that fails takes with it those that need it, and no others.
    ///
    /// # Errors
    /// The first module that failed and is required; what has started runs, and what is starting goes on with that.
    pub async fn start_others(&self) -> Result<(), StartupError> {
        let mut wanted = BTreeSet::new();
        for node in self.graph.order().filter(|node| !node.lazy) {
            wanted.insert(&*node.name);
            wanted.extend(self.graph.needs(&node.name).into_iter().map(|node| &*node.name));
        }
        let nodes: Vec<&Node> = self.graph.order().filter(|node| wanted.contains(&*node.name)).collect();
        if self.control.config().supervisor.parallel_startup {
            return self.start_at_once(&nodes).await;
        }
        let delay = Duration::from_millis(self.control.config().supervisor.start_delay_ms);
        let mut is_first = true;
        for node in nodes.into_iter().filter(|node| !self.runs(&node.name)) {
            if self.is_users(&node.name) && !std::mem::take(&mut is_first) {
                sleep(delay).await;
            }
            let missing = node.depends_on.iter().find(|needed| !self.runs(needed));
            self.start_or_give_up(node, missing.map(String::as_str)).await?;
        }
        Ok(())
    }

    /// Each as soon as all that stands before it has come to something.
    async fn start_at_once(&self, nodes: &[&Node]) -> Result<(), StartupError> {
        let came: BTreeMap<String, watch::Sender<Came>> =
            nodes.iter().map(|node| (node.name.clone(), watch::Sender::new(Came::Waiting))).collect();
        let came = Rc::new(came);
        let mut starts = JoinSet::new();
        for node in nodes {
            let (me, node, came) = (self.clone(), (*node).clone(), Rc::clone(&came));
            starts.spawn_local(async move {
                let mut missing = None;
                for before in me.graph.before(&node.name) {
                    let Some(before_came) = came.get(&before.name) else { continue };
                    // The sender is in the same table.
                    let _ = before_came.subscribe().wait_for(|came| *came != Came::Waiting).await;
                    if *before_came.borrow() == Came::Failed && node.depends_on.contains(&before.name) {
                        missing = Some(before.name.clone());
                    }
                }
                let started = me.start_or_give_up(&node, missing.as_deref()).await;
                let is_up = me.runs(&node.name);
                came[&node.name].send_replace(if is_up { Came::Up } else { Came::Failed });
                started
            });
        }
        while let Some(started) = starts.join_next().await {
            // One that panicked has told so by itself.
            started.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// An error only if the system cannot do without it.
    async fn start_or_give_up(&self, node: &Node, missing: Option<&str>) -> Result<(), StartupError> {
        let started = match missing {
            None => self.start(&node.name, false).await,
            Some(missing) => {
                let failure = Failure::machine(format!("{missing}, which it depends on, does not run"));
                self.order(&node.name, Do::GiveUp(failure.message.clone())).await.and(Err(failure))
            }
        };
        match started {
            Err(failure) if node.required => Err(critical(&node.name, failure)),
            _ => Ok(()),
        }
    }

    /// Lazy modules that are to be started before anybody needs them.
    pub fn prewarmed(&self) -> Vec<String> {
        let config = self.control.config();
        config.modules.iter().filter(|module| module.prewarm).map(|module| module.name.clone()).collect()
    }

    /// Stops everything but the data plane, each when all that stands behind it has ended. Says the first failure.
    pub async fn stop_others(&self, reason: &str) -> Outcome {
        let names: Vec<&str> = self.graph.order().map(|node| &*node.name).filter(|name| *name != plane::NAME).collect();
        self.stop_these(&names, reason).await.into_values().fold(Ok(()), Outcome::and)
    }

    /// Stops the data plane, when nothing else runs.
    pub async fn stop_plane(&self, reason: &str) -> Outcome {
        self.order(plane::NAME, Do::Stop(reason.to_owned())).await.map(drop)
    }

    async fn stop_these(&self, names: &[&str], reason: &str) -> BTreeMap<String, Outcome> {
        let ended: BTreeMap<String, watch::Sender<bool>> =
            names.iter().map(|name| ((*name).to_owned(), watch::Sender::new(false))).collect();
        let ended = Rc::new(ended);
        let mut stops = JoinSet::new();
        for name in names {
            let (me, name, ended, reason) = (self.clone(), (*name).to_owned(), Rc::clone(&ended), reason.to_owned());
            stops.spawn_local(async move {
                for behind in me.graph.behind(&name) {
                    if let Some(ended) = ended.get(&behind.name) {
                        // The sender is in the same table.
                        let _ = ended.subscribe().wait_for(|ended| *ended).await;
                    }
                }
                let outcome = me.order(&name, Do::Stop(reason)).await.map(drop);
                ended[&name].send_replace(true);
                (name, outcome)
            });
        }
        let mut outcomes = BTreeMap::new();
        while let Some(stopped) = stops.join_next().await {
            // One that panicked has told so by itself.
            outcomes.extend(stopped);
        }
        outcomes
    }

    /// Carries out what is asked of a module.
    pub async fn carry_out(&self, name: &str, order: Order, who: &str) -> Answer {
        if !self.seats.contains_key(name) {
            let known: Vec<&str> = self.seats.keys().map(String::as_str).collect();
            return Err(format!("there is no module {name:?}: there are {}", known.join(", ")));
        }
        let text = |failure: Failure| failure.message;
        match order {
            Order::Start => self.start_with_needs(name).await.map_err(text),
            Order::Stop | Order::Restart { .. } if name == plane::NAME => {
                Err("the data plane is what this process is for: stop or restart the process".to_owned())
            }
            Order::Stop => {
                let mut names: Vec<&str> = self.graph.needed_by(name).into_iter().map(|node| &*node.name).collect();
                names.push(name);
                self.stop_running(&names, &format!("{who} asked for it")).await.map_err(text)
            }
            Order::Restart { reset } => self.restart(name, reset, who).await.map_err(text),
            Order::Update { config, within } => self.order(name, Do::Update(config.0, within)).await.map_err(text),
            Order::Health { within } => self.order(name, Do::Health(within)).await.map_err(text),
        }
    }

    /// Whether an order changes which modules run, so that only one may be carried out at a time.
    pub fn changes(order: &Order) -> bool {
        matches!(order, Order::Start | Order::Stop | Order::Restart { .. })
    }

    async fn start_with_needs(&self, name: &str) -> Result<Value, Failure> {
        for node in self.graph.needs(name) {
            if !self.runs(&node.name) {
                let because = |failure: Failure| Failure {
                    message: format!("{}, which it depends on, did not start: {}", node.name, failure.message),
                    ..failure
                };
                self.start(&node.name, false).await.map_err(because)?;
            }
        }
        self.start(name, false).await?;
        Ok(Value::Null)
    }

    /// Those that have to be restarted with it end before it ends, and start again once it runs; those that did not run stay as they are.
    async fn restart(&self, name: &str, reset: bool, who: &str) -> Result<Value, Failure> {
        let with: Vec<&str> = self.graph.restarted_with(name).into_iter().map(|node| &*node.name).collect();
        let with: Vec<&str> = with.into_iter().filter(|name| self.runs(name)).collect();
        let all: Vec<&str> = std::iter::once(name).chain(with.iter().copied()).collect();
        self.stop_running(&all, &format!("{who} asked for a restart of {name}")).await?;
        for needed in self.graph.needs(name).into_iter().filter(|node| !self.runs(&node.name)) {
            self.start(&needed.name, false).await?;
        }
        self.start(name, reset).await?;
        for name in with {
            self.start(name, false).await?;
        }
        Ok(Value::Null)
    }

    async fn stop_running(&self, names: &[&str], reason: &str) -> Result<Value, Failure> {
        let outcomes = self.stop_these(names, reason).await;
        outcomes.into_values().collect::<Result<Vec<()>, _>>()?;
        Ok(Value::Null)
    }

    /// Once everything is being stopped nothing is started any more: whoever has stopped a module has stopped it for good.
    async fn start(&self, name: &str, reset: bool) -> Outcome {
        if self.control.stop.reason().is_some() {
            return Err(Failure::machine("everything is being stopped"));
        }
        self.order(name, Do::Start { reset }).await.map(drop)
    }

    async fn order(&self, name: &str, what: Do) -> Result<Value, Failure> {
        match self.seats.get(name) {
            Some(seat) => seat.order(what).await,
            None => Err(Failure::machine(format!("module {name} has no seat"))),
        }
    }

    fn runs(&self, name: &str) -> bool {
        self.control.registry.get(name).is_some_and(|module| module.state.is_running())
    }

    fn is_users(&self, name: &str) -> bool {
        self.control.config().modules.iter().any(|module| module.name == name)
    }
}

fn critical(module: &str, failure: Failure) -> StartupError {
    StartupError::Critical { module: module.to_owned(), failure }
}

#[cfg(test)]
mod tests;
