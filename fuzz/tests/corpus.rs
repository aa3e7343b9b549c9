//! Every committed seed passes its oracle, without libFuzzer: what was found once stays found.

use std::fs;
use std::path::Path;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("read"));
        seeds += 1;
    }
    assert!(seeds >= 3, "{}: {seeds} seeds", folder.display());
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test] fn $target() { run(stringify!($target), cutline_fuzz::$target::check); })*
    };
}

targets!(envelope canonical binary splitter log snapshot);
