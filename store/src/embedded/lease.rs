//! Leases: their ends in memory, their lengths in the file.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::{Error, LeaseId, LeaseTime, Result};

/// Most leases at once.
pub(super) const MAX_LEASES: usize = 100_000;

/// When each lease ends. Lives under a lock that is never held across a wait.
#[derive(Debug, Default)]
pub(super) struct Leases {
    ends: HashMap<LeaseId, (Duration, Instant)>,
    order: BTreeSet<(Instant, LeaseId)>,
}

impl Leases {
    /// Begins a lease, or begins it anew after a restart.
    pub(super) fn begin(&mut self, lease: LeaseId, ttl: Duration, now: Instant) {
        self.remove(lease);
        self.ends.insert(lease, (ttl, now + ttl));
        self.order.insert((now + ttl, lease));
    }

    /// Takes over the leases of the file: those that are new begin, those that are not there have ended.
    pub(super) fn set(&mut self, stored: &HashMap<LeaseId, Duration>, now: Instant) {
        let gone: Vec<LeaseId> = self.ends.keys().filter(|lease| !stored.contains_key(lease)).copied().collect();
        for lease in gone {
            self.remove(lease);
        }
        for (lease, ttl) in stored {
            if !self.ends.contains_key(lease) {
                self.begin(*lease, *ttl, now);
            }
        }
    }

    /// Gives a lease its whole time again.
    pub(super) fn keep_alive(&mut self, lease: LeaseId, now: Instant) -> Result<()> {
        let (ttl, _) = *self.ends.get(&lease).ok_or(Error::LeaseNotFound { lease })?;
        self.begin(lease, ttl, now);
        Ok(())
    }

    /// What is left of a lease.
    pub(super) fn remaining(&self, lease: LeaseId, now: Instant) -> Result<LeaseTime> {
        let (ttl, end) = *self.ends.get(&lease).ok_or(Error::LeaseNotFound { lease })?;
        Ok(LeaseTime::new(end.saturating_duration_since(now), ttl))
    }

    /// Forgets a lease; its time to live when there was one.
    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<Duration> {
        let (ttl, end) = self.ends.remove(&lease)?;
        self.order.remove(&(end, lease));
        Some(ttl)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.order.first().map(|(end, _)| *end)
    }

    /// The leases that have ended by `now`.
    pub(super) fn ended(&self, now: Instant) -> Vec<LeaseId> {
        self.order.iter().take_while(|(end, _)| *end <= now).map(|(_, lease)| *lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_unless_kept_alive() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        leases.begin(LeaseId(1), Duration::from_secs(5), start);
        leases.begin(LeaseId(2), Duration::from_secs(7), start);
        assert_eq!(leases.next_end(), Some(after(5)));
        leases.keep_alive(LeaseId(1), after(4)).unwrap();
        let time = LeaseTime { left: Duration::from_secs(3), granted: Duration::from_secs(5) };
        assert_eq!(leases.remaining(LeaseId(1), after(5) + Duration::from_millis(500)), Ok(time));
        assert_eq!(leases.ended(after(8)), [LeaseId(2)]);
        assert_eq!(leases.remove(LeaseId(2)), Some(Duration::from_secs(7)));
        assert_eq!(leases.keep_alive(LeaseId(2), after(8)), Err(Error::LeaseNotFound { lease: LeaseId(2) }));
        assert_eq!((leases.len(), leases.next_end()), (1, Some(after(9))));
    }

    #[test]
    fn leases_of_the_file_begin_and_others_end() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        leases.begin(LeaseId(1), Duration::from_secs(5), start);
        leases.begin(LeaseId(2), Duration::from_secs(5), start);
        let stored = [2, 3].map(|lease| (LeaseId(lease), Duration::from_secs(5)));
        leases.set(&HashMap::from(stored), after(1));
        assert_eq!(leases.ended(after(5)), [LeaseId(2)]);
        assert_eq!(leases.ended(after(6)), [LeaseId(2), LeaseId(3)]);
    }
}
