//! What looking after everything costs: the processor time of the control thread, with everything on it, while it does all of it much more
//! often than by default. `cargo nextest run -p cutline-control --test health cost --no-capture` prints the figures.

use std::thread;
use std::time::Duration;

use crate::common::modules::{polite, system, up};
use crate::common::{Place, processor_time_ms};

/// How long it is measured.
const MEASURED: Duration = Duration::from_secs(4);
const MODULES: usize = 20;

/// Processor time of the control thread, % of a core, of a system with twenty modules that is looked after by these keys.
fn percent(keys: &str) -> f64 {
    let place = Place::new();
    let modules: Vec<String> = (0..MODULES).map(|number| polite(&format!("m{number}"), "")).collect();
    let supervisor = format!("parallel_startup = true\nshutdown_timeout_ms = 2000\n{keys}");
    let (config, data) = system(&place, &supervisor, &modules);
    let running = up(&place, &config, &data);
    let before_ms = processor_time_ms(running.pid());
    // Nothing is waited for: this is how long is measured.
    thread::sleep(MEASURED);
    let used_ms = processor_time_ms(running.pid()) - before_ms;
    running.stop();
    100.0 * used_ms as f64 / MEASURED.as_millis() as f64
}

/// Intervals a day long: nothing happens.
const SELDOM: &str = "[health]\ninterval_ms = 86400000\ninterval_max_ms = 86400000\nlane_interval_ms = 60000\n\
    [resources]\ninterval_ms = 86400000\n";

#[test]
fn health_costs_less_than_a_hundredth_and_resources_less_than_half_of_that() {
    let idle = percent(SELDOM);
    let often = "[health]\ninterval_ms = 3000\ninterval_min_ms = 200\ninterval_max_ms = 3000\nlane_interval_ms = 50\n\
        [resources]\ninterval_ms = 86400000\n";
    let health = (percent(often) - idle).max(0.0) / 10.0;
    let often = SELDOM.replace("[resources]\ninterval_ms = 86400000", "[resources]\ninterval_ms = 200");
    let resources = (percent(&often) - idle).max(0.0) / 50.0;
    eprintln!(
        "of a core, with {MODULES} modules: health {health:.3} %, resources {resources:.3} %; the rest of the control thread {idle:.2} %"
    );
    assert!(health < 1.0, "health takes {health} % of a core at its default intervals");
    assert!(resources < 0.5, "resource checks take {resources} % of a core at their default interval");
}
