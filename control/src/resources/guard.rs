//! The task in front of the logs: looks at the disks of `log.dir` and `log.live_dir` every `resources.interval_ms`. What is short is told;
//! then retention keeps less, if it is allowed to; what runs out makes the system not ready. Intake is never stopped by it: what arrives is
//! kept as long as there is any room, and then the keeper says that there is none.

use std::path::PathBuf;
use std::time::Duration;

use cutline::config::{Config, Resources};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::disk::{Level, Room, Thresholds, level, room, text};
use crate::bus::event::SYSTEM;
use crate::bus::resource::Resource;
use crate::supervisor::context::Control;

/// How long a file system may take to say what room it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// A place that is watched.
struct Disk {
    path: PathBuf,
    level: Level,
    room: Option<Room>,
    /// The question that is under way: a dead disk is asked once.
    asked: Option<JoinHandle<std::io::Result<Option<Room>>>>,
}

/// Watches until it is dropped.
pub async fn watch(control: Control) {
    let (mut disks, mut heard) = (disks(&control.config()), control.bus.listen());
    // Before the data plane is up there may be no such places yet.
    while control.levers().is_none() {
        if heard.next().await.is_none() {
            return;
        }
    }
    drop(heard);
    loop {
        let settings = control.config().care.resources.clone();
        for disk in &mut disks {
            let before = disk.level;
            disk.look(&settings).await;
            if disk.level != before {
                let (path, level, text) = (disk.path.display().to_string(), disk.level, disk.text());
                control.bus.publish(SYSTEM, Resource::Disk { path, level, text });
            }
        }
        remedy(&control, &settings, &disks);
        control.pause(|config| config.care.resources.interval_ms).await;
    }
}

fn disks(config: &Config) -> Vec<Disk> {
    let paths = [&config.log.dir, &config.log.live_dir];
    paths.into_iter().map(|path| Disk { path: path.clone(), level: Level::Enough, room: None, asked: None }).collect()
}

impl Disk {
    async fn look(&mut self, settings: &Resources) {
        let thresholds =
            Thresholds { warn_percent: settings.disk_warn_percent, stop_percent: settings.disk_stop_percent };
        match self.ask().await {
            Some(found) => (self.room, self.level) = (found, level(found, thresholds, self.level)),
            None => (self.room, self.level) = (None, Level::Unknown),
        }
    }

    /// `None`: it does not say, or not soon.
    async fn ask(&mut self) -> Option<Option<Room>> {
        let path = self.path.clone();
        let asked = self.asked.get_or_insert_with(|| spawn_blocking(move || room(&path)));
        let answer = timeout(PATIENCE, asked).await.ok()?;
        self.asked = None;
        answer.ok()?.ok()
    }

    fn text(&self) -> String {
        text(&self.path, self.room, self.level)
    }
}

/// Retention first, then the word that it is not ready.
fn remedy(control: &Control, settings: &Resources, disks: &[Disk]) {
    let Some(levers) = control.levers() else { return };
    let is_short = disks.iter().any(|disk| matches!(disk.level, Level::Short | Level::Out));
    levers.set_keep_bytes(settings.disk_keep_bytes.filter(|_| is_short));
    let out: Vec<String> = disks.iter().filter(|disk| disk.level == Level::Out).map(Disk::text).collect();
    levers.set_not_ready((!out.is_empty()).then(|| out.join("; ")));
}
