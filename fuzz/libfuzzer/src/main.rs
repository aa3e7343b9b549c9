//! libFuzzer's door to the targets of `cutline-fuzz`: one program, `FUZZ_TARGET` says which of them. `cargo xtask fuzz` builds and runs
//! it; `-help=1` has libFuzzer's own options.
#![no_main]

use std::sync::OnceLock;

use cutline_fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => *target,
        None => {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("FUZZ_TARGET is {name:?}: set it to one of {}", names.join(", "));
            std::process::exit(2);
        }
    }
}

libfuzzer_sys::fuzz_target!(
    init: {
        TARGET.get_or_init(chosen);
    },
    |data: &[u8]| (TARGET.get_or_init(chosen).check)(data)
);
