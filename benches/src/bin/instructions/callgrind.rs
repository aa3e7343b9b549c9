//! Runs this program under valgrind and reads what it has counted.

use std::process::{Command, Stdio};

use cutline_benches::Fault;

/// The function of this program while which is counted, whatever the compiler makes of its name.
pub const COUNTED: &str = "*counted_round*";
/// For the C library: its copies and comparisons take their baseline form.
pub const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

/// What one workload gave.
pub struct Counted {
    pub per_op: f64,
    /// As the workload's process saw it.
    pub processor: String,
}

/// Whether there is a valgrind to be run.
pub fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts one workload.
pub fn count(workload: &str) -> Result<Counted, Fault> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={COUNTED}")])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe()?)
        .args(["run", workload])
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "{workload} under valgrind: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let told = String::from_utf8(output.stdout)?;
    let (ops, processor) = told.trim().split_once(' ').ok_or_else(|| format!("{workload} says {told:?}"))?;
    let total = total(&std::fs::read_to_string(&profile)?).ok_or("callgrind wrote no totals")?;
    let per_op = total as f64 / ops.parse::<u64>()? as f64;
    if per_op < 1.0 {
        // Nothing was counted: the function was not found by its name.
        return Err(format!("callgrind counted {total} instructions for {ops} operations of {workload}").into());
    }
    Ok(Counted { per_op, processor: processor.to_owned() })
}

/// The sum of a profile: its first event is the number of instructions.
fn total(profile: &str) -> Option<u64> {
    let line = profile.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_first_number_of_its_line() {
        assert_eq!(total("version: 1\nevents: Ir\n\nfn=(1) main\n5 10\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("totals: 7 8\n"), Some(7));
        assert_eq!(total("summary: 7\n"), None);
    }
}
