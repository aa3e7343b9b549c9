//! Names to small numbers, in the order of the inputs log. Owned by the sequencer's lane; replay builds the same tables
//! from the NAME frames.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// One table: symbols, sources or event types. Ids count up from a first one and never change.
#[derive(Clone, Debug)]
pub struct Names {
    // Looked up by key only, never iterated: the order of a hash map decides nothing.
    ids: HashMap<Box<str>, u32, RandomState>,
    names: Vec<Box<str>>,
    first: u32,
    max: usize,
    /// Index of the name looked up last: receipts come in runs.
    recent: usize,
}

impl Names {
    /// An empty table of at most `max` names whose ids start at `first`.
    #[must_use]
    pub fn new(first: u32, max: usize) -> Self {
        Self {
            ids: HashMap::with_capacity_and_hasher(max.min(16 * 1024), RandomState::default()),
            names: Vec::with_capacity(max.min(16 * 1024)),
            first,
            max,
            recent: 0,
        }
    }

    /// The id of a name seen before.
    #[must_use]
    pub fn get(&mut self, name: &str) -> Option<u32> {
        if self.names.get(self.recent).is_some_and(|recent| **recent == *name) {
            return Some(self.id_of(self.recent));
        }
        let id = self.ids.get(name).copied()?;
        self.recent = (id - self.first) as usize;
        Some(id)
    }

    #[allow(clippy::cast_possible_truncation)] // `max` is far below u32
    fn id_of(&self, index: usize) -> u32 {
        self.first + index as u32
    }

    /// Whether one more name fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.names.len() < self.max
    }

    /// The id that the next new name gets.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        self.id_of(self.names.len())
    }

    /// Adds a name that is not there yet, under [`Names::next_id`].
    pub fn add(&mut self, name: &str) {
        self.ids.insert(name.into(), self.next_id());
        self.names.push(name.into());
    }

    /// All names with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (self.first..).zip(self.names.iter().map(|name| &**name))
    }

    /// The name with this id.
    #[must_use]
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(id.checked_sub(self.first)? as usize).map(|name| &**name)
    }
}

/// Most distinct sources. Receipts of further ones are kept, without a source of their own in counters and links.
pub const SOURCES_MAX: usize = 4096;
/// Most distinct event types outside the known vocabulary. Receipts of further ones are kept and not counted by type.
pub const EVENT_TYPES_MAX: usize = 1024;
/// Longest event type that is counted by type, bytes.
pub const EVENT_TYPE_MAX_BYTES: usize = 64;

/// The three tables of an inputs log.
#[derive(Clone, Debug)]
pub struct NameTables {
    /// Symbols, from 1.
    pub symbols: Names,
    /// Sources, from 1.
    pub sources: Names,
    /// Event types outside the known vocabulary, from [`crate::model::receipt::EVENT_TYPE_FIRST_INTERNED`].
    pub event_types: Names,
}

impl NameTables {
    /// Empty tables; `symbols_max` is the configured limit.
    #[must_use]
    pub fn new(symbols_max: usize) -> Self {
        Self {
            symbols: Names::new(1, symbols_max),
            sources: Names::new(1, SOURCES_MAX),
            event_types: Names::new(u32::from(crate::model::receipt::EVENT_TYPE_FIRST_INTERNED), EVENT_TYPES_MAX),
        }
    }

    /// Takes another limit of symbols into use.
    pub fn set_symbols_max(&mut self, max: usize) {
        self.symbols.max = max;
    }

    /// Name of an event type's code.
    #[must_use]
    pub fn event_type(&self, code: u16) -> Option<&str> {
        let known = usize::from(code).checked_sub(1).and_then(|index| crate::model::receipt::EVENT_TYPES.get(index));
        known.copied().or_else(|| self.event_types.name(u32::from(code)))
    }

    /// Takes over what a NAME frame says.
    pub fn define(&mut self, flags: u8, name: &str) {
        match flags {
            crate::model::frames::NAME_SYMBOL => self.symbols.add(name),
            crate::model::frames::NAME_SOURCE => self.sources.add(name),
            _ => self.event_types.add(name),
        }
    }
}
