//! A lane: a thread that polls its stages in order. The only loop in the data plane.
//!
//! It reads the clock once a cycle, calls every stage, accounts the cycle, beats, and idles by its strategy. A stage that is
//! done is dropped, which closes its links: so the end of the stream runs down the pipeline by itself.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cutline_journal::planted;
use cutline_ring::idle::{Idle, Idler};
use cutline_shm::counters::Counter;
use cutline_shm::flight::LaneRecorder;
use cutline_shm::heartbeat::Heartbeat;
use cutline_shm::histograms::Histogram;

use super::clock::Clock;
use super::cycles::Cycles;
use super::flight::SeatStamps;
use super::stage::{Progress, Stage};

/// Time between two housekeepings, ns.
const HOUSEKEEP_INTERVAL_NS: i64 = 10_000_000;

/// How much of its stack a lane touches before it runs, bytes: several times of what its stages need.
const STACK_BYTES: usize = 64 * 1024;

/// Where a lane tells how it spends its time.
pub struct LaneCounters {
    /// Cycles in which some stage worked.
    pub busy: Counter,
    /// Cycles without work.
    pub idle: Counter,
    /// Cycles in which work was waiting for room.
    pub blocked: Counter,
    /// Longest cycle, ns.
    pub longest_ns: Counter,
    /// Longest cycle of the last whole second, ns.
    pub recent_ns: Counter,
    /// Cycles longer than a stall's threshold.
    pub stalls: Counter,
    /// The kernel's id of its thread.
    pub thread: Counter,
    /// Shows that the lane is alive.
    pub heartbeat: Heartbeat,
}

/// Where a lane tells what one stage has done.
pub struct StageCounters {
    /// Items worked on.
    pub items: Counter,
    /// Polls with work.
    pub worked: Counter,
    /// Polls in which work was waiting for room.
    pub blocked: Counter,
    /// Time per item, the mean of the poll that it was in, ns, if it is to be measured.
    pub time_ns: Option<Histogram>,
    /// How much of each link that it writes is taken, bytes, in the links' order.
    pub links: Vec<Counter>,
}

/// A stage on its lane.
pub struct Seat {
    stage: Box<dyn Stage>,
    counters: StageCounters,
    stamps: SeatStamps,
    items: u64,
    worked: u64,
    blocked: u64,
}

impl Seat {
    /// A stage that has not been polled yet.
    #[must_use]
    pub fn new(stage: Box<dyn Stage>, counters: StageCounters, stamps: SeatStamps) -> Self {
        Self { stage, counters, stamps, items: 0, worked: 0, blocked: 0 }
    }

    fn poll(&mut self, now_ns: i64, clock: &Clock, recorder: &mut LaneRecorder) -> Progress {
        recorder.polling(Some(self.stamps.stage()));
        let begin_ns = if self.counters.time_ns.is_some() { clock.now_ns() } else { 0 };
        let progress = self.stage.poll(now_ns);
        self.stamps.note(recorder, now_ns, progress, &*self.stage);
        match progress {
            Progress::Did(items) => {
                if let Some(histogram) = &self.counters.time_ns
                    && items > 0
                {
                    let taken_ns = clock.now_ns().saturating_sub(begin_ns).max(0).unsigned_abs();
                    histogram.record_times(taken_ns / u64::from(items), u64::from(items));
                }
                self.items += u64::from(items);
                self.worked += 1;
            }
            Progress::Blocked(_) => self.blocked += 1,
            Progress::Idle => {}
        }
        progress
    }

    fn housekeep(&mut self, now_ns: i64) {
        self.stage.housekeep(now_ns);
        self.counters.items.set(self.items);
        self.counters.worked.set(self.worked);
        self.counters.blocked.set(self.blocked);
        let mut links = self.counters.links.iter();
        self.stage.links_used(&mut |bytes| {
            if let Some(link) = links.next() {
                link.set(bytes as u64);
            }
        });
    }

    /// The last word of a stage that is done: its links are nobody's any more, and what is left in them their readers take.
    fn end(&mut self, now_ns: i64) {
        self.housekeep(now_ns);
        self.counters.links.iter().for_each(|link| link.set(0));
    }
}

/// Whether a lane looks after this cycle which of its stages are done: when nothing was left to do, and while it stops also after
/// work, because on a slow lane each cycle may find a watermark to pass on.
pub(crate) fn may_end(stopping: bool, has_work: bool) -> bool {
    stopping && !planted!(EndlessStop) || !has_work
}

/// A lane ready to run.
pub struct Lane {
    /// Its stages, in the event's order.
    pub stages: Vec<Seat>,
    /// The core to run on.
    pub core: Option<usize>,
    /// How it waits.
    pub idle: Idle,
    /// Where it tells.
    pub counters: LaneCounters,
    /// Where it leaves what it did last.
    pub recorder: LaneRecorder,
}

impl Lane {
    /// Pins the calling thread to the lane's core, if it has one, and looks whether it is there.
    ///
    /// # Errors
    /// What the thread may use instead.
    pub fn pin(&self) -> Result<(), String> {
        let Some(id) = self.core else { return Ok(()) };
        let core = core_affinity::CoreId { id };
        let set = core_affinity::set_for_current(core);
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        if set && allowed == [core] {
            return Ok(());
        }
        let allowed: Vec<String> = allowed.iter().map(|core| core.id.to_string()).collect();
        Err(format!("core {id} is not to be had: this process may use {}; set another lane.core", allowed.join(", ")))
    }

    /// Runs on the calling thread until every stage is done. Once `stop` is set the stages are asked to come to an end; once
    /// `abort` is set they are dropped where they stand.
    pub fn run(mut self, clock: &Clock, stop: &Arc<AtomicBool>, abort: &Arc<AtomicBool>) {
        let mut idler = Idler::new(self.idle);
        let (mut busy, mut idle, mut blocked, mut cycles) = (0_u64, 0_u64, 0_u64, Cycles::default());
        let (mut housekept_ns, mut last_ns) = (i64::MIN, clock.now_ns());
        let mut stopping = false;
        touch_stack();
        self.recorder.begin();
        while !self.stages.is_empty() && !abort.load(Ordering::Relaxed) {
            // Time handed to stages never goes back, though the clock may by a hair.
            let now_ns = clock.now_ns().max(last_ns);
            cycles.begin(now_ns - last_ns);
            last_ns = now_ns;
            self.recorder.cycle(now_ns);
            if !stopping && stop.load(Ordering::Acquire) {
                stopping = true;
                self.stages.iter_mut().for_each(|seat| seat.stage.stop(now_ns));
            }
            let (mut worked, mut waits) = (false, false);
            for seat in &mut self.stages {
                match seat.poll(now_ns, clock, &mut self.recorder) {
                    Progress::Did(_) => worked = true,
                    Progress::Blocked(_) => waits = true,
                    Progress::Idle => {}
                }
            }
            self.recorder.polling(None);
            if worked {
                busy += 1;
            } else if waits {
                blocked += 1;
            } else {
                idle += 1;
            }
            cycles.found_work(worked);
            if may_end(stopping, worked || waits) {
                self.drop_what_is_done(now_ns);
            }
            if now_ns >= housekept_ns.saturating_add(HOUSEKEEP_INTERVAL_NS) {
                housekept_ns = now_ns;
                self.stages.iter_mut().for_each(|seat| seat.housekeep(now_ns));
                self.counters.busy.set(busy);
                self.counters.idle.set(idle);
                self.counters.blocked.set(blocked);
                cycles.sum_up(now_ns);
                self.counters.stalls.set(cycles.stalls);
                self.counters.longest_ns.set(cycles.longest_ns.unsigned_abs());
                self.counters.recent_ns.set(cycles.recent_ns.unsigned_abs());
                self.counters.heartbeat.beat(now_ns);
            }
            idler.idle(worked);
        }
    }

    fn drop_what_is_done(&mut self, now_ns: i64) {
        self.stages.retain_mut(|seat| {
            let done = seat.stage.is_done();
            if done {
                seat.end(now_ns);
            }
            !done
        });
    }
}

/// Has the kernel give the thread its stack now, so that no deeper call meets a page fault later.
#[inline(never)]
fn touch_stack() {
    black_box([0_u8; STACK_BYTES]);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cutline_shm::cnc::CncWriter;
    use cutline_shm::reader::CncReader;

    use super::super::given_time::GivenTime;
    use super::super::observe;
    use super::super::topology::{Depth, LaneSpec, LinkSpec, StageId, Topology};
    use super::*;
    use crate::plane::flight;

    /// A stage with two links that hold so much, which looks at what is told of them.
    struct Telling {
        used: [usize; 2],
        told: [Counter; 2],
        seen: Arc<std::sync::Mutex<Vec<[u64; 2]>>>,
        polls: u32,
    }

    impl Stage for Telling {
        fn name(&self) -> &'static str {
            "cut"
        }

        fn poll(&mut self, _now_ns: i64) -> Progress {
            self.polls += 1;
            self.seen.lock().expect("one thread").push(self.told.each_ref().map(Counter::get));
            Progress::Idle
        }

        fn links_used(&mut self, tell: &mut dyn FnMut(usize)) {
            self.used.into_iter().for_each(tell);
        }

        fn is_done(&self) -> bool {
            self.polls == 2
        }
    }

    /// Works on so many items in so much time, poll after poll.
    struct Working {
        time: GivenTime,
        polls: Vec<(u32, u64)>,
    }

    impl Stage for Working {
        fn name(&self) -> &'static str {
            "cut"
        }

        fn poll(&mut self, _now_ns: i64) -> Progress {
            let Some((items, ns)) = self.polls.pop() else { return Progress::Idle };
            self.time.pass(ns);
            Progress::Did(items)
        }

        fn is_done(&self) -> bool {
            self.polls.is_empty()
        }
    }

    #[test]
    fn what_an_item_takes_is_told_of_items_and_not_of_polls() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("cnc");
        let cnc = CncWriter::create(&path, 0).expect("memory");
        let lanes = vec![LaneSpec { name: "main".into(), core: None, idle: Idle::Yield, stages: vec![StageId::Cut] }];
        let topology = Topology::new(lanes, Vec::new()).expect("legal");
        let time = GivenTime::new(0);
        let stage = Working { time: time.clone(), polls: vec![(1, 50), (20, 800), (1, 60)] };
        let lane = Lane {
            stages: vec![Seat::new(
                Box::new(stage),
                observe::stage(&cnc, &topology, StageId::Cut, true).expect("room"),
                SeatStamps::new(flight::number_of(&topology, StageId::Cut)),
            )],
            core: None,
            idle: Idle::Yield,
            counters: observe::lane(&cnc, "main", 0).expect("room"),
            recorder: flight::create(&cnc, &topology, 0).expect("memory").lanes.remove(0),
        };
        lane.run(&Clock::given(time), &Arc::default(), &Arc::default());
        let told = CncReader::open(&path).expect("there").histograms().next().expect("measured");
        assert_eq!((told.count, told.max, told.sum), (22, 60, 20 * 40 + 50 + 60));
        assert_eq!((told.percentile(0.5), told.percentile(0.95)), (Some(40), Some(50)));
    }

    #[test]
    fn how_full_its_links_are_is_told_until_a_stage_is_done() {
        let cnc = CncWriter::in_process(Path::new("links"), 0).expect("memory");
        let runs = |name, to| LinkSpec { name, from: StageId::Cut, to, depth: Depth::Entries(8), gated: true };
        let links = vec![runs("runs", StageId::Invoke(0)), runs("runs-2", StageId::Invoke(1))];
        let stages = vec![StageId::Cut, StageId::Invoke(0), StageId::Invoke(1)];
        let lanes = vec![LaneSpec { name: "main".into(), core: None, idle: Idle::Yield, stages }];
        let topology = Topology::new(lanes, links).expect("legal");
        let counters = observe::stage(&cnc, &topology, StageId::Cut, false).expect("room");
        let label = |name: &str| format!("link={name}");
        let gauge = |name: &str| cnc.counter(&super::super::counters::LINK_USED, &label(name)).expect("there");
        let told = [gauge("runs"), gauge("runs-2")];
        let capacity = cnc.counter(&super::super::counters::LINK_CAPACITY, &label("runs")).expect("there");
        assert_eq!(capacity.get(), 8 * 64);
        let seen = Arc::default();
        let stage = Telling { used: [64, 128], told: told.clone(), seen: Arc::clone(&seen), polls: 0 };
        let stamps = SeatStamps::new(flight::number_of(&topology, StageId::Cut));
        let recorder = flight::create(&cnc, &topology, 0).expect("memory").lanes.remove(0);
        let lane = Lane {
            stages: vec![Seat::new(Box::new(stage), counters, stamps)],
            core: None,
            idle: Idle::Yield,
            counters: observe::lane(&cnc, "main", 0).expect("room"),
            recorder,
        };
        lane.run(&Clock::given(GivenTime::new(0)), &Arc::default(), &Arc::default());
        assert_eq!(*seen.lock().expect("one thread"), [[0, 0], [64, 128]]);
        assert_eq!(told.map(|gauge| gauge.get()), [0, 0], "a link without a producer is not full");
    }
}
