//! The task that recovers: hears on the bus what has failed, decides by the state machines beside it, and lets procedures run, so many at a
//! time. Everything that it decides is told on the bus.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use cutline::config::RecoveryStrategy;
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::ladder::Strategy;
use super::operation::carry_out;
use super::patient::{Next, Patient, Stage};
use super::procedure::Outcome;
use super::queue::Queue;
use super::widespread::Widespread;
use crate::bus::alert::Alert;
use crate::bus::event::{Event, SYSTEM};
use crate::bus::health::Health;
use crate::bus::lifecycle::Lifecycle;
use crate::bus::recovery::Recovery;
use crate::bus::resource::Resource;
use crate::bus::{Listener, What};
use crate::health::plane::PLANE;
use crate::health::report::Grade;
use crate::resources::throttle::Cause;
use crate::supervisor::context::Control;

/// When nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// See the module.
struct Driver {
    control: Control,
    began: Instant,
    patients: BTreeMap<String, Patient>,
    /// When each of them failed first of those failures that are being seen to, ms.
    failed_ms: BTreeMap<String, u64>,
    queue: Queue,
    widespread: Widespread,
    running: JoinSet<(String, Strategy, Outcome)>,
    chance: RandomState,
    drawn: u64,
}

/// Recovers until the bus is closed, or it is dropped. `heard` was made before any module started.
pub async fn run(control: Control, mut heard: Listener) {
    let mut driver = Driver {
        control,
        began: Instant::now(),
        patients: BTreeMap::new(),
        failed_ms: BTreeMap::new(),
        queue: Queue::default(),
        widespread: Widespread::default(),
        running: JoinSet::new(),
        chance: RandomState::new(),
        drawn: 0,
    };
    loop {
        let due = driver.next_due();
        select! {
            // What an operation has caused is heard before its end.
            biased;
            event = heard.next() => match event {
                Some(event) => driver.hear(&event),
                None => return,
            },
            Some(Ok(ended)) = driver.running.join_next(), if !driver.running.is_empty() => driver.ended(ended),
            () = sleep_until(due.into()) => {}
        }
        driver.advance();
    }
}

impl Driver {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn next_due(&self) -> Instant {
        let due_ms = self.patients.values().filter_map(|patient| match patient.stage() {
            Stage::Waiting(until_ms) => Some(until_ms),
            _ => None,
        });
        due_ms.min().map_or_else(|| Instant::now() + IDLE, |ms| self.began + Duration::from_millis(ms))
    }

    fn hear(&mut self, event: &Event) {
        let module = event.module.as_str();
        if self.control.stop.reason().is_some() || module == SYSTEM {
            return;
        }
        match &event.what {
            What::Lifecycle(Lifecycle::Failed { error, .. }) => self.failed(module, error),
            What::Health(Health::Changed { grade: Grade::Unhealthy, issues, .. }) if self.is_module(module) => {
                let texts: Vec<&str> = issues.iter().map(|issue| issue.text.as_str()).collect();
                self.failed(module, &texts.join("; "));
            }
            What::Health(Health::Changed { grade: Grade::Healthy, .. }) => self.is_well(module),
            What::Resource(Resource::Exceeded { limit, used, most }) => {
                self.failed(module, &format!("it uses {used} of limits.{limit} = {most}"));
            }
            What::Lifecycle(Lifecycle::Ready { .. } | Lifecycle::Stopping) => self.seen_to(module),
            _ => {}
        }
    }

    /// Parts of the plane are seen to with it.
    fn is_module(&self, name: &str) -> bool {
        self.control.registry.get(name).is_some()
    }

    /// A module has failed by itself. What fails while it is being recovered is the operation's to say.
    fn failed(&mut self, module: &str, cause: &str) {
        let recovery = self.control.config().care.recovery.clone();
        let now_ms = self.now_ms();
        if self.patient(module).stage() != Stage::Well {
            return;
        }
        self.failed_ms.insert(module.to_owned(), now_ms);
        let (most, window_ms) = (recovery.failing_modules_max.filter(|_| recovery.auto), recovery.failing_window_ms);
        if self.widespread.failed(module, now_ms, most, window_ms) {
            let modules = most.unwrap_or(0);
            self.control.bus.publish(SYSTEM, Recovery::Widespread { modules });
            self.decide(
                SYSTEM,
                &format!("{modules} modules have failed within {window_ms} ms, at last {module}: {cause}"),
            );
        }
        self.decide(module, cause);
    }

    /// The next attempt, or a person.
    fn decide(&mut self, module: &str, cause: &str) {
        let recovery = self.control.config().care.recovery.clone();
        let (now_ms, chance) = (self.now_ms(), self.draw());
        match self.patient(module).failed(&recovery, now_ms, chance) {
            Next::Nothing => {}
            Next::Attempt { strategy, attempt, wait_ms } => {
                let cause = cause.to_owned();
                self.control.bus.publish(module, Recovery::Planned { strategy, attempt, wait_ms, cause });
            }
            Next::GiveUp => {
                self.control.bus.publish(module, Recovery::GivenUp { cause: cause.to_owned() });
                let text = self.left_to_you(module, cause);
                self.control.bus.publish(module, Alert::Raised { text });
            }
        }
    }

    /// What a person has to know of a failure that nothing more is done about, and can do.
    fn left_to_you(&self, module: &str, cause: &str) -> String {
        if module == PLANE {
            let text = "a part of the data plane is unhealthy, and tells what is wrong in an event of its own";
            return format!("{text}: it goes on by itself once that is gone");
        }
        let dir = self.control.config().log.dir.display().to_string();
        format!("{module} has failed and is left to you: {cause}: `cutline module restart {dir} {module}`")
    }

    /// Somebody has started it, or stops it, who is not us: what was planned is not needed any more.
    fn seen_to(&mut self, module: &str) {
        let now_ms = self.now_ms();
        let Some(patient) = self.patients.get_mut(module) else { return };
        if !matches!(patient.stage(), Stage::Well | Stage::Running) {
            patient.cleared(now_ms);
            self.queue.leave(module);
            self.control.bus.publish(module, Recovery::Cleared);
            self.load_again();
        }
    }

    /// What was left to a person is well.
    fn is_well(&mut self, module: &str) {
        if self.patients.get(module).is_some_and(|patient| patient.stage() == Stage::GivenUp) {
            self.seen_to(module);
        }
    }

    /// Where the system goes on without a module no more, our own parts do all they can again.
    fn load_again(&self) {
        let is_degraded = self.patients.values().any(|patient| patient.stage() == Stage::Degraded);
        self.control.throttle.set(Cause::Degraded, is_degraded);
    }

    /// Lets begin whose turn it is.
    fn advance(&mut self) {
        let now_ms = self.now_ms();
        let due = self
            .patients
            .iter_mut()
            .filter_map(|(module, patient)| patient.is_due(now_ms).then(|| (module.clone(), patient.is_required())));
        let due: Vec<(String, bool)> = due.collect();
        for (module, required) in &due {
            self.queue.push(module, *required);
        }
        let most = self.control.config().care.recovery.concurrent_max as usize;
        let most = if self.control.throttle.is_on() { 1 } else { most };
        while let Some(module) = self.queue.next(most) {
            let Some(patient) = self.patients.get_mut(&module) else { continue };
            patient.begun();
            let strategy = patient.strategy();
            self.control.bus.publish(&module, Recovery::Began { strategy });
            let control = self.control.clone();
            self.running.spawn_local(async move {
                let outcome = carry_out(control, module.clone(), strategy).await;
                (module, strategy, outcome)
            });
        }
        let waits =
            |module: &&String| self.patients.get(*module).is_some_and(|patient| patient.stage() == Stage::Queued);
        for module in due.iter().map(|(module, _)| module).filter(waits) {
            self.control.bus.publish(module, Recovery::Queued { waiting: self.queue.waiting() });
        }
    }

    fn ended(&mut self, (module, strategy, outcome): (String, Strategy, Outcome)) {
        let now_ms = self.now_ms();
        self.queue.leave(&module);
        match outcome {
            Outcome::Recovered => {
                self.patient(&module).recovered(now_ms);
                let took_ms = now_ms.saturating_sub(self.failed_ms.remove(&module).unwrap_or(now_ms));
                self.control.bus.publish(&module, Recovery::Recovered { strategy, took_ms });
            }
            Outcome::Refused(error) | Outcome::Failed(error) => {
                self.control.bus.publish(&module, Recovery::AttemptFailed { strategy, error: error.clone() });
                self.decide(&module, &error);
            }
        }
        self.load_again();
    }

    /// The patient of a module: as `[[module]]` says, and a person's affair if it is none of those, or nothing is to be done by itself.
    fn patient(&mut self, module: &str) -> &mut Patient {
        let config = self.control.config();
        let own = config.modules.iter().find(|own| own.name == module);
        let wanted = match own.map(|own| own.recovery) {
            _ if !config.care.recovery.auto => Strategy::Manual,
            None if module == SYSTEM => Strategy::System,
            None | Some(RecoveryStrategy::Manual) => Strategy::Manual,
            Some(RecoveryStrategy::Restart) => Strategy::Restart,
            Some(RecoveryStrategy::Reset) => Strategy::Reset,
            Some(RecoveryStrategy::Degrade) => Strategy::Degrade,
            Some(RecoveryStrategy::System) => Strategy::System,
        };
        let required = own.is_none_or(|own| own.required);
        let patient = self.patients.entry(module.to_owned()).or_insert_with(|| Patient::new(wanted, required));
        patient.obey(wanted, required);
        patient
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.chance.hash_one(self.drawn)
    }
}
