//! Input: what `cutline generate` writes for a fixed seed and time.

use cutline::model::binary::encode_from_json;
use cutline::model::envelope::Scratch;

use crate::Fault;
use crate::generate::{Generator, Settings};

/// Lines of a round: two seconds of the feed, with the snapshots of twenty intervals among them.
pub const LINES: usize = 2_000;

/// The lines, without their line feeds.
pub fn lines() -> Result<Vec<Vec<u8>>, Fault> {
    let settings = Settings {
        seed: 1,
        symbols: 4,
        start_ms: 1_700_000_000_000,
        interval_ms: 100,
        events_per_second: 1_000,
        hostile_permille: 0,
    };
    let mut feed = Generator::new(settings)?;
    let line = |_| {
        let mut line = Vec::new();
        feed.next_line(&mut line);
        line.truncate(line.trim_ascii_end().len());
        line
    };
    Ok((0..LINES).map(line).collect())
}

/// The same in the binary form.
pub fn records() -> Result<Vec<Vec<u8>>, Fault> {
    let mut scratch = Scratch::new();
    let mut encode = |line: Vec<u8>| {
        let mut record = Vec::new();
        match encode_from_json(&line, &mut scratch, &mut record) {
            Ok(()) => Ok(record),
            Err(rejection) => Err(format!("a generated line is refused: {:?}", rejection.kind).into()),
        }
    };
    lines()?.into_iter().map(&mut encode).collect()
}
