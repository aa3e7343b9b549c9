//! The guard in front of the logs: how much room their disk has, when that is told, and when the system is not ready for want of it. Pure
//! but for [`room`].

use std::path::Path;

use serde::Serialize;

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may be written yet.
    pub free_bytes: u64,
    /// Bytes of the whole.
    pub total_bytes: u64,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Enough.
    Enough,
    /// Below `disk_warn_percent`: it is told, and retention keeps less.
    Short,
    /// Below `disk_stop_percent`: the system is not ready.
    Out,
    /// The file system does not say.
    Unknown,
}

/// When room is short, % of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// `disk_warn_percent`.
    pub warn_percent: u32,
    /// `disk_stop_percent`.
    pub stop_percent: u32,
}

/// The room of the file system that holds a path; `None`: it has no size, as a tmpfs without a limit, and is never full. Blocks for as long
/// as the file system does.
///
/// # Errors
/// What the system says.
pub fn room(path: &Path) -> std::io::Result<Option<Room>> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    // What only root may have is not counted on.
    let room = Room { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) };
    Ok((found.f_blocks > 0).then_some(room))
}

/// How much there is, if there was as much as `before`: what has become short is enough again when there is a tenth more than it takes.
pub fn level(room: Option<Room>, thresholds: Thresholds, before: Level) -> Level {
    let Some(Room { free_bytes, total_bytes }) = room else { return Level::Enough };
    let is_below = |percent: u32, below: bool| {
        let (free, total) = (u128::from(free_bytes), u128::from(total_bytes));
        let tenths = if below { 11 } else { 10 };
        free * 1_000 < total * u128::from(percent) * tenths
    };
    let was = if before == Level::Unknown { Level::Enough } else { before };
    if is_below(thresholds.stop_percent, was >= Level::Out) {
        Level::Out
    } else if is_below(thresholds.warn_percent, was >= Level::Short) {
        Level::Short
    } else {
        Level::Enough
    }
}

/// What people are told of it.
pub fn text(path: &Path, room: Option<Room>, level: Level) -> String {
    let (path, mib) = (path.display(), |bytes: u64| bytes >> 20);
    if level == Level::Unknown {
        return format!("{path}: its file system does not say how much room it has: is it there, and does it answer?");
    }
    let how = room.map_or_else(
        || "room without a limit".to_owned(),
        |room| format!("{} MiB of {} MiB free", mib(room.free_bytes), mib(room.total_bytes)),
    );
    let next = match level {
        Level::Enough | Level::Unknown => return format!("{path} has {how}"),
        Level::Short => "set [log.retention] or resources.disk_keep_bytes, or give it more room",
        Level::Out => "what arrives is kept until there is none: free some room, or set resources.disk_keep_bytes",
    };
    format!("{path} has {how}: {next}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_AND_THREE: Thresholds = Thresholds { warn_percent: 10, stop_percent: 3 };

    #[test]
    fn it_is_told_in_time_and_does_not_swing() {
        let mut at = Level::Enough;
        let falls_and_rises = [
            (1_000, Level::Enough),
            (999, Level::Short),
            (1_099, Level::Short),
            (300, Level::Short),
            (299, Level::Out),
            (329, Level::Out),
            (330, Level::Short),
            (1_099, Level::Short),
            (1_100, Level::Enough),
            (0, Level::Out),
            (5_000, Level::Enough),
        ];
        for (free_bytes, expected) in falls_and_rises {
            at = level(Some(Room { free_bytes, total_bytes: 10_000 }), TEN_AND_THREE, at);
            assert_eq!(at, expected, "{free_bytes}");
        }
        assert_eq!(level(None, TEN_AND_THREE, Level::Out), Level::Enough);
    }

    #[test]
    fn a_file_system_says_what_it_has() {
        let root = room(Path::new("/")).expect("it is there").expect("it has a size");
        assert!(root.total_bytes > root.free_bytes && root.total_bytes > 1 << 20, "{root:?}");
        assert!(room(Path::new("/no/such/path")).is_err());
    }

    proptest! {
        #[test]
        fn less_room_is_never_a_better_level(
            free in 0_u64..1_000, less in 0_u64..1_000, before in 0_usize..4, warn in 1_u32..100, stop in 0_u32..100,
        ) {
            let before = [Level::Enough, Level::Short, Level::Out, Level::Unknown][before];
            let thresholds = Thresholds { warn_percent: warn, stop_percent: stop.min(warn) };
            let at = |free_bytes| level(Some(Room { free_bytes, total_bytes: 1_000 }), thresholds, before);
            prop_assert!(at(free.saturating_sub(less)) >= at(free));
            prop_assert!(at(free) != Level::Unknown);
        }
    }
}
