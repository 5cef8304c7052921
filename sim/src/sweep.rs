//! Many seeds, on all cores.

use crate::world::{Plan, Verdict, simulate};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// Simulates `seeds` on as many threads as there are cores and hands each verdict to `each`, in any
/// order, until that returns false.
pub fn sweep(seeds: Range<u64>, plan: impl Fn(u64) -> Plan + Sync, each: impl FnMut(Verdict) -> bool + Send) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let each = Mutex::new(each);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let verdict = simulate(plan(seed), false);
                    if !each.lock().unwrap_or_else(PoisonError::into_inner)(verdict) {
                        next.store(seeds.end, Ordering::SeqCst);
                    }
                }
            });
        }
    });
}
