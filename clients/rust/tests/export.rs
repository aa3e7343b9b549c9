//! What `export!` exports, called as a host does: through the function and its table alone.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;

use cutline_engine::abi::{self, Sink, Table, Text};
use cutline_engine::{Engine, EngineFault, EngineFaultKind, Snapshot};

/// Does as the symbol says; in hysteresis mode the same, and the state is the old one and a byte more.
struct Moody;

/// A payload of a panic that is no text, and panics once more when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Engine for Moody {
    fn digest(&self) -> [u8; 32] {
        [0; 32]
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        output.extend_from_slice(b"half");
        match snapshot.symbol {
            "panic" => panic!("of {}", snapshot.symbol),
            "literal" => panic!("a literal"),
            "grudge" => std::panic::panic_any(Grudge),
            "fault" => Err(EngineFault::new(EngineFaultKind::HysteresisStateFailure, "as told")),
            _ => {
                output.clear();
                output.extend_from_slice(snapshot.symbol.as_bytes());
                Ok(())
            }
        }
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        new_state.extend_from_slice(state);
        new_state.push(b'+');
        self.run(snapshot, decision)
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        panic!("an engine that panics when it is dropped");
    }
}

fn create(config_json: &str) -> Result<Box<dyn Engine>, String> {
    match config_json {
        "{}" => Ok(Box::new(Moody)),
        "panic" => panic!("of a configuration"),
        other => Err(format!("no such key: {other}")),
    }
}

cutline_engine::export!(create);

unsafe extern "C-unwind" {
    fn cutline_engine(abi_version: u32) -> *const Table;
}

fn table() -> &'static Table {
    // SAFETY: the function that `export!` made above; its table never changes.
    unsafe { &*cutline_engine(abi::ABI_VERSION) }
}

/// What was appended to a sink of `CAPACITY` bytes, and how much was offered.
fn appended<T>(call: impl FnOnce(&mut Sink<'_>) -> T) -> (T, String, usize) {
    const CAPACITY: usize = 64;
    let mut room = [MaybeUninit::new(b'.'); CAPACITY];
    let mut sink = Sink::new(&mut room);
    let done = call(&mut sink);
    let offered = sink.offered();
    // SAFETY: all of it was written when it was made.
    let bytes = room[..offered.min(CAPACITY)].iter().map(|byte| unsafe { byte.assume_init() }).collect();
    (done, String::from_utf8(bytes).unwrap(), offered)
}

fn created(config_json: &str) -> Result<*mut c_void, String> {
    let (instance, error, _) = appended(|error| {
        // SAFETY: a function of the table, called as the ABI says.
        unsafe { table().create.unwrap()(Text::of(config_json.as_bytes()), error) }
    });
    if instance.is_null() { Err(error) } else { Ok(instance) }
}

#[test]
fn the_table_is_of_this_version_and_names_the_crate() {
    // SAFETY: as above.
    assert!(unsafe { cutline_engine(abi::ABI_VERSION + 1) }.is_null());
    let table = table();
    assert_eq!((table.size as usize, table.abi_version), (size_of::<Table>(), abi::ABI_VERSION));
    // SAFETY: texts of the crate with a zero byte behind them.
    let [name, version] = [table.name, table.version].map(|text| unsafe { CStr::from_ptr(text) }.to_str().unwrap());
    assert_eq!((name, version), ("cutline-engine", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nothing_unwinds_and_a_panic_is_a_failure_of_its_call() {
    let engine = created("{}").unwrap();
    for (symbol, code, output, error) in [
        ("S\u{e9}", abi::OK, "S\u{e9}", ""),
        ("panic", 1, "", "engine panicked: of panic"),
        ("literal", 1, "", "engine panicked: a literal"),
        ("grudge", 1, "", "engine panicked: no message"),
        ("fault", 5, "", "as told"),
        ("after", abi::OK, "after", ""),
    ] {
        let snapshot = Snapshot::empty(symbol, 1);
        let snapshot = abi::Snapshot::of(&snapshot);
        let ((returned, said_error, _), said, _) = appended(|to| {
            // SAFETY: the instance is of this table, and in no other call.
            appended(|error| unsafe { table().run.unwrap()(engine, &snapshot, to, error) })
        });
        assert_eq!((returned, said.as_str(), said_error.as_str()), (code, output, error), "{symbol}");

        let (((returned, ..), new_state, _), said, _) = appended(|to| {
            appended(|new_state| {
                let state = Text::of(b"old");
                // SAFETY: as above.
                appended(|error| unsafe {
                    table().run_with_hysteresis.unwrap()(engine, &snapshot, state, to, new_state, error)
                })
            })
        });
        let state = if code == abi::OK { "old+" } else { "" };
        assert_eq!((returned, said.as_str(), new_state.as_str()), (code, output, state), "{symbol}");
    }
    // SAFETY: the last use of the instance.
    unsafe { table().destroy.unwrap()(engine) };
}

/// A host of a later version has more at the struct's end, and one that is older than version 1 there is none.
#[test]
fn a_snapshot_that_says_it_is_larger_is_taken_and_a_smaller_one_is_not_read() {
    let engine = created("{}").unwrap();
    let whole = size_of::<abi::Snapshot<'_>>() as u32;
    for (size, code, said) in [
        (whole, abi::OK, "S"),
        (whole + 16, abi::OK, "S"),
        (whole - 1, 1, "the host's snapshot is smaller than this engine's: update Cutline"),
        (0, 1, "the host's snapshot is smaller than this engine's: update Cutline"),
    ] {
        let snapshot = Snapshot::empty("S", 1);
        let mut snapshot = abi::Snapshot::of(&snapshot);
        // SAFETY: a snapshot begins with its size, whatever its version.
        unsafe { (&raw mut snapshot).cast::<u32>().write(size) };
        let text = |call: &dyn Fn(&mut Sink<'_>, &mut Sink<'_>) -> i32| {
            let ((returned, error, _), answer, _) = appended(|to| appended(|error| call(to, error)));
            (returned, answer + &error)
        };
        // SAFETY: the instance is of this table, and in no other call.
        let run = text(&|to, error| unsafe { table().run.unwrap()(engine, &snapshot, to, error) });
        assert_eq!(run, (code, said.chars().take(64).collect()), "{size}");
        let with_hysteresis = text(&|to, error| {
            let (mut room, state) = ([MaybeUninit::uninit(); 8], Text::of(b"old"));
            // SAFETY: as above.
            unsafe {
                table().run_with_hysteresis.unwrap()(engine, &snapshot, state, to, &mut Sink::new(&mut room), error)
            }
        });
        assert_eq!(with_hysteresis, run, "{size}");
    }
    // SAFETY: the last use of the instance.
    unsafe { table().destroy.unwrap()(engine) };
}

#[test]
fn an_answer_without_room_is_counted_whole() {
    let engine = created("{}").unwrap();
    let symbol = "s".repeat(100);
    let snapshot = Snapshot::empty(&symbol, 1);
    let (code, said, offered) = appended(|to| {
        // SAFETY: as above.
        appended(|error| unsafe { table().run.unwrap()(engine, &abi::Snapshot::of(&snapshot), to, error) }).0
    });
    assert_eq!((code, said.as_str(), offered), (abi::OK, &symbol[..64], 100));
    // SAFETY: the last use of the instance.
    unsafe { table().destroy.unwrap()(engine) };
}

#[test]
fn a_configuration_that_is_refused_is_told_why() {
    assert_eq!(created("x"), Err("no such key: x".to_owned()));
    assert_eq!(created("panic"), Err("engine panicked: of a configuration".to_owned()));
}
