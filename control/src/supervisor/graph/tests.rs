//! The graph against an oracle that knows nothing but the matrix of who needs whom, and tries everything.

use proptest::prelude::*;

use super::*;

/// Who needs whom, directly: `needs[a][b]` says that a needs b.
type Matrix = Vec<Vec<bool>>;

fn name(index: usize) -> String {
    format!("m{index}")
}

fn index(name: &str) -> usize {
    name[1..].parse().unwrap()
}

fn nodes(needs: &Matrix, listeners: &[bool]) -> Vec<Node> {
    let node = |(at, row): (usize, &Vec<bool>)| {
        let depends_on: Vec<_> = (0..row.len()).filter(|to| row[*to]).map(name).collect();
        let restarts_with = depends_on.iter().step_by(2).cloned().collect();
        Node { name: name(at), depends_on, restarts_with, required: true, lazy: false, listener: listeners[at] }
    };
    needs.iter().enumerate().map(node).collect()
}

/// Who needs whom over any number of others.
fn closure(needs: &Matrix) -> Matrix {
    let mut reach = needs.clone();
    for via in 0..reach.len() {
        for from in 0..reach.len() {
            for to in 0..reach.len() {
                reach[from][to] |= reach[from][via] && reach[via][to];
            }
        }
    }
    reach
}

fn depth(needs: &Matrix, at: usize) -> usize {
    (0..needs.len()).filter(|to| needs[at][*to]).map(|to| depth(needs, to) + 1).max().unwrap_or(0)
}

fn indices(nodes: &[&Node]) -> Vec<usize> {
    let mut indices: Vec<usize> = nodes.iter().map(|node| index(&node.name)).collect();
    indices.sort_unstable();
    indices
}

/// Matrices of a few modules, from nearly empty ones to such that are sure to have circles, and who of them listens.
fn matrices() -> impl Strategy<Value = (Matrix, Vec<bool>)> {
    (1_usize..8, 1_u32..40).prop_flat_map(|(count, percent)| {
        let row = proptest::collection::vec(proptest::bool::weighted(f64::from(percent) / 100.0), count);
        (proptest::collection::vec(row, count), proptest::collection::vec(proptest::bool::weighted(0.2), count))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_as_an_oracle_has_it((needs, listeners) in matrices()) {
        let reach = closure(&needs);
        let all = 0..needs.len();
        let knotted: BTreeSet<usize> = all.clone().filter(|at| reach[*at][*at]).collect();
        match Graph::new(nodes(&needs, &listeners)) {
            Err(faults) => {
                prop_assert!(!knotted.is_empty(), "{faults:?}");
                // Each knot is told once, by a circle that is one.
                let mut told = BTreeSet::new();
                for fault in &faults {
                    let GraphFault::Circle(names) = fault else { panic!("{fault}") };
                    let circle: Vec<usize> = names.iter().map(|name| index(name)).collect();
                    for (at, from) in circle.iter().enumerate() {
                        prop_assert!(needs[*from][circle[(at + 1) % circle.len()]], "{circle:?}");
                        prop_assert!(fault.to_string().contains(&name(*from)));
                    }
                    let knot: Vec<usize> = all.clone().filter(|at| reach[*at][circle[0]] && reach[circle[0]][*at]).collect();
                    prop_assert!(told.insert(knot.clone()), "told twice: {faults:?}");
                }
                prop_assert_eq!(told.into_iter().flatten().collect::<BTreeSet<_>>(), knotted);
            }
            Ok(graph) => {
                prop_assert!(knotted.is_empty());
                check(&graph, &needs, &reach, &listeners)?;
            }
        }
    }
}

/// A graph without circles.
fn check(graph: &Graph, needs: &Matrix, reach: &Matrix, listeners: &[bool]) -> Result<(), TestCaseError> {
    let all = 0..needs.len();
    let lets_in = |at: usize| listeners[at] || all.clone().any(|to| listeners[to] && reach[at][to]);
    // With listeners behind all that are not let in by one, waves are depths.
    let mut later = needs.clone();
    for listener in all.clone().filter(|at| listeners[*at]) {
        for other in all.clone().filter(|other| !lets_in(*other)) {
            later[listener][other] = true;
        }
    }
    for (number, wave) in graph.waves().iter().enumerate() {
        let expected: Vec<usize> = all.clone().filter(|at| depth(&later, *at) == number).collect();
        prop_assert_eq!(wave.iter().map(|node| index(&node.name)).collect::<Vec<_>>(), expected);
    }
    let order: Vec<usize> = graph.order().map(|node| index(&node.name)).collect();
    prop_assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), all.clone().collect());
    let place = |at: usize| order.iter().position(|other| *other == at);
    for at in all.clone() {
        for to in all.clone().filter(|to| later[at][*to]) {
            prop_assert!(place(to) < place(at));
        }
        let of = |holds: &dyn Fn(usize) -> bool| all.clone().filter(|other| holds(*other)).collect::<Vec<_>>();
        prop_assert_eq!(indices(&graph.needs(&name(at))), of(&|other| reach[at][other]));
        prop_assert_eq!(indices(&graph.needed_by(&name(at))), of(&|other| reach[other][at]));
        prop_assert_eq!(indices(&graph.before(&name(at))), of(&|other| later[at][other]));
        prop_assert_eq!(indices(&graph.behind(&name(at))), of(&|other| later[other][at]));
    }
    Ok(())
}

fn node(name: &str, depends_on: &[&str], restarts_with: &[&str]) -> Node {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Node {
        name: name.to_owned(),
        depends_on: texts(depends_on),
        restarts_with: texts(restarts_with),
        ..Node::default()
    }
}

#[test]
fn every_missing_module_and_every_circle_is_named_at_once() {
    let nodes = vec![
        node("a", &["b"], &[]),
        node("b", &["c", "none"], &[]),
        node("c", &["a"], &[]),
        node("self", &["self"], &[]),
        node("d", &["nobody"], &[]),
    ];
    let faults = Graph::new(nodes).unwrap_err();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 4, "{texts:#?}");
    assert!(texts[0].contains("module b depends on \"none\"") && texts[0].contains("a, b, c, self, d"), "{texts:#?}");
    assert!(texts[1].contains("module d depends on \"nobody\""), "{texts:#?}");
    assert!(texts[2].contains("circle: a -> b -> c -> a:"), "{texts:#?}");
    assert!(texts[3].contains("circle: self -> self:"), "{texts:#?}");
}

#[test]
fn only_who_says_so_is_restarted_with_what_it_needs() {
    let nodes = vec![
        node("db", &[], &[]),
        node("cache", &["db"], &["db"]),
        node("api", &["cache"], &["cache"]),
        node("page", &["api"], &[]),
        node("report", &["db"], &[]),
    ];
    let graph = Graph::new(nodes).unwrap();
    let names = |nodes: Vec<&Node>| nodes.into_iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(graph.restarted_with("db")), ["cache", "api"]);
    assert_eq!(names(graph.needed_by("db")), ["cache", "report", "api", "page"]);
    assert_eq!(names(graph.restarted_with("report")), [""; 0]);
}

#[test]
fn listeners_stand_behind_everything_but_who_needs_them() {
    let mut http = node("http", &[], &[]);
    http.listener = true;
    let graph =
        Graph::new(vec![http, node("plane", &[], &[]), node("feed", &["plane"], &[]), node("probe", &["http"], &[])]);
    let graph = graph.unwrap();
    assert_eq!(graph.order().map(|node| &*node.name).collect::<Vec<_>>(), ["plane", "feed", "http", "probe"]);
    let text = graph.text();
    assert!(text.contains("wave 3\n  http                     optional, listener\n"), "{text}");
    let dot = graph.dot();
    for line in ["\"feed\" -> \"plane\" [style = solid];", "\"http\" -> \"feed\" [style = dotted];"] {
        assert!(dot.contains(line), "{dot}");
    }
}
