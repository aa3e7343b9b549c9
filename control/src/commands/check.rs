//! `cutline check`

use super::{Failure, Outcome, load_config, note, print, room};
use crate::cli::ConfigArgs;

/// `cutline check`
pub fn check(args: &ConfigArgs) -> Outcome {
    let config = load_config(args)?;
    let topology = config
        .topology()
        .map_err(|faults| Failure::usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    crate::engines::host(&config).map_err(Failure::usage)?;
    if let Err(text) = room::check(&config) {
        note(format_args!("warning: {text}"));
    }
    let log = &config.log;
    let live_bytes = room::live_segments(&config) * log.segment_bytes;
    print(format_args!(
        "{topology}\nlogs in {}, live segments in {} ({live_bytes} bytes)\nok",
        log.dir.display(),
        log.live_dir.display()
    ))
}
