//! The code of this program and of the libraries that it uses. What a lane runs for the first time it runs in a burst, or when
//! something fails: its pages must be there by then. For a cold thread, before lanes start.

use std::fs;
use std::ptr::without_provenance_mut;

use rustix::mm::{Advice, madvise};

/// Maps all code and constants of the process now. A hint: where the system cannot, pages come when they are used.
pub fn populate() {
    let mappings = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for [begin, end] in mappings.lines().filter_map(code_of) {
        // SAFETY: POPULATE_READ changes no content and unmaps nothing, whatever is mapped there by now.
        let _ = unsafe { madvise(without_provenance_mut(begin), end - begin, Advice::LinuxPopulateRead) };
    }
}

/// Where the mapping of this line begins and ends, if it is of a file and nobody may write there.
fn code_of(mapping: &str) -> Option<[usize; 2]> {
    let mut fields = mapping.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?;
    let file = fields.nth(3)?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    (["r-xp", "r--p"].contains(&rights) && file.starts_with('/')).then_some([address(begin)?, address(end)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_comes_from_a_file_and_is_not_written() {
        let code = "55d0-55f0 r-xp 00002000 fe:00 1310738                          /usr/bin/a name with spaces";
        assert_eq!(code_of(code), Some([0x55d0, 0x55f0]));
        for other in [
            "",
            "nonsense",
            "55d0-55f0 rw-p 00002000 fe:00 1310738                          /usr/bin/cutline",
            "55d0-55f0 r--s 00002000 fe:00 1310738                          /dev/shm/cutline/inputs",
            "55d0-55f0 r--p 00000000 00:00 0 ",
            "7fff0-7fff4 r-xp 00000000 00:00 0                          [vdso]",
        ] {
            assert_eq!(code_of(other), None, "{other}");
        }
    }
}
