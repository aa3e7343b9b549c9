//! The text format OpenMetrics 1.0, as far as it is needed: families of samples, each family in one piece, `# EOF` at the end. Pure.

use std::fmt::{Display, Write};

/// What the text is, for whoever gets it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rises and falls.
    Gauge,
    /// Never falls; its samples end in `_total`.
    Counter,
    /// Quantiles, count and sum.
    Summary,
}

/// A text that is being written.
#[derive(Default)]
pub struct Text {
    out: String,
}

/// Labels of a sample.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// Begins a family. Its name ends in its unit, if it has one.
    pub fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let word = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Summary => "summary",
        };
        self.line(format_args!("# TYPE {name} {word}"));
        if !unit.is_empty() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {}", escaped(help)));
    }

    /// A sample of the family that was begun last. `suffix` is `_total` of counters, `_count` and `_sum` of summaries.
    pub fn sample(&mut self, name: &str, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name}{suffix} {value}"));
        } else {
            self.line(format_args!("{name}{suffix}{{{}}} {value}", labels.join(",")));
        }
    }

    /// All of it.
    pub fn finish(mut self) -> String {
        self.out.push_str("# EOF\n");
        self.out
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = writeln!(self.out, "{line}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
