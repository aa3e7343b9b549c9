//! The keys that affect outputs as canonical JSON, for the config frames of the runs log, and back for a replay.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::{self, Data, Table};
use super::problem::{Origin, Problem, Problems};
use super::reader::Section;
use super::{EngineSpec, OtherState, OutputConfig, PublishOrder, default_layer, read};
use crate::model::canonical;

/// Where a frame's problems are said to be.
const FRAME_FILE: &str = "config frame";

/// What of a frame is wanted as it stands in the text.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    engine: FrameEngine<'a>,
}

#[derive(Deserialize)]
struct FrameEngine<'a> {
    #[serde(borrow)]
    hysteresis: &'a RawValue,
}

impl OutputConfig {
    /// Canonical JSON with the sections and keys of the config file. Two configs with the same text give the same outputs.
    #[must_use]
    pub fn to_canonical_json(&self) -> String {
        let (scheduler, symbols, engine) = (&self.scheduler, &self.symbols, &self.engine);
        let list = texts(&symbols.list);
        let retry = format!(
            r#"{{"max_attempts":{},"max_delay_ms":{},"max_elapsed_ms":{},"min_delay_ms":{}}}"#,
            engine.retry.max_attempts,
            engine.retry.max_delay_ms,
            engine.retry.max_elapsed_ms.unwrap_or(0),
            engine.retry.min_delay_ms,
        );
        let mut other = [const { String::new() }; 4];
        let [command, library, python, built_in] = &mut other;
        match &engine.spec {
            EngineSpec::BuiltIn(name) => *built_in = format!(r#","use":"{name}""#),
            EngineSpec::Library(path) => *library = format!(r#""library":{},"#, text(&path.to_string_lossy())),
            EngineSpec::Python(module) => *python = format!(r#""python":{},"#, text(module)),
            EngineSpec::Program(words) => *command = format!(r#""command":{},"#, texts(words)),
        }
        // Keys that came later stand there only where they say something else than before.
        let other_state = match engine.state_of_other_engine {
            OtherState::Keep => "",
            OtherState::Reset => r#""state_of_other_engine":"reset","#,
        };
        let engine = format!(
            r#"{{{command}"hysteresis":{},{library}"mode":"{}","output_max_bytes":{},{python}"retry":{retry},"state_max_bytes":{},{other_state}"timestamp_multiple_ms":{}{built_in}}}"#,
            engine.hysteresis_json,
            engine.mode,
            engine.output_max_bytes,
            engine.state_max_bytes,
            engine.timestamp_multiple_ms,
        );
        let publish = match self.order {
            PublishOrder::Run => "",
            PublishOrder::Symbol => r#""publish":{"order":"symbol"},"#,
        };
        let scheduler = format!(
            r#"{{"catch_up":"{}","catch_up_max_ticks":{},"delay_ms":{},"interval_ms":{},"mode":"{}"}}"#,
            scheduler.catch_up, scheduler.catch_up_max_ticks, scheduler.delay_ms, scheduler.interval_ms, scheduler.mode,
        );
        let symbols = format!(r#"{{"list":{list},"max":{},"mode":"{}"}}"#, symbols.max, symbols.mode);
        format!(r#"{{"engine":{engine},{publish}"scheduler":{scheduler},"symbols":{symbols}}}"#)
    }

    /// Reads what [`OutputConfig::to_canonical_json`] wrote, with the same checks as a config file. A key added since the frame was
    /// written has its default; the hysteresis table keeps its bytes.
    ///
    /// # Errors
    /// What of it this build does not understand or refuses.
    pub fn from_canonical_json(json: &[u8]) -> Result<Self, Problems> {
        let origin = Origin { layer: 1, file: FRAME_FILE.into(), line: 0 };
        let unreadable = |what: String| {
            let next_step = "Use the build that wrote the log, or look at the frame with dump.".into();
            Problems(vec![Problem { origin: origin.clone(), key: String::new(), what, next_step }])
        };
        let value = serde_json::from_slice(json).map_err(|error| unreadable(format!("not JSON: {error}")))?;
        let frame: Frame<'_> =
            serde_json::from_slice(json).map_err(|error| unreadable(format!("no config frame: {error}")))?;
        // The other keys do not affect outputs, and what the default has for them must not stand in a small frame's way.
        let mut problems = Vec::new();
        let layers = vec![default_layer(&mut problems), document::from_json(&origin, value)];
        let output = read::output(layers, problems)?;
        let mut engine = output.engine;
        engine.hysteresis_json = frame.engine.hysteresis.get().to_string();
        Ok(Self { engine, ..output })
    }
}

/// A canonical string; it is ASCII.
fn text(text: &str) -> String {
    let mut json = Vec::new();
    canonical::string(text, &mut json);
    String::from_utf8_lossy(&json).into_owned()
}

fn texts(list: &[String]) -> String {
    let list: Vec<String> = list.iter().map(|item| text(item)).collect();
    format!("[{}]", list.join(","))
}

/// A table whose keys are somebody else's, as canonical JSON. What JSON cannot say (dates, NaN, infinities) is a problem.
pub(super) fn open_table_json(section: &Section<'_>, key: &str) -> String {
    let mut json = Vec::new();
    match section.open_table(key) {
        Some(table) => write_table(section, key, table, &mut json),
        None => json.extend_from_slice(b"{}"),
    }
    String::from_utf8_lossy(&json).into_owned()
}

fn write_table(section: &Section<'_>, key: &str, table: &Table, json: &mut Vec<u8>) {
    json.push(b'{');
    for (index, (name, entry)) in table.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        canonical::string(name, json);
        json.push(b':');
        write_value(section, &format!("{key}.{name}"), &entry.node, json);
    }
    json.push(b'}');
}

fn write_value(section: &Section<'_>, key: &str, node: &document::Node, json: &mut Vec<u8>) {
    match &node.data {
        Data::Text(text) => canonical::string(text, json),
        Data::Integer(value) => canonical::i64(*value, json),
        Data::Boolean(value) => json.extend_from_slice(if *value { b"true" } else { b"false" }),
        Data::Float(value) => {
            if canonical::f64(*value, json).is_err() {
                section.mistyped(key, node, "a value that JSON can hold", "Set a finite number.");
            }
        }
        Data::Date(_) => section.mistyped(key, node, "a value that JSON can hold", "Put the date in double quotes."),
        Data::Array(items) => {
            json.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_value(section, &format!("{key}[{index}]"), item, json);
            }
            json.push(b']');
        }
        Data::Table(table) => write_table(section, key, table, json),
        Data::Null => json.extend_from_slice(b"null"),
        Data::Invalid => {}
    }
}
