//! `cutline diff-engine`: where two engines' outcomes of the same runs differ.

use cutline::replay::diff::{Between, diff};
use serde_json::json;

use super::{Failure, Outcome, canonical, print};
use crate::cli;

/// `cutline diff-engine`
pub fn diff_engine(args: &cli::DiffEngine) -> Outcome {
    let between = Between { from_seq: args.from_seq, to_seq: args.to_seq };
    let found = diff(&args.a, &args.b, between, args.limit).map_err(Failure::reading)?;
    for difference in &found.first {
        print(canonical(&difference.to_json()))?;
    }
    let [missing_b, missing_a] = found.missing;
    let [outside_a, outside_b] = found.outside;
    print(canonical(&json!({
        "by_field": found.by_field, "different": found.different, "missing_in_a": missing_a, "missing_in_b": missing_b,
        "only_a_before_or_after": outside_a, "only_b_before_or_after": outside_b, "same": found.same,
    })))?;
    if found.same + found.different == 0 {
        let text = "have no run in common: choose another window, or directories that were made of the same receipts";
        return Err(Failure::usage(format!("{} and {} {text}", args.a.display(), args.b.display())));
    }
    match (found.different, missing_a + missing_b) {
        (0, 0) => Ok(()),
        (different, missing) => {
            Err(Failure::logs(format!("{different} runs end otherwise, {missing} are missing in one of the two")))
        }
    }
}
