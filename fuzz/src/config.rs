//! The configuration: whatever is written, checking ends with a configuration that is sound in itself and can be started from, or
//! with problems that say where and what to do.

use std::cell::OnceCell;

use cutline::config::{Config, OutputConfig, Problem};
use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::plane::assembly::{Assembly, Surroundings, on_the_lane};
use cutline::plane::clock::Clock;
use cutline::plane::given_time::GivenTime;
use cutline::plane::settings::{config_frame, read_config_frame};
use cutline::plane::topology::{Depth, StageId};
use cutline::sequence::stage::TimeSource;
use cutline::sim::engine::Around;
use cutline::sim::process::engines;
use cutline_journal::disk::os_disk;
use cutline_shm::cnc::CncWriter;

use crate::pipeline_place::{BEGIN_MS, Folder};

/// Largest memory of one kind that a start is tried with: larger ones are as sound and take longer.
const START_MAX_BYTES: u64 = 1 << 20;

thread_local! {
    static FOLDER: OnceCell<Folder> = const { OnceCell::new() };
}

/// The first byte says what the rest is: even, a file; odd, a `--set key=value` per line.
pub fn check(data: &[u8]) {
    let Some((&how, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let read = || {
        if how & 1 == 0 {
            Config::from_text("fuzzed.toml", text)
        } else {
            Config::load(&[], &text.lines().map(str::to_owned).collect::<Vec<_>>())
        }
    };
    match read() {
        Ok((config, warnings)) => {
            warnings.iter().for_each(assert_says_what_to_do);
            assert_eq!(
                read().ok().map(|(config, _)| config).as_ref(),
                Some(&config),
                "the same text, the same configuration"
            );
            check_sound(&config);
            check_start(config);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused, and nothing is said");
            problems.0.iter().for_each(assert_says_what_to_do);
        }
    }
}

fn assert_says_what_to_do(problem: &Problem) {
    assert!(!problem.what.is_empty() && !problem.next_step.is_empty(), "{problem:?}");
    assert!(!problem.to_string().is_empty());
}

/// What replay takes from a CONFIG frame is what was configured; the topology has every stage once.
fn check_sound(config: &Config) {
    let json = config.output.to_canonical_json();
    assert_eq!(OutputConfig::from_canonical_json(json.as_bytes()).as_ref(), Ok(&config.output), "{json}");
    let frame = config_frame(&config.output, &[7; 32]);
    let (output, digest) = read_config_frame(frame.as_bytes()).unwrap_or_else(|what| panic!("{what}"));
    assert_eq!((&output, digest.0), (&config.output, [7; 32]));
    let topology = config.topology().unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut stages: Vec<StageId> = topology.lanes().iter().flat_map(|lane| lane.stages.iter().copied()).collect();
    stages.sort_unstable();
    let mut expected = StageId::ALL.to_vec();
    expected.extend((1..topology.invokes()).map(|index| StageId::Invoke(index as u8)));
    expected.sort_unstable();
    assert_eq!(stages, expected);
    for link in topology.links() {
        let (Depth::Bytes(depth) | Depth::Entries(depth)) = link.depth;
        assert!(depth.is_power_of_two(), "{link:?}");
    }
}

/// Starts with nothing to read, in a folder of our own, and comes to its end.
fn check_start(mut config: Config) {
    let (log, links) = (&config.log, &config.links);
    let sizes = [
        log.segment_bytes,
        links.receipts_bytes,
        links.results_bytes,
        links.cuts.saturating_mul(64),
        links.runs.saturating_mul(64),
        config.ingest.line_max_bytes,
        config.ingest.read_buffer_bytes,
    ];
    if sizes.into_iter().any(|bytes| bytes > START_MAX_BYTES) || log.live_segments > 8 {
        return;
    }
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(Folder::new);
        folder.clear();
        config.log.dir = folder.data();
        config.log.live_dir = folder.path().join("live");
        let nothing = FeedSettings {
            name: "nothing".to_owned(),
            source: FeedAddress::Reader(Box::new(std::io::empty())),
            format: Format::Ndjson,
        };
        let around = Surroundings {
            feeds: vec![nothing],
            time: TimeSource::Receipts,
            clock: Clock::given(GivenTime::new(BEGIN_MS * 1_000_000)),
            log_ids: [1, 2, 3],
            hosts: &on_the_lane(engines(Around::default())),
            cnc: &CncWriter::in_process,
            disk: os_disk(),
        };
        let assembly =
            Assembly::build(&config, around).unwrap_or_else(|fault| panic!("what was checked starts: {fault}"));
        let Assembly { mut stages, keeper, .. } = assembly;
        for round in 0.. {
            assert!(round < 1_000, "a pipeline with nothing to read comes to its end");
            for (_, stage) in &mut stages {
                stage.poll(BEGIN_MS);
            }
            stages.retain(|(_, stage)| !stage.is_done());
            if stages.is_empty() {
                break;
            }
        }
        keeper.close().unwrap_or_else(|fault| panic!("{fault}"));
    });
}
