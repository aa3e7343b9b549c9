//! What processes print: taken over in bounds, and never in their way.

use crate::rig::{Rig, in_process};

#[test]
fn a_flood_of_output_is_bounded_and_hinders_no_call() {
    let mut rig = Rig::of("");
    assert_eq!(rig.call("flood"), in_process("flood", 0));
    let dropped = rig.await_told("dropped");
    let dropped: u64 = dropped["dropped ".len()..].parse().unwrap();
    let printed = rig.told().iter().filter(|told| told.starts_with("printed line ")).count();
    assert!(dropped > 1_000 && printed > 0 && printed <= 1_000, "{printed} taken, {dropped} dropped at first");
    assert!(rig.told().contains(&"printed line 1 false".to_owned()));
    assert_eq!(rig.call("a"), in_process("a", 0));
}
