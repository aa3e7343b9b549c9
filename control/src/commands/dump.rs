//! `cutline dump`: logs as canonical JSON lines.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use cutline::model::frames::{NAME, OUTCOME, RunFrame, STARTED, STATE};
use cutline::model::receipt::RECEIPT;
use cutline::plane::checkpoint::Checkpoint;
use cutline::replay::records;
use cutline::sequence::names::NameTables;
use cutline_journal::checkpoints::Checkpoints;
use cutline_journal::disk::os_disk;
use cutline_journal::{Descriptor, LogFault, Start, Tail};

use super::{Failure, Outcome, note, output};
use crate::cli::{self, What};

type Out = BufWriter<io::StdoutLock<'static>>;

/// `cutline dump`
pub fn dump(args: &cli::Dump) -> Outcome {
    args.check().map_err(Failure::usage)?;
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let dumped = match args.what {
        What::Inputs => inputs(args, &mut out),
        What::Runs if args.all => decisions(args, &mut out),
        What::Runs => runs(args, &mut out),
        What::Outputs => outputs(args, &mut out),
        What::States => states(args, &mut out),
    };
    match dumped {
        Err(Stop::Output(error)) => output(Err(error)),
        Err(Stop::Failure(failure)) => output(out.flush()).and(Err(failure)),
        Ok(()) => output(out.flush()),
    }
}

/// Why a dump ends early.
enum Stop {
    Output(io::Error),
    Failure(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<LogFault> for Stop {
    fn from(fault: LogFault) -> Self {
        Self::Failure(Failure::reading(fault))
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Failure(Failure::logs(text))
    }
}

impl cli::Dump {
    /// Refuses what could only print nothing, or not what was meant.
    fn check(&self) -> Result<(), String> {
        if let (Some(from), Some(to)) = (self.from_seq, self.to_seq)
            && from > to
        {
            return Err(format!("--from-seq {from} lies behind --to-seq {to}: exchange them"));
        }
        if let (Some(from), Some(to)) = (self.from_ms, self.to_ms)
            && from > to
        {
            return Err(format!("--from-ms {from} lies behind --to-ms {to}: exchange them"));
        }
        if self.all && self.what != What::Runs {
            return Err("--all is for runs alone: leave it out, or dump runs".to_owned());
        }
        if self.raw && self.what != What::Outputs {
            return Err("--raw is for outputs alone: leave it out, or dump outputs".to_owned());
        }
        Ok(())
    }

    fn wants(&self, seq: u64, ms: i64, symbol: Option<&str>) -> bool {
        self.from_seq.is_none_or(|from| seq >= from)
            && self.to_seq.is_none_or(|to| seq <= to)
            && self.from_ms.is_none_or(|from| ms >= from)
            && self.to_ms.is_none_or(|to| ms <= to)
            && self.symbol.as_deref().is_none_or(|wanted| symbol == Some(wanted))
    }
}

fn write_line(line: &mut Vec<u8>, out: &mut Out) -> io::Result<()> {
    line.push(b'\n');
    out.write_all(line)?;
    line.clear();
    Ok(())
}

fn inputs(args: &cli::Dump, out: &mut Out) -> Result<(), Stop> {
    let mut tail = Tail::open(&args.data, "inputs", Start::Oldest)?;
    let mut names = names_before(&args.data, &tail)?;
    let mut line = Vec::new();
    while let Some(frame) = tail.poll()? {
        match frame.header.kind {
            NAME => names.define(frame.header.flags, str::from_utf8(frame.payload).unwrap_or_default()),
            RECEIPT => {
                let symbol = names.symbols.name(frame.header.symbol);
                if args.wants(frame.header.seq, frame.header.ts_ns.div_euclid(1_000_000), symbol) {
                    let source = names.sources.name(frame.header.source).unwrap_or_default();
                    records::input(&frame, source, &mut line)?;
                    write_line(&mut line, out)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names that were defined before a tail of the inputs log that begins behind its first frame: any checkpoint has them.
pub fn names_before(data: &Path, tail: &Tail) -> Result<NameTables, LogFault> {
    let store = Checkpoints::of(data, os_disk());
    if tail.position() < tail.segment_bytes() {
        return Ok(NameTables::new(usize::MAX));
    }
    for place in store.places()? {
        if let Some(payload) = store.read(place)?
            && let Ok(checkpoint) = Checkpoint::decode(&payload, usize::MAX)
        {
            return Ok(checkpoint.names);
        }
    }
    Ok(NameTables::new(usize::MAX))
}

fn decisions(args: &cli::Dump, out: &mut Out) -> Result<(), Stop> {
    let mut tail = Tail::open(&args.data, "runs", Start::Oldest)?;
    let mut line = Vec::new();
    while let Some(frame) = tail.poll()? {
        let run = if frame.header.kind == STARTED { RunFrame::read(frame.payload).ok() } else { None };
        if args.wants(frame.header.seq, frame.header.ts_ms, run.map(|run| run.symbol)) {
            records::decision(&frame, &mut line)?;
            write_line(&mut line, out)?;
        }
    }
    Ok(())
}

fn runs(args: &cli::Dump, out: &mut Out) -> Result<(), Stop> {
    let mut started = Tail::open(&args.data, "runs", Start::Oldest)?;
    let mut ended = Tail::open(&args.data, "outputs", Start::Oldest)?;
    let mut outcomes_given_up = ended.position() >= ended.segment_bytes();
    // Outcomes come in the order of their STARTED frames, so that one is enough to be held.
    let mut outcome: Option<(Descriptor, Vec<u8>)> = None;
    let mut line = Vec::new();
    while let Some(frame) = started.poll()? {
        if frame.header.kind != STARTED {
            continue;
        }
        while outcome.as_ref().is_none_or(|(header, _)| header.aux.cast_unsigned() < frame.header.seq) {
            let Some(next) = ended.poll()? else { break };
            if next.header.kind == OUTCOME {
                outcome = Some((next.header, next.payload.to_vec()));
            }
        }
        let run = RunFrame::read(frame.payload).map_err(str::to_owned)?;
        if !args.wants(frame.header.seq, run.run.engine_timestamp_ms, Some(run.symbol)) {
            continue;
        }
        let own = outcome.as_ref().filter(|(header, _)| header.aux.cast_unsigned() == frame.header.seq);
        match own {
            Some((header, payload)) => {
                let ended = RunFrame::read(payload).map_err(str::to_owned)?;
                records::run(&frame.header, &run, Some((header, &ended)), &mut line);
            }
            None => {
                if std::mem::take(&mut outcomes_given_up) {
                    note(
                        "outcomes before the outputs log's beginning were given up by retention: runs before it show as started",
                    );
                }
                records::run(&frame.header, &run, None, &mut line);
            }
        }
        write_line(&mut line, out)?;
    }
    Ok(())
}

fn outputs(args: &cli::Dump, out: &mut Out) -> Result<(), Stop> {
    let mut tail = Tail::open(&args.data, "outputs", Start::Oldest)?;
    let mut line = Vec::new();
    while let Some(frame) = tail.poll()? {
        let symbol = RunFrame::read(frame.payload).ok().map(|run| run.symbol);
        if args.wants(frame.header.seq, frame.header.ts_ms, symbol) && records::event(&frame, args.raw, &mut line)? {
            write_line(&mut line, out)?;
        }
    }
    Ok(())
}

fn states(args: &cli::Dump, out: &mut Out) -> Result<(), Stop> {
    let mut tail = Tail::open(&args.data, "outputs", Start::Oldest)?;
    let mut line = Vec::new();
    while let Some(frame) = tail.poll()? {
        let symbol = RunFrame::read(frame.payload).ok().map(|run| run.symbol);
        if frame.header.kind == STATE && args.wants(frame.header.seq, frame.header.ts_ms, symbol) {
            records::state(&frame, &mut line)?;
            write_line(&mut line, out)?;
        }
    }
    Ok(())
}
