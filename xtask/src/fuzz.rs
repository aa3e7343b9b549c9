//! `cargo xtask fuzz`: builds the fuzz targets with libFuzzer and AddressSanitizer, gives each its share of the time, and says what came
//! of it.
//!
//! Needs nothing but the toolchain at hand, a C++ compiler and the crates of `fuzz/libfuzzer/Cargo.lock`: the flags that stable keeps
//! behind `RUSTC_BOOTSTRAP` are set here. What libFuzzer finds interesting goes to the target folder; `fuzz/corpus` is only read.

mod arguments;
mod report;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use crate::process::{self, Ended};
use crate::suites::SKIPPED_EXIT_CODE;
use arguments::Arguments;
use report::Run;

/// What makes code tell libFuzzer where it goes (as `cargo fuzz` has it), and the sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    --cfg fuzzing -Zsanitizer=address";
/// Longest input, bytes, and the longest that one may take, seconds.
const LIMITS: [&str; 2] = ["-max_len=4096", "-timeout=20"];
/// What a target may take beyond its share: the corpus is read first.
const OVERTIME: Duration = Duration::from_secs(300);

/// Runs it: exit code 0, 1 for a finding, 2 for a mistake in the arguments or a build that fails, 77 where it cannot run.
pub fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let done = targets(root).and_then(|targets| {
        let arguments = Arguments::parse(arguments, &targets)?;
        match missing() {
            Some(what) => Ok(skip(&what)),
            None => Fuzzing::build(root)?.run_all(&arguments),
        }
    });
    done.unwrap_or_else(|fault| {
        eprintln!("xtask fuzz: {fault}");
        ExitCode::from(2)
    })
}

fn skip(what: &str) -> ExitCode {
    println!("fuzz skipped: {what}");
    ExitCode::from(u8::try_from(SKIPPED_EXIT_CODE).unwrap_or(1))
}

/// The names of all targets: each has a corpus.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("fuzz/corpus");
    let entries = fs::read_dir(&folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// What is needed and not there.
fn missing() -> Option<String> {
    if !["c++", "g++", "clang++"].into_iter().any(process::is_installed) {
        return Some("there is no C++ compiler to build libFuzzer with: install g++".to_owned());
    }
    let folder = PathBuf::from(rustc(&["--print", "target-libdir"])?.trim());
    let mut files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let has_sanitizer = files.any(|file| file.file_name().to_string_lossy().ends_with("_rt.asan.a"));
    (!has_sanitizer).then(|| format!("this toolchain has no AddressSanitizer in {}", folder.display()))
}

/// What the compiler says; `None` if there is none.
fn rustc(arguments: &[&str]) -> Option<String> {
    let output = Command::new("rustc").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// The program with all targets in it, and where their files are.
struct Fuzzing {
    program: PathBuf,
    /// `fuzz/`.
    folder: PathBuf,
    /// Where corpora grow.
    grown: PathBuf,
}

impl Fuzzing {
    fn build(root: &Path) -> Result<Self, String> {
        let host = rustc(&["-vV"])
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)));
        let host = host.ok_or("rustc -vV names no host")?;
        let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |given| root.join(given));
        let target_folder = base.join("fuzz");
        let folder = root.join("fuzz");
        println!("building fuzz/libfuzzer into {}", target_folder.display());
        let built = Command::new("cargo")
            // With --target, so that build scripts do not get the flags.
            .args(["build", "--quiet", "--release", "--target", &host])
            .current_dir(folder.join("libfuzzer"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &target_folder)
            .status();
        match built {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("fuzz/libfuzzer does not build: see above".to_owned()),
            Err(fault) => return Err(format!("cargo cannot be started: {fault}")),
        }
        let program = target_folder.join(host).join("release/cutline-libfuzzer");
        Ok(Self { program, folder, grown: base.join("fuzz-corpus") })
    }

    fn run_all(&self, arguments: &Arguments) -> Result<ExitCode, String> {
        let memory = Memory::new()?;
        let share = arguments.share();
        println!("{}", report::head());
        let mut findings = Vec::new();
        for target in &arguments.targets {
            let run = self.run_one(target, share, &memory.0)?;
            println!("{}", run.line());
            findings.extend(run.found.iter().map(|file| self.repeat(target, file)));
            if run.failed && run.found.is_empty() {
                findings.push(format!("{target} failed:\n{}", run.tail));
            }
        }
        for finding in &findings {
            println!("\n{finding}");
        }
        Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// How a finding is repeated.
    fn repeat(&self, target: &str, file: &Path) -> String {
        let (program, file) = (self.program.display(), file.display());
        format!("found by {target}: {file}\nrepeat: FUZZ_TARGET={target} {program} {file}")
    }

    fn run_one(&self, target: &str, share: Duration, memory: &Path) -> Result<Run, String> {
        let (grown, artifacts) = (self.grown.join(target), self.folder.join("artifacts").join(target));
        for folder in [&grown, &artifacts] {
            fs::create_dir_all(folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
        }
        let before = report::files(&artifacts);
        let log = memory.join(format!("{target}.log"));
        let out = File::create(&log).map_err(|fault| format!("{}: {fault}", log.display()))?;
        let err = out.try_clone().map_err(|fault| format!("{}: {fault}", log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .arg(&grown)
            .arg(self.folder.join("corpus").join(target))
            .args(LIMITS)
            .arg(format!("-max_total_time={}", share.as_secs().max(1)))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-print_final_stats=1")
            .env("FUZZ_TARGET", target)
            .env("TMPDIR", memory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let ended = process::run(&mut command, share + OVERTIME).map_err(|fault| format!("{target}: {fault}"))?;
        let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let failed = !matches!(ended, Ended::Exited(status) if status.success());
        let found = report::files(&artifacts).into_iter().filter(|file| !before.contains(file)).collect();
        Ok(Run::read(target, &text, failed, found, &grown))
    }
}

/// A folder in memory for the targets' files, which libFuzzer leaves behind: it ends without destructors.
struct Memory(PathBuf);

impl Memory {
    fn new() -> Result<Self, String> {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = base.join(format!("cutline-fuzz.{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Nothing to be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
