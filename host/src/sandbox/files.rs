//! The files of a child process, by landlock: it reads its program, the system's libraries and what was named, executes its own program and
//! what was named, and writes nothing but `/dev/null` and what was named for that.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

use super::Bounds;

/// What programs need of the system in order to run at all. What is not there is left out.
const SYSTEM: [&str; 20] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/zero",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
];
/// What programs that use the network need besides.
const NETWORK: [&str; 9] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];
/// Scripts whose interpreter is a script, and so on, are followed so far.
const INTERPRETERS_MAX: usize = 4;
/// Longest first line of a script, or name of an interpreter, bytes.
const NAME_MAX_BYTES: u64 = 4096;
/// The version whose rights are asked for; of an older kernel's, those that it has.
const WANTED: ABI = ABI::V6;

/// What a process may read and execute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Files {
    read: Vec<PathBuf>,
    execute: Vec<PathBuf>,
    write: Vec<PathBuf>,
    network: bool,
}

impl Files {
    /// Those of a program and what was named besides. What was named may be executed, too: a program that starts another one names it.
    pub(super) fn of<'a>(
        bounds: &Bounds<'_>,
        program: &Path,
        named: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<Self, String> {
        let named_file = |path: &PathBuf, key: &str| {
            let fault = |fault| {
                format!("{}: {fault}; it was to be allowed to use it ({}.{key})", path.display(), bounds.section)
            };
            path.canonicalize().map_err(fault)
        };
        let mut execute = vec![program.to_path_buf()];
        for at in 0..INTERPRETERS_MAX {
            let Some(path) = execute.get(at) else { break };
            let found = interpreters(path).map_err(|fault| format!("{}: {fault}", path.display()))?;
            execute.extend(found);
        }
        for path in named {
            execute.push(named_file(path, "read")?);
        }
        let write = bounds.write.iter().map(|path| named_file(path, "write")).collect::<Result<_, _>>()?;
        let network = NETWORK.iter().filter(|_| bounds.network);
        let read = SYSTEM.iter().chain(network).map(PathBuf::from).collect();
        Ok(Self { read, execute, write, network: bounds.network })
    }

    /// From here on this thread, and what it becomes, reaches nothing else.
    pub(super) fn restrict(&self) -> Result<(), String> {
        let null = PathFd::new("/dev/null").map_err(|fault| fault.to_string())?;
        let restricted = self.try_restrict(null).map_err(|fault| fault.to_string())?;
        if restricted == RulesetStatus::NotEnforced {
            return Err("the kernel does not enforce it".to_owned());
        }
        Ok(())
    }

    fn try_restrict(&self, null: PathFd) -> Result<RulesetStatus, RulesetError> {
        let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(WANTED))?.scope(Scope::Signal)?;
        if !self.network {
            ruleset = ruleset.handle_access(AccessNet::from_all(WANTED))?.scope(Scope::AbstractUnixSocket)?;
        }
        let write = AccessFs::from_all(WANTED) & !AccessFs::Execute;
        let restricted = ruleset
            .create()?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.execute, read | AccessFs::Execute))?
            .add_rules(path_beneath_rules(&self.write, write))?
            .add_rule(PathBeneath::new(null, AccessFs::ReadFile | AccessFs::WriteFile))?
            .restrict_self()?;
        Ok(restricted.ruleset)
    }
}

/// What of landlock is not there: all of it, or what later kernels added.
pub(super) fn unavailable() -> (bool, Vec<String>) {
    let probe = |version| {
        let access = AccessFs::from_all(version);
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(access)
            .and_then(Ruleset::create)
    };
    if let Err(fault) = probe(ABI::V1) {
        return (true, vec![format!("guard `files` (landlock: {fault})")]);
    }
    let older = probe(ABI::V3).err().map(|_| "guard `files` against truncation (landlock of Linux 6.2)".to_owned());
    (false, older.into_iter().collect())
}

/// The programs that the kernel, or `env`, executes in order to execute this one.
fn interpreters(program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut file = File::open(program)?;
    let mut head = Vec::new();
    (&mut file).take(NAME_MAX_BYTES).read_to_end(&mut head)?;
    let mut found = Vec::new();
    if let Some(rest) = head.strip_prefix(b"#!") {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or(rest);
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace();
        found.extend(words.next().map(PathBuf::from));
        if found.first().is_some_and(|path| path.ends_with("env")) {
            let by_name = words.find(|word| !word.starts_with('-') && !word.contains('='));
            found.extend(by_name.and_then(|name| find_program(Path::new(name)).ok()));
        }
    } else if head.starts_with(b"\x7fELF\x02\x01") {
        found.extend(loader(&mut file, &head)?);
    }
    found.into_iter().map(|path| path.canonicalize()).collect()
}

/// The dynamic loader that a 64-bit ELF file names.
fn loader(file: &mut File, head: &[u8]) -> io::Result<Option<PathBuf>> {
    const INTERP: u64 = 3;
    let number = |at: usize, len: usize| {
        let bytes = head.get(at..at + len).unwrap_or_default();
        bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    for entry in 0..count {
        let Ok(at) = usize::try_from(table.saturating_add(entry * size)) else { break };
        if number(at, 4) != INTERP {
            continue;
        }
        file.seek(SeekFrom::Start(number(at + 8, 8)))?;
        let mut name = Vec::new();
        file.take(number(at + 32, 8).min(NAME_MAX_BYTES)).read_to_end(&mut name)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        return Ok(Some(PathBuf::from(String::from_utf8_lossy(name).into_owned())));
    }
    Ok(None)
}

/// A program by its path, or by its name as a shell would find it: absolute, and with its symbolic links, by which Python knows its
/// virtual environment.
pub fn find_program(program: &Path) -> Result<PathBuf, String> {
    let fault = |why: &dyn std::fmt::Display| format!("{}: {why}; check the program", program.display());
    if program.components().count() > 1 {
        let path = std::path::absolute(program).map_err(|why| fault(&why))?;
        return std::fs::metadata(&path).map(|_| path).map_err(|why| fault(&why));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(program)).filter(|path| path.is_file());
    found.next().ok_or_else(|| fault(&"not found in PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds<'_> = Bounds {
        section: "engine.process",
        cores: &[],
        memory_max_bytes: None,
        cpu_max_s: None,
        files_max: 64,
        processes_max: None,
        user: None,
        write: &[],
        network: false,
        processes: false,
    };

    #[test]
    fn what_the_kernel_executes_for_a_program_is_found() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/usr/bin/env -S A=b sh -x\n").unwrap();
        let files = Files::of(&BOUNDS, &script, std::iter::empty()).unwrap();
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        assert!(files.execute.iter().any(|path| path.canonicalize().unwrap() == shell), "{:?}", files.execute);
        assert!(files.execute.iter().any(|path| path.to_string_lossy().contains("ld-")), "and the loader of it");
        for (name, text) in
            [("text", &b"no program"[..]), ("short", b"\x7fELF\x02\x01"), ("empty", b""), ("bare", b"#!")]
        {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(interpreters(&path).unwrap(), Vec::<PathBuf>::new(), "{name}");
        }
        assert!(Files::of(&BOUNDS, &dir.path().join("none"), std::iter::empty()).is_err());
        let absent = dir.path().join("absent");
        assert!(Files::of(&BOUNDS, &script, [absent].iter()).unwrap_err().contains("engine.process.read"));
    }

    #[test]
    fn a_program_is_found_by_path_or_by_name() {
        assert!(find_program(Path::new("sh")).unwrap().is_absolute());
        for none in ["./no such program", "no such program", "/no/such"] {
            assert!(find_program(Path::new(none)).unwrap_err().contains("check the program"), "{none}");
        }
    }
}
