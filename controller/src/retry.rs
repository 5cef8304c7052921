//! When to try again, and when to say so: more and more seldom while the same thing fails, so that a
//! fault that lasts neither loads whoever is at fault nor fills the log.

use std::time::Duration;
use tokio::time::Instant;

/// After so long a reason that has not changed is told again: the fault is still there.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How pauses grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    /// The first pauses.
    pub(crate) least: Duration,
    /// How many of them there are before they double.
    pub(crate) quick: u32,
    /// The longest pause.
    pub(crate) most: Duration,
}

/// Attempts at one thing, one after another.
#[derive(Debug)]
pub(crate) struct Retry {
    rhythm: Rhythm,
    /// Pauses since the last success.
    pauses: u32,
    told: Option<Told>,
}

/// The last reason that was told.
#[derive(Debug)]
struct Told {
    reason: String,
    pause: Duration,
    at: Instant,
}

impl Retry {
    pub(crate) const fn new(rhythm: Rhythm) -> Self {
        Self { rhythm, pauses: 0, told: None }
    }

    /// The pause after one more failure.
    pub(crate) fn pause(&mut self) -> Duration {
        self.pauses = self.pauses.saturating_add(1);
        let doublings = self.pauses.saturating_sub(self.rhythm.quick);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.rhythm.least.saturating_mul(factor).min(self.rhythm.most)
    }

    /// Begins with short pauses again.
    pub(crate) const fn succeeded(&mut self) {
        self.pauses = 0;
    }

    /// Whether a person should hear that it failed for this reason and is tried again after `pause`.
    pub(crate) fn is_news(&mut self, reason: &str, pause: Duration, now: Instant) -> bool {
        let known = self.told.as_ref().is_some_and(|told| {
            told.reason == reason && pause <= told.pause && now.saturating_duration_since(told.at) < TOLD_AGAIN
        });
        if !known {
            self.told = Some(Told { reason: reason.to_owned(), pause, at: now });
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RHYTHM: Rhythm = Rhythm { least: Duration::from_millis(100), quick: 2, most: Duration::from_millis(500) };

    #[test]
    fn pauses_grow_to_their_limit_and_begin_again_after_a_success() {
        let mut retry = Retry::new(RHYTHM);
        let pauses: Vec<u128> = (0..6).map(|_| retry.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 100, 200, 400, 500, 500]);
        retry.pauses = u32::MAX;
        assert_eq!(retry.pause(), RHYTHM.most);
        retry.succeeded();
        assert_eq!(retry.pause(), RHYTHM.least);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut retry = Retry::new(RHYTHM);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let [short, long] = [1, 2].map(Duration::from_millis);
        let cases = [
            ("refused", short, 0, true),
            ("refused", short, 1, false),
            ("refused", long, 1, true),
            ("refused", short, 2, false),
            ("silent", short, 2, true),
            ("refused", short, 3, true),
            ("refused", short, 62, false),
            ("refused", short, 63, true),
            ("refused", short, 64, false),
        ];
        for (reason, pause, seconds, expected) in cases {
            assert_eq!(retry.is_news(reason, pause, after(seconds)), expected, "{reason} after {seconds} s");
        }
    }
}
