//! The modules of a configuration as the graph and the registry have them: parts of this program, and those of `[[module]]`.

use cutline::config::{Config, Module, StartMode};

use super::fault::StartupError;
use super::graph::{Graph, Node};
use super::part::PARTS;
use super::plane;
use super::registry;

/// The graph of everything that a configuration has.
///
/// # Errors
/// [`StartupError::Dependencies`], all of them.
pub fn graph(config: &Config) -> Result<Graph, StartupError> {
    Graph::new(nodes(config)).map_err(StartupError::Dependencies)
}

/// What they are before anything has started, in the order of the graph.
pub fn registered(graph: &Graph) -> Vec<registry::Module> {
    let module = |node: &Node| registry::Module {
        depends_on: node.depends_on.clone(),
        ..registry::Module::new(&node.name, node.required)
    };
    graph.order().map(module).collect()
}

fn nodes(config: &Config) -> Vec<Node> {
    let plane = Node { name: plane::NAME.to_owned(), required: true, ..Node::default() };
    let parts = PARTS.iter().filter(|part| (part.is_wanted)(config)).map(|part| Node {
        name: part.name.to_owned(),
        required: part.required,
        listener: part.listener,
        ..Node::default()
    });
    std::iter::once(plane).chain(parts).chain(config.modules.iter().map(of_user)).collect()
}

fn of_user(module: &Module) -> Node {
    Node {
        name: module.name.clone(),
        depends_on: module.depends_on.clone(),
        restarts_with: module.restarts_with.clone(),
        required: module.required,
        lazy: module.start == StartMode::Lazy,
        listener: false,
    }
}
