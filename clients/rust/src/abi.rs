//! The C ABI of an engine in Rust: the same structs as `clients/c/cutline_engine.h`, which is its manual.
//!
//! Used from both sides: by a host that loads a library (`cutline-host`) and by [`export!`](crate::export!) within one. Plain values, any
//! thread; nothing here allocates. Layouts are asserted below, and compared with what a C compiler makes of the header by
//! `host/tests/c_abi.rs`.

use core::ffi::{c_char, c_void};
use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};

use cutline::invoke::engine::EngineFaultKind;
use cutline::model::snapshot::{self, FIELDS, Field, Section};

/// `CUTLINE_ENGINE_ABI_VERSION`.
pub const ABI_VERSION: u32 = 1;

/// `CUTLINE_OK`.
pub const OK: i32 = 0;

/// Name of the exported function.
pub const ENTRY: &str = "cutline_engine";

/// The return code of a fault.
#[must_use]
pub const fn code_of(kind: EngineFaultKind) -> i32 {
    match kind {
        EngineFaultKind::EngineFailure => 1,
        EngineFaultKind::EngineTimeout => 2,
        EngineFaultKind::EngineUnavailable => 3,
        EngineFaultKind::EngineOutputInvalid => 4,
        EngineFaultKind::HysteresisStateFailure => 5,
    }
}

/// The fault with this return code; `None` for [`OK`] and for codes that mean nothing.
#[must_use]
pub fn kind_of(code: i32) -> Option<EngineFaultKind> {
    EngineFaultKind::ALL.into_iter().find(|kind| code_of(*kind) == code)
}

/// `cutline_text`: bytes that somebody else owns, or nothing at all.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text<'a> {
    data: *const u8,
    len: usize,
    owner: PhantomData<&'a [u8]>,
}

impl<'a> Text<'a> {
    /// What a missing field is.
    pub const MISSING: Self = Self { data: core::ptr::null(), len: 0, owner: PhantomData };

    /// These bytes.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len(), owner: PhantomData }
    }

    /// The bytes; `None` if there is nothing.
    #[must_use]
    pub const fn bytes(self) -> Option<&'a [u8]> {
        if self.data.is_null() {
            return None;
        }
        // SAFETY: the fields are private, so a value was made by `of` from a slice that lives as long as 'a, or it came across the ABI,
        // whose callers promise `len` readable bytes for as long as the call lasts.
        Some(unsafe { core::slice::from_raw_parts(self.data, self.len) })
    }
}

/// `cutline_sink`: room for an answer, with a bound.
#[repr(C)]
pub struct Sink<'a> {
    data: *mut u8,
    capacity: usize,
    len: usize,
    owner: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Sink<'a> {
    /// A sink over this room.
    #[must_use]
    pub const fn new(room: &'a mut [MaybeUninit<u8>]) -> Self {
        Self { data: room.as_mut_ptr().cast(), capacity: room.len(), len: 0, owner: PhantomData }
    }

    /// Bytes that were offered: more than its capacity if not all of them could be taken.
    #[must_use]
    pub const fn offered(&self) -> usize {
        self.len
    }

    /// Appends what there is room for, and counts all of it. Past the end nothing is taken any more.
    pub fn append(&mut self, bytes: &[u8]) {
        if let Some(room) = self.capacity.checked_sub(self.len) {
            let taken = bytes.len().min(room);
            // SAFETY: `new` had `capacity` bytes from `data` on, borrowed exclusively, and so has whoever hands a sink across the ABI; of
            // these len + taken <= capacity are used. The source is another borrow, so that they do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.data.add(self.len), taken) };
        }
        self.len = self.len.saturating_add(bytes.len());
    }
}

/// `cutline_snapshot`: the input of one run.
#[repr(C)]
pub struct Snapshot<'a> {
    size: u32,
    reserved: u32,
    symbol: Text<'a>,
    timestamp_ms: i64,
    /// In the order of [`Section::ALL`] and [`Section::fields`], as the header's sections and their fields.
    fields: [Text<'a>; FIELDS],
}

impl<'a> Snapshot<'a> {
    /// What is in a snapshot. Reads its fields if nobody did yet.
    #[must_use]
    pub fn of(snapshot: &'a snapshot::Snapshot<'_>) -> Self {
        let mut fields = [Text::MISSING; FIELDS];
        let all = Section::ALL.iter().flat_map(|section| snapshot.section(*section));
        for (text, field) in fields.iter_mut().zip(all) {
            if let Field::Json(json) = field {
                *text = Text::of(json.as_bytes());
            }
        }
        Self {
            size: size_of::<Self>() as u32,
            reserved: 0,
            symbol: Text::of(snapshot.symbol.as_bytes()),
            timestamp_ms: snapshot.timestamp_ms,
            fields,
        }
    }

    /// The snapshot that this was made of; `None` if it is smaller than version 1 has it.
    #[must_use]
    pub fn to_snapshot(&self) -> Option<snapshot::Snapshot<'a>> {
        if (self.size as usize) < size_of::<Self>() {
            return None;
        }
        let fields = self.fields.map(|text| text.bytes().map_or(Field::Missing, |json| Field::Json(utf8(json))));
        let symbol = utf8(self.symbol.bytes().unwrap_or_default());
        Some(snapshot::Snapshot::of_fields(symbol, self.timestamp_ms, fields))
    }
}

fn utf8(bytes: &[u8]) -> &str {
    // SAFETY: only a snapshot's texts come here. `Snapshot::of` made them of `&str`, and the ABI says that every text is UTF-8.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

// The header allows nothing to unwind. That a library in C++ keeps to it no compiler sees to: who calls has to hold up what comes all the
// same, and an `extern "C"` call would be compiled as if nothing could.

/// Makes an instance, or says in the sink why not.
pub type Create = unsafe extern "C-unwind" fn(config_json: Text<'_>, error: &mut Sink<'_>) -> *mut c_void;
/// Ends an instance.
pub type Destroy = unsafe extern "C-unwind" fn(engine: *mut c_void);
/// A run in truth mode.
pub type Run = unsafe extern "C-unwind" fn(
    engine: *mut c_void,
    snapshot: &Snapshot<'_>,
    output: &mut Sink<'_>,
    error: &mut Sink<'_>,
) -> i32;
/// A run in hysteresis mode.
pub type RunWithHysteresis = unsafe extern "C-unwind" fn(
    engine: *mut c_void,
    snapshot: &Snapshot<'_>,
    state: Text<'_>,
    decision: &mut Sink<'_>,
    new_state: &mut Sink<'_>,
    error: &mut Sink<'_>,
) -> i32;
/// The exported function.
pub type Entry = unsafe extern "C-unwind" fn(abi_version: u32) -> *const Table;

/// `cutline_engine_v1`. A library may leave out what it must not: nothing here is believed before it was looked at.
#[repr(C)]
pub struct Table {
    /// Bytes of the table as the library knows it.
    pub size: u32,
    /// The version that it is of.
    pub abi_version: u32,
    /// UTF-8 with a zero byte behind it.
    pub name: *const c_char,
    /// UTF-8 with a zero byte behind it.
    pub version: *const c_char,
    /// See the header.
    pub create: Option<Create>,
    /// See the header.
    pub destroy: Option<Destroy>,
    /// See the header.
    pub run: Option<Run>,
    /// See the header.
    pub run_with_hysteresis: Option<RunWithHysteresis>,
}

// SAFETY: a table and what it points to never change, as the header demands; `export!` makes it of constants.
unsafe impl Sync for Table {}

// A pointer has 64 bits on every machine that Cutline runs on.
const _: () = {
    assert!(size_of::<Text<'_>>() == 16 && offset_of!(Text<'_>, len) == 8);
    assert!(size_of::<Sink<'_>>() == 24 && offset_of!(Sink<'_>, capacity) == 8 && offset_of!(Sink<'_>, len) == 16);
    assert!(size_of::<Snapshot<'_>>() == 32 + 16 * FIELDS && offset_of!(Snapshot<'_>, symbol) == 8);
    assert!(offset_of!(Snapshot<'_>, timestamp_ms) == 24 && offset_of!(Snapshot<'_>, fields) == 32);
    assert!(size_of::<Table>() == 56 && offset_of!(Table, name) == 8 && offset_of!(Table, version) == 16);
    assert!(offset_of!(Table, create) == 24 && offset_of!(Table, destroy) == 32);
    assert!(offset_of!(Table, run) == 40 && offset_of!(Table, run_with_hysteresis) == 48);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_takes_what_it_has_room_for_and_counts_the_rest() {
        let mut room = [MaybeUninit::new(b'.'); 5];
        let mut sink = Sink::new(&mut room[..4]);
        for (bytes, offered) in [("ab", 2), ("", 2), ("cde", 5), ("f", 6)] {
            sink.append(bytes.as_bytes());
            assert_eq!(sink.offered(), offered);
        }
        // SAFETY: all of it was written when it was made.
        assert_eq!(room.map(|byte| unsafe { byte.assume_init() }), *b"abcd.");
    }

    #[test]
    fn a_snapshot_comes_back_as_it_was() {
        for normalized in [
            "{}",
            r#"{"context":{"btc_regime":"\u00e9\"","alt_breadth":null},"derivatives":[],"flow":{"cvd":1e0},"market":{"structure_levels":{"a":[1]},"x":1}}"#,
        ] {
            let snapshot = snapshot::Snapshot::from_normalized("S\u{20ac}", -7, normalized.as_bytes()).unwrap();
            let canonical = |snapshot: &snapshot::Snapshot<'_>| {
                let mut text = Vec::new();
                snapshot.write_canonical(&mut text).unwrap();
                String::from_utf8(text).unwrap()
            };
            let mut crossed = Snapshot::of(&snapshot);
            assert_eq!(canonical(&crossed.to_snapshot().unwrap()), canonical(&snapshot));
            crossed.size -= 1;
            assert!(crossed.to_snapshot().is_none());
        }
    }

    #[test]
    fn codes_and_faults_are_one_to_one() {
        for kind in EngineFaultKind::ALL {
            assert_eq!(kind_of(code_of(kind)), Some(kind));
        }
        for code in [i32::MIN, -1, OK, 6, i32::MAX] {
            assert_eq!(kind_of(code), None);
        }
    }
}
