//! The graph of modules: who must be ready before whom. A value, made from what modules say they depend on; refused as a whole, with
//! everything that is wrong with it, if they cannot be started.
//!
//! An edge leads from what is needed to who needs it. Listeners, which let in who works with the system, come after everything that does
//! not need them, so that they open last and close first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Write};

use petgraph::Direction;
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

/// What a module is, as far as its place in the graph goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What must be ready before it starts.
    pub depends_on: Vec<String>,
    /// Those of them with which it must be restarted.
    pub restarts_with: Vec<String>,
    /// Whether the system cannot do without it.
    pub required: bool,
    /// Whether it waits until it is asked for.
    pub lazy: bool,
    /// Whether it lets in who works with the system.
    pub listener: bool,
}

/// Why one module stands behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// It needs it.
    Needs,
    /// It is a listener.
    Last,
}

/// What is wrong with the dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphFault {
    /// There is no such module.
    Missing {
        /// Who needs it.
        module: String,
        /// What it needs.
        dependency: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Each of them needs the next, and the last the first.
    Circle(Vec<String>),
}

impl fmt::Display for GraphFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { module, dependency, known } => write!(
                f,
                "module {module} depends on {dependency:?}, which is no module: add a [[module]] of this name, or name one of {}",
                known.join(", ")
            ),
            Self::Circle(names) => write!(
                f,
                "modules depend on each other in a circle: {} -> {}: remove one of these dependencies",
                names.join(" -> "),
                names.first().map_or("", String::as_str)
            ),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Graph {
    graph: DiGraph<Node, Edge>,
    /// In start order: every node behind what it needs, and otherwise as they were given.
    order: Vec<NodeIndex>,
    by_name: BTreeMap<String, NodeIndex>,
}

impl Graph {
    /// The graph of these modules, whose names differ.
    ///
    /// # Errors
    /// Every dependency that is missing, and every knot of modules that depend on each other by one circle in it.
    pub fn new(nodes: Vec<Node>) -> Result<Self, Vec<GraphFault>> {
        let mut graph = DiGraph::new();
        let mut by_name = BTreeMap::new();
        for node in nodes {
            by_name.insert(node.name.clone(), graph.add_node(node));
        }
        let mut faults = connect(&mut graph, &by_name);
        faults.extend(circles(&graph));
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut made = Self { graph, order: Vec::new(), by_name };
        made.put_listeners_last();
        made.order = made.waves_of_all().into_iter().flatten().collect();
        Ok(made)
    }

    /// Every module, each in the first wave in which everything that it needs stands in an earlier one. Within a wave as they were given.
    pub fn waves(&self) -> Vec<Vec<&Node>> {
        self.waves_of_all().into_iter().map(|wave| wave.into_iter().map(|at| &self.graph[at]).collect()).collect()
    }

    /// Every module in the order in which they start one after the other. They stop in the reverse order.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.order.iter().map(|at| &self.graph[*at])
    }

    /// The modules without which this one cannot run, at whatever distance, in start order.
    pub fn needs(&self, name: &str) -> Vec<&Node> {
        self.reached(name, Direction::Incoming, |_, _| true)
    }

    /// The modules that cannot run without this one, at whatever distance, in start order.
    pub fn needed_by(&self, name: &str) -> Vec<&Node> {
        self.reached(name, Direction::Outgoing, |_, _| true)
    }

    /// The modules that have to be restarted with this one, in start order.
    pub fn restarted_with(&self, name: &str) -> Vec<&Node> {
        self.reached(name, Direction::Outgoing, |from, to| to.restarts_with.contains(&from.name))
    }

    /// What must have started before this one starts, and must not end before it has: what it needs directly, and for a listener
    /// everything that it comes after.
    pub fn before(&self, name: &str) -> Vec<&Node> {
        let at = self.by_name.get(name).into_iter();
        at.flat_map(|at| self.graph.neighbors_directed(*at, Direction::Incoming)).map(|at| &self.graph[at]).collect()
    }

    /// What must have ended before this one ends.
    pub fn behind(&self, name: &str) -> Vec<&Node> {
        let at = self.by_name.get(name).into_iter();
        at.flat_map(|at| self.graph.neighbors_directed(*at, Direction::Outgoing)).map(|at| &self.graph[at]).collect()
    }

    /// The graph for people, wave by wave.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (number, wave) in (1..).zip(self.waves()) {
            let _ = writeln!(text, "wave {number}");
            for node in wave {
                let mut words = vec![if node.required { "required" } else { "optional" }];
                words.extend(node.lazy.then_some("lazy"));
                words.extend(node.listener.then_some("listener"));
                let _ = write!(text, "  {:<24} {}", node.name, words.join(", "));
                if !node.depends_on.is_empty() {
                    let _ = write!(text, ", after {}", node.depends_on.join(", "));
                }
                text.push('\n');
            }
        }
        text
    }

    /// The graph in the language of Graphviz: an arrow leads to what is needed, a dotted one to what only comes before.
    pub fn dot(&self) -> String {
        let mut text = "digraph modules {\n  rankdir = BT;\n".to_owned();
        for node in self.order() {
            let style = if node.required { "solid" } else { "dashed" };
            let shape = if node.listener { "house" } else { "box" };
            let _ = writeln!(text, "  \"{}\" [shape = {shape}, style = {style}];", node.name);
        }
        for edge in self.graph.edge_references() {
            let (to, from) = (&self.graph[edge.source()].name, &self.graph[edge.target()].name);
            let style = if *edge.weight() == Edge::Needs { "solid" } else { "dotted" };
            let _ = writeln!(text, "  \"{from}\" -> \"{to}\" [style = {style}];");
        }
        text + "}\n"
    }

    fn put_listeners_last(&mut self) {
        let listeners: Vec<_> = self.graph.node_indices().filter(|at| self.graph[*at].listener).collect();
        let mut let_in: BTreeSet<NodeIndex> = listeners.iter().copied().collect();
        for listener in &listeners {
            let_in.extend(self.reached_at(*listener, Direction::Outgoing, |_, _| true));
        }
        let others: Vec<_> = self.graph.node_indices().filter(|at| !let_in.contains(at)).collect();
        for (other, listener) in
            others.iter().flat_map(|other| listeners.iter().map(move |listener| (*other, *listener)))
        {
            if !self.graph.contains_edge(other, listener) {
                self.graph.add_edge(other, listener, Edge::Last);
            }
        }
    }

    fn waves_of_all(&self) -> Vec<Vec<NodeIndex>> {
        // Without circles there is an order.
        let order = toposort(&self.graph, None).unwrap_or_default();
        let mut wave_of = vec![0; self.graph.node_count()];
        for at in order {
            let before = self.graph.neighbors_directed(at, Direction::Incoming);
            wave_of[at.index()] = before.map(|before| wave_of[before.index()] + 1).max().unwrap_or(0);
        }
        let mut waves = vec![Vec::new(); wave_of.iter().max().map_or(0, |last| last + 1)];
        for at in self.graph.node_indices() {
            waves[wave_of[at.index()]].push(at);
        }
        waves
    }

    fn reached(&self, name: &str, direction: Direction, leads: impl Fn(&Node, &Node) -> bool) -> Vec<&Node> {
        let Some(from) = self.by_name.get(name) else { return Vec::new() };
        let reached = self.reached_at(*from, direction, leads);
        self.order.iter().filter(|at| reached.contains(at)).map(|at| &self.graph[*at]).collect()
    }

    /// What is reached over needs for which `leads` holds, of an edge's source and target as they are walked.
    fn reached_at(
        &self,
        from: NodeIndex,
        direction: Direction,
        leads: impl Fn(&Node, &Node) -> bool,
    ) -> BTreeSet<NodeIndex> {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(at) = waiting.pop() {
            for edge in self.graph.edges_directed(at, direction).filter(|edge| *edge.weight() == Edge::Needs) {
                let next = if direction == Direction::Outgoing { edge.target() } else { edge.source() };
                if leads(&self.graph[at], &self.graph[next]) && reached.insert(next) {
                    waiting.push(next);
                }
            }
        }
        reached
    }
}

/// Adds the edges of what nodes need; what cannot be found is a fault.
fn connect(graph: &mut DiGraph<Node, Edge>, by_name: &BTreeMap<String, NodeIndex>) -> Vec<GraphFault> {
    let mut faults = Vec::new();
    for at in graph.node_indices() {
        for dependency in graph[at].depends_on.clone() {
            match by_name.get(&dependency) {
                Some(needed) => drop(graph.update_edge(*needed, at, Edge::Needs)),
                None => faults.push(GraphFault::Missing {
                    module: graph[at].name.clone(),
                    dependency,
                    known: graph.node_weights().map(|node| node.name.clone()).collect(),
                }),
            }
        }
    }
    faults
}

/// A shortest circle through the first module of each knot, if it lies on one; each knot has a module that does.
fn circles(graph: &DiGraph<Node, Edge>) -> Vec<GraphFault> {
    let knots = tarjan_scc(graph).into_iter();
    let mut found: Vec<Vec<NodeIndex>> = knots
        .filter_map(|knot| {
            let first = knot.iter().min().copied()?;
            circle_through(graph, first)
        })
        .collect();
    found.sort();
    let names = |circle: Vec<NodeIndex>| circle.into_iter().map(|at| graph[at].name.clone()).collect();
    found.into_iter().map(|circle| GraphFault::Circle(names(circle))).collect()
}

/// The shortest way from a module over what it needs back to itself.
fn circle_through(graph: &DiGraph<Node, Edge>, start: NodeIndex) -> Option<Vec<NodeIndex>> {
    let (mut came_from, mut waiting) = (BTreeMap::new(), VecDeque::from([start]));
    while let Some(at) = waiting.pop_front() {
        for needed in graph.neighbors_directed(at, Direction::Incoming) {
            if needed == start {
                let mut circle: Vec<_> = std::iter::successors(Some(at), |at| came_from.get(at).copied()).collect();
                circle.reverse();
                return Some(circle);
            }
            if let Entry::Vacant(vacant) = came_from.entry(needed) {
                vacant.insert(at);
                waiting.push_back(needed);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
