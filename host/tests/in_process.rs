//! The conformance suite over the engines themselves: that the others are compared with them is worth something only if they pass it.

mod conformance;

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::Engine;

fn make(name: &str, config_json: &str, _limits: AnswerLimits) -> Result<Box<dyn Engine>, String> {
    cutline_engines::build(name, config_json).map_err(|fault| fault.to_string())
}

suite! { make;
    #[test] fn answers_are_those_of_the_engine_in_process;
    #[test] fn a_call_depends_on_nothing_but_its_arguments;
    #[test] fn time_goes_forward_and_a_state_is_the_engine_s_own;
    #[test] fn an_answer_beyond_its_limit_is_refused_and_the_next_call_goes_on;
    #[test] fn a_configuration_is_taken_or_refused_with_its_reason;
    #[test] fn a_digest_tells_configurations_apart;
}
