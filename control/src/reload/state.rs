//! What is in force, what was before, and what a wish makes of it. One wish at a time.
//!
//! A wish is checked as a whole before anything hears of it. Of its keys those are taken that may change while everything runs, and what
//! they make with the others as they are must be a sound configuration too; the rest is named, and waits for a restart.

use std::collections::VecDeque;
use std::sync::Arc;

use cutline::config::{Config, Difference, Problems, Tree, When, differences};
use cutline::plane::change::ChangeFault;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::door::InForce;
use super::overrides::Overrides;
use super::{Sources, Tally};
use crate::bus::config::Reload;
use crate::bus::event::SYSTEM;
use crate::bus::now_ms;
use crate::commands::note;
use crate::rolled::Rolled;
use crate::supervisor::context::Control;
use crate::supervisor::service;

/// Configurations that can be gone back to.
const BEFORE_MAX: usize = 16;
/// Name of the history beside the logs, without its ending.
const HISTORY: &str = "config-history";

/// What somebody wants.
pub enum Wish {
    /// What the files say now.
    Files,
    /// A key of another value.
    Set {
        /// `KEY=VALUE`.
        set: String,
        /// How long, ms; `None`: as long as the process lives.
        for_ms: Option<u64>,
    },
    /// What was in force before the last change.
    Back,
    /// What is left once overrides have expired.
    Expiry,
}

/// A configuration, as written.
#[derive(Clone)]
struct Configured {
    tree: Tree,
    overrides: Overrides,
}

/// See the module.
pub struct State {
    sources: Sources,
    now: Configured,
    before: VecDeque<Configured>,
    tally: Tally,
    /// What affects outputs and is on its way, and the tick that the last such change is in force from.
    coming: Option<InForce>,
    /// Who wants the files read once that is in force.
    deferred: Option<&'static str>,
    effective_ms: Option<i64>,
    history: Option<Rolled>,
}

impl State {
    /// What is in force at the start.
    ///
    /// # Errors
    /// The files cannot be read any more.
    pub async fn new(mut sources: Sources, control: &Control) -> Result<Self, String> {
        let tree = match sources.begun_with.take() {
            Some(tree) => tree,
            None => read(&sources, &Overrides::default()).await?,
        };
        let history = Rolled::open(&control.config().log.dir, HISTORY);
        if let Err(fault) = &history {
            note(format_args!("warning: changes of the configuration are not recorded in {HISTORY}.jsonl: {fault}"));
        }
        Ok(Self {
            sources,
            now: Configured { tree, overrides: Overrides::default() },
            before: VecDeque::new(),
            tally: Tally::default(),
            coming: None,
            deferred: None,
            effective_ms: None,
            history: history.ok(),
        })
    }

    /// When an override is to be taken away next, Unix ms; not before what is on its way is in force.
    pub fn due_ms(&self) -> Option<i64> {
        self.now.overrides.next_ms().filter(|_| self.coming.is_none())
    }

    /// Looks whether the files still say what the process began with.
    pub async fn catch_up(&mut self, control: &Control) {
        let is = read(&self.sources, &self.now.overrides).await;
        if !is.is_ok_and(|is| differences(&self.now.tree, &is).is_empty()) {
            self.files("file", control).await;
        }
    }

    /// The files may say something else: at once, or when what is on its way is in force.
    pub async fn files(&mut self, who: &'static str, control: &Control) {
        if self.coming.is_some() {
            self.deferred = Some(who);
        } else {
            // Whatever is wrong was told.
            let _ = service::while_reloading(self.wish(Wish::Files, who, control)).await;
        }
    }

    /// What was on its way is in force.
    pub async fn came_into_force(&mut self, effective_ms: i64, control: &Control) {
        control.bus.publish(SYSTEM, Reload::InForce { effective_from_ms: effective_ms });
        if let Some(who) = self.deferred.take() {
            self.files(who, control).await;
        }
    }

    /// Waits until what is on its way is in force. May be dropped while it waits.
    pub async fn in_force(&mut self) -> i64 {
        while let Some(coming) = &mut self.coming {
            let told = coming.await;
            self.coming = None;
            if let Ok(effective_ms) = told {
                self.effective_ms = Some(effective_ms);
                return effective_ms;
            }
        }
        std::future::pending().await
    }

    /// Takes away what has expired.
    pub async fn expire(&mut self, control: &Control) {
        if self.due_ms().is_some_and(|due_ms| due_ms <= now_ms())
            && self.wish(Wish::Expiry, "expiry", control).await.is_err()
        {
            // It cannot be without them: then they stay, and that was told.
            self.now.overrides = self.now.overrides.clone().for_good();
        }
    }

    /// Does what is wanted, or says why not; either is told and recorded.
    ///
    /// # Errors
    /// Why nothing is otherwise.
    pub async fn wish(&mut self, wish: Wish, who: &str, control: &Control) -> Result<Value, String> {
        let is_back = matches!(wish, Wish::Back);
        let done = match self.wanted(wish, who).await {
            Ok(wanted) => self.become_wanted(wanted, is_back, control).await,
            Err(why) => Err(why),
        };
        let told = match &done {
            Ok(changes) if changes.is_empty() => {
                Reload::Unchanged { who: who.to_owned(), waiting: self.tally.waiting.clone() }
            }
            Ok(changes) => {
                self.tally.changes += 1;
                Reload::Changed { who: who.to_owned(), changes: changes.clone(), waiting: self.tally.waiting.clone() }
            }
            Err(why) => {
                self.tally.refusals += 1;
                Reload::Refused { who: who.to_owned(), why: why.clone() }
            }
        };
        self.tally.refused = done.as_ref().err().cloned().unwrap_or_default();
        if done.is_err() {
            note(format_args!("configuration refused, the one before stays in force ({who}): {}", self.tally.refused));
        } else if !self.tally.waiting.is_empty() {
            note(format_args!("configuration: {} need a restart ({who})", self.tally.waiting.join(", ")));
        }
        self.record(&told);
        control.reload.tell(&self.tally);
        control.bus.publish(SYSTEM, told);
        done.map(|changes| json!({"changes": changes, "waiting_for_restart": self.tally.waiting}))
    }

    async fn wanted(&self, wish: Wish, who: &str) -> Result<Configured, String> {
        let now_ms = now_ms();
        let overrides = match wish {
            Wish::Back => return self.before.back().cloned().ok_or_else(|| "nothing was in force before".to_owned()),
            Wish::Set { set, for_ms } => {
                let until_ms = for_ms.map(|ms| now_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)));
                self.now.overrides.still(now_ms).with(&set, who, until_ms)?
            }
            Wish::Files | Wish::Expiry => self.now.overrides.still(now_ms),
        };
        let tree = read(&self.sources, &overrides).await?;
        Ok(Configured { tree, overrides })
    }

    /// Takes into force what may change; says what is otherwise.
    async fn become_wanted(
        &mut self,
        wanted: Configured,
        is_back: bool,
        control: &Control,
    ) -> Result<Vec<Difference>, String> {
        checked(&wanted.tree).await?;
        let (changes, waiting): (Vec<_>, Vec<_>) =
            differences(&self.now.tree, &wanted.tree).into_iter().partition(|found| found.when != When::AtRestart);
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        let tree = self.now.tree.with_keys_of(&wanted.tree, &keys);
        let config = checked(&tree).await.map_err(|why| {
            let waiting: Vec<&str> = waiting.iter().map(|found| found.key.as_str()).collect();
            format!("it needs a restart: without {} it is not sound: {why}", waiting.join(", "))
        })?;
        let config = Arc::new(config);
        let is_for_a_tick = changes.iter().any(|change| change.when == When::AtTick);
        if is_for_a_tick && self.coming.is_some() {
            return Err(ChangeFault::Busy.to_string());
        }
        if is_for_a_tick && let Some(coming) = control.reload.door.change(Arc::clone(&config)).await? {
            self.coming = Some(coming);
        }
        control.config.send_replace(config);
        self.tally.waiting = waiting.into_iter().map(|found| found.key).collect();
        let before = std::mem::replace(&mut self.now, Configured { tree, overrides: wanted.overrides });
        if is_back {
            self.before.pop_back();
        } else if !changes.is_empty() {
            self.before.push_back(before);
            if self.before.len() > BEFORE_MAX {
                self.before.pop_front();
            }
        }
        Ok(changes)
    }

    /// What is in force, where it comes from, and what became of the last wish.
    pub fn show(&self, control: &Control) -> Value {
        let keys = self.now.tree.keys().into_iter().map(|(key, shown)| {
            let from = match shown.origin.line {
                0 => shown.origin.file.to_string(),
                line => format!("{}:{line}", shown.origin.file),
            };
            (key, json!({"value": shown.value, "from": from}))
        });
        let refusing = control.registry.all().into_iter().filter(|module| !module.config_refused.is_empty());
        let refusing = refusing.map(|module| (module.name, json!(module.config_refused)));
        json!({
            "refused_by": refusing.collect::<serde_json::Map<_, _>>(),
            "keys": keys.collect::<serde_json::Map<_, _>>(),
            "overrides": self.now.overrides.all(),
            "waiting_for_restart": self.tally.waiting,
            "refused": self.tally.refused,
            "changes": self.tally.changes,
            "refusals": self.tally.refusals,
            "on_its_way": self.coming.is_some(),
            "effective_from_ms": self.effective_ms,
            "can_go_back": self.before.len(),
        })
    }

    fn record(&mut self, told: &Reload) {
        let Some(history) = &mut self.history else { return };
        let mut line = serde_json::to_value(told).unwrap_or_default();
        line["at_ms"] = json!(now_ms());
        if let Err(fault) = history.write(line.to_string().into_bytes()) {
            note(format_args!("warning: a change of the configuration is not recorded in {HISTORY}.jsonl: {fault}"));
        }
    }
}

/// Reads the files, on a thread of the runtime's: their disk may stand still.
async fn read(sources: &Sources, overrides: &Overrides) -> Result<Tree, String> {
    let (sources, overrides) = (sources.clone(), overrides.sets());
    let read = move || told(Tree::read(&sources.files, &sources.sets, &overrides));
    spawn_blocking(read).await.map_err(|fault| fault.to_string())?
}

/// Checks a tree as a whole, there too: references may name files.
async fn checked(tree: &Tree) -> Result<Config, String> {
    let tree = tree.clone();
    let checked = spawn_blocking(move || tree.config(&crate::sealed::around()));
    let (config, _) = told(checked.await.map_err(|fault| fault.to_string())?)?;
    crate::sealed::keep_in_memory(&config);
    Ok(config)
}

fn told<T>(read: Result<T, Problems>) -> Result<T, String> {
    read.map_err(|problems| problems.to_string())
}
