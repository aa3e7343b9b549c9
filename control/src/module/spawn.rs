//! How the process of a module is started: its program looked up, its sandbox made, and the launcher's command line written.

use std::path::{Path, PathBuf};
use std::process::Command;

use cutline::config::{Module, Supervisor};
use cutline_host::child::BASIC_ENV;
use cutline_host::child::launch::Launch;
use cutline_host::sandbox::{Bounds, Sandbox, find_program};

use super::protocol::DESCRIPTOR_ENV;

/// What a module's processes are started by; made anew for each start, since files may have changed.
pub struct Plan {
    name: String,
    module: Module,
    directory: PathBuf,
    /// By which file its processes enter their cgroup.
    cgroup: Option<PathBuf>,
    env: Vec<(String, String)>,
    /// Guards that this system does not have.
    pub unguarded: Vec<String>,
}

impl Plan {
    /// How this module is started now, with these environment variables besides its own, and in this cgroup.
    ///
    /// # Errors
    /// What is missing: its program, its user, its files, or a guard that is required.
    pub fn new(
        module: &Module,
        supervisor: &Supervisor,
        more_env: Vec<(String, String)>,
        cgroup: Option<PathBuf>,
    ) -> Result<Self, String> {
        let here = || std::env::current_dir().map_err(|fault| format!("the folder this was started in: {fault}"));
        let directory = module.sandbox.directory.clone().map_or_else(here, Ok)?;
        let directory = directory
            .canonicalize()
            .map_err(|fault| format!("{}: {fault}; it was to work there (module.directory)", directory.display()))?;
        let mut plan = Self {
            name: module.name.clone(),
            env: env(&module.sandbox.environment).chain(more_env).collect(),
            module: module.clone(),
            directory,
            cgroup,
            unguarded: Vec::new(),
        };
        let (_, _, unguarded) = plan.sandboxed(&module.command)?;
        if supervisor.require_sandbox && !unguarded.is_empty() {
            return Err(format!(
                "supervisor.require_sandbox = true, and this system has no {}: set it to false to run without, or use a kernel that has it",
                unguarded.join(", no ")
            ));
        }
        plan.unguarded = unguarded;
        Ok(plan)
    }

    /// The launcher's command that becomes the module.
    pub fn command(&self) -> Result<Command, String> {
        self.command_of(&self.module.command)
    }

    /// The launcher's command that becomes another program in the module's sandbox.
    pub fn command_of(&self, words: &[String]) -> Result<Command, String> {
        let (program, sandbox, _) = self.sandboxed(words)?;
        let launch = Launch {
            who: format!("module {}", self.name),
            program,
            arguments: words.iter().skip(1).cloned().collect(),
            directory: self.directory.clone(),
            cgroup: self.cgroup.clone(),
            descriptor_env: DESCRIPTOR_ENV.to_owned(),
            passed_env: None,
            parent: std::process::id(),
            sandbox,
        };
        let launch = serde_json::to_string(&launch).map_err(|fault| fault.to_string())?;
        let mut command = Command::new(crate::engines::this_program());
        command.args(["engine", "launch", &launch]).env_clear().envs(self.env.iter().cloned());
        Ok(command)
    }

    fn sandboxed(&self, words: &[String]) -> Result<(PathBuf, Sandbox, Vec<String>), String> {
        let program = find_program(Path::new(words.first().map_or("", String::as_str)))?;
        let Module { limits, sandbox, .. } = &self.module;
        let bounds = Bounds {
            section: "module",
            cores: &[],
            memory_max_bytes: limits.memory_bytes,
            cpu_max_s: None,
            files_max: limits.descriptors,
            processes_max: limits.threads,
            user: sandbox.user.as_deref(),
            write: &sandbox.write,
            network: sandbox.network,
            processes: sandbox.processes,
        };
        let (sandbox, unguarded) = Sandbox::within(&bounds, &program, sandbox.read.iter())?;
        Ok((program, sandbox, unguarded))
    }
}

/// The environment: of ours, what every program needs and what is named; and what is given.
fn env(entries: &[String]) -> impl Iterator<Item = (String, String)> + '_ {
    let ours = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let basic = BASIC_ENV.into_iter().filter_map(ours);
    basic.chain(entries.iter().filter_map(move |entry| match entry.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => ours(entry),
    }))
}
