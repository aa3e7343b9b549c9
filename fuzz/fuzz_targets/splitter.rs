//! libFuzzer's door to [`cutline_fuzz::splitter::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutline_fuzz::splitter::check(data));
