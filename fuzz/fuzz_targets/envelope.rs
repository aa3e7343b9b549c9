//! libFuzzer's door to [`cutline_fuzz::envelope::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutline_fuzz::envelope::check(data));
