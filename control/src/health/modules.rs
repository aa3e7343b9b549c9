//! The task that asks modules how they are: each at its own interval, with a timeout, and not at all while the breaker of its connection is
//! open. Modules are asked through the supervisor, all at once if they are due at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutline::config;
use cutline_host::process::breaker::{Admission, Breaker, Restart};
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::answer::Answer;
use super::interval::Interval;
use super::plane::{PLANE, in_registry};
use super::report::{Grade, Issue, IssueKind, Report};
use super::streak::Streak;
use crate::supervisor::ask::Order;
use crate::supervisor::body::BUSY;
use crate::supervisor::context::Control;
use crate::supervisor::registry::{Module, State};

/// By which name the supervisor is asked.
const WHO: &str = "health";
/// A module that does not run is looked for again at the latest then, though nothing was heard of it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A module that runs.
struct Watched {
    /// Since when: another time is another life.
    since_ms: i64,
    required: bool,
    streak: Streak,
    interval: Interval,
    breaker: Breaker,
    restart: Restart,
    due: Instant,
    is_asked: bool,
}

/// A check that has ended.
struct Ended {
    module: String,
    since_ms: i64,
    took: Duration,
    /// `None`: it was busy with another question, which has a time of its own.
    answer: Option<Answer>,
}

/// Watches until it is dropped.
pub async fn watch(control: Control) {
    let (began, mut heard) = (Instant::now(), control.bus.listen());
    let (mut watched, mut checks) = (BTreeMap::new(), JoinSet::new());
    let mut configs = control.config.subscribe();
    loop {
        follow(&control, &mut watched);
        control.board.look(&control.bus);
        let now = Instant::now();
        for (name, module) in watched.iter_mut().filter(|(_, module)| !module.is_asked && module.due <= now) {
            if module.may_be_asked(&control, name, began) {
                module.is_asked = true;
                checks.spawn_local(check(control.clone(), name.clone(), module.since_ms));
            }
        }
        let due = watched.values().filter(|module| !module.is_asked).map(|module| module.due).min();
        let until = due.unwrap_or(now + LOOK_AGAIN).max(now);
        select! {
            event = heard.next() => if event.is_none() { return },
            Some(Ok(ended)) = checks.join_next(), if !checks.is_empty() => note(&control, &mut watched, ended, began),
            // Whoever sends them is there as long as `control` is.
            _ = configs.changed() => {}
            () = sleep_until(until.into()) => {}
        }
    }
}

/// Watches the modules that run, each from its start on; of those that do not there is nothing to say. Parts of this program run while its
/// control thread does.
fn follow(control: &Control, watched: &mut BTreeMap<String, Watched>) {
    let config = control.config();
    for module in control.registry.all().into_iter().filter(|module| module.name != PLANE) {
        let State::Running { since_ms, .. } = module.state else {
            if watched.remove(&module.name).is_some() {
                control.board.remove(&module.name, &control.bus);
            }
            continue;
        };
        if let Some(own) = config.modules.iter().find(|own| own.name == module.name) {
            if watched.get(&module.name).is_none_or(|known| known.since_ms != since_ms) {
                control.board.put(Report::unknown(&module.name, module.required), &control.bus);
                let fresh = Watched::new(&config.care, own.health_interval_ms, &module, since_ms);
                watched.insert(module.name, fresh);
            } else if let Some(known) = watched.get_mut(&module.name) {
                known.obey(&config.care, own.health_interval_ms);
            }
        } else if control.board.get(&module.name).is_none() {
            let report = Report { grade: Grade::Healthy, ..Report::unknown(&module.name, module.required) };
            control.registry.set_health(&module.name, in_registry(&report));
            control.board.put(report, &control.bus);
        }
    }
}

impl Watched {
    fn new(care: &config::Care, own_ms: Option<u64>, module: &Module, since_ms: i64) -> Self {
        let restart = restart(&care.recovery);
        Self {
            since_ms,
            required: module.required,
            streak: Streak::new(care.health.unhealthy_threshold),
            interval: Interval::new(&care.health, own_ms),
            breaker: Breaker::new(restart),
            restart,
            due: Instant::now(),
            is_asked: false,
        }
    }

    /// Goes by this configuration from here on.
    fn obey(&mut self, care: &config::Care, own_ms: Option<u64>) {
        self.streak.set_threshold(care.health.unhealthy_threshold);
        if self.interval.obey(&care.health, own_ms) {
            let wait = Duration::from_millis(own_ms.unwrap_or(care.health.interval_ms));
            self.due = self.due.min(Instant::now() + wait);
        }
        let restart = restart(&care.recovery);
        if restart != self.restart {
            (self.breaker, self.restart) = (Breaker::new(restart), restart);
        }
    }

    /// Whether it is asked now. If not, the breaker says when.
    fn may_be_asked(&mut self, control: &Control, name: &str, began: Instant) -> bool {
        match self.breaker.admits(None, ns_since(began)) {
            Admission::Call => true,
            Admission::Try => {
                self.breaker.tries();
                true
            }
            Admission::Wait => false,
            Admission::Fail(open_ns) => {
                self.due = Instant::now() + Duration::from_nanos(open_ns.unsigned_abs());
                let text =
                    format!("it is not asked for {} ms: it has left too many requests unanswered", open_ns / 1_000_000);
                let issue = Issue::new(IssueKind::BreakerOpen, text);
                if let Some(report) = control.board.get(name) {
                    control.board.put(Report { issues: vec![issue], ..report }, &control.bus);
                }
                false
            }
        }
    }
}

/// How the breaker of a connection goes by `[recovery]`.
fn restart(recovery: &config::Recovery) -> Restart {
    let open_ns = i64::try_from(recovery.breaker_open_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Restart { min_delay_ns: 0, max_delay_ns: 0, deaths_max: recovery.breaker_failures, open_ns }
}

async fn check(control: Control, module: String, since_ms: i64) -> Ended {
    let limit = Duration::from_millis(control.config().care.health.timeout_ms);
    let asked = Instant::now();
    let answer = match timeout(limit, control.ask.ask(&module, Order::Health { within: limit }, WHO)).await {
        Ok(Ok(value)) if value == BUSY => None,
        Ok(Ok(value)) => Some(Answer::read(&value)),
        Ok(Err(why)) => Some(Answer::none(&why)),
        Err(_) => Some(Answer::none(&format!("no answer within health.timeout_ms = {}", limit.as_millis()))),
    };
    Ended { module, since_ms, took: asked.elapsed(), answer }
}

fn note(control: &Control, watched: &mut BTreeMap<String, Watched>, ended: Ended, began: Instant) {
    let Ended { module: name, since_ms, took, answer } = ended;
    // Of another life.
    let Some(module) = watched.get_mut(&name).filter(|module| module.since_ms == since_ms) else { return };
    module.is_asked = false;
    let Some(answer) = answer else {
        module.breaker.answered();
        module.due = Instant::now() + Duration::from_millis(control.config().care.health.interval_min_ms);
        return;
    };
    if answer.is_none() {
        module.breaker.died(None, ns_since(began));
    } else {
        module.breaker.answered();
    }
    module.streak.note(answer.checked);
    let wait_ms = module.interval.after(answer.checked, control.throttle.is_on());
    module.due = Instant::now() + Duration::from_millis(wait_ms);
    let report = answer.report(&name, module.required, module.streak, took);
    control.registry.set_health(&name, in_registry(&report));
    control.board.put(report, &control.bus);
}

fn ns_since(began: Instant) -> i64 {
    i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX)
}
