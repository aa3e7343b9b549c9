//! Names to small numbers, in the order of the inputs log. Owned by the sequencer's lane; replay builds the same tables
//! from the NAME frames.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Names that an empty table has room for without growing.
const ROOM_MAX: usize = 16 * 1024;
/// Up to so many bytes a name is its [`Key`].
const KEY_MAX_BYTES: usize = 16;

/// One table: symbols, sources or event types. Ids count up from a first one and never change.
///
/// A name is found by one multiplication and one line of memory: its slot holds its first and last eight bytes, which are
/// all of it if it is not longer than 16. Slots are probed one after the other and never more than half full; seeds that nobody
/// outside knows keep a feed from choosing names that collide. The order of the slots decides nothing.
#[derive(Clone, Debug)]
pub struct Names {
    /// A power of two.
    slots: Vec<Slot>,
    seeds: [u64; 2],
    names: Vec<Box<str>>,
    first: u32,
    max: usize,
}

/// What tells short names from each other, and most long ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Key {
    head: u64,
    tail: u64,
    len: u32,
}

/// Half a cache line, so that none lies across two.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Slot {
    key: Key,
    /// Index of the name plus one; 0 = free.
    number: u32,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Key {
    #[allow(clippy::cast_possible_truncation)] // a name has at most 1 KiB, and what is longer is told apart by its bytes
    #[inline]
    fn of(name: &[u8]) -> Self {
        let (head, tail) = match (name.first_chunk(), name.last_chunk()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => match (name.first_chunk(), name.last_chunk()) {
                (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
                // At most three bytes, all of them in one.
                _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
            },
        };
        Self { head, tail, len: name.len() as u32 }
    }

    #[inline]
    fn hash(self, seeds: [u64; 2]) -> u64 {
        let [head, tail] = [self.head ^ seeds[0], self.tail.wrapping_add(self.len.into()) ^ seeds[1]];
        let product = u128::from(head) * u128::from(tail);
        (product >> 64) as u64 ^ product as u64
    }
}

impl Names {
    /// An empty table of at most `max` names whose ids start at `first`.
    #[must_use]
    pub fn new(first: u32, max: usize) -> Self {
        let random = RandomState::default();
        let room = max.clamp(1, ROOM_MAX);
        Self {
            slots: vec![Slot::default(); 2 * room.next_power_of_two()],
            seeds: [random.hash_one(1), random.hash_one(2)],
            names: Vec::with_capacity(room),
            first,
            max,
        }
    }

    /// The id of a name seen before.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<u32> {
        let slot = self.slots[self.slot_of(name)];
        (slot.number > 0).then(|| self.first + slot.number - 1)
    }

    /// Where the name is, or would go.
    #[allow(clippy::cast_possible_truncation)] // any bits of the hash will do
    #[inline(always)]
    fn slot_of(&self, name: &[u8]) -> usize {
        let key = Key::of(name);
        let mut at = key.hash(self.seeds) as usize;
        loop {
            at &= self.slots.len() - 1;
            let slot = &self.slots[at];
            // At least half of all slots are free.
            if slot.number == 0 || (slot.key == key && self.is_whole(name, slot.number)) {
                return at;
            }
            at += 1;
        }
    }

    /// Whether a name with the key of that number is the name itself.
    #[inline]
    fn is_whole(&self, name: &[u8], number: u32) -> bool {
        name.len() <= KEY_MAX_BYTES || self.names[number as usize - 1].as_bytes() == name
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
        self.names.push(name.into());
        if 2 * self.names.len() > self.slots.len() {
            self.slots = vec![Slot::default(); 2 * self.slots.len()];
            (0..self.names.len()).for_each(|index| self.enter(index));
        } else {
            self.enter(self.names.len() - 1);
        }
    }

    #[allow(clippy::cast_possible_truncation)] // as above
    fn enter(&mut self, index: usize) {
        let name = self.names[index].as_bytes();
        let (key, at) = (Key::of(name), self.slot_of(name));
        self.slots[at] = Slot { key, number: index as u32 + 1 };
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

    /// Takes over what a NAME frame says. A name that is known keeps its id: who begins with a checkpoint may read frames from before it.
    pub fn define(&mut self, flags: u8, name: &str) {
        let names = match flags {
            crate::model::frames::NAME_SYMBOL => &mut self.symbols,
            crate::model::frames::NAME_SOURCE => &mut self.sources,
            _ => &mut self.event_types,
        };
        if names.get(name.as_bytes()).is_none() {
            names.add(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_differ_in_one_byte_or_in_length_are_different_names() {
        let long = "abcdefghijklmnopqrstuvwxyz0123456789";
        let mut all: Vec<String> = (0..=long.len()).map(|len| long[..len].to_owned()).collect();
        for len in 1..=long.len() {
            all.extend((0..len).map(|at| format!("{}#{}", &long[..at], &long[at + 1..len])));
        }
        all.extend((1..20).map(|len| "\0".repeat(len)));
        let mut names = Names::new(7, 1 << 16);
        for (number, name) in all.iter().enumerate() {
            assert_eq!(names.get(name.as_bytes()), None, "{name:?} is new");
            names.add(name);
            assert_eq!(names.get(name.as_bytes()), Some(number as u32 + 7));
        }
        for (number, name) in all.iter().enumerate() {
            assert_eq!(names.get(name.as_bytes()), Some(number as u32 + 7), "{name:?}");
            assert_eq!(names.name(number as u32 + 7), Some(name.as_str()));
        }
        assert_eq!(names.name(6), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn agrees_with_a_map(asked in proptest::collection::vec("[ab]{0,9}|[a-z]{0,40}", 0..100)) {
            // Room for one, so that it grows.
            let (mut names, mut map) = (Names::new(1, 1), HashMap::new());
            for name in &asked {
                prop_assert_eq!(names.get(name.as_bytes()), map.get(name).copied());
                if !map.contains_key(name) {
                    map.insert(name.clone(), names.next_id());
                    names.add(name);
                }
            }
            let listed: Vec<_> = names.iter().map(|(id, name)| (name.to_owned(), id)).collect();
            prop_assert_eq!(listed.len(), map.len());
            prop_assert!(listed.iter().all(|(name, id)| map[name] == *id));
        }
    }
}
