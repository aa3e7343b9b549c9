//! The processor's time stamp counter: one instruction, no syscall, the same on all cores where it is invariant.
//!
//! Any thread. It says nothing about units; whoever reads it measures how many ticks a second has.

/// The counter now; 0 on processors without one. Not ordered with the memory accesses around it: a few nanoseconds of blur.
#[inline]
#[must_use]
pub fn now() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every x86-64 processor has the instruction, and Linux allows it to user processes.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}

/// Whether the counter runs at one rate, on all cores together, whatever the processor's clock does.
#[must_use]
pub fn is_invariant() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::__cpuid;
        const INVARIANT_TSC: u32 = 1 << 8;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & INVARIANT_TSC != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    false
}
