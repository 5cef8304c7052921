//! What this process allocates: bytes not freed, and how often a thread asks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

/// The system's allocator, with its living bytes counted.
struct Counting;

static LIVING: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What an allocation takes in glibc: eight bytes of header, steps of 16, at least 32.
const fn taken(size: usize) -> i64 {
    let size = (size + 8 + 15) & !15;
    (if size < 32 { 32 } else { size }) as i64
}

/// How often this thread has asked for memory.
pub(crate) fn allocations() -> u64 {
    ASKED.get()
}

fn asked(size: usize) {
    LIVING.fetch_add(taken(size), Ordering::Relaxed);
    // While a thread ends it has no counter any more.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

/// Bytes allocated and not freed, with the allocator's own.
pub(crate) fn living() -> i64 {
    LIVING.load(Ordering::Relaxed)
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature; it only counts and passes on")]
// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVING.fetch_sub(taken(layout.size()), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        asked(size);
        LIVING.fetch_sub(taken(layout.size()), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
