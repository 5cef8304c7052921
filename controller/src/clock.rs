//! Time of a controller: it reads like the wall clock and runs like a stopwatch.
//!
//! Deadlines are compared with this time only, so that a jump of the wall clock moves none of them.
//! A wall clock that is set is followed gently, at most [`SLEW_PER_MILLE`] faster or slower.

use orrery_core::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How much faster or slower than real time the clock may run to catch up with the wall clock, in
/// thousandths: an hour is made up for within about four days, and no deadline moves by more than
/// one hundredth.
const SLEW_PER_MILLE: i64 = 10;

/// A steady clock. Clones share their time. It never goes back.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    started: Instant,
    /// The wall clock in microseconds since 1970; `None` runs on elapsed time alone.
    wall: Option<fn() -> i64>,
    shown: Mutex<Shown>,
}

/// What the clock showed last, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Shown {
    elapsed: i64,
    time: i64,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// Begins at the time of this machine and follows it gently. Needs no runtime.
    pub fn system() -> Self {
        Self::new(wall_micros(), Some(wall_micros))
    }

    /// Begins at `start` and advances with the runtime's time alone: tests and simulations that pause
    /// the runtime's time decide what this clock shows.
    pub fn starting_at(start: Timestamp) -> Self {
        Self::new(start.as_millis() * 1_000, None)
    }

    fn new(start: i64, wall: Option<fn() -> i64>) -> Self {
        let shown = Mutex::new(Shown { elapsed: 0, time: start });
        Self(Arc::new(Inner { started: Instant::now(), wall, shown }))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = advance(*shown, elapsed, self.0.wall.map(|wall| wall()));
        Timestamp::from_millis(shown.time / 1_000)
    }
}

/// The clock's next reading, given the time `elapsed` since the start and the wall clock.
fn advance(shown: Shown, elapsed: i64, wall: Option<i64>) -> Shown {
    // Another thread may have read the stopwatch later and come first.
    let passed = (elapsed - shown.elapsed).max(0);
    let most = passed * SLEW_PER_MILLE / 1_000;
    let behind = wall.map_or(0, |wall| wall.saturating_sub(shown.time + passed));
    Shown { elapsed: shown.elapsed.max(elapsed), time: shown.time + passed + behind.clamp(-most, most) }
}

fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_followed_gently() {
        let shown = Shown { elapsed: 0, time: 1_000_000 };
        let hour = 3_600_000_000;
        for (name, elapsed, wall, want) in [
            ("in step", 100_000, Some(1_100_000), 1_100_000),
            ("a little behind", 100_000, Some(1_100_500), 1_100_500),
            ("set an hour ahead", 100_000, Some(1_100_000 + hour), 1_101_000),
            ("set an hour back", 100_000, Some(1_100_000 - hour), 1_099_000),
            ("without a wall clock", 100_000, None, 1_100_000),
            ("no time has passed", 0, Some(5 * hour), 1_000_000),
            ("read out of order", -5_000, Some(1_000_000), 1_000_000),
        ] {
            assert_eq!(advance(shown, elapsed, wall).time, want, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_its_own_follows_the_runtime() {
        let clock = Clock::starting_at(Timestamp::from_millis(5_000));
        assert_eq!(clock.now(), Timestamp::from_millis(5_000));
        tokio::time::advance(std::time::Duration::from_millis(1_234)).await;
        assert_eq!(clock.clone().now(), Timestamp::from_millis(6_234));
    }
}
