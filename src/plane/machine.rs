//! What the machine takes from lanes: time on their cores, page faults, and what the host takes from the machine. Cold: whoever tends the
//! pipeline looks, a few times a second, at what the kernel counts of each lane's thread.

use std::fs::File;
use std::os::unix::fs::FileExt;

use cutline_shm::flight::MachineWriter;
use cutline_shm::flight::layout::{SAMPLES_PER_STEAL, Sample};

/// Most bytes of a file of the kernel that are looked at.
const READ_MAX_BYTES: usize = 4096;
/// The kernel's unit for steal time: a hundredth of a second, whatever its own ticks are.
const USER_TICK_US: u64 = 10_000;

/// See the module.
pub struct Machine {
    writer: MachineWriter,
    lanes: Vec<Option<LaneFiles>>,
    stat: Option<File>,
    looks: u32,
    /// Steal time of all cores, µs, as it was last asked for.
    steal_us: u64,
    last_ns: i64,
    buffer: Vec<u8>,
}

/// What the kernel tells of a lane's thread.
struct LaneFiles {
    schedstat: File,
    status: File,
    stat: File,
    last: Counted,
}

/// What it has counted since the thread began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    waited_ns: u64,
    preempted: u64,
    minor_faults: u64,
    major_faults: u64,
}

impl Machine {
    /// Tells `writer`.
    #[must_use]
    pub fn new(writer: MachineWriter) -> Self {
        let lanes = writer.threads().map(|_| None).collect();
        // Where the kernel does not tell, nothing is told.
        let stat = File::open("/proc/stat").ok();
        Self { writer, lanes, stat, looks: 0, steal_us: 0, last_ns: 0, buffer: vec![0; READ_MAX_BYTES] }
    }

    /// Takes a sample of each lane, and writes down the moments of what was slow.
    pub fn look(&mut self, now_ns: i64) {
        let span_us = small((now_ns - self.last_ns).max(0).unsigned_abs() / 1_000);
        let is_first = self.last_ns == 0;
        self.last_ns = now_ns;
        let steal_us = self.steal();
        let threads: Vec<_> = self.writer.threads().collect();
        for (lane, thread) in threads.into_iter().enumerate() {
            let Some(files) = &mut self.lanes[lane] else {
                self.lanes[lane] = thread.and_then(|thread| LaneFiles::open(thread, &mut self.buffer));
                continue;
            };
            // A lane that has ended has no files any more.
            let Some(now) = files.count(&mut self.buffer) else { continue };
            let last = std::mem::replace(&mut files.last, now);
            if is_first {
                continue;
            }
            self.writer.sample(
                lane,
                &Sample {
                    until_ns: now_ns,
                    span_us,
                    waited_us: small(now.waited_ns.saturating_sub(last.waited_ns) / 1_000),
                    preempted: small(now.preempted.saturating_sub(last.preempted)),
                    steal_us,
                    minor_faults: small(now.minor_faults.saturating_sub(last.minor_faults)),
                    major_faults: small(now.major_faults.saturating_sub(last.major_faults)),
                },
            );
        }
        self.writer.note_moments(now_ns);
    }

    /// Steal time since it was last asked for, µs; 0 in the looks between: the kernel works longer on it than on all else.
    fn steal(&mut self) -> u32 {
        self.looks = self.looks.wrapping_add(1);
        let Some(file) = self.stat.as_ref().filter(|_| self.looks % SAMPLES_PER_STEAL == 1) else { return 0 };
        let Some(steal_us) = read(file, &mut self.buffer).and_then(steal_of) else { return 0 };
        let since_us = steal_us - self.steal_us.min(steal_us);
        let is_first = std::mem::replace(&mut self.steal_us, steal_us) == 0;
        if is_first { 0 } else { small(since_us) }
    }
}

impl LaneFiles {
    fn open(thread: u32, buffer: &mut [u8]) -> Option<Self> {
        let open = |name: &str| File::open(format!("/proc/self/task/{thread}/{name}")).ok();
        let last = Counted::default();
        let mut files = Self { schedstat: open("schedstat")?, status: open("status")?, stat: open("stat")?, last };
        files.last = files.count(buffer)?;
        Some(files)
    }

    fn count(&self, buffer: &mut [u8]) -> Option<Counted> {
        let waited_ns = read(&self.schedstat, buffer).and_then(waited_of)?;
        let preempted = read(&self.status, buffer).and_then(preempted_of)?;
        let [minor_faults, major_faults] = read(&self.stat, buffer).and_then(faults_of)?;
        Some(Counted { waited_ns, preempted, minor_faults, major_faults })
    }
}

/// The beginning of a file of the kernel, as it is now.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let len = file.read_at(buffer, 0).ok()?;
    let text = &buffer[..len];
    // What is cut off at the end may cut a character.
    Some(text.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
}

/// Of `/proc/PID/task/TID/schedstat`: time ready to run and not running, ns.
fn waited_of(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Of `status`: how often the core was taken away.
fn preempted_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// Of `stat`: page faults without a device, and with one. The name before them may hold anything, in parentheses.
fn faults_of(stat: &str) -> Option<[u64; 2]> {
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace().skip(7);
    let minor = fields.next()?.parse().ok()?;
    Some([minor, fields.nth(1)?.parse().ok()?])
}

/// Of `/proc/stat`: steal time of all cores, µs.
fn steal_of(stat: &str) -> Option<u64> {
    let ticks: u64 = stat.strip_prefix("cpu ")?.split_ascii_whitespace().nth(7)?.parse().ok()?;
    Some(ticks.saturating_mul(USER_TICK_US))
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read_by_their_columns() {
        assert_eq!(waited_of("816241 1234567 12\n"), Some(1_234_567));
        assert_eq!(
            preempted_of("Name:\tcut\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t35\n"),
            Some(35)
        );
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 111 22 333 44 5 6 7 8 20 0 1 0 99";
        assert_eq!(faults_of(stat), Some([111, 333]));
        assert_eq!(steal_of("cpu  1 2 3 4 5 6 7 42 9 10\ncpu0 1 2 3\n"), Some(420_000));
        for text in ["", "cpu ", "x", "1", "a) b"] {
            assert_eq!(
                (waited_of(text), preempted_of(text), faults_of(text), steal_of(text)),
                (None, None, None, None)
            );
        }
    }

    #[test]
    fn a_thread_s_files_are_there_and_count_its_faults() {
        let mut buffer = vec![0; READ_MAX_BYTES];
        // Of a thread of this process: the one that runs the test has one too.
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
        let thread = tasks.filter_map(Result::ok).find_map(|task| task.file_name().to_str()?.parse().ok());
        let files = LaneFiles::open(thread.expect("at least one"), &mut buffer).expect("its files");
        assert!(files.last.minor_faults > 0, "{:?}", files.last);
        assert!(files.count(&mut buffer).expect("still there").minor_faults >= files.last.minor_faults);
        assert!(steal_of(read(&File::open("/proc/stat").expect("Linux"), &mut buffer).expect("text")).is_some());
        assert!(LaneFiles::open(u32::MAX, &mut buffer).is_none());
    }
}
