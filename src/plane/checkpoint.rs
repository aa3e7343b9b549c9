//! A checkpoint's payload: written from what the logs say behind a tick, and read back. Pure; the same logs give the same bytes.
//!
//! Used by recovery, by the checkpointer and by replay, which computes it anew.

use super::settings::engine_of;
use super::states::{KeptState, KeptStates};
use crate::cut::state::{CutState, KeptCut, Tick};
use crate::model::checkpoint::{CheckpointHead, CountRecord, CutRecord, MakerRecord, StateRecord};
use crate::sequence::names::{NameTables, Names};

/// Bytes of [`CheckpointHead`].
pub const HEAD_BYTES: usize = size_of::<CheckpointHead>();

/// Which logs, and how far: what a checkpoint names besides what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Identities of inputs, runs and outputs.
    pub log_ids: [u64; 3],
    /// Their generations.
    pub generations: [u64; 3],
    /// Places in them.
    pub positions: [u64; 3],
}

/// What the logs say there.
pub struct Said<'a> {
    /// All names of the inputs log.
    pub names: &'a NameTables,
    /// The cuts, behind a tick.
    pub cut: &'a CutState,
    /// Hysteresis states by symbol id.
    pub states: &'a KeptStates,
    /// The CONFIG frame in force: first planned time that it applies to, Unix ms, and payload.
    pub config: (i64, &'a [u8]),
    /// Sequence of the last STARTED frame.
    pub started: u64,
    /// Latest time in the inputs log, ns.
    pub last_ns: i64,
    /// Latest time in the runs log, ns.
    pub decided_ns: i64,
}

/// The payload of a checkpoint; `None` before the first tick.
#[must_use]
pub fn encode(standing: &Standing, said: &Said<'_>) -> Option<Vec<u8>> {
    let tick = said.cut.last_tick()?;
    let Standing { log_ids, generations, positions } = *standing;
    let states = || said.states.iter();
    let engine = engine_of(said.config.1);
    let makers = || states().filter(|(_, kept)| Some(kept.engine) != engine);
    let tables = [&said.names.symbols, &said.names.sources, &said.names.event_types];
    let head = CheckpointHead {
        log_ids,
        generations,
        positions,
        receipts: said.cut.last_seq(),
        started: said.started,
        planned_ts_ms: tick.planned_ts_ms,
        engine_timestamp_ms: tick.engine_timestamp_ms,
        last_ns: said.last_ns,
        effective_ms: said.config.0,
        config_len: count(said.config.1.len()),
        symbols: count(tables[0].iter().count()),
        sources: count(tables[1].iter().count()),
        event_types: count(tables[2].iter().count()),
        cuts: count(said.cut.kept().len()),
        states: count(states().count()),
        decided_ns: said.decided_ns,
        makers: count(makers().count()),
        reserved: [0; 4],
    };
    let mut out = Vec::new();
    push(&mut out, &head);
    out.extend_from_slice(said.config.1);
    for (_, name) in tables.into_iter().flat_map(Names::iter) {
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    for KeptCut { symbol, next_start, counts } in said.cut.kept() {
        push(&mut out, &CutRecord { next_start, symbol, counts: count(counts.len()) });
        for (event_type, count) in counts {
            push(&mut out, &CountRecord { event_type, reserved: 0, count });
        }
    }
    for (symbol, KeptState { state, .. }) in states() {
        push(&mut out, &StateRecord { symbol, state_len: count(state.len()) });
        out.extend_from_slice(state);
    }
    for (symbol, kept) in makers() {
        push(&mut out, &MakerRecord { engine_digest: kept.engine, symbol, reserved: 0 });
    }
    Some(out)
}

fn push(out: &mut Vec<u8>, record: &impl bytemuck::NoUninit) {
    out.extend_from_slice(bytemuck::bytes_of(record));
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A checkpoint read back.
pub struct Checkpoint {
    /// Where it stands.
    pub head: CheckpointHead,
    /// Payload of the CONFIG frame in force.
    pub config: Vec<u8>,
    /// All names.
    pub names: NameTables,
    /// Cuts behind the tick; which symbols are in the set the configuration says.
    pub cut: CutState,
    /// Hysteresis states by symbol id.
    pub states: KeptStates,
}

impl Checkpoint {
    /// Reads a payload; `symbols_max` is the configured limit of symbols.
    ///
    /// # Errors
    /// What does not fit, as text, for payloads that Cutline did not write.
    pub fn decode(payload: &[u8], symbols_max: usize) -> Result<Self, &'static str> {
        let mut rest = Rest(payload);
        let head: CheckpointHead = rest.record()?;
        let config = rest.take(head.config_len as usize)?.to_vec();
        let mut names = NameTables::new(symbols_max);
        let tables = [&mut names.symbols, &mut names.sources, &mut names.event_types];
        for (table, number) in tables.into_iter().zip([head.symbols, head.sources, head.event_types]) {
            for _ in 0..number {
                let len = u16::from_le_bytes(*rest.take(2)?.first_chunk().ok_or(SHORT)?);
                let name = str::from_utf8(rest.take(usize::from(len))?).map_err(|_| "a name is not UTF-8")?;
                table.add(name);
            }
        }
        let last = Tick { planned_ts_ms: head.planned_ts_ms, engine_timestamp_ms: head.engine_timestamp_ms };
        let mut cut = CutState::restored(head.receipts, last);
        for _ in 0..head.cuts {
            let CutRecord { next_start, symbol, counts } = rest.record()?;
            let counts = (0..counts).map(|_| rest.record().map(|kept: CountRecord| (kept.event_type, kept.count)));
            let kept = KeptCut { symbol, next_start, counts: counts.collect::<Result<_, _>>()? };
            cut.restore_symbol(&kept, names.symbols.name(symbol).ok_or("a cut of a symbol without a name")?);
        }
        let (mut states, engine) = (KeptStates::default(), engine_of(&config).unwrap_or_default());
        for _ in 0..head.states {
            let StateRecord { symbol, state_len } = rest.record()?;
            if names.symbols.name(symbol).is_none() {
                return Err("a state of a symbol without a name");
            }
            states.keep(symbol, engine, rest.take(state_len as usize)?);
        }
        for _ in 0..head.makers {
            let MakerRecord { engine_digest, symbol, .. } = rest.record()?;
            if !states.was_made_by(symbol, engine_digest) {
                return Err("the maker of a state that is not there");
            }
        }
        if !rest.0.is_empty() || head.reserved != [0; 4] {
            return Err("a checkpoint of a later version of this format");
        }
        Ok(Self { head, config, names, cut, states })
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let CheckpointHead { log_ids, generations, positions, .. } = self.head;
        Standing { log_ids, generations, positions }
    }
}

const SHORT: &str = "the checkpoint is shorter than it says";

/// What of a payload is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn record<T: bytemuck::AnyBitPattern>(&mut self) -> Result<T, &'static str> {
        Ok(bytemuck::pod_read_unaligned(self.take(size_of::<T>())?))
    }
}

#[cfg(test)]
mod tests {
    use cutline_journal::Descriptor;
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::cut::state::{RunKind, SymbolSet};
    use crate::model::frames::{NAME_EVENT_TYPE, NAME_SOURCE, NAME_SYMBOL};
    use crate::model::run_id::EngineMode;
    use crate::plane::settings::config_frame;

    /// Logs in which A was cut and B, which is not in the set, has events left.
    fn sample() -> Vec<u8> {
        let mut names = NameTables::new(10);
        for (flags, name) in [(NAME_SYMBOL, "B"), (NAME_SOURCE, "v"), (NAME_SYMBOL, "A"), (NAME_EVENT_TYPE, "X")] {
            names.define(flags, name);
        }
        let mut cut = CutState::new(SymbolSet::List(vec!["A".to_owned()]));
        cut.expect(Tick { planned_ts_ms: 70, engine_timestamp_ms: 60 });
        let other = crate::model::receipt::EVENT_TYPE_FIRST_INTERNED;
        for (seq, symbol, event_type) in [(1, 1, 1), (2, 1, other), (3, 1, other), (4, 2, 2)] {
            cut.receipt(&Descriptor { seq, symbol, event_type, ..Descriptor::default() }, &names);
        }
        let kind = RunKind { mode: EngineMode::Hysteresis, cut_kind: 1 };
        assert!(cut.run(0, kind, &names, &mut Vec::new()).is_some());
        cut.close(None);
        let mut states = KeptStates::default();
        states.keep(1, [1; 32], b"another engine's");
        states.keep(2, [7; 32], b"state");
        let config = config_frame(&Config::embedded_default().output, &[7; 32]);
        let said = Said {
            names: &names,
            cut: &cut,
            states: &states,
            config: (7, config.as_bytes()),
            started: 1,
            last_ns: 69_000_000,
            decided_ns: 71_000_000,
        };
        encode(&Standing { log_ids: [1, 2, 3], generations: [1, 1, 2], positions: [640, 320, 960] }, &said).unwrap()
    }

    #[test]
    fn what_is_read_back_gives_the_same_bytes() {
        let payload = sample();
        let read = Checkpoint::decode(&payload, 10).unwrap();
        let kept: Vec<KeptCut> = read.cut.kept().collect();
        let other = crate::model::receipt::EVENT_TYPE_FIRST_INTERNED;
        let left = KeptCut { symbol: 1, next_start: 1, counts: vec![(1, 1), (other, 2)] };
        assert_eq!(kept, [left, KeptCut { symbol: 2, next_start: 5, counts: vec![] }]);
        let makers: Vec<_> = read.states.iter().map(|(symbol, kept)| (symbol, kept.engine)).collect();
        assert_eq!(makers, [(1, [1; 32]), (2, [7; 32])]);
        assert_eq!((read.names.symbols.name(2), read.names.sources.name(1)), (Some("A"), Some("v")));
        let Checkpoint { head, config, names, cut, states } = &read;
        let config = (head.effective_ms, &**config);
        let said = Said {
            names,
            cut,
            states,
            config,
            started: head.started,
            last_ns: head.last_ns,
            decided_ns: head.decided_ns,
        };
        assert_eq!(encode(&read.standing(), &said).unwrap(), payload);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_payload_that_was_cut_short_or_changed_never_panics(len in 0_usize..400, at in 0_usize..400, mask in 1_u8..) {
            let sound = sample();
            let short = &sound[..len.min(sound.len())];
            prop_assert_eq!(Checkpoint::decode(short, 10).is_ok(), short.len() == sound.len());
            let mut changed = sound.clone();
            let at = at % changed.len();
            changed[at] ^= mask;
            // What reads back is what stands there, and nothing else.
            if let Ok(read) = Checkpoint::decode(&changed, 10) {
                let Checkpoint { head, config, names, cut, states } = &read;
                let config = (head.effective_ms, &**config);
                let said = Said { names, cut, states, config, started: head.started, last_ns: head.last_ns, decided_ns: head.decided_ns };
                prop_assert!(encode(&read.standing(), &said).is_some());
            }
        }
    }
}
