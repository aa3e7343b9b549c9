//! Calls of the suite `engines`: the scripted engine behind every host that there is, one call at a time and a thousand at once, beside a
//! direct call of it, a round trip through pipes to another process and one through a cache line to the other core.
//!
//! Hosts are asked by the main thread, on the cold core, as an invoke stage asks them; engine processes have the hot one and spin.

use std::cell::Cell;
use std::hint::spin_loop;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::rc::Rc;

use cutline::config::Config;
use cutline::invoke::call::{Answer, AnswerLimits};
use cutline::invoke::host::{Ask, Begun, Ended, Host};
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use hdrhistogram::Histogram;

use super::hop::ping_pong;
use super::hops::limit;
use crate::bench::clock::{histogram, now_ns};
use crate::bench::harness::{Case, Context};
use crate::bench::record::{NS, Record, TIMES_AS_LONG};
use crate::commands::{Failure, Outcome, note};
use crate::engines;

/// Calls one at a time at full scale.
const CALLS: u64 = 50_000;
/// Symbols of a tick, and ticks at full scale.
const SYMBOLS: u32 = 1_000;
const TICKS: u64 = 100;
/// Bytes of a message through pipes, about those of a call.
const MESSAGE_BYTES: usize = 256;
const NORMALIZED: &str = r#"{"timestamp_ms":1700000000000,"market":{"structure_levels":{"script":{"regime":"TREND_BUILD_UP","confidence":0.75,"drivers":["cvd"],"invalidations":[]}}}}"#;
const TIMESTAMP_MS: i64 = 1_700_000_000_000;
/// Longest wait for a call's end, ns.
const WAIT_MAX_NS: u64 = 10_000_000_000;
/// Says as much as the scripted engine, as a function over dicts.
const PYTHON: &str = r#"def run(snapshot):
    script = snapshot["market"]["structure_levels"]["script"]
    return {"symbol": snapshot["symbol"], "timestamp": snapshot["timestamp"], "regime": script["regime"],
            "confidence": script["confidence"], "drivers": script["drivers"],
            "invalidations": script["invalidations"], "permissions": [script["regime"]]}
"#;

/// Medians of the yardsticks of the same round, ns.
#[derive(Clone, Default)]
struct Yardsticks {
    direct: Rc<Cell<f64>>,
    pipe: Rc<Cell<f64>>,
    memory: Rc<Cell<f64>>,
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let yardsticks = Yardsticks::default();
    let of = || yardsticks.clone();
    let (direct, pipe, memory) = (of(), of(), of());
    let mut cases = vec![
        Case::new("yardstick: direct call", move |context, record| {
            told(record, "call", &direct_calls(context)?, &direct.direct);
            Ok(())
        }),
        Case::new("yardstick: pipes to a process and back, 256 B", move |context, record| {
            told(record, "round trip", &pipes(context)?, &pipe.pipe);
            Ok(())
        }),
        Case::new("yardstick: a line of shared memory there and back", move |context, record| {
            let halves = ping_pong(context, limit(), limit())?;
            told(record, "RTT/2", &halves, &memory.memory);
            memory.memory.set(2.0 * memory.memory.get());
            Ok(())
        }),
    ];
    let library = std::env::current_exe().map(|path| path.with_file_name("libcutline_engines_library.so"));
    let library = library.ok().filter(|path| path.exists());
    let hysteresis = "[engine.hysteresis]\nengine = \"scripted\"\n";
    let places = [
        ("on the lane", Some("use = \"scripted\"".to_owned()), ""),
        ("in a library", library.map(|path| format!("library = {path:?}")), hysteresis),
        ("in a process", Some("use = \"scripted\"\nhost = \"process\"".to_owned()), ""),
        ("in Python", Some("python = \"cutline_bench_engine:run\"".to_owned()), ""),
    ];
    for (name, engine, more) in places {
        let Some(engine) = engine else {
            note(format_args!("engines: no libcutline_engines_library.so beside this program: {name} is left out"));
            continue;
        };
        let yardsticks = of();
        cases.push(Case::new(format!("engine {name}"), move |context, record| {
            behind(context, record, &engine, more, &yardsticks)
        }));
    }
    cases
}

fn told(record: &mut Record<'_>, name: &str, found: &Histogram<u64>, median: &Cell<f64>) {
    median.set(found.value_at_quantile(0.5) as f64);
    record.latency(name, found);
}

/// A configuration with this engine; its processes spin on the hot core.
pub fn config(context: &Context, engine: &str, more: &str) -> Result<Config, Failure> {
    let process = format!("[engine.process]\nidle = \"spin\"\ncores = [{}]\n", context.cores.hot);
    let text = format!("feed = []\n[engine]\nmode = \"truth\"\n{engine}\n{process}{more}");
    Config::from_text("bench", &text).map(|(config, _)| config).map_err(Failure::machine)
}

fn snapshot(symbol: &str) -> Result<Snapshot<'_>, Failure> {
    Snapshot::from_normalized(symbol, TIMESTAMP_MS, NORMALIZED.as_bytes())
        .map_err(|fault| Failure::logs(format!("a prepared snapshot cannot be read: {fault:?}")))
}

fn direct_calls(context: &Context) -> Result<Histogram<u64>, Failure> {
    let config = config(context, "use = \"scripted\"", "")?;
    let mut engine = engines::on_lane(&config.output.engine).map_err(Failure::machine)?;
    let (mut found, mut output) = (histogram(), Vec::with_capacity(4_096));
    for _ in 0..context.count(CALLS) {
        let start = now_ns();
        output.clear();
        let asked = snapshot("SYM00000")?;
        engine.run(&asked, &mut output).map_err(|fault| Failure::machine(fault.to_string()))?;
        found.saturating_record(now_ns() - start);
    }
    Ok(found)
}

/// Through `cat` and back.
fn pipes(context: &Context) -> Result<Histogram<u64>, Failure> {
    let cannot = |error: std::io::Error| Failure::machine(format!("cat: {error}"));
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let (Some(mut there), Some(mut back)) = (cat.stdin.take(), cat.stdout.take()) else {
        return Err(Failure::machine("cat has no pipes"));
    };
    let (mut found, mut message) = (histogram(), [0x11; MESSAGE_BYTES]);
    for _ in 0..context.count(CALLS) {
        let start = now_ns();
        there.write_all(&message).and_then(|()| back.read_exact(&mut message)).map_err(cannot)?;
        found.saturating_record(now_ns() - start);
    }
    drop(there);
    cat.wait().map_err(cannot)?;
    Ok(found)
}

fn behind(context: &Context, record: &mut Record<'_>, engine: &str, more: &str, yardsticks: &Yardsticks) -> Outcome {
    let config = config(context, engine, more)?;
    let host = match started(context, &config) {
        Ok(host) => host,
        Err(why) if engine.starts_with("python") => {
            note(format_args!("engines: left out: {why}"));
            return Ok(());
        }
        Err(why) => return Err(Failure::machine(why)),
    };
    let symbols: Vec<String> = (0..SYMBOLS).map(|index| format!("SYM{index:05}")).collect();
    let mut caller = Caller::new(host);
    let single = one_at_a_time(context, &mut caller, &symbols)?;
    record.latency("a call, 1 symbol", &single);
    let single_ns = single.value_at_quantile(0.5) as f64;
    let batch_ns = all_at_once(context, &mut caller, &symbols)?;
    record.value("a call, 1,000 symbols", NS, batch_ns);
    for (calls, ns) in [("1 symbol", single_ns), ("1,000 symbols", batch_ns)] {
        let beyond_ns = ns - yardsticks.direct.get();
        record.value(&format!("over a direct call, {calls}"), TIMES_AS_LONG, ns / yardsticks.direct.get());
        record.value(&format!("beyond a direct call, {calls}"), NS, beyond_ns);
        for (name, yardstick) in [("pipes", &yardsticks.pipe), ("shared memory", &yardsticks.memory)] {
            record.value(&format!("that over {name}, {calls}"), TIMES_AS_LONG, beyond_ns / yardstick.get());
        }
    }
    Ok(())
}

/// The host of a configuration. Python finds its engine in the folder in which it is started.
fn started(context: &Context, config: &Config) -> Result<Box<dyn Host>, String> {
    let back = std::env::current_dir().map_err(|error| error.to_string())?;
    let place = context.root.place().map_err(|failure| failure.message)?;
    let written = std::fs::write(place.data.join("cutline_bench_engine.py"), PYTHON);
    written.and_then(|()| std::env::set_current_dir(&place.data)).map_err(|error| error.to_string())?;
    let host = engines::host(config);
    std::env::set_current_dir(back).map_err(|error| error.to_string())?;
    host
}

/// Asks a host as an invoke stage does.
struct Caller {
    host: Box<dyn Host>,
    tickets: Vec<u32>,
    answer: Answer,
}

impl Caller {
    fn new(host: Box<dyn Host>) -> Self {
        let tickets = u32::try_from(host.in_flight_max()).unwrap_or(1);
        let limits = AnswerLimits { output_max_bytes: 65_536, state_max_bytes: 65_536 };
        Self { host, tickets: (0..tickets).collect(), answer: Answer::new(limits) }
    }

    /// Puts a call; false if the host takes none now. Counts it in `ended` if it is over at once.
    fn put(&mut self, symbol: &str, ended: &mut usize) -> Result<bool, Failure> {
        let Some(&ticket) = self.tickets.last() else { return Ok(false) };
        let snapshot = snapshot(symbol)?;
        let ask = Ask { mode: EngineMode::Truth, snapshot: &snapshot, state: &[] };
        self.answer.clear();
        match self.host.call(ticket, ask, &mut self.answer, now_ns().cast_signed()) {
            Begun::NotNow => return Ok(false),
            Begun::InFlight => drop(self.tickets.pop()),
            Begun::Over(Ok(())) => *ended += 1,
            Begun::Over(Err(fault)) => return Err(Failure::machine(fault.to_string())),
        }
        Ok(true)
    }

    /// Takes what has ended.
    fn take(&mut self, ended: &mut usize) -> Outcome {
        while let Some((ticket, end)) = self.host.ended(now_ns().cast_signed()) {
            match end {
                Ended::Answered => {
                    self.answer.clear();
                    self.host.take(ticket, EngineMode::Truth, &mut self.answer);
                }
                Ended::Failed(fault) => return Err(Failure::machine(fault.to_string())),
                Ended::GivenBack => return Err(Failure::machine("an engine process died while it was measured")),
            }
            self.tickets.push(ticket);
            *ended += 1;
        }
        Ok(())
    }

    /// Has all of these called.
    fn call(&mut self, symbols: &[String]) -> Outcome {
        let (mut put, mut ended, start) = (0, 0, now_ns());
        while ended < symbols.len() {
            while put < symbols.len() && self.put(&symbols[put], &mut ended)? {
                put += 1;
            }
            let before = ended;
            self.take(&mut ended)?;
            if ended == before {
                if now_ns() - start > WAIT_MAX_NS {
                    return Err(Failure::machine(format!("only {ended} of {} calls have ended", symbols.len())));
                }
                spin_loop();
            }
        }
        Ok(())
    }
}

fn one_at_a_time(context: &Context, caller: &mut Caller, symbols: &[String]) -> Result<Histogram<u64>, Failure> {
    let mut found = histogram();
    for _ in 0..context.count(CALLS) {
        let start = now_ns();
        caller.call(&symbols[..1])?;
        found.saturating_record(now_ns() - start);
    }
    Ok(found)
}

/// Nanoseconds per call of the median tick.
fn all_at_once(context: &Context, caller: &mut Caller, symbols: &[String]) -> Result<f64, Failure> {
    let mut ticks = histogram();
    let count = (TICKS * u64::from(context.scale) / 100).max(1);
    for _ in 0..count {
        let start = now_ns();
        caller.call(symbols)?;
        ticks.saturating_record(now_ns() - start);
    }
    Ok(ticks.value_at_quantile(0.5) as f64 / f64::from(SYMBOLS))
}
