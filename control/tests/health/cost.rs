//! What looking after everything costs: the processor time of the control thread, and of those that read files for it, while it does all of
//! it much more often than by default. `cargo nextest run -p cutline-control --test health cost --no-capture` prints the figures.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::Place;
use crate::common::modules::{events, of, polite, system, up};

/// How long it is measured.
const MEASURED: Duration = Duration::from_secs(4);
const MODULES: usize = 20;

/// Between two edits of the configuration: longer than the watch waits for an editor to have finished.
const EDIT_INTERVAL: Duration = Duration::from_millis(400);

/// Processor time of the control thread, and of those that read files for it, ms.
fn used_ms(pid: u32) -> f64 {
    let tasks =
        std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").map(|task| task.expect("an entry").path());
    let is_cold = |task: &PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        task.ends_with(pid.to_string()) || name.starts_with("tokio") || name.starts_with("notify")
    };
    let used_ns = |task: PathBuf| {
        let text = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0)
    };
    tasks.filter(is_cold).map(used_ns).sum::<f64>() / 1e6
}

/// What that comes to, % of a core, in a system with twenty modules that is looked after by these keys, while this is done to its
/// configuration file.
fn percent(keys: &str, meanwhile: impl Fn(&str) -> usize) -> f64 {
    let place = Place::new();
    let modules: Vec<String> = (0..MODULES).map(|number| polite(&format!("m{number}"), "")).collect();
    let supervisor = format!("parallel_startup = true\nshutdown_timeout_ms = 2000\n{keys}");
    let (config, data) = system(&place, &supervisor, &modules);
    let running = up(&place, &config, &data);
    let before_ms = used_ms(running.pid());
    let end = Instant::now() + MEASURED;
    let edits = meanwhile(&config);
    // Nothing is waited for: this is how long is measured.
    thread::sleep(end.saturating_duration_since(Instant::now()));
    let used_ms = used_ms(running.pid()) - before_ms;
    running.stop();
    let in_force = of(&events(&data), "system", "changed").len();
    assert!(in_force <= edits && 2 * in_force >= edits, "{in_force} of {edits} edits came into force");
    100.0 * used_ms / MEASURED.as_millis() as f64
}

/// Intervals a day long: nothing happens.
const SELDOM: &str = "[health]\ninterval_ms = 86400000\ninterval_max_ms = 86400000\nlane_interval_ms = 60000\n\
    [resources]\ninterval_ms = 86400000\n";

/// Another value of a key that may change while it runs, again and again; how often. What is read is a whole file.
fn edit(config: &str) -> usize {
    let text = std::fs::read_to_string(config).expect("readable");
    let other = format!("{config}.other");
    let values: Vec<u32> = (2001..).take((MEASURED.as_millis() / EDIT_INTERVAL.as_millis()) as usize).collect();
    for value in &values {
        let text = text.replace("shutdown_timeout_ms = 2000", &format!("shutdown_timeout_ms = {value}"));
        std::fs::write(&other, text).and_then(|()| std::fs::rename(&other, config)).expect("writable");
        thread::sleep(EDIT_INTERVAL);
    }
    values.len()
}

#[test]
fn health_and_the_watch_cost_less_than_a_hundredth_and_resources_less_than_half_of_that() {
    let idle = percent(SELDOM, |_| 0);
    let often = "[health]\ninterval_ms = 3000\ninterval_min_ms = 200\ninterval_max_ms = 3000\nlane_interval_ms = 50\n\
        [resources]\ninterval_ms = 86400000\n";
    let health = (percent(often, |_| 0) - idle).max(0.0) / 10.0;
    let often = SELDOM.replace("[resources]\ninterval_ms = 86400000", "[resources]\ninterval_ms = 200");
    let resources = (percent(&often, |_| 0) - idle).max(0.0) / 50.0;
    // Of one edit in ten seconds.
    let watch = (percent(SELDOM, edit) - idle).max(0.0) * EDIT_INTERVAL.as_secs_f64() / 10.0;
    eprintln!(
        "of a core, with {MODULES} modules: health {health:.3} %, resources {resources:.3} %, an edited configuration each 10 s {watch:.3} %; \
         the rest of the control thread {idle:.2} %"
    );
    assert!(health < 1.0, "health takes {health} % of a core at its default intervals");
    assert!(watch < 1.0, "the watch over the configuration takes {watch} % of a core");
    assert!(resources < 0.5, "resource checks take {resources} % of a core at their default interval");
}
