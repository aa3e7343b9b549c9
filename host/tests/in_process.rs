//! The conformance suite over the engines themselves: that the others are compared with them is worth something only if they pass it.

mod conformance;

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::Engine;

fn make(name: &str, config_json: &str, _limits: AnswerLimits) -> Result<Box<dyn Engine>, String> {
    cutline_engines::build(name, config_json).map_err(|fault| fault.to_string())
}

suite!(make);
