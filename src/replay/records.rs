//! Frames as the contract's JSON: one canonical line for each record. Pure; used by dump, tail, verify and follower tools.

use cutline_journal::{Descriptor, Frame};

use crate::model::canonical;
use crate::model::frames::{
    CLOCK_STEP, CONFIG, EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS, EVENT_STARTED, Failure, RunFrame, RunHeader,
    STARTED, TICK, TICKS_SKIPPED, TickBody,
};
use crate::model::run_id::{EngineMode, RunId};
use crate::model::view::{Stored, write_json_view};

/// Why a frame has no such line.
pub type NoLine = String;

/// A JSON object under construction, keys in the order given (which must be sorted to be canonical).
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        canonical::string(key, self.out);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        canonical::string(value, self.key(key));
        self
    }

    fn number(&mut self, key: &str, value: i64) -> &mut Self {
        canonical::i64(value, self.key(key));
        self
    }

    fn seq(&mut self, key: &str, value: u64) -> &mut Self {
        let digits = value.to_string();
        self.raw(key, digits.as_bytes())
    }

    fn raw(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.key(key).extend_from_slice(value);
        self
    }

    /// JSON that somebody else wrote, in canonical form.
    fn json(&mut self, key: &str, value: &[u8]) -> Result<&mut Self, NoLine> {
        let text = str::from_utf8(value).map_err(|_| format!("{key} is not UTF-8"))?;
        canonical::canonicalize(text, self.key(key)).map_err(|error| format!("{key}: {error}"))?;
        Ok(self)
    }

    fn optional(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.number(key, value),
            None => self.raw(key, b"null"),
        }
    }

    fn optional_text(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, b"null"),
        }
    }

    /// What was cut for a run: of all lines about runs the same keys, which follow each other in their order.
    fn cut(&mut self, frame: &RunFrame<'_>) -> Result<&mut Self, NoLine> {
        let run = &frame.run;
        Ok(self
            .json("counts_by_event_type", frame.counts)?
            .seq("cut_end_ingest_seq", run.cut_end)
            .text("cut_kind", cut_kind_name(run))
            .seq("cut_start_ingest_seq", run.cut_start)
            .optional_text("engine_mode", mode_name(run))
            .number("engine_timestamp_ms", run.engine_timestamp_ms))
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

fn mode_name(run: &RunHeader) -> Option<&'static str> {
    EngineMode::from_code(run.engine_mode).map(EngineMode::name)
}

fn cut_kind_name(run: &RunHeader) -> &'static str {
    if run.cut_kind == 0 { "timer" } else { "boundary" }
}

/// RawInputBufferRecord of a receipt.
///
/// # Errors
/// A stored event that cannot be shown as canonical JSON (a number beyond a double).
pub fn input(frame: &Frame<'_>, source: &str, out: &mut Vec<u8>) -> Result<(), NoLine> {
    let header = &frame.header;
    let mut object = Object::new(out);
    let stored = Stored { flags: header.flags, payload: frame.payload, source, ts_ms: header.ts_ms, aux: header.aux };
    write_json_view(&stored, object.key("event")).map_err(|error| format!("ingest_seq {}: {error}", header.seq))?;
    object
        .seq("ingest_seq", header.seq)
        .number("ingest_ts_ms", header.ts_ns.div_euclid(1_000_000))
        .number("ingest_ts_ns", header.ts_ns);
    object.end();
    Ok(())
}

/// Name of an outputs frame's event type; `None` for frames that are no events.
#[must_use]
pub fn event_type(kind: u8) -> Option<&'static str> {
    match kind {
        EVENT_STARTED => Some("EngineRunStarted"),
        EVENT_COMPLETED => Some("EngineRunCompleted"),
        EVENT_FAILED => Some("EngineRunFailed"),
        EVENT_HYSTERESIS => Some("HysteresisDecisionPublished"),
        _ => None,
    }
}

/// OrchestratorEvent of an outputs frame; false and nothing written if the frame is none. `raw` leaves the engine's bytes
/// as they are.
///
/// # Errors
/// A frame that does not read back.
pub fn event(frame: &Frame<'_>, raw: bool, out: &mut Vec<u8>) -> Result<bool, NoLine> {
    let Some(event_type) = event_type(frame.header.kind) else { return Ok(false) };
    let unread = |what: &str| format!("outputs seq {}: {what}", frame.header.seq);
    let run = RunFrame::read(frame.payload).map_err(unread)?;
    let mut object = Object::new(out);
    object
        .number("attempt", i64::from(run.run.attempts))
        .cut(&run)
        .map_err(|what| unread(&what))?
        .text("event_type", event_type);
    payload(frame.header.kind, &run, raw, object.key("payload"))?;
    object
        .number("published_ts_ms", frame.header.ts_ns.div_euclid(1_000_000))
        .text("run_id", &RunId(run.run.run_id).to_string())
        .text("schema", "orchestrator_event")
        .text("schema_version", "1")
        .text("symbol", run.symbol);
    object.end();
    Ok(true)
}

fn payload(kind: u8, run: &RunFrame<'_>, raw: bool, out: &mut Vec<u8>) -> Result<(), NoLine> {
    match kind {
        EVENT_FAILED => {
            let mut object = Object::new(out);
            object.text("error_detail", &String::from_utf8_lossy(run.body));
            object.text("error_kind", Failure::from_number(run.run.failure).map_or("unknown", Failure::name));
            object.end();
        }
        EVENT_COMPLETED | EVENT_HYSTERESIS => {
            let key = if kind == EVENT_COMPLETED { "regime_output" } else { "hysteresis_decision" };
            let mut object = Object::new(out);
            engine_json(run.body, raw, object.key(key))?;
            object.end();
        }
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}

fn engine_json(bytes: &[u8], raw: bool, out: &mut Vec<u8>) -> Result<(), NoLine> {
    if raw {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let text = str::from_utf8(bytes).map_err(|_| "engine output is not UTF-8".to_owned())?;
    canonical::canonicalize(text, out).map_err(|error| format!("engine output: {error}"))
}

/// EngineRunRecord of a STARTED frame, with its outcome if it has one.
///
/// # Errors
/// A frame that does not read back.
pub fn run(started: &Descriptor, run: &RunFrame<'_>, outcome: Option<(&Descriptor, &RunFrame<'_>)>, out: &mut Vec<u8>) {
    let ended = outcome.map(|(_, frame)| frame);
    let failure = ended.and_then(|frame| Failure::from_number(frame.run.failure));
    let detail = ended.map(|frame| String::from_utf8_lossy(frame.body));
    let status = match (ended, failure) {
        (None, _) => "started",
        (Some(_), None) => "completed",
        (Some(_), Some(_)) => "failed",
    };
    let started_ms = outcome.map_or_else(|| started.ts_ns.div_euclid(1_000_000), |(header, _)| header.ts_ms);
    let mut object = Object::new(out);
    object
        .number("attempts", i64::from(ended.map_or(run.run.attempts, |frame| frame.run.attempts)))
        .optional("completed_ts_ms", outcome.map(|(header, _)| header.ts_ns.div_euclid(1_000_000)))
        .seq("cut_end_ingest_seq", run.run.cut_end)
        .text("cut_kind", cut_kind_name(&run.run))
        .seq("cut_start_ingest_seq", run.run.cut_start)
        .optional_text("engine_mode", mode_name(&run.run))
        .number("engine_timestamp_ms", run.run.engine_timestamp_ms)
        .optional_text("error_detail", failure.and(detail.as_deref()))
        .optional_text("error_kind", failure.map(Failure::name))
        .number("planned_ts_ms", run.run.planned_ts_ms)
        .text("run_id", &RunId(run.run.run_id).to_string())
        .number("started_ts_ms", started_ms)
        .text("status", status)
        .text("symbol", run.symbol);
    object.end();
}

/// A frame of the runs log as it is, for `dump runs --all`.
///
/// # Errors
/// A frame that does not read back.
pub fn decision(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), NoLine> {
    let header = &frame.header;
    let unread = |what: &str| format!("runs seq {}: {what}", header.seq);
    let mut object = Object::new(out);
    match header.kind {
        CONFIG => {
            let value: serde_json::Value =
                serde_json::from_slice(frame.payload).map_err(|error| unread(&error.to_string()))?;
            object.number("effective_from_planned_ts_ms", header.aux);
            for key in ["engine", "engine_digest", "frame", "scheduler", "symbols"] {
                match key {
                    "frame" => object.text("frame", "config"),
                    "engine_digest" => object.text(key, value[key].as_str().unwrap_or_default()),
                    _ => {
                        let text = value["config"][key].to_string();
                        canonical::canonicalize(&text, object.key(key)).map_err(|error| unread(&error.to_string()))?;
                        &mut object
                    }
                };
            }
        }
        TICK => {
            let body: TickBody =
                bytemuck::try_pod_read_unaligned(frame.payload).map_err(|_| unread("tick is too short"))?;
            object
                .seq("cut_end_ingest_seq", body.cut_end)
                .number("engine_timestamp_ms", header.ts_ms)
                .text("frame", "tick")
                .number("planned_ts_ms", header.aux)
                .seq("runs", body.runs)
                .seq("skipped", body.skipped_empty);
        }
        STARTED => {
            let run = RunFrame::read(frame.payload).map_err(unread)?;
            object
                .cut(&run)
                .map_err(|what| unread(&what))?
                .text("frame", "started")
                .number("planned_ts_ms", run.run.planned_ts_ms)
                .text("run_id", &RunId(run.run.run_id).to_string())
                .number("started_ts_ms", header.ts_ns.div_euclid(1_000_000))
                .text("symbol", run.symbol);
        }
        TICKS_SKIPPED => {
            let count = frame.payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            object
                .seq("count", count)
                .text("frame", "ticks_skipped")
                .number("from_planned_ts_ms", header.ts_ms)
                .number("to_planned_ts_ms", header.aux);
        }
        CLOCK_STEP => {
            object.number("difference_ns", header.aux).text("frame", "clock_step");
        }
        other => return Err(unread(&format!("unknown frame kind {other}"))),
    }
    object.end();
    Ok(())
}

/// A hysteresis state after a run.
///
/// # Errors
/// A frame that does not read back.
pub fn state(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), NoLine> {
    let run = RunFrame::read(frame.payload).map_err(|what| format!("outputs seq {}: {what}", frame.header.seq))?;
    let (digest, state) = run.body.split_first_chunk::<32>().ok_or("state frame without engine digest")?;
    let mut base64 = Vec::new();
    let text = str::from_utf8(state);
    if text.is_err() {
        crate::model::base64::encode(state, &mut base64);
    }
    let mut object = Object::new(out);
    object
        .text("engine_digest", &RunId(*digest).to_string())
        .number("engine_timestamp_ms", run.run.engine_timestamp_ms)
        .text("run_id", &RunId(run.run.run_id).to_string())
        .text("state", text.unwrap_or_else(|_| str::from_utf8(&base64).unwrap_or_default()))
        .text("state_encoding", if text.is_ok() { "text" } else { "base64" })
        .text("symbol", run.symbol);
    object.end();
    Ok(())
}
