//! Which nodes are silent: kept in memory, without a message per sign of life.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often the leader looks whether it is awake itself.
pub(crate) const PULSE: Duration = Duration::from_millis(250);
/// A pulse that comes this much later says that the process, or the machine, stood still.
const STANDSTILL: Duration = Duration::from_millis(750);

fn micros(since: Instant, now: Instant) -> u64 {
    u64::try_from((now - since).as_micros()).unwrap_or(u64::MAX)
}

/// When something was heard of a node on one connection.
#[derive(Debug)]
pub struct Signs {
    opened: Instant,
    last: AtomicU64,
    /// Something was heard that the leader has not taken yet, and nothing more is read until then.
    waits: AtomicBool,
}

impl Default for Signs {
    fn default() -> Self {
        Self::new()
    }
}

impl Signs {
    /// Those of a connection that begins now.
    pub fn new() -> Self {
        Self { opened: Instant::now(), last: AtomicU64::new(0), waits: AtomicBool::new(false) }
    }

    /// The leader is behind: until it has taken what was heard, silence is its own.
    pub(crate) fn wait(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
        self.note();
    }

    /// Something was heard.
    pub fn note(&self) {
        self.last.fetch_max(micros(self.opened, Instant::now()), Ordering::Relaxed);
    }

    /// When something was heard last.
    pub(crate) fn heard(&self) -> Instant {
        if self.waits.load(Ordering::Relaxed) {
            return Instant::now();
        }
        self.opened + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }
}

/// Since when this process has been awake without a standstill: silence from before does not count,
/// since nobody could have heard anything.
#[derive(Debug)]
pub(crate) struct Wakefulness {
    since: Instant,
    seen: Instant,
}

impl Wakefulness {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { since: now, seen: now }
    }

    /// Called at least every [`PULSE`] while the process runs. Returns whether it stood still.
    pub(crate) fn pulse(&mut self) -> bool {
        let now = Instant::now();
        let stood_still = now - self.seen > PULSE + STANDSTILL;
        if stood_still {
            self.since = now;
        }
        self.seen = now;
        stood_still
    }

    /// From when on silence counts.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_standstill_begins_the_time_anew() {
        let mut awake = Wakefulness::new();
        let begun = awake.since();
        for _ in 0..20 {
            tokio::time::advance(PULSE).await;
            assert!(!awake.pulse());
        }
        assert_eq!(awake.since(), begun);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(awake.pulse());
        assert_eq!(awake.since(), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_leader_is_not_silent() {
        let signs = Signs::new();
        signs.wait(true);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(signs.heard(), Instant::now());
        signs.wait(false);
        let taken = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(signs.heard(), taken);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_sign_counts() {
        let signs = Signs::new();
        tokio::time::advance(Duration::from_secs(3)).await;
        signs.note();
        let heard = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(signs.heard(), heard);
    }
}
