//! Defaults that give way: where a segment is made smaller than the default limits of what goes into it, limits that nobody
//! has set shrink with it. A limit that was set stays as it is, and is checked.

use super::Config;
use super::document::Node;
use super::reader::origin_at;
use crate::publish::stage::outcome_max_bytes;

/// Bytes of a segment that the longest line may take: a quarter stays for the seal, names and whatever comes with it.
pub(super) const fn line_room_bytes(segment_bytes: u64) -> u64 {
    segment_bytes / 4 * 3
}

/// Fits what nobody has set into `config.log.segment_bytes`.
pub(super) fn defaults(config: &mut Config, root: &Node) {
    let is_default = |key: &str| origin_at(root, key).is_some_and(|origin| origin.layer == 0);
    let segment_bytes = config.log.segment_bytes;
    if is_default("ingest.line_max_bytes") {
        config.ingest.line_max_bytes = config.ingest.line_max_bytes.min(line_room_bytes(segment_bytes));
    }
    // An outcome holds two outputs and a state.
    let engine = &mut config.output.engine;
    let mut limits = [
        (2, is_default("engine.output_max_bytes"), &mut engine.output_max_bytes),
        (1, is_default("engine.state_max_bytes"), &mut engine.state_max_bytes),
    ];
    let set: u64 = limits.iter().filter(|(_, default, _)| !default).map(|(times, _, bytes)| times * **bytes).sum();
    let shares: u64 = limits.iter().filter(|(_, default, _)| *default).map(|(times, _, _)| times).sum();
    let room =
        cutline_journal::Appender::group_max_bytes(segment_bytes).saturating_sub(outcome_max_bytes(0, 0) as u64 + set);
    // Frames are padded to 64 bytes: a multiple of it adds no more than itself.
    let share = room.checked_div(shares).unwrap_or(0) / 64 * 64;
    for (_, default, bytes) in &mut limits {
        if *default {
            **bytes = (**bytes).min(share);
        }
    }
}
