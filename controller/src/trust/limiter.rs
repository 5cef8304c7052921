//! Guessing passwords takes long.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failed logins for one user from one address within [`WINDOW`].
const FAILURES_MAX: u32 = 10;
/// How long they count.
const WINDOW: Duration = Duration::from_secs(60);
/// Pairs of user and address that are remembered; beyond, nobody new may fail until some are forgotten.
const ENTRIES_MAX: usize = 10_000;

/// Counts failed logins.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<HashMap<(String, IpAddr), (u32, Instant)>>);

impl Limiter {
    /// Takes note of an attempt before it is decided, so that many at once count too; says how long
    /// to wait when there were too many.
    pub(crate) fn attempt(&self, uid: &str, address: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
            if entries.len() >= ENTRIES_MAX {
                return Err(WINDOW);
            }
        }
        let (failures, since) = entries.entry((uid.to_owned(), address)).or_insert((0, now));
        let age = now.duration_since(*since);
        if age >= WINDOW {
            (*failures, *since) = (0, now);
        } else if *failures >= FAILURES_MAX {
            return Err(WINDOW.checked_sub(age).unwrap());
        }
        *failures += 1;
        Ok(())
    }

    /// Forgets the failures of somebody who knew the password.
    pub(crate) fn succeeded(&self, uid: &str, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(uid.to_owned(), address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_of_one_stop_nobody_else() {
        let limiter = Limiter::default();
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..FAILURES_MAX {
            limiter.attempt("admin", here).unwrap();
        }
        assert_eq!(limiter.attempt("admin", here), Err(WINDOW));
        limiter.attempt("admin", there).unwrap();
        limiter.attempt("other", here).unwrap();
        tokio::time::advance(WINDOW).await;
        limiter.attempt("admin", here).unwrap();
        for _ in 0..2 * FAILURES_MAX {
            limiter.attempt("other", there).unwrap();
            limiter.succeeded("other", there);
        }
    }
}
