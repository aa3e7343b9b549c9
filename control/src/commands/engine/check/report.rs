//! What a check tells: as text for people, as one JSON object for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Examined;
use super::cases::{Case, symbols};
use super::findings::Finding;
use super::measure::{Held, Steady};
use super::session::Said;

/// Characters of a snapshot or an answer that are shown in text; JSON has it whole.
const SHOWN: usize = 240;
/// Of these, those before the first difference.
const BEFORE: usize = 60;

/// All that was run and found.
pub struct Report {
    pub spec: String,
    /// Where the snapshots are from.
    pub source: String,
    pub cases: Vec<Case>,
    pub examined: Vec<Examined>,
    pub not_checked: Vec<String>,
    pub findings: Vec<Finding>,
}

impl Report {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "engine {}: {} snapshots of {} symbols, {}\n",
            self.spec,
            self.cases.len(),
            symbols(&self.cases),
            self.source
        );
        for examined in &self.examined {
            text += &examined.text();
        }
        for what in &self.not_checked {
            let _ = writeln!(text, "not checked: {what}");
        }
        for (number, finding) in self.findings.iter().enumerate() {
            let _ = write!(
                text,
                "\nfinding {} of {}: {}, {}\n",
                number + 1,
                self.findings.len(),
                finding.kind,
                finding.place
            );
            text += &self.detail(finding);
        }
        if self.findings.is_empty() {
            text += "ok: nothing found";
        }
        text.trim_end().to_owned()
    }

    fn detail(&self, finding: &Finding) -> String {
        let mut text = format!("  what   {}\n", finding.what);
        if let Some((at, said)) = &finding.example {
            let case = &self.cases[*at];
            let _ =
                writeln!(text, "  where  {}: {} at {} ms", case.from, case.symbol.escape_debug(), case.timestamp_ms);
            let _ = writeln!(text, "  asked  {}", window(&case.normalized, 0));
            let shown: Vec<String> = said.iter().map(shown).collect();
            let from = if let [one, other] = &shown[..] { first_difference(one, other) } else { 0 };
            for (said, word) in shown.iter().zip(["said", "then"]) {
                let _ = writeln!(text, "  {word}   {}", window(said, from));
            }
        }
        let _ = writeln!(text, "  next   {}", finding.next);
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            let example = finding.example.as_ref().map(|(at, said)| {
                let case = &self.cases[*at];
                json!({
                    "from": case.from, "symbol": case.symbol, "timestamp_ms": case.timestamp_ms, "normalized": case.normalized,
                    "said": said.iter().map(shown).collect::<Vec<_>>(),
                })
            });
            json!({
                "kind": finding.kind, "place": finding.place, "what": finding.what, "next": finding.next, "example": example,
            })
        };
        json!({
            "engine": self.spec,
            "snapshots": {"count": self.cases.len(), "symbols": symbols(&self.cases), "source": self.source},
            "checked": self.examined.iter().map(Examined::json).collect::<Vec<_>>(),
            "not_checked": self.not_checked,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    }
}

impl Examined {
    /// Where it worked and how it was called.
    pub fn place(&self) -> String {
        format!("{}, {}", self.host, self.mode)
    }

    fn text(&self) -> String {
        let faults: String = self.outcomes().iter().map(|(name, count)| format!(", {count} {name}")).collect();
        let mut text = format!("{}: {} answered{faults}\n", self.place(), self.answered());
        if let Some(steady) = &self.steady {
            let _ = writeln!(text, "  a call takes {} over {} calls", latency(steady), steady.calls);
            if let Some(yardstick) = &self.yardstick {
                let _ = writeln!(text, "  beside it regime-example, which comes with Cutline: {}", latency(yardstick));
            }
            if let (Some(first), Some(last)) = (steady.held.first(), steady.held.last()) {
                let of = |what: fn(&Held) -> Option<u64>| match (what(first), what(last)) {
                    (Some(first), Some(last)) => format!("{first} to {last}"),
                    _ => "not told by the system".to_owned(),
                };
                let (bytes, files) = (of(|held| held.resident_bytes), of(|held| held.descriptors));
                let _ =
                    writeln!(text, "  memory {bytes} bytes, descriptors {files}, threads {}", of(|held| held.threads));
            }
        }
        if let Some(kills) = &self.kills {
            let longest = kills.longest.as_secs_f64() * 1e3;
            let _ = writeln!(
                text,
                "  killed {} times, {} of them with a call in flight: answered again after at most {longest:.1} ms",
                kills.count, kills.in_flight
            );
        }
        if self.lines > 0 {
            let _ = writeln!(text, "  it printed {} lines", self.lines);
        }
        text
    }

    fn json(&self) -> Value {
        let latency = |steady: &Steady| {
            let at = |quantile| steady.took_ns.value_at_quantile(quantile);
            json!({"calls": steady.calls, "p50_ns": at(0.5), "p99_ns": at(0.99), "max_ns": steady.took_ns.max()})
        };
        let held = |held: &Held| json!({"resident_bytes": held.resident_bytes, "descriptors": held.descriptors, "threads": held.threads});
        let differing = json!({
            "twice_in_a_row": self.repeated.count, "other_order": self.backwards.count, "later": self.later.count,
            "fresh_process": self.fresh.count,
        });
        let digest: String = self.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "host": self.host, "mode": self.mode.name(), "digest": digest, "answered": self.answered(),
            "failed": self.outcomes(), "differing": differing, "lines_printed": self.lines,
            "latency": self.steady.as_ref().map(latency),
            "latency_of_regime_example": self.yardstick.as_ref().map(latency),
            "held": self.steady.as_ref().map(|steady| steady.held.iter().map(held).collect::<Vec<_>>()),
            "kills": self.kills.as_ref().map(|kills| json!({
                "count": kills.count, "in_flight": kills.in_flight, "longest_ms": kills.longest.as_secs_f64() * 1e3,
            })),
        })
    }
}

fn latency(steady: &Steady) -> String {
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |quantile| us(steady.took_ns.value_at_quantile(quantile));
    format!("p50 {:.1} us, p99 {:.1} us, max {:.1} us", at(0.5), at(0.99), us(steady.took_ns.max()))
}

/// What was said, in one line; answers may hold any bytes.
fn shown(said: &Said) -> String {
    match said {
        Ok(reply) if reply.state.is_empty() => String::from_utf8_lossy(&reply.bytes).into_owned(),
        Ok(reply) => {
            format!("{} state {}", String::from_utf8_lossy(&reply.bytes), String::from_utf8_lossy(&reply.state))
        }
        Err(fault) => fault.to_string(),
    }
}

/// Characters before the first one that differs.
fn first_difference(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

/// What a line has room for around character `at`, without control characters.
fn window(text: &str, at: usize) -> String {
    let from = at.saturating_sub(BEFORE);
    let part: String = text.chars().skip(from).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let (before, after) =
        (if from > 0 { "..." } else { "" }, if text.chars().nth(from + SHOWN).is_some() { "..." } else { "" });
    format!("{before}{part}{after}")
}
