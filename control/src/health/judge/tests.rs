//! What looks come to: made-up ones, whose causes are known. The real things are in `control/tests/health/`.

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::*;
use crate::resources::proc::Switches;

const MS: u64 = 1_000_000;
const LOOK_NS: u64 = 100 * MS;

const LIMITS: Limits = Limits {
    interval_ns: LOOK_NS,
    stalled_ns: 1_000 * MS,
    cycle_max_ns: 50 * MS,
    preemptions_max_per_s: 25,
    keeper_stuck_ns: 2_000 * MS,
    publish_blocked_max_ns: 500 * MS,
};

fn task(state: char, ticks: u64, involuntary: u64) -> Task {
    Task { state, ticks, switches: Switches { voluntary: 0, involuntary } }
}

/// A look at one lane, and at a keeper that moves with its beat.
fn look(beat_ns: i64, cycle_ns: u64, lane: Task) -> Look {
    let lane = LaneLook { name: "l".to_owned(), beat_ns, cycle_ns, task: Some(lane) };
    Look { keeper: Some(task('S', 0, beat_ns.unsigned_abs())), lanes: vec![lane], ..Look::default() }
}

/// The kinds that these looks come to, each a look's time after the one before.
fn kinds(looks: impl IntoIterator<Item = Look>) -> Vec<Vec<(String, IssueKind)>> {
    let mut judge = Judge::new(LIMITS);
    let judged = looks.into_iter().map(|look| judge.judge(look, LOOK_NS));
    judged.map(|issues| issues.into_iter().map(|(part, issue)| (part.name(), issue.kind)).collect()).collect()
}

/// A look at a lane that does not beat.
fn silent(nth: u64, lane: Task) -> Look {
    Look { keeper: Some(task('S', 0, nth)), ..look(7, 0, lane) }
}

/// What is told at last of a lane that does not beat and whose thread is like this.
fn of_silent(lane: impl Fn(u64) -> Task) -> Option<IssueKind> {
    let all = kinds((0..12).map(|nth| silent(nth, lane(nth))));
    assert!(all[..10].iter().all(Vec::is_empty), "it has its time: {all:?}");
    all[11].first().map(|(_, kind)| *kind)
}

#[test]
fn a_silent_lane_is_told_apart_by_what_its_thread_does() {
    assert_eq!(of_silent(|_| task('S', 5, 0)), Some(IssueKind::LaneStalled));
    assert_eq!(of_silent(|_| task('T', 5, 0)), Some(IssueKind::LaneStalled));
    assert_eq!(of_silent(|nth| task('R', 10 * nth, 0)), Some(IssueKind::LaneStalled), "at work");
    assert_eq!(of_silent(|_| task('R', 5, 0)), Some(IssueKind::LanePreempted), "it would, and may not");
}

#[test]
fn a_long_cycle_is_told_once_and_a_lane_that_is_done_never_stalls() {
    let cycles = [0, 0, 80 * MS, 80 * MS, 0, 30 * MS];
    let all = kinds((1..).zip(cycles).map(|(beat, cycle)| look(beat, cycle, task('S', 0, 0))));
    let told: Vec<usize> = (0..6).filter(|at| !all[*at].is_empty()).collect();
    assert_eq!((told, all[2][0].1), (vec![2], IssueKind::CycleTooLong));
    let done = |nth| {
        let mut look = silent(nth, task('S', 0, 0));
        look.lanes[0].task = None;
        look
    };
    assert!(kinds((0..30).map(done)).iter().all(Vec::is_empty));
    let ending = |nth| Look { is_ending: true, ..silent(nth, task('S', 0, 0)) };
    assert!(kinds((0..30).map(ending)).iter().all(Vec::is_empty));
}

#[test]
fn a_keeper_that_says_why_is_failing_and_one_that_does_not_is_stuck() {
    let of_keeper = |kind| vec![("keeper".to_owned(), kind)];
    let waiting = |ms: u64, log_faults, beat| Look {
        waiting: Some(("inputs".to_owned(), ms * MS)),
        log_faults,
        ..look(beat, 0, task('S', 0, 0))
    };
    let all =
        kinds([waiting(1_999, false, 1), waiting(2_000, false, 2), waiting(9_000, true, 3), waiting(0, false, 4)]);
    assert_eq!(all, [vec![], of_keeper(IssueKind::KeeperStuck), of_keeper(IssueKind::KeeperFailing), vec![]]);
    let still = |beat: i64| Look { keeper: Some(task('D', 3, 3)), ..look(beat, 0, task('S', 0, 0)) };
    let all = kinds((1..30).map(still));
    assert!(all[..20].iter().all(Vec::is_empty) && all[21] == of_keeper(IssueKind::KeeperStuck), "{all:?}");
}

#[test]
fn a_blocked_publisher_and_an_engine_that_is_gone_have_their_own_names() {
    let blocked = |ms: u64| Look { publish_blocked_ns: ms * MS, ..look(1, 0, task('S', 0, 0)) };
    let gone = Look { engines_gone: vec!["invoke".to_owned()], ..look(2, 0, task('S', 0, 0)) };
    let all = kinds([blocked(500), blocked(501), gone]);
    assert!(all[0].is_empty());
    assert_eq!(all[1], [("publisher".to_owned(), IssueKind::PublisherBlocked)]);
    assert_eq!(all[2], [("engine".to_owned(), IssueKind::EngineGone)]);
}

#[test]
fn time_in_which_nobody_looked_is_nobody_s_stall() {
    let mut judge = Judge::new(LIMITS);
    for _ in 0..3 {
        // The whole process stood still for an hour each time.
        assert_eq!(judge.judge(look(7, 0, task('S', 0, 0)), 3_600_000 * MS), []);
    }
}

proptest! {
    /// A lane counts as preempted if its core was taken away too often over some looks, whatever happened between two of them.
    #[test]
    fn preemptions_count_over_some_looks(per_look in 0_u64..6, late in proptest::collection::vec(any::<bool>(), 60)) {
        let mut involuntary = 0;
        let looks: Vec<Look> = (1..).zip(&late).map(|(beat, late)| {
            involuntary += per_look;
            look(beat, 0, task('R', 0, involuntary + u64::from(*late)))
        }).collect();
        let told = kinds(looks).last().is_some_and(|issues| issues.iter().any(|(_, kind)| *kind == IssueKind::LanePreempted));
        // Ten looks a second, 25 times a second allowed; one that is seen late makes at most one more or less.
        prop_assert_eq!(told, per_look > 2);
    }
}
