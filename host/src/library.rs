//! An engine in a shared library, through the C ABI of `clients/c/cutline_engine.h`.
//!
//! Loading is cold and says what is wrong with a library. Calls are made on the lane that has the engine: no allocation but for a
//! fault's text, no system call of ours, and never more bytes taken than there is room for. What a library does in its own code nobody
//! here can prevent: it may hang or end the process. An engine that is not trusted with that belongs into a process of its own.

mod fault;

use core::ffi::{CStr, c_char, c_void};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::{DETAIL_MAX_BYTES, Engine, EngineFault, EngineFaultKind};
use cutline::model::snapshot::Snapshot;
use cutline_engine::abi::{self, Sink, Text};
use cutline_shm::program;
use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};

pub use fault::{LoadFault, Why};

/// Room for the reason why an instance is refused, bytes.
const REASON_MAX_BYTES: usize = 1024;
/// Room for a call's error, bytes: a character that lies across the end of what is kept is still whole.
const ERROR_MAX_BYTES: usize = DETAIL_MAX_BYTES + 4;
/// Longest name and version, bytes.
const NAME_MAX_BYTES: usize = 63;

/// The files that this process has loaded, by their canonical paths: the SHA-256 of what was in them, `None` if they were just being
/// replaced.
static LOADED: Mutex<BTreeMap<PathBuf, Option<[u8; 32]>>> = Mutex::new(BTreeMap::new());

/// An instance of the engine in a library.
pub struct Library {
    functions: Functions,
    instance: NonNull<c_void>,
    limits: AnswerLimits,
    digest: [u8; 32],
    name: String,
    version: String,
    error: [MaybeUninit<u8>; ERROR_MAX_BYTES],
}

/// What of a table was there.
#[derive(Clone, Copy)]
struct Functions {
    create: abi::Create,
    destroy: abi::Destroy,
    run: abi::Run,
    run_with_hysteresis: abi::RunWithHysteresis,
}

// SAFETY: the ABI has an instance called by one thread at a time, not always by that which created it, and `&mut self` sees to that.
// Everything else here is owned.
unsafe impl Send for Library {}

impl Library {
    /// Loads a library and makes an instance with `config_json`, the section `[engine.hysteresis]` as a JSON object.
    ///
    /// The library stays loaded until the process ends, because it may have started what outlives its instances. A new version of it
    /// has to be a new file put in the place of the old one, not written into it, and this process can load it by another path alone.
    ///
    /// # Errors
    /// [`LoadFault`]: there is no such file, it cannot be loaded, it is another one than this process has loaded by this path, it is no
    /// engine, or the engine refuses the configuration.
    pub fn load(path: &Path, config_json: &str, limits: AnswerLimits) -> Result<Self, LoadFault> {
        let fault = |why| LoadFault { path: path.to_owned(), why };
        // A name without a slash would be looked for wherever the system has its libraries.
        let place = fs::canonicalize(path).map_err(|source| fault(Why::File(source)))?;
        let bytes = fs::read(&place).map_err(|source| fault(Why::File(source)))?;
        let file: [u8; 32] = Sha256::digest(&bytes).into();
        let table = table(&place, file).map_err(fault)?;
        let functions = functions(table).map_err(fault)?;
        let name = self::name(table.name, "name").map_err(fault)?;
        let version = self::name(table.version, "version").map_err(fault)?;
        let instance = create(functions.create, config_json).map_err(fault)?;
        // It may be for lanes that run.
        program::populate();
        Ok(Self {
            functions,
            instance,
            limits,
            digest: digest(file, config_json),
            name,
            version,
            error: [MaybeUninit::uninit(); ERROR_MAX_BYTES],
        })
    }

    /// What the engine calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it calls its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Engine for Library {
    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        let max = self.limits.output_max_bytes;
        let (input, mut to) = (abi::Snapshot::of(snapshot), sink(output, max));
        let mut error = Sink::new(&mut self.error);
        // SAFETY: the instance is of this table, `&mut self` keeps every other call away, and everything handed over outlives the call.
        let call = || unsafe { (self.functions.run)(self.instance.as_ptr(), &input, &mut to, &mut error) };
        let code = engine_library_must_not_unwind(call);
        let offered = to.offered();
        outcome(code, error.offered(), &self.error)?;
        take(output, offered, max, "output")
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        let AnswerLimits { output_max_bytes, state_max_bytes } = self.limits;
        let (mut to, mut state_to) = (sink(decision, output_max_bytes), sink(new_state, state_max_bytes));
        let mut error = Sink::new(&mut self.error);
        // SAFETY: as in `run`.
        let call = || unsafe {
            (self.functions.run_with_hysteresis)(
                self.instance.as_ptr(),
                &abi::Snapshot::of(snapshot),
                Text::of(state),
                &mut to,
                &mut state_to,
                &mut error,
            )
        };
        let code = engine_library_must_not_unwind(call);
        let (offered, state_offered) = (to.offered(), state_to.offered());
        outcome(code, error.offered(), &self.error)?;
        take(decision, offered, output_max_bytes, "output")?;
        take(new_state, state_offered, state_max_bytes, "state")
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: made by this table's `create`, in no call, and not used any more.
        engine_library_must_not_unwind(|| unsafe { (self.functions.destroy)(self.instance.as_ptr()) });
    }
}

/// Loads the file with this SHA-256, unless this process has it, and asks it for its table.
fn table(place: &Path, file: [u8; 32]) -> Result<&'static abi::Table, Why> {
    let mut loaded_files = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    // The system gives what was loaded by this path before, whatever lies there now.
    if loaded_files.get(place).is_some_and(|loaded| *loaded != Some(file)) {
        return Err(Why::Replaced);
    }
    // SAFETY: loading runs the library's initialisers, which is what whoever names a library as the engine asks for. All of its symbols
    // are bound now, so that what it lacks is told here and not in a call.
    let loaded = unsafe { Loaded::open(Some(place), RTLD_NOW | RTLD_LOCAL) }.map_err(Why::Load)?;
    // Never unloaded, see `Library::load`; so what it exports lives as long as the process.
    let loaded = ManuallyDrop::new(loaded);
    // Read again: what was loaded may have come there after what was read.
    let is_same = fs::read(place).is_ok_and(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)) == file);
    if *loaded_files.entry(place.to_owned()).or_insert(is_same.then_some(file)) != Some(file) {
        return Err(Why::Replaced);
    }
    drop(loaded_files);
    // SAFETY: the header gives the function of this name this type.
    let entry = unsafe { loaded.get::<abi::Entry>(abi::ENTRY) }.map_err(|_| Why::NoEntry)?;
    // SAFETY: as above.
    let table = engine_library_must_not_unwind(|| unsafe { entry(abi::ABI_VERSION) });
    if table.is_null() || !table.is_aligned() {
        return Err(Why::NotSpoken);
    }
    // SAFETY: a table of any version begins with its size and version.
    let (size, abi_version) = unsafe { ((*table).size, (*table).abi_version) };
    if abi_version != abi::ABI_VERSION {
        return Err(Why::Version(abi_version));
    }
    if (size as usize) < size_of::<abi::Table>() {
        return Err(Why::Size(size));
    }
    // SAFETY: it says that it is at least as large as this type, in which no bytes are invalid, and never changes.
    Ok(unsafe { &*table })
}

fn functions(table: &abi::Table) -> Result<Functions, Why> {
    Ok(Functions {
        create: table.create.ok_or(Why::Null("create"))?,
        destroy: table.destroy.ok_or(Why::Null("destroy"))?,
        run: table.run.ok_or(Why::Null("run"))?,
        run_with_hysteresis: table.run_with_hysteresis.ok_or(Why::Null("run_with_hysteresis"))?,
    })
}

/// A text of the table.
fn name(text: *const c_char, what: &'static str) -> Result<String, Why> {
    if text.is_null() {
        return Err(Why::Null(what));
    }
    // SAFETY: the header demands a zero byte behind it.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str().ok().filter(|text| text.len() <= NAME_MAX_BYTES && !text.contains(char::is_control));
    text.map(str::to_owned).ok_or(Why::Name(what))
}

fn create(create: abi::Create, config_json: &str) -> Result<NonNull<c_void>, Why> {
    let mut reason = [MaybeUninit::uninit(); REASON_MAX_BYTES];
    let mut error = Sink::new(&mut reason);
    // SAFETY: the table's own function, and everything handed over outlives the call.
    let instance = engine_library_must_not_unwind(|| unsafe { create(Text::of(config_json.as_bytes()), &mut error) });
    let offered = error.offered();
    NonNull::new(instance).ok_or_else(|| Why::Refused(text(&reason, offered)))
}

/// Makes a call into a library. What unwinds out of it, such as an exception of C++, ends the process here, in every profile: Rust cannot
/// catch it, and nothing may go on beside an engine that was left in the middle of a call. The name is for who reads the backtrace.
extern "C" fn engine_library_must_not_unwind<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// A sink over the free room of a buffer: `max` bytes, which a caller's buffer has, so that nothing is allocated.
fn sink(buffer: &mut Vec<u8>, max: usize) -> Sink<'_> {
    buffer.reserve(max);
    Sink::new(&mut buffer.spare_capacity_mut()[..max])
}

/// Makes what was written to the room behind a buffer's end part of it.
fn take(buffer: &mut Vec<u8>, offered: usize, max: usize, what: &str) -> Result<(), EngineFault> {
    if offered > max {
        return Err(AnswerLimits::exceeded(what, offered, max));
    }
    // SAFETY: `sink` reserved `max` bytes behind the end, and the ABI says that of these the first `offered` are written.
    unsafe { buffer.set_len(buffer.len() + offered) };
    Ok(())
}

/// What a return code says.
fn outcome(code: i32, offered: usize, error: &[MaybeUninit<u8>]) -> Result<(), EngineFault> {
    if code == abi::OK {
        return Ok(());
    }
    Err(match abi::kind_of(code) {
        Some(kind) => EngineFault::new(kind, text(error, offered)),
        None => {
            let detail = format!("engine returned {code}, which is no code of the ABI: {}", text(error, offered));
            EngineFault::new(EngineFaultKind::EngineFailure, detail)
        }
    })
}

/// What of a text for people was taken.
fn text(room: &[MaybeUninit<u8>], offered: usize) -> String {
    let taken = &room[..offered.min(room.len())];
    // SAFETY: a sink over this room took these bytes, so they are written.
    let bytes = unsafe { &*(&raw const *taken as *const [u8]) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// The engine's identity: the SHA-256 of the file, and the configuration.
fn digest(file: [u8; 32], config_json: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"library|");
    hash.update(file);
    hash.update(b"|");
    hash.update(config_json.as_bytes());
    hash.finalize().into()
}
