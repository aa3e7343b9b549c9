//! The receipt of a verification: what was verified, with what, and how it came out. `docs/formats.md` has its fields.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use cutline::replay::verify::{LogDigest, Proof, ProvenConfig, Verifier, VerifyFault, Window};
use serde_json::{Value, json};

use super::Failure;
use crate::cli;
use crate::commands::{Outcome, canonical};

/// Writes the receipt, if one is wanted. The same logs, window and engine give the same bytes.
///
/// # Errors
/// The file cannot be written. Logs that cannot be read have no receipt.
pub fn write(args: &cli::Verify, verifier: &Verifier<'_>, window: Window, fault: Option<&VerifyFault>) -> Outcome {
    let (Some(path), Some(proof)) = (&args.receipt, verifier.proof()) else { return Ok(()) };
    let difference = match fault {
        None => Value::Null,
        Some(VerifyFault::Different { what, computed, recorded }) => {
            json!({"computed": computed, "recorded": recorded, "what": what})
        }
        Some(_) => return Ok(()),
    };
    let text = canonical(&receipt(verifier, &proof, window, difference)) + "\n";
    put(path, text.as_bytes()).map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
}

fn receipt(verifier: &Verifier<'_>, proof: &Proof, window: Window, difference: Value) -> Value {
    let verified = verifier.verified();
    let [inputs, runs, outputs] = &proof.logs;
    json!({
        "checkpoint_ingest_seq": verified.checkpoint_seq,
        "configs": proof.configs.iter().map(config).collect::<Vec<_>>(),
        "counts": {
            "outcomes_recomputed": verified.recomputed,
            "outcomes_taken": verified.taken,
            "receipts": verified.receipts,
            "receipts_before": verified.receipts_before,
            "runs": verified.runs,
            "runs_pending": verified.pending,
            "states_taken": verified.states_taken,
            "ticks": verified.ticks,
        },
        "cutline_version": env!("CARGO_PKG_VERSION"),
        "difference": difference,
        "first_ingest_seq": inputs.first_seq,
        "last_ingest_seq": inputs.last_seq,
        "logs": {"inputs": log(inputs), "outputs": log(outputs), "runs": log(runs)},
        "outcome": if difference.is_null() { "identical" } else { "different" },
        "schema": "verify_receipt",
        "schema_version": "1",
        "verified_through_seq": verified.through_seq,
        "window": {
            "from_ingest_seq": window.from_seq, "from_ingest_ts_ms": window.from_ms,
            "to_ingest_seq": window.to_seq, "to_ingest_ts_ms": window.to_ms,
        },
    })
}

fn log(digest: &LogDigest) -> Value {
    json!({
        "first_seq": digest.first_seq, "frames": digest.frames, "generation": digest.generation, "last_seq": digest.last_seq,
        "log_id": format!("{:016x}", digest.log_id), "sha256": digest.sha256,
    })
}

fn config(config: &ProvenConfig) -> Value {
    json!({
        "config_sha256": config.sha256,
        "effective_from_planned_ts_ms": config.effective_from_ms,
        "engine": config.engine,
        "engine_digest_recorded": config.engine_digest_recorded,
        "engine_digest_used": config.engine_digest_used,
    })
}

/// Puts a file in place whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}
