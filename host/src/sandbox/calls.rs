//! The system calls of a child process, by seccomp: everything that computing needs, and nothing that reaches others.
//!
//! What is refused fails with EPERM, so that it shows a fault of its own and does not hang. New threads are allowed; sockets, new processes
//! and signals to them are where it was said of it. `execve` is allowed, because the launcher itself needs it; which programs, landlock says.

use std::collections::BTreeMap;

use libc::c_long;
use serde::{Deserialize, Serialize};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// What is allowed besides.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Calls {
    /// Sockets of every kind.
    pub network: bool,
    /// New processes, and signals to them.
    pub processes: bool,
}

/// Refused whatever their arguments.
const REFUSED: &[c_long] = &[
    // It can make sockets, whatever is said of them.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Memory and queues that other processes could have as well.
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // Leaving the process group by which it is killed.
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // Other processes: their memory, descriptors, priority and scheduling.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Pages of the exchange could be taken away, to be faulted in on a lane.
    libc::SYS_fallocate,
    // The system as a whole.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fsopen,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_personality,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// Ways to make a process besides `clone`.
#[cfg(target_arch = "x86_64")]
const FORKS: &[c_long] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: &[c_long] = &[];

/// Why there is no seccomp here.
pub(super) fn unavailable() -> Option<String> {
    if let Err(fault) = programs(1, Calls { network: false, processes: false }) {
        return Some(fault);
    }
    // Since 4.14 the kernel says what it can do; before that we do without.
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    match actions {
        Ok(actions) if actions.split_whitespace().any(|action| action == "errno") => None,
        Ok(_) => Some("the kernel cannot refuse system calls".to_owned()),
        Err(fault) => Some(format!("/proc/sys/kernel/seccomp/actions_avail: {fault}")),
    }
}

impl Calls {
    /// From here on this thread, and what it becomes, makes no other calls.
    pub(super) fn restrict(self) -> Result<(), String> {
        for program in programs(std::process::id(), self)? {
            apply_filter(&program).map_err(|fault| fault.to_string())?;
        }
        Ok(())
    }
}

/// The filters, of which each has its own answer to what it refuses. `own` is the process, which keeps its number when it is executed.
fn programs(own: u32, allowed: Calls) -> Result<[BpfProgram; 2], String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|fault| fault.to_string())?;
    let compile = |rules, errno: i32| {
        let refusal = SeccompAction::Errno(errno.cast_unsigned());
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, refusal, arch).map_err(|fault| fault.to_string())?;
        filter.try_into().map_err(|fault: seccompiler::BackendError| fault.to_string())
    };
    let refused = compile(refused(own, allowed).map_err(|fault| fault.to_string())?, libc::EPERM)?;
    // Its flags lie in memory, where no filter sees them: libraries then use `clone`.
    let unknown = compile(BTreeMap::from([(libc::SYS_clone3, vec![])]), libc::ENOSYS)?;
    Ok([refused, unknown])
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn refused(own: u32, allowed: Calls) -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, vec![])).collect();
    if !allowed.network {
        rules.insert(libc::SYS_socket, vec![]);
    }
    if !allowed.processes {
        rules.extend(FORKS.iter().map(|call| (*call, vec![])));
    }
    let mut when = |call: c_long, conditions: Vec<SeccompCondition>| -> Result<(), seccompiler::BackendError> {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    };
    let own = u64::from(own);
    if !allowed.processes {
        let thread = libc::CLONE_THREAD as u64;
        when(libc::SYS_clone, vec![SeccompCondition::new(0, Qword, SeccompCmpOp::MaskedEq(thread), 0)?])?;
        // Signals for itself only.
        for call in [libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill] {
            when(call, vec![SeccompCondition::new(0, Dword, SeccompCmpOp::Ne, own)?])?;
        }
    }
    // Limits for itself only.
    for call in [libc::SYS_prlimit64, libc::SYS_sched_setaffinity] {
        let not_itself = SeccompCondition::new(0, Dword, SeccompCmpOp::Ne, own)?;
        when(call, vec![not_itself, SeccompCondition::new(0, Dword, SeccompCmpOp::Ne, 0)?])?;
    }
    // Living on without the pipeline.
    let death_signal = libc::PR_SET_PDEATHSIG as u64;
    when(libc::SYS_prctl, vec![SeccompCondition::new(0, Dword, SeccompCmpOp::Eq, death_signal)?])?;
    let remove = libc::MADV_REMOVE as u64;
    when(libc::SYS_madvise, vec![SeccompCondition::new(2, Dword, SeccompCmpOp::Eq, remove)?])?;
    Ok(also_by_other_numbers(rules))
}

/// With the numbers that the same calls have in the x32 form, where the kernel knows it.
#[cfg(target_arch = "x86_64")]
fn also_by_other_numbers(rules: Rules) -> Rules {
    const X32: c_long = 0x4000_0000;
    /// Those that are another number there: ptrace, kexec_load, rt_sigqueueinfo, rt_tgsigqueueinfo, process_vm_readv and _writev.
    const OTHERS: [c_long; 6] = [521, 528, 524, 536, 539, 540];
    let same = rules.clone().into_iter().map(|(call, rules)| (X32 | call, rules));
    let others = OTHERS.map(|call| (X32 | call, vec![]));
    rules.into_iter().chain(same).chain(others).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn also_by_other_numbers(rules: Rules) -> Rules {
    rules
}
