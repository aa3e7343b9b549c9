//! `cutline sim` from outside: the same seed does the same, what it leaves behind is nothing, and what it cannot do it says.

mod common;

use common::{fails, succeed};

/// What a run says, but for the time it took.
fn steps(text: &str) -> &str {
    text.lines().find(|line| line.contains(" steps, ")).expect("a summary")
}

#[test]
fn a_seed_holds_and_does_the_same_again() {
    let run = || succeed(&["sim", "--seed", "1", "--topology", "2"]);
    let (one, other) = (run(), run());
    assert!(one.starts_with("1 seeds held in "), "{one}");
    assert_eq!(steps(&one), steps(&other));
    assert!(one.contains("not reached: "), "one seed does not come everywhere: {one}");
    let each = succeed(&["sim", "--seed", "2", "--topology", "each", "--changed", "steps=50,lines=20,symbols=2,kept="]);
    assert!(steps(&each).contains(" 0 process crashes, 0 power losses"), "{each}");
    let calm = succeed(&["sim", "--seed", "1", "--faults", "none"]);
    assert!(steps(&calm).contains(" 0 process crashes, 0 power losses"), "{calm}");
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let text = fails(2, &["sim", "--topology", "3"]);
    assert!(text.contains("1, 2, 4, 5 or 6"), "{text}");
    let text = fails(2, &["sim", "--changed", "steps=many"]);
    assert!(text.contains("steps=many"), "{text}");
    let text = fails(2, &["sim", "--faults", "crash,flood"]);
    assert!(text.contains("\"flood\"") && text.contains("power"), "{text}");
}
