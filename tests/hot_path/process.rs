//! What `/proc` says about this process: its threads, and its code. For the test's thread.

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

/// Of each mapping of code and constants from a file: its name, bytes mapped, and of these those that are there without a page fault.
pub fn code_bytes() -> Vec<(String, [u64; 2])> {
    let maps = fs::read_to_string("/proc/self/smaps").expect("a list of mappings");
    let mut lines = maps.lines();
    let mut code = Vec::new();
    while let Some(line) = lines.next() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "r-xp" | "r--p", _, _, _, file] = fields[..] else { continue };
        if !file.starts_with('/') {
            continue;
        }
        let mut kib = |name: &str| {
            let text = lines.by_ref().find_map(|line| line.strip_prefix(name)).expect("a size");
            text.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
        };
        code.push((file.to_owned(), [kib("Size:"), kib("Rss:")]));
    }
    code
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
