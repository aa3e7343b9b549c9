//! libFuzzer's door to [`cutline_fuzz::snapshot::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutline_fuzz::snapshot::check(data));
