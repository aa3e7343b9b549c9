//! The task that measures: what each module's processes use, what of it is too much, and how loaded the machine is. Every
//! `resources.interval_ms`, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Instant;

use cutline::config::{Limits, Module};
use tokio::task::{AbortHandle, spawn_local};

use super::cgroup::{Controllers, Group};
use super::limits::{By, exceeded, is_set, limit_processes, means};
use super::proc::{Machine, memory_used};
use super::throttle::{Cause, Load, cpu_percent, is_loaded};
use super::usage::{Meter, Snapshot, Usage};
use super::{Watched, pace};
use crate::bus::event::SYSTEM;
use crate::bus::resource::Resource;
use crate::health::engines::Place;
use crate::health::look;
use crate::supervisor::context::Control;

/// A module that runs in a process of its own.
struct Measured {
    meter: Meter,
    /// What is enforced.
    limits: Limits,
    /// What keeps it to its share of processor time.
    pace: Option<Pace>,
    over: BTreeSet<&'static str>,
}

/// The task that keeps a module to its share; it ends with this.
struct Pace(AbortHandle);

impl Drop for Pace {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The machine at the last measurement.
#[derive(Default)]
struct Before {
    machine: Machine,
    lane_ticks: u64,
    loaded: bool,
}

/// Measures until it is dropped.
pub async fn watch(control: Control) {
    let (began, mut measured, mut before) = (Instant::now(), BTreeMap::new(), Before::default());
    let (mut heard, mut configs) = (control.bus.listen(), control.config.subscribe());
    let mut engines = BTreeMap::new();
    before.look(&control);
    loop {
        let due = control.pause(|config| config.care.resources.interval_ms);
        let mut due = pin!(due);
        // Limits are in force from a module's start on, and from their change on, and not from the next measurement.
        loop {
            follow(&control, &mut measured);
            tokio::select! {
                event = heard.next() => if event.is_none() { return },
                // Whoever sends them is there as long as `control` is.
                _ = configs.changed() => {}
                () = &mut due => break,
            }
        }
        let config = control.config();
        follow(&control, &mut measured);
        follow_engines(&control, &mut engines);
        let (all, now_ns) = (Snapshot::take(), u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        for module in &config.modules {
            let Some(known) = measured.get_mut(&module.name) else { continue };
            if let Some(usage) = known.meter.measure(&all, now_ns) {
                known.tell(&control, module, &usage);
            }
        }
        for (place, meter) in &mut engines {
            if let Some(usage) = meter.measure(&all, now_ns).filter(|_| control.engines.counts(place)) {
                control.board.set_usage(&place.name, Watched { usage, over: Vec::new() }, &control.bus);
            }
        }
        before.look(&control);
    }
}

/// Measures the engine processes that there are; what they may use, their own limits say.
fn follow_engines(control: &Control, engines: &mut BTreeMap<Place, Meter>) {
    let processes = control.engines.processes();
    engines.retain(|place, meter| processes.get(place) == Some(&meter.root()));
    for (place, pid) in processes {
        engines.entry(place).or_insert_with(|| Meter::new(pid, None));
    }
}

/// Measures the modules that run, each from its start on.
fn follow(control: &Control, measured: &mut BTreeMap<String, Measured>) {
    let config = control.config();
    let running: BTreeMap<String, u32> =
        control.registry.all().into_iter().filter_map(|module| Some((module.name, module.pid?))).collect();
    measured.retain(|name, known| running.get(name) == Some(&known.meter.root()));
    for module in &config.modules {
        let Some(pid) = running.get(&module.name) else { continue };
        match measured.get_mut(&module.name) {
            Some(known) if known.limits != module.limits => known.limit(control, module),
            Some(_) => {}
            None => drop(measured.insert(module.name.clone(), Measured::new(control, module, *pid))),
        }
    }
}

impl Measured {
    /// A module that has begun with its limits.
    fn new(control: &Control, module: &Module, pid: u32) -> Self {
        let limits = module.limits.clone();
        let group = control.cgroups.of(&module.name).filter(Group::is_there);
        let mut new = Self { meter: Meter::new(pid, group), limits, pace: None, over: BTreeSet::new() };
        new.enforce(control, module);
        new
    }

    /// Other limits than those that it has begun with.
    fn limit(&mut self, control: &Control, module: &Module) {
        let before = std::mem::replace(&mut self.limits, module.limits.clone());
        for (limit, ..) in
            means(&before, Controllers::default()).iter().filter(|(limit, ..)| !is_set(&module.limits, limit))
        {
            control.bus.publish(&module.name, Resource::Unlimited { limit });
        }
        for (limit, why) in limit_processes(self.meter.root(), &before, module) {
            let text = format!("{why}: it is in force once the module is restarted");
            control.bus.publish(&module.name, Resource::NotLimited { limit, text });
        }
        if let Some(Err(fault)) = self.meter.group().map(|group| group.limit(&module.limits)) {
            let text = format!("its cgroup: {fault}: it is in force once the module is restarted");
            control.bus.publish(&module.name, Resource::NotLimited { limit: "cgroup", text });
        }
        self.enforce(control, module);
    }

    fn enforce(&mut self, control: &Control, module: &Module) {
        self.pace = None;
        for (limit, most, by) in means(&module.limits, self.meter.group().map(Group::controllers).unwrap_or_default()) {
            if by == By::DutyCycle {
                let keep = pace::keep(self.meter.root(), u32::try_from(most).unwrap_or(u32::MAX));
                self.pace = Some(Pace(spawn_local(keep).abort_handle()));
            }
            control.bus.publish(&module.name, Resource::Limited { limit, most, by: by.name() });
        }
    }

    /// Puts up what it uses, and tells what is too much and what is not any more.
    fn tell(&mut self, control: &Control, module: &Module, usage: &Usage) {
        let limits: &Limits = &module.limits;
        let over = exceeded(limits, usage);
        let keys: BTreeSet<&'static str> = over.iter().map(|(limit, ..)| *limit).collect();
        for (limit, used, most) in over.iter().copied().filter(|(limit, ..)| !self.over.contains(limit)) {
            control.bus.publish(&module.name, Resource::Exceeded { limit, used, most });
        }
        for limit in self.over.difference(&keys) {
            control.bus.publish(&module.name, Resource::Within { limit });
        }
        self.over = keys;
        control.board.set_usage(&module.name, Watched { usage: *usage, over }, &control.bus);
    }
}

impl Before {
    fn look(&mut self, control: &Control) {
        let (Some(machine), Ok(memory)) = (Machine::read(), std::fs::read_to_string("/proc/meminfo")) else { return };
        let lanes = control.cnc().map(look::look).map_or(Vec::new(), |look| look.lanes);
        let lane_ticks = lanes.iter().filter_map(|lane| lane.task).map(|task| task.ticks).sum::<u64>();
        let is_first = self.machine == Machine::default();
        let load = Load {
            cpu_percent: cpu_percent(self.machine, machine, lane_ticks.saturating_sub(self.lane_ticks)),
            memory_percent: (memory_used(&memory).unwrap_or(0.0) * 100.0) as u64,
        };
        (self.machine, self.lane_ticks) = (machine, lane_ticks);
        if is_first {
            return;
        }
        let loaded = is_loaded(load, control.config().care.resources.throttle_percent, self.loaded);
        if loaded != self.loaded {
            control.throttle.set(Cause::Load, loaded);
            let Load { cpu_percent, memory_percent } = load;
            let event =
                if loaded { Resource::Throttled { cpu_percent, memory_percent } } else { Resource::Unthrottled };
            control.bus.publish(SYSTEM, event);
        }
        self.loaded = loaded;
    }
}
