//! Suite `engines`: what calling an engine costs beyond the engine ([`engine_calls`]), what a run of a tick does ([`engine_ticks`]), and what
//! a slow symbol costs the others ([`slow_symbol`]).

use super::engine_form::Form;
use super::engine_yardsticks::{self, Yardsticks};
use super::{engine_calls, engine_ticks, slow_symbol};
use crate::bench::harness::{Case, Context};

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let (forms, yardsticks) = (Form::all(), Yardsticks::default());
    let mut cases = engine_yardsticks::cases(&yardsticks);
    cases.extend(engine_calls::cases(&forms, &yardsticks));
    cases.extend(engine_ticks::cases(context, &forms, &yardsticks));
    cases.extend(slow_symbol::cases(context));
    cases
}
