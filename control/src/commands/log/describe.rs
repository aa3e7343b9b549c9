//! `cutline log describe`: files, identity, watermarks and end of a log.

use std::path::Path;

use cutline_journal::layout::{MARK_STOPPED, SegmentHeader};
use cutline_journal::marks::read_marks;
use cutline_journal::{LogFiles, Start, Tail, Watermarks};
use serde_json::{Value, json};

use crate::cli::LogArgs;
use crate::commands::{Failure, Outcome, canonical, print};

/// Prints what one log consists of.
pub fn describe(args: &LogArgs, name: &'static str) -> Outcome {
    let files = LogFiles::find(&args.data, name);
    let marks = read_marks(&files).map_err(Failure::reading)?;
    let memory = Watermarks::open(&files).map_err(Failure::reading)?;
    let mut segments =
        segments(&files.disk_bases().map_err(Failure::reading)?, "disk", |base| files.disk_segment(base));
    let in_memory = files.live_bases().map_err(Failure::reading)?;
    segments.extend(self::segments(&in_memory, "memory", |base| files.live_segment(base).unwrap_or_default()));
    let oldest = files.all_bases().map_err(Failure::reading)?.first().copied();
    let (end, fault) = match Tail::open(&args.data, name, Start::Now) {
        Ok(tail) => (json!({"position": tail.position(), "last_seq": tail.next_seq() - 1}), Value::Null),
        Err(fault) => (Value::Null, fault.to_string().into()),
    };
    let value = json!({
        "end": end,
        "fault": fault,
        "generation": marks.generation(),
        "log": name,
        "mark": marks.newest.map(|mark| json!({"clean": mark.state == MARK_STOPPED, "log_id": format!("{:016x}", mark.log_id), "position": mark.position})),
        "kept_from": oldest,
        "memory": memory.map(|marks| json!({"durable": marks.durable(), "visible": marks.visible()})),
        "segments": segments,
    });
    if args.json { print(canonical(&value)) } else { print(to_text(name, &value)) }
}

fn segments(bases: &[u64], place: &str, path: impl Fn(u64) -> std::path::PathBuf) -> Vec<Value> {
    let describe = |&base: &u64| {
        let path = path(base);
        let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
        let header = header(&path);
        json!({
            "base": base, "bytes": bytes, "file": path.display().to_string(), "first_seq": header.map(|header| header.first_seq), "place": place,
            "segment_bytes": header.map(|header| header.segment_bytes),
        })
    };
    bases.iter().map(describe).collect()
}

/// The header of a segment's file, if it is one and was begun.
fn header(path: &Path) -> Option<SegmentHeader> {
    use std::io::Read;
    let mut bytes = [0; size_of::<SegmentHeader>()];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    SegmentHeader::read(&bytes).ok()
}

fn to_text(name: &str, value: &Value) -> String {
    let mut lines = vec![format!("{name}: generation {}", value["generation"])];
    for segment in value["segments"].as_array().into_iter().flatten() {
        let begun = match segment["first_seq"].as_u64() {
            Some(seq) => format!("first seq {seq}"),
            None => "not begun, or its header is bad".to_owned(),
        };
        let (file, place) =
            (segment["file"].as_str().unwrap_or_default(), segment["place"].as_str().unwrap_or_default());
        lines.push(format!("  {file}  {place}  {} bytes  {begun}", segment["bytes"]));
    }
    if let Some(oldest) = value["kept_from"].as_u64().filter(|&oldest| oldest > 0) {
        lines.push(format!("  kept: from position {oldest} on, what lay before was given up by retention"));
    }
    lines.push(match &value["mark"] {
        Value::Null => "  mark: none that can be read".to_owned(),
        mark => {
            let clean = if mark["clean"] == true { "stopped cleanly there" } else { "in use, or its process died" };
            format!("  mark: on disk up to position {} at least, {clean}", mark["position"])
        }
    });
    if let memory @ Value::Object(_) = &value["memory"] {
        lines.push(format!("  memory: visible to position {}, durable to {}", memory["visible"], memory["durable"]));
    }
    lines.push(match &value["end"] {
        Value::Null => format!("  end: not reached: {}", value["fault"].as_str().unwrap_or_default()),
        end => format!("  end: position {}, last seq {}", end["position"], end["last_seq"]),
    });
    lines.join("\n")
}
