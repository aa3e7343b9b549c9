//! What `/proc` says about this process's threads. For the test's thread.

use std::fs;

/// Ids of the threads with this name, of which the kernel keeps 15 bytes.
pub fn named(name: &str) -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").expect("a list of threads");
    let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    // A thread may end between the two looks.
    ids.filter(|id| fs::read_to_string(format!("/proc/self/task/{id}/comm")).is_ok_and(|comm| comm.trim_end() == name))
        .collect()
}

/// Page faults of a thread so far, without and with reading from disk.
pub fn page_faults(thread: i32) -> [u64; 2] {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("the thread lives");
    // The name stands in parentheses and may hold anything; `state` is the first field after it, and the third in all.
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    [10, 12].map(|number: usize| fields[number - 3].parse().expect("a count"))
}

/// Two cores that this process may use, if it may use two.
pub fn two_cores() -> Option<[usize; 2]> {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = list.trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last] = [first, last].map(|core| core.parse::<usize>().expect("a core"));
        first..=last
    });
    Some([cores.next()?, cores.next()?])
}
