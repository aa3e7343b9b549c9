//! `cutline_engine.h` by itself: any compiler takes it, it says what `cutline_engine::abi` says, and its helpers read and write JSON as
//! Cutline does.

mod cc;

use core::mem::{MaybeUninit, offset_of};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use cutline::invoke::engine::EngineFaultKind;
use cutline::model::canonical;
use cutline::model::json::RawValue;
use cutline::model::snapshot::{Section, Snapshot};
use cutline_engine::abi::{self, Sink, Text};
use libloading::Library;

fn source(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

#[test]
fn every_compiler_there_is_takes_the_header() {
    let place = tempfile::tempdir().unwrap();
    let engine = cc::header_folder().join("example_engine.c");
    let cpp = place.path().join("header.cpp");
    std::fs::write(&cpp, "#include \"cutline_engine.h\"\n").unwrap();
    let mut taken = 0;
    let compilers = [
        ("cc", "-std=c99", &engine),
        ("clang", "-std=c99", &engine),
        ("c++", "-std=c++11", &cpp),
        ("clang++", "-std=c++11", &cpp),
    ];
    for (compiler, standard, file) in compilers {
        if Command::new(compiler).arg("--version").output().is_err() {
            println!("no {compiler} on this machine");
            continue;
        }
        cc::compile(compiler, &[standard, "-fsyntax-only"], file);
        taken += 1;
    }
    assert!(taken > 0, "these tests need a C compiler");
}

#[test]
fn layouts_and_codes_are_those_of_the_mirror() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("layout");
    cc::compile("cc", &["-std=c99", "-o", program.to_str().unwrap()], &source("layout.c"));
    let said = String::from_utf8(Command::new(program).output().unwrap().stdout).unwrap();
    let said: BTreeMap<&str, usize> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, bytes)| (name, bytes.parse().unwrap()))
        .collect();
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut put = |name: &str, bytes: usize| assert!(expected.insert(name.to_owned(), bytes).is_none());
    put("cutline_text", size_of::<Text<'_>>());
    put("cutline_text.len", 8);
    put("cutline_sink", size_of::<Sink<'_>>());
    put("cutline_sink.capacity", 8);
    put("cutline_sink.len", 16);
    // A snapshot's own fields are private: their places are those that its constants assert.
    put("cutline_snapshot", size_of::<abi::Snapshot<'_>>());
    put("cutline_snapshot.size", 0);
    put("cutline_snapshot.symbol", 8);
    put("cutline_snapshot.timestamp_ms", 24);
    let names = Section::ALL.iter().flat_map(|section| section.fields().iter().map(move |name| (section.name(), name)));
    for (at, (section, name)) in names.enumerate() {
        put(&format!("cutline_snapshot.{section}.{name}"), 32 + at * size_of::<Text<'_>>());
    }
    put("cutline_engine_v1", size_of::<abi::Table>());
    put("cutline_engine_v1.size", offset_of!(abi::Table, size));
    put("cutline_engine_v1.abi_version", offset_of!(abi::Table, abi_version));
    put("cutline_engine_v1.name", offset_of!(abi::Table, name));
    put("cutline_engine_v1.version", offset_of!(abi::Table, version));
    put("cutline_engine_v1.create", offset_of!(abi::Table, create));
    put("cutline_engine_v1.destroy", offset_of!(abi::Table, destroy));
    put("cutline_engine_v1.run", offset_of!(abi::Table, run));
    put("cutline_engine_v1.run_with_hysteresis", offset_of!(abi::Table, run_with_hysteresis));
    put("CUTLINE_ENGINE_ABI_VERSION", abi::ABI_VERSION as usize);
    for kind in EngineFaultKind::ALL {
        put(kind.name(), usize::try_from(abi::code_of(kind)).unwrap());
    }
    let expected: BTreeMap<&str, usize> = expected.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    assert_eq!(said, expected);
}

/// The helpers, loaded.
struct Helpers(Library);

impl Helpers {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let library = place.path().join("helpers.so");
        cc::shared_library(&source("helpers.c"), &library, &["-O2"]);
        // SAFETY: the library has no initialisers; mapped, it does not need its file.
        Self(unsafe { Library::new(library) }.unwrap())
    }

    fn number(&self, json: Option<&str>) -> Option<f64> {
        let mut number = f64::NAN;
        // SAFETY: the type that helpers.c gives it.
        let read = unsafe {
            let helper = self.0.get::<unsafe extern "C" fn(Text<'_>, &mut f64) -> i32>("helper_number").unwrap();
            helper(text(json), &mut number)
        };
        (read != 0).then_some(number)
    }

    fn string(&self, json: &str, capacity: usize) -> Option<Vec<u8>> {
        let (mut out, mut len) = (vec![0; capacity], 0);
        // SAFETY: as above.
        let read = unsafe {
            type Helper = unsafe extern "C" fn(Text<'_>, *mut u8, usize, &mut usize) -> i32;
            let helper = self.0.get::<Helper>("helper_string").unwrap();
            helper(text(Some(json)), out.as_mut_ptr(), capacity, &mut len)
        };
        (read != 0).then(|| out[..len].to_vec())
    }

    fn kind(&self, json: Option<&str>) -> i32 {
        // SAFETY: as above.
        unsafe { self.0.get::<unsafe extern "C" fn(Text<'_>) -> i32>("helper_kind").unwrap()(text(json)) }
    }

    fn appended<T>(&self, name: &str, value: T) -> String {
        let mut room = [MaybeUninit::new(0_u8); 4096];
        let mut sink = Sink::new(&mut room);
        // SAFETY: as above, for the value's type.
        unsafe { self.0.get::<unsafe extern "C" fn(&mut Sink<'_>, T)>(name).unwrap()(&mut sink, value) };
        let len = sink.offered();
        // SAFETY: all of it was written when it was made.
        let bytes = room[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect();
        String::from_utf8(bytes).unwrap()
    }
}

fn text(json: Option<&str>) -> Text<'_> {
    json.map_or(Text::MISSING, |json| Text::of(json.as_bytes()))
}

#[test]
fn numbers_are_read_as_a_snapshot_reads_them() {
    let helpers = Helpers::new();
    let long = format!("0.{}", "123456789".repeat(56));
    for json in [
        "0",
        "-0",
        "-0.0",
        "-0e0",
        "1",
        "-1.5",
        "1e2",
        "1E+2",
        "1e-7",
        "5e-324",
        "1e999",
        "-1e999",
        "9007199254740993",
        "0.30000000000000004",
        "123456789012345678901234567890",
        &long,
        "null",
        "true",
        "\"1\"",
        "[1]",
        "{\"a\":1}",
    ] {
        let event = format!("{{\"market\":{{\"price\":{json}}}}}");
        let snapshot = Snapshot::from_normalized("S", 1, event.as_bytes()).unwrap();
        let (ours, theirs) = (snapshot.number(Section::Market, "price"), helpers.number(Some(json)));
        assert_eq!(theirs.map(f64::to_bits), ours.map(f64::to_bits), "{json}");
    }
    assert_eq!(helpers.number(None), None);
    assert_eq!(helpers.number(Some(&"1".repeat(512))), None, "longer than it reads");
    assert_eq!([None, Some("null"), Some("0"), Some("\"null\"")].map(|json| helpers.kind(json)), [1, 2, 0, 0]);
}

#[test]
fn strings_are_read_as_cutline_reads_them() {
    let helpers = Helpers::new();
    for json in [
        r#""""#,
        r#""plain""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0041\u00e9\u20AC\ud83d\ude00 é€😀""#,
        r#""\u0000x""#,
        r#""\udbff\udfff""#,
    ] {
        let mut expected = String::new();
        assert!(RawValue::parse(json).unwrap().string().unwrap().unescape(&mut expected, 100));
        assert_eq!(helpers.string(json, expected.len()).as_deref(), Some(expected.as_bytes()), "{json}");
        if !expected.is_empty() {
            assert_eq!(helpers.string(json, expected.len() - 1), None, "{json}");
        }
    }
    for json in ["null", "1", "[\"a\"]"] {
        assert_eq!(helpers.string(json, 100), None, "{json}");
    }
}

#[test]
fn what_is_written_is_json_with_the_same_value() {
    let helpers = Helpers::new();
    let canonical = |json: &str| {
        let mut out = Vec::new();
        canonical::canonicalize(json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    for text in ["", "BTC", "a\"b\\c\u{1}\n\u{1f}\u{7f}", "\u{e9}\u{20ac}\u{1f600}"] {
        let mut expected = Vec::new();
        canonical::string(text, &mut expected);
        let written = helpers.appended("helper_append_string", Text::of(text.as_bytes()));
        assert_eq!(canonical(&written).as_bytes(), expected, "{written}");
    }
    for value in [0, 1, -1, 180_000, i64::MAX, i64::MIN] {
        assert_eq!(helpers.appended("helper_append_integer", value), value.to_string());
    }
    let mut bits = 1_u64;
    let drawn = core::iter::repeat_with(|| {
        bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        f64::from_bits(bits)
    });
    let plain = [0.0, -0.0, 1.0, 0.1, 0.75, 100.0, 1e16, 1e22, 1e-7, 5e-324, f64::MAX, 0.1 + 0.2];
    for value in plain.into_iter().chain(drawn.take(2000)).filter(|value| value.is_finite()) {
        let mut expected = Vec::new();
        canonical::f64(value, &mut expected).unwrap();
        let written = helpers.appended("helper_append_number", value);
        assert_eq!(canonical(&written).as_bytes(), expected, "{written}");
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(RawValue::parse(&helpers.appended("helper_append_number", value)).is_err());
    }
}
