//! What happened, in order. The hash of it tells whether two runs were the same.

use std::fmt::{Arguments, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Lines kept for a report when the whole trace is not wanted.
const LINES_KEPT: usize = 400;

/// The trace of one simulation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trace {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    start: Instant,
    hash: u64,
    events: u64,
    whole: bool,
    /// Lines are printed as they come, for simulations that hang.
    aloud: bool,
    lines: std::collections::VecDeque<String>,
}

impl Trace {
    /// Begins now. `whole`: every line is kept, not only the last ones.
    pub fn start(whole: bool) -> Self {
        let inner = Inner {
            start: Instant::now(),
            hash: 0xCBF2_9CE4_8422_2325,
            events: 0,
            whole,
            aloud: std::env::var_os("ORRERY_SIM_ALOUD").is_some(),
            lines: std::collections::VecDeque::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Notes that `who` did or met something.
    pub fn note(&self, who: &str, what: Arguments<'_>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = inner.start.elapsed().as_millis();
        let mut line = String::with_capacity(96);
        // Writing to a String cannot fail.
        let _ = write!(line, "{:>6}.{:03} {who:<12} {what}", millis / 1000, millis % 1000);
        for byte in line.bytes() {
            inner.hash = (inner.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        inner.events += 1;
        if inner.aloud {
            eprintln!("{line}");
        }
        if !inner.whole && inner.lines.len() == LINES_KEPT {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// Hash of all lines in order.
    pub fn hash(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).hash
    }

    /// How many lines there were.
    pub fn events(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).events
    }

    /// The lines that were kept.
    pub fn lines(&self) -> Vec<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }
}
