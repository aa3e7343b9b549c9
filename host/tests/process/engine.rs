//! The engine's program: how it starts is chosen by its environment, what it does with a call by the call's symbol.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_host::serve::{Served, Start, serve};
use cutline_shm::exchange::{DESCRIPTOR_ENV, ENGINE_AT, EngineEnd, HELLO_AT, REQUESTS_AT};
use cutline_shm::region::Region;
use rustix::process::Signal;

use crate::isolation;

/// The variable that says how it starts.
pub const MANNER: &str = "CUTLINE_TEST_MANNER";

pub fn main() -> ! {
    let manner = std::env::var(MANNER).unwrap_or_default();
    match manner.as_str() {
        "never-ready" => sleep_forever(),
        "exits" => {
            eprintln!("no module named regime_engine");
            std::process::exit(3);
        }
        "garbage-hello" => {
            let memory = memory();
            memory.store_bytes(HELLO_AT, b"garbage!");
            memory.atomic_u32(ENGINE_AT + 4).store(u32::MAX, Ordering::Relaxed);
            memory.atomic_u32(ENGINE_AT).store(1, Ordering::Release);
            sleep_forever();
        }
        "unknown-state" => {
            memory().atomic_u32(ENGINE_AT).store(7, Ordering::Release);
            sleep_forever();
        }
        "changes" => serve_or_exit(|start| {
            let mut served = echo(start)?;
            served.engine = Box::new(Other);
            Ok(served)
        }),
        "truth-only" => serve_or_exit(|start| match start.mode {
            EngineMode::Truth => echo(start),
            EngineMode::Hysteresis => Err("the engine has no function run_with_hysteresis".to_owned()),
        }),
        name @ ("regime-example" | "scripted") => serve_or_exit(|start| {
            let engine = cutline_engines::build(name, &start.config_json).map_err(|error| error.to_string())?;
            Ok(Served { engine, name: name.to_owned(), version: "1".to_owned() })
        }),
        "refuses" => serve_or_exit(|_| Err("the engine has no function run".to_owned())),
        _ => serve_or_exit(echo),
    }
}

fn serve_or_exit(build: impl FnOnce(&Start) -> Result<Served, String>) -> ! {
    std::process::exit(match serve(build) {
        Ok(()) => 0,
        Err(fault) => {
            eprintln!("{fault}");
            1
        }
    })
}

fn echo(start: &Start) -> Result<Served, String> {
    let engine = cutline_engines::build("scripted", &start.config_json).map_err(|error| error.to_string())?;
    Ok(Served { engine: Box::new(Manners(engine)), name: "manners".to_owned(), version: "1".to_owned() })
}

/// The exchange once more, to be written to as no engine should.
pub fn memory() -> Region {
    let number = std::env::var(DESCRIPTOR_ENV).expect("an exchange").parse().expect("a number");
    Region::inherited(number, REQUESTS_AT).expect("the exchange")
}

fn sleep_forever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// An engine that does what its symbol says, and else what the scripted engine does.
struct Manners(Box<dyn Engine>);

impl Engine for Manners {
    fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        match snapshot.symbol.split_once(':').map_or(snapshot.symbol, |(manner, _)| manner) {
            "exit" => std::process::exit(3),
            "abort" => std::process::abort(),
            "segv" => loop {
                // The runtime's handler gives the first one back.
                rustix::process::kill_process(rustix::process::getpid(), Signal::SEGV).expect("a signal");
            },
            "hang" => sleep_forever(),
            "slow" => std::thread::sleep(Duration::from_millis(30)),
            "truncate" => return self.say(&format!("{:?}", truncate().map_err(|fault| fault.raw_os_error()))),
            "stamp-ahead" => stamp(|number| number + 1),
            "stamp-garbage" => stamp(|_| u64::MAX),
            "long" => lie_about_length(),
            "flood" => (0..100_000).for_each(|n| println!("line {n}")),
            "grandchild" => return self.say(&grandchild()),
            other if other.starts_with("try-") => return self.say(&isolation::attempt(other)),
            _ => {}
        }
        self.0.run(snapshot, output)
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        self.0.run_with_hysteresis(snapshot, state, decision, new_state)
    }
}

impl Manners {
    /// Tells the test something, as the detail of a failure.
    fn say(&self, text: &str) -> Result<(), EngineFault> {
        Err(EngineFault::new(EngineFaultKind::EngineFailure, text))
    }
}

/// Takes pages away from the exchange, by its descriptor opened once more.
fn truncate() -> std::io::Result<()> {
    let number = std::env::var(DESCRIPTOR_ENV).expect("an exchange");
    std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{number}"))?.set_len(4096)
}

/// Where the answer to the call that is being worked on lies, and its number.
fn answer_at(memory: &Region) -> (usize, u64) {
    let shape = *EngineEnd::new(self::memory()).expect("the exchange").shape();
    let number = memory.atomic_u64(ENGINE_AT + 8).load(Ordering::Relaxed);
    (shape.answer_at(number), number)
}

/// Stamps the slot of this call's answer with a number made of the call's.
fn stamp(wrong: impl Fn(u64) -> u64) {
    let memory = memory();
    let (at, number) = answer_at(&memory);
    memory.atomic_u64(at).store(wrong(number), Ordering::Release);
    sleep_forever();
}

/// Answers with more bytes than there are.
fn lie_about_length() {
    let memory = memory();
    let (at, number) = answer_at(&memory);
    memory.atomic_u64(at + 8).store(0xFFFF_FFFF << 32, Ordering::Relaxed);
    memory.atomic_u64(at).store(number, Ordering::Release);
    sleep_forever();
}

/// A process of the engine's own that would outlive it, and its number.
fn grandchild() -> String {
    match std::process::Command::new("sleep").arg("1000").spawn() {
        Ok(child) => child.id().to_string(),
        Err(fault) => fault.to_string(),
    }
}

/// An engine with another identity.
struct Other;

impl Engine for Other {
    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        // Each process another one.
        digest[..4].copy_from_slice(&std::process::id().to_le_bytes());
        digest
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        if snapshot.symbol == "exit" {
            std::process::exit(3);
        }
        output.extend_from_slice(b"{}");
        Ok(())
    }

    fn run_with_hysteresis(
        &mut self,
        _: &Snapshot<'_>,
        _: &[u8],
        _: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        Ok(())
    }
}
