//! The data plane as a module: logs, keeper, lanes and engine hosts, which open in one act and close in one. What blocks (opening reads
//! logs, closing flushes them) is done on a thread of the runtime's; between them the pipeline is tended on the control thread.

use std::time::Duration;

use cutline::config::Config;
use cutline::plane::pipeline::{CNC_FILE, Pipeline};
use cutline::sequence::stage::TimeSource;
use cutline_shm::reader::CncReader;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::body::{Act, Body, Ready};
use super::context::Control;
use crate::bus::lifecycle::{Lifecycle, Step};
use crate::commands::live::{self, TEND_INTERVAL, Tended};
use crate::commands::{Failure, Outcome, say};
use crate::module::output::Output;
use crate::reload::door::Doorway;

/// Its name.
pub const NAME: &str = "plane";

/// See the module.
pub struct Plane {
    control: Control,
    /// Where what engine processes print goes.
    output: Output,
    stage: Stage,
    /// Where other configurations come in.
    doorway: Option<Doorway>,
}

enum Stage {
    Down,
    Opening(JoinHandle<Result<Pipeline, Failure>>),
    Up(Box<Tended>),
    Closing(JoinHandle<Outcome>),
}

impl Plane {
    /// One that is not open, of the configuration in force when it is opened.
    pub fn new(control: Control, output: Output) -> Self {
        Self { doorway: control.reload.doorway(), control, output, stage: Stage::Down }
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let config = self.control.config();
        if matches!(self.stage, Stage::Down) {
            let config = self.control.config();
            let (engines, output) = (self.control.engines.clone(), self.output.clone());
            let open = move || {
                let hosts = crate::engines::hosts(&engines, &output);
                live::open_with(&config, live::feeds(&config)?, TimeSource::Clock, &hosts)
            };
            self.stage = Stage::Opening(spawn_blocking(open));
        }
        let Stage::Opening(opening) = &mut self.stage else { return Ok(()) };
        let opened = opening.await;
        self.stage = Stage::Down;
        let pipeline = opened.map_err(panicked)??;
        let cnc = CncReader::open(&config.log.live_dir.join(CNC_FILE)).map_err(Failure::machine);
        report(&pipeline, &config);
        self.control.set_levers(pipeline.levers().clone());
        self.stage = Stage::Up(Box::new(Tended::new(pipeline, &config)));
        self.control.set_cnc(cnc?);
        Ok(())
    }

    /// Tends it until its lanes have ended, or it has to be abandoned.
    async fn tend(&mut self) {
        while let Stage::Up(tended) = &mut self.stage {
            if tended.has_ended() {
                return self.control.bus.publish(NAME, Lifecycle::Step { step: Step::LanesDrained });
            }
            sleep(TEND_INTERVAL).await;
            if let Stage::Up(tended) = &mut self.stage {
                tended.follow(&self.control.config());
                tended.look();
                if let Some(doorway) = &mut self.doorway {
                    doorway.look(tended.pipeline(), &self.control.engines, &self.output);
                }
            }
        }
    }

    async fn close(&mut self) -> Result<String, Failure> {
        if let Stage::Up(_) = &self.stage
            && let Stage::Up(tended) = std::mem::replace(&mut self.stage, Stage::Down)
        {
            self.stage = Stage::Closing(spawn_blocking(move || tended.close()));
        }
        let Stage::Closing(closing) = &mut self.stage else { return Ok("was not open".to_owned()) };
        let closed = closing.await;
        self.stage = Stage::Down;
        closed.map_err(panicked)??;
        self.control.bus.publish(NAME, Lifecycle::Step { step: Step::LogsClosed });
        Ok("logs closed".to_owned())
    }
}

impl Body for Plane {
    fn start(&mut self, _reset: bool) -> Act<'_, Result<Ready, Failure>> {
        Box::pin(async {
            self.open().await?;
            Ok(Ready { version: env!("CARGO_PKG_VERSION").to_owned(), pid: None })
        })
    }

    fn live(&mut self) -> Act<'_, Result<String, Failure>> {
        Box::pin(async {
            self.tend().await;
            self.close().await
        })
    }

    /// Its runs in flight have `shutdown.timeout_ms`; what it has taken in is finished however long that takes, unless nothing goes on.
    fn stop(&mut self, _within: Duration) -> Act<'_, Result<String, Failure>> {
        Box::pin(async {
            if matches!(self.stage, Stage::Opening(_)) {
                self.open().await?;
            }
            if let Stage::Up(tended) = &mut self.stage {
                tended.stop();
            }
            self.tend().await;
            self.close().await
        })
    }
}

fn panicked(fault: tokio::task::JoinError) -> Failure {
    Failure::machine(format!("the data plane ended by a panic; its message is above: {fault}"))
}

fn report(pipeline: &Pipeline, config: &Config) {
    live::report_recovery(pipeline);
    say(format_args!("running; logs in {}", config.log.dir.display()));
    for feed in &pipeline.feeds {
        say(format_args!("feed {}: {}", feed.name, feed.address));
    }
}
