//! libFuzzer's door to [`cutline_fuzz::canonical::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutline_fuzz::canonical::check(data));
