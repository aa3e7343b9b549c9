//! Pushing a line out of this core's own caches, so that the core that waits for it finds it nearer (CLDEMOTE).
//!
//! Worth it only when the reader has caught up and waits for this very line: while it is behind, the line would be fetched back.
//! Where the processor lacks the instruction it is a no-op with the same encoding, and is not even issued.

use core::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

/// Whether the processor has the instruction.
#[inline]
#[must_use]
pub fn is_available() -> bool {
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Relaxed: whoever finds it unknown asks the processor again and gets the same answer.
    match STATE.load(Ordering::Relaxed) {
        UNKNOWN => {
            let present = ask_processor();
            STATE.store(if present { PRESENT } else { ABSENT }, Ordering::Relaxed);
            present
        }
        state => state == PRESENT,
    }
}

fn ask_processor() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{__cpuid, __cpuid_count};
        const CLDEMOTE: u32 = 1 << 25;
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ecx & CLDEMOTE != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    false
}

/// Demotes the line at `address`. A hint: it changes nothing, whatever the address.
#[inline]
pub fn line(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: CLDEMOTE reads and writes no memory that could be observed and takes no fault; elsewhere it is a NOP.
    unsafe {
        core::arch::asm!("cldemote [{0}]", in(reg) address, options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hint_changes_nothing_wherever_it_points() {
        let lines = [7_u8; 128];
        super::line(lines.as_ptr());
        super::line(core::ptr::null());
        assert_eq!(lines, [7; 128]);
        assert_eq!(super::is_available(), super::ask_processor());
    }
}
