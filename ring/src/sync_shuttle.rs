//! The atomics under `--cfg shuttle`: the machine's own, so that they lie in mapped memory as ever, and before each access shuttle
//! may let another thread go on.
//!
//! Only usable inside of a shuttle test. All threads of it are one of the machine's: every value is that of one order of all accesses.
//! What weaker orderings allow is loom's to find; here protocols are large and interleavings many.

use std::sync::atomic::Ordering;

/// As the standard library's; another thread may go on before it.
pub fn fence(ordering: Ordering) {
    shuttle::thread::yield_now();
    std::sync::atomic::fence(ordering);
}

macro_rules! atomic {
    ($name:ident, $value:ty, $like:literal) => {
        #[doc = concat!("As the standard library's ", $like, ", with a place to change threads before each access.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(std::sync::atomic::$name);

        impl $name {
            /// One with this value.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            /// The one at `ptr`.
            ///
            /// # Safety
            /// As for the standard library's.
            #[must_use]
            pub const unsafe fn from_ptr<'a>(ptr: *mut $value) -> &'a Self {
                // SAFETY: the same memory by `repr(transparent)`; the rest is the caller's promise.
                unsafe { &*ptr.cast::<Self>() }
            }

            /// Reads it.
            pub fn load(&self, ordering: Ordering) -> $value {
                shuttle::thread::yield_now();
                self.0.load(ordering)
            }

            /// Writes it.
            pub fn store(&self, value: $value, ordering: Ordering) {
                shuttle::thread::yield_now();
                self.0.store(value, ordering);
            }

            /// Adds to it, and returns what it was.
            pub fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                shuttle::thread::yield_now();
                self.0.fetch_add(value, ordering)
            }

            /// Takes the larger, and returns what it was.
            pub fn fetch_max(&self, value: $value, ordering: Ordering) -> $value {
                shuttle::thread::yield_now();
                self.0.fetch_max(value, ordering)
            }
        }
    };
}

atomic!(AtomicU32, u32, "AtomicU32");
atomic!(AtomicU64, u64, "AtomicU64");
