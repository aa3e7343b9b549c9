//! Framing: a stream cut anywhere gives the receipts of the stream in one piece, and every byte of it is accounted for.
//!
//! Twice: the two splitters alone, and the whole ingest stage reading from a source that gives a few bytes at a time into a ring
//! that is emptied late.

use std::io::{self, Read};

use cutline::ingest::lines::LineSplitter;
use cutline::ingest::records::RecordSplitter;
use cutline::ingest::{
    FeedAddress, FeedSettings, Format, IngestSettings, IngestStage, Piece, RetrySettings, draft_max_bytes,
};
use cutline::model::binary::{self, Framing};
use cutline::plane::stage::Stage;
use cutline_journal::Descriptor;
use cutline_ring::bytes;

/// Most polls that a stage may take per byte of its stream, plus a few: it must come to an end.
const POLLS_PER_BYTE: usize = 8;

/// How a stream is cut; from the first bytes of the input.
struct Cuts<'a> {
    chunks: &'a [u8],
    max_bytes: usize,
    read_max_bytes: usize,
}

impl Cuts<'_> {
    fn chunk(&self, turn: usize) -> usize {
        usize::from(self.chunks[turn % self.chunks.len()]) + 1
    }
}

/// A receipt's bytes, its true length, and whether the framing holds it for whole.
type Seen = (Vec<u8>, u64, bool);

/// `data`: what to drive (1 byte), limits (2 bytes), eight chunk lengths, the stream.
pub fn check(data: &[u8]) {
    let Some(([how, max, read_max, chunks @ ..], stream)) = data.split_first_chunk::<11>() else { return };
    let cuts = Cuts { chunks, max_bytes: usize::from(*max) + 1, read_max_bytes: usize::from(*read_max) + 1 };
    match how % 4 {
        0 => check_lines(stream, &cuts),
        1 => check_records(stream, &Cuts { max_bytes: cuts.max_bytes + 40, ..cuts }),
        2 => check_stage(stream, &cuts, Format::Ndjson),
        _ => check_stage(stream, &Cuts { max_bytes: cuts.max_bytes + 40, ..cuts }, Format::Binary),
    }
}

fn seen(piece: Piece<'_>) -> Seen {
    (piece.bytes.to_vec(), piece.true_len_bytes, piece.whole)
}

/// The contract of lines, without a buffer.
fn expected_lines(stream: &[u8], max_bytes: usize) -> Vec<Seen> {
    let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
    let rest = lines.pop().filter(|rest| !rest.is_empty());
    let lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.chain(rest).map(|line| (line[..line.len().min(max_bytes)].to_vec(), line.len() as u64, true)).collect()
}

fn check_lines(stream: &[u8], cuts: &Cuts<'_>) {
    let mut splitter = LineSplitter::new(cuts.max_bytes, cuts.read_max_bytes);
    let mut found = Vec::new();
    let (mut rest, mut turn) = (stream, 0);
    while !rest.is_empty() {
        let space = splitter.space();
        assert!(!space.is_empty(), "room for at least one byte");
        let bytes = cuts.chunk(turn).min(space.len()).min(rest.len());
        turn += 1;
        space[..bytes].copy_from_slice(&rest[..bytes]);
        splitter.filled(bytes);
        rest = &rest[bytes..];
        while let Some(piece) = splitter.peek() {
            found.push(seen(piece));
            splitter.consume();
        }
    }
    splitter.finish();
    while let Some(piece) = splitter.peek() {
        found.push(seen(piece));
        splitter.consume();
    }
    assert_eq!(found, expected_lines(stream, cuts.max_bytes));
    let ends: usize = stream.split_inclusive(|&byte| byte == b'\n').map(line_end_bytes).sum();
    let kept: u64 = found.iter().map(|(_, true_len_bytes, _)| true_len_bytes).sum();
    assert_eq!(kept + ends as u64, stream.len() as u64, "every byte is in a line or ends one");
}

fn line_end_bytes(line: &[u8]) -> usize {
    match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Records by their lengths alone; then what is behind them, and whether a broken length stands there.
fn expected_records(stream: &[u8], max_bytes: usize) -> (Vec<Seen>, &[u8], bool) {
    let (mut records, mut rest) = (Vec::new(), stream);
    loop {
        match binary::frame(rest, max_bytes) {
            Framing::Record(bytes) => {
                records.push((rest[..bytes].to_vec(), bytes as u64, true));
                rest = &rest[bytes..];
            }
            Framing::TooLong(bytes) if bytes <= rest.len() => {
                records.push((rest[..max_bytes].to_vec(), bytes as u64, true));
                rest = &rest[bytes..];
            }
            Framing::NeedMore(_) | Framing::TooLong(_) => return (records, rest, false),
            Framing::Broken(_) => return (records, rest, true),
        }
    }
}

fn check_records(stream: &[u8], cuts: &Cuts<'_>) {
    let mut splitter = RecordSplitter::new(cuts.max_bytes, cuts.read_max_bytes);
    let mut found = Vec::new();
    let (mut rest, mut turn) = (stream, 0);
    while !rest.is_empty() && !splitter.is_broken() {
        let space = splitter.space();
        assert!(!space.is_empty(), "room for at least one byte");
        let bytes = cuts.chunk(turn).min(space.len()).min(rest.len());
        turn += 1;
        space[..bytes].copy_from_slice(&rest[..bytes]);
        splitter.filled(bytes);
        rest = &rest[bytes..];
        while let Some(piece) = splitter.peek() {
            found.push(seen(piece));
            splitter.consume();
        }
    }
    splitter.finish();
    while let Some(piece) = splitter.peek() {
        found.push(seen(piece));
        splitter.consume();
    }
    assert_records(found, stream, stream.len() - rest.len(), cuts.max_bytes, splitter.is_broken());
}

/// `received` bytes of `stream` gave `found`. What lies behind a broken length was received as the stream was cut: of the last
/// piece only its start is known.
fn assert_records(mut found: Vec<Seen>, stream: &[u8], received: usize, max_bytes: usize, broken: bool) {
    let (records, rest, expect_broken) = expected_records(stream, max_bytes);
    assert_eq!(broken, expect_broken);
    if !rest.is_empty() {
        let (bytes, true_len_bytes, whole) = found.pop().expect("a piece for what is left");
        let behind = &rest[..rest.len() - (stream.len() - received)];
        assert!(!whole && !bytes.is_empty());
        assert_eq!((&bytes[..], true_len_bytes), (&behind[..behind.len().min(max_bytes)], behind.len() as u64));
    }
    assert_eq!(found, records);
    assert!(broken || received == stream.len(), "a sound stream is read to its end");
}

/// Gives its bytes as they are cut, and now and then has nothing.
struct Trickle {
    stream: Vec<u8>,
    at: usize,
    chunks: Vec<usize>,
    turn: usize,
}

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let chunk = self.chunks[self.turn % self.chunks.len()];
        self.turn += 1;
        // Never twice in a row, or it would not come to an end.
        if chunk.is_multiple_of(7) && self.turn.is_multiple_of(2) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = chunk.min(into.len()).min(self.stream.len() - self.at);
        into[..bytes].copy_from_slice(&self.stream[self.at..][..bytes]);
        self.at += bytes;
        Ok(bytes)
    }
}

/// One draft: its descriptor but for the word that the ring keeps its stamp in, and its payload (line and names).
type Draft = (Descriptor, Vec<u8>);

fn check_stage(stream: &[u8], cuts: &Cuts<'_>, format: Format) {
    let chunks: Vec<usize> = (0..cuts.chunks.len()).map(|turn| cuts.chunk(turn)).collect();
    let cut = run_stage(stream, chunks, cuts, format);
    let whole = run_stage(stream, vec![usize::MAX], cuts, format);
    let line = |(header, payload): &Draft| cutline::model::receipt::Draft::of(header, payload).line.to_vec();
    match format {
        Format::Ndjson => {
            assert_eq!(cut, whole, "the cuts of a stream are not seen");
            let expected: Vec<Vec<u8>> =
                expected_lines(stream, cuts.max_bytes).into_iter().map(|seen| seen.0).collect();
            assert_eq!(cut.iter().map(line).collect::<Vec<_>>(), expected);
        }
        Format::Binary => {
            let (records, rest, broken) = expected_records(stream, cuts.max_bytes);
            assert_eq!(cut.len(), records.len() + usize::from(!rest.is_empty()));
            let sound = if broken { records.len() } else { cut.len() };
            assert_eq!(cut[..sound], whole[..sound], "the cuts of a stream are not seen");
            assert!(cut.iter().zip(&records).all(|(draft, record)| line(draft) == record.0));
            if let Some(last) = cut.get(records.len()) {
                assert!(rest.starts_with(&line(last)), "what is left over is kept from its start");
            }
        }
    }
}

fn run_stage(stream: &[u8], chunks: Vec<usize>, cuts: &Cuts<'_>, format: Format) -> Vec<Draft> {
    let settings = IngestSettings {
        line_max_bytes: cuts.max_bytes,
        connections_max: 1,
        read_buffer_bytes: cuts.read_max_bytes.max(2),
        retry: RetrySettings { min_delay_ms: 1, max_delay_ms: 1, max_attempts: 1, max_elapsed_ms: None },
    };
    let late = chunks.len();
    let source = Trickle { stream: stream.to_vec(), at: 0, chunks, turn: 0 };
    let feed = FeedSettings { name: "feed".to_owned(), source: FeedAddress::Reader(Box::new(source)), format };
    // The smallest ring that takes the longest line: it is full most of the time.
    let (producer, mut consumer) = bytes::channel((2 * (draft_max_bytes(cuts.max_bytes) + 64)).next_power_of_two());
    let mut stage = IngestStage::new(vec![feed], settings, producer).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut drafts = Vec::new();
    let mut polls = 0;
    while !stage.is_done() {
        assert!(
            polls < POLLS_PER_BYTE * (stream.len() + 64),
            "the stage does not come to an end: {:?}",
            stage.counters()
        );
        stage.poll(1);
        polls += 1;
        for _ in 0..late {
            let Some((header, payload)) = consumer.peek() else { break };
            drafts.push((Descriptor { length: 0, ..header }, payload.to_vec()));
            consumer.advance();
        }
    }
    while let Some((header, payload)) = consumer.peek() {
        drafts.push((Descriptor { length: 0, ..header }, payload.to_vec()));
        consumer.advance();
    }
    drafts
}
