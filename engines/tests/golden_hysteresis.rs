//! The scripted engine against the recorded golden cases, both modes.

mod golden;

use cutline::invoke::engine::Engine;

fn scripted(config_json: &str) -> Box<dyn Engine> {
    cutline_engines::build("scripted", config_json).unwrap()
}

#[test]
fn truth() {
    golden::truth(scripted);
}

#[test]
fn hysteresis() {
    golden::hysteresis(scripted);
}
