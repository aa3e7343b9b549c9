//! The conformance suite over engines in processes.
//!
//! A process has one mode: a call of the other one has its host start another process, and in this suite they change seldom.

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::Engine;
use cutline_host::blocking::Blocking;
use cutline_host::process::ProcessHost;

use crate::engine::MANNER;
use crate::rig::Wish;

fn make(name: &str, config_json: &str, limits: AnswerLimits) -> Result<Box<dyn Engine>, String> {
    let mut settings = Wish::new("").settings();
    settings.program.env = vec![(MANNER.to_owned(), name.to_owned())];
    config_json.clone_into(&mut settings.config_json);
    settings.limits = limits;
    let host = ProcessHost::start(&settings, Box::new(|_, _, _| ()), None).map_err(|fault| fault.to_string())?;
    Ok(Box::new(Blocking::new(Box::new(host))))
}

crate::suite! { make;
    #[test] fn answers_are_those_of_the_engine_in_process;
    #[test] fn a_call_depends_on_nothing_but_its_arguments;
    #[test] fn time_goes_forward_and_a_state_is_the_engine_s_own;
    #[test] fn an_answer_beyond_its_limit_is_refused_and_the_next_call_goes_on;
    #[test] fn a_configuration_is_taken_or_refused_with_its_reason;
    #[test] fn a_digest_tells_configurations_apart;
}
