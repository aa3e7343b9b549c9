//! Ticks of the suite `engines`: from a boundary to the last output, with the scripted engine in each of its forms; and how what a run costs
//! grows with the symbols at one boundary.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use cutline::config::Config;
use cutline_ring::Idle;

use super::engine_form::Form;
use super::engine_yardsticks::Yardsticks;
use super::ticks::{self, Size, Through};
use crate::bench::harness::{Case, Context};
use crate::bench::record::{NS, Record, TIMES_AS_LONG};
use crate::commands::{Failure, engines};

/// Between two looks of a follower that shares its core with an engine process.
pub const PAUSE: Duration = Duration::from_micros(200);
/// What every form is measured with, and what growth is told against.
const SIZE: Size = Size { symbols: 1_000, interval_ms: 500, ticks: 5, scale_min: 1 };
/// What growth is seen with; one of them at any scale.
const LARGER: [(Form, Size); 4] = [
    (Form::Lane, Size { symbols: 3_000, interval_ms: 2_000, ticks: 5, scale_min: 100 }),
    (Form::Lane, Size { symbols: 10_000, interval_ms: 2_000, ticks: 5, scale_min: 1 }),
    (Form::Process, Size { symbols: 3_000, interval_ms: 2_000, ticks: 5, scale_min: 100 }),
    (Form::Process, Size { symbols: 10_000, interval_ms: 2_000, ticks: 5, scale_min: 100 }),
];

/// The cases.
pub fn cases(context: &Context, forms: &[Form], yardsticks: &Yardsticks) -> Vec<Case> {
    let mut cases = Vec::new();
    for &form in forms {
        let run_of_thousand = Rc::new(Cell::new(0.0));
        let larger = LARGER.into_iter().filter(|(of, _)| *of == form).map(|(_, size)| size);
        for size in [SIZE].into_iter().chain(larger).filter(|size| context.scale >= size.scale_min) {
            let (yardsticks, run_of_thousand) = (yardsticks.clone(), Rc::clone(&run_of_thousand));
            let name = format!("tick of {} symbols, engine {form}", size.symbols);
            cases.push(Case::new(name, move |context, record| {
                let Some(run_ns) = tick(context, record, form, size)? else { return Ok(()) };
                beyond_own_call(record, form, run_ns, &yardsticks);
                if size.symbols == SIZE.symbols {
                    run_of_thousand.set(run_ns);
                } else {
                    record.value("per run over that of 1,000 symbols", TIMES_AS_LONG, run_ns / run_of_thousand.get());
                }
                Ok(())
            }));
        }
    }
    cases
}

/// What a run takes, ns; `None` if this form is left out.
fn tick(context: &Context, record: &mut Record<'_>, form: Form, size: Size) -> Result<Option<f64>, Failure> {
    // The lane has the hot core, and this thread shares the other one.
    let Some(host) = form.host(context, context.cores.cold, Idle::Yield)? else { return Ok(None) };
    let host = Cell::new(Some(host));
    let hosts = |_: &Config| host.take().ok_or_else(|| "one invoke stage has one host".to_owned());
    ticks::run(context, record, size, &Through { hosts: &hosts, engines: &engines, config: "", pause: PAUSE }).map(Some)
}

/// Takes down what a run takes beyond the engine's own time.
fn beyond_own_call(record: &mut Record<'_>, form: Form, run_ns: f64, yardsticks: &Yardsticks) {
    let (own, own_ns) = match form {
        Form::Python => ("Python's own call", yardsticks.python.get()),
        Form::Lane | Form::Library | Form::Process => ("a direct call", yardsticks.direct.get()),
    };
    record.value(&format!("per run beyond {own}"), NS, run_ns - own_ns);
    for (name, yardstick_ns) in [(own, own_ns), ("shared memory", yardsticks.memory.get())] {
        record.value(&format!("that over {name}"), TIMES_AS_LONG, (run_ns - own_ns) / yardstick_ns);
    }
}
