//! A process whose only lane has an engine on it that takes its time, that of `c/slow_engine.c`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::events::{line, now_ms, snapshot};
use super::live::Running;
use super::modules::events;
use super::{CUTLINE, Place, cc, connect, wait_until};

/// See the module.
pub struct Slow {
    pub running: Running,
    pub data: String,
    socket: String,
    _place: Place,
}

impl Slow {
    /// With this line in the lane's configuration.
    pub fn start(lane: &str) -> Self {
        Self::start_by(lane, |config| {
            let mut command = Command::new(CUTLINE);
            command.args(["run", "--config", config]).stdin(Stdio::null());
            command
        })
    }

    /// The same by a command that says the rest, for a configuration file.
    pub fn start_by(lane: &str, command: impl FnOnce(&str) -> Command) -> Self {
        let place = Place::new();
        let (data, socket, library) = (place.path("data"), place.path("feed.sock"), place.path("engine.so"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/slow_engine.c");
        cc::shared_library(source.as_ref(), library.as_ref(), &[]);
        let text = format!(
            "[scheduler]\ninterval_ms = 1000\ndelay_ms = 500\n[engine]\nlibrary = \"{library}\"\noutput_max_bytes = 8192\nstate_max_bytes = 8192\n[log]\ndir = \"{data}\"\n\
             live_dir = \"{}\"\nsegment_bytes = 131072\n[ingest]\nline_max_bytes = 32768\n\
             [health]\nlane_interval_ms = 50\nlane_stalled_ms = 400\nlane_cycle_max_ms = 100\nlane_preemptions_max_per_s = 20\n\
             [[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n\
             [[lane]]\nname = \"only\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n{lane}\n",
            place.path("live")
        );
        let config = place.file("slow.toml", &text);
        let running = Running::start_command(&place, &data, command(&config));
        Self { running, data, socket, _place: place }
    }

    /// Has the engine called for a symbol, which takes so long. What is sent counts for the tick in whose cut it arrives, half a second
    /// about a second's beginning; one that came too late is sent again for the next.
    pub fn call(&self, symbol: &str, ms: u64) {
        let (mut feed, mut sent_for) = (connect(&self.socket), 0);
        wait_until("the engine is called", || {
            let (now, boundary) = (now_ms(), (now_ms() + 500) / 1_000 * 1_000);
            if boundary != sent_for && now < boundary + 300 {
                let mut event = snapshot(symbol, boundary, &json!({}));
                event["normalized"]["market"]["price"] = json!(ms as f64);
                feed.write_all(&line(&event)).expect("it reads");
                sent_for = boundary;
            }
            // The lane that is to count it may stand still by then.
            self.running.counter("engine_calls") > 0 || self.is_told_to_be_ill()
        });
    }

    /// Whether anything was told to be wrong with the lane so far.
    fn is_told_to_be_ill(&self) -> bool {
        let all = events(&self.data);
        all.iter().any(|event| event["module"] == "lane:only" && event["issues"][0]["kind"].is_string())
    }
}
