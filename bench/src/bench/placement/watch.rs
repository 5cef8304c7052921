//! Time on the clock and time on the processor: they differ when others want the processor too.

use std::time::{Duration, Instant};

/// Started by [`Watch::start`].
pub(super) struct Watch {
    clock: Instant,
    processor: u64,
}

/// What a [`Watch`] shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) clock: Duration,
    pub(super) processor: Duration,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { clock: Instant::now(), processor: on_processor() }
    }

    pub(super) fn read(&self) -> Took {
        let processor = Duration::from_nanos(on_processor().saturating_sub(self.processor));
        let clock = self.clock.elapsed();
        // Where the kernel does not tell, the clock is all there is.
        Took { clock, processor: if processor.is_zero() { clock } else { processor } }
    }
}

/// Nanoseconds this thread has run; exact to a tick of the kernel.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}
