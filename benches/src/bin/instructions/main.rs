//! The guard: how many instructions each part of the data plane executes per operation, beside what is committed in
//! `benches/instructions.toml`.
//!
//! ```text
//! cargo run --release -p cutline-benches --bin instructions -- check     compares; exit 1 if something got slower
//!                                                           -- update    writes the file anew, on purpose
//!                                                           -- run NAME  one workload, for callgrind and for a profiler
//! ```
//!
//! Instructions are counted by callgrind, so noise and the machine's speed do not matter. What the machine *is* would, for
//! code that picks its instructions at run time; but the processor that valgrind shows to a program is its own: the same on
//! every host with AVX2, without SHA extensions, AVX-512 and CLDEMOTE whatever the host has. So those paths take their
//! portable form. What the program saw is recorded beside the toolchain, and where either differs there is nothing to compare:
//! exit 77, skipped. The C library's copies are told to do without vector extensions ([`callgrind::TUNABLES`]).

#![forbid(unsafe_code)]

mod baseline;
mod callgrind;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use baseline::Baseline;
use cutline_benches::{Fault, WORKLOADS, Workload};

const USAGE: &str = "usage: instructions check | update | run NAME";
/// The exit code by which a suite says that it could not run here (as automake and meson have it).
const SKIPPED_EXIT_CODE: u8 = 77;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["run", name] => run(name),
        ["check"] => measure().and_then(|found| found.map_or_else(skip, |found| check(&found))),
        ["update"] => measure().and_then(|found| found.map_or_else(skip, |found| update(&found))),
        _ => Err(USAGE.into()),
    };
    done.unwrap_or_else(|fault| {
        eprintln!("instructions: {fault}");
        ExitCode::from(2)
    })
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml")
}

fn skip(why: String) -> Result<ExitCode, Fault> {
    println!("instructions: skipped: {why}");
    Ok(ExitCode::from(SKIPPED_EXIT_CODE))
}

/// One round under callgrind's eye, after one that warms up what is only done once.
fn run(name: &str) -> Result<ExitCode, Fault> {
    let Some((_, make)) = WORKLOADS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = WORKLOADS.iter().map(|(known, _)| *known).collect();
        return Err(format!("no workload {name}; there are: {}", known.join(", ")).into());
    };
    let mut workload = make()?;
    workload.prepare()?;
    workload.round();
    workload.prepare()?;
    let (right, ops) = (counted_round(&mut *workload), workload.ops());
    if right != ops {
        return Err(format!("{name}: only {right} of {ops} came out as they should").into());
    }
    println!("{ops} {}", processor());
    Ok(ExitCode::SUCCESS)
}

/// Callgrind counts while this runs; it is told so by this name ([`callgrind::COUNTED`]).
#[inline(never)]
fn counted_round(workload: &mut dyn Workload) -> u64 {
    workload.round()
}

/// What code that asks the processor is told here.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("sha", is_x86_feature_detected!("sha")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let found = [("", false)];
    let names: Vec<_> = found.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    format!("{}: {}", std::env::consts::ARCH, names.join(" "))
}

/// All workloads, or why that cannot be here.
fn measure() -> Result<Result<Baseline, String>, Fault> {
    if cfg!(debug_assertions) {
        return Err("this is a debug build, whose instructions are nobody's concern; use cargo run --release".into());
    }
    if !callgrind::is_installed() {
        return Ok(Err("valgrind is not installed".into()));
    }
    let mut found = Baseline { toolchain: toolchain()?, ..Baseline::default() };
    for (name, _) in WORKLOADS {
        let counted = callgrind::count(name)?;
        println!("{name:<16} {:>12.1} instructions", counted.per_op);
        found.counts.insert(name.to_owned(), counted.per_op);
        found.processor = counted.processor;
    }
    Ok(Ok(found))
}

/// The compiler that cargo uses here.
fn toolchain() -> Result<String, Fault> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&compiler).arg("--version").output();
    let output = output.map_err(|fault| format!("cannot ask {} for its version: {fault}", compiler.display()))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn check(found: &Baseline) -> Result<ExitCode, Fault> {
    let path = path();
    let text = std::fs::read_to_string(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
    let committed = Baseline::parse(&text).map_err(|fault| format!("{}: {fault}", path.display()))?;
    if let Some(why) = committed.differs_in_kind(found) {
        return skip(why);
    }
    let (notes, jumps) = committed.compare(found);
    for note in notes {
        println!("note: {note}");
    }
    if jumps.is_empty() {
        println!("instructions: {} workloads within {} %", found.counts.len(), committed.tolerance_percent);
        return Ok(ExitCode::SUCCESS);
    }
    for jump in jumps {
        println!("FAILED: {jump}");
    }
    println!(
        "If this is meant, say why in the commit and write the file anew:\n  \
         cargo run --release -p cutline-benches --bin instructions -- update\n\
         If not, look where they are spent:\n  \
         valgrind --tool=callgrind target/release/instructions run NAME && callgrind_annotate callgrind.out.*"
    );
    Ok(ExitCode::FAILURE)
}

fn update(found: &Baseline) -> Result<ExitCode, Fault> {
    let path = path();
    std::fs::write(&path, found.text()).map_err(|fault| format!("{}: {fault}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}
