//! After the disk has failed: the database is opened again, at a pace that a disk that stays full can bear.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use redb::ReadableDatabase;

use super::tables::{self, broken};
use super::{Recent, Shared};
use crate::{Error, Result};

/// Least pause before the database is opened again.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// Longest one, while every write after it fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When to open the database again, and what to say of it.
#[derive(Debug, Default)]
pub(super) struct Revival {
    /// Why it failed last, and when to try again.
    failed: Option<(Error, Instant)>,
    pause: Duration,
    told: Option<Error>,
}

impl Revival {
    /// A write, or opening the database again, has failed. Whether that is news.
    pub(super) fn failed(&mut self, error: &Error, now: Instant) -> bool {
        self.pause = (self.pause * 2).clamp(LEAST_PAUSE, LONGEST_PAUSE);
        self.failed = Some((error.clone(), now + self.pause));
        let known = self.told.as_ref() == Some(error);
        self.told = Some(error.clone());
        !known
    }

    /// It is open again. Whether it can write is not known yet.
    pub(super) fn opened(&mut self) {
        self.failed = None;
    }

    /// A write has succeeded. Whether that is news.
    pub(super) fn succeeded(&mut self) -> bool {
        (self.failed, self.pause) = (None, Duration::ZERO);
        self.told.take().is_some()
    }

    /// Why nothing is written at present.
    pub(super) fn reason(&self) -> Option<&Error> {
        self.failed.as_ref().map(|(error, _)| error)
    }

    /// When to try again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.failed.as_ref().map(|(_, next)| *next)
    }
}

/// What a reader hears meanwhile.
pub(super) fn is_under_way() -> Error {
    Error::unavailable("the disk of the data directory failed; the store is being opened again")
}

/// Puts a new database in the place of one that has failed. What of the last write has reached the
/// disk was not announced yet, and is now: nobody sees anything that a power cut could undo.
pub(super) fn reopen(shared: &Shared) -> Result<()> {
    shared.medium.retire();
    shared.medium.settle().map_err(|cause| broken(redb::Error::Io(cause)))?;
    drop(shared.database.write().unwrap_or_else(PoisonError::into_inner).take());
    let database = shared.medium.open().map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => Error::unavailable("another orrery process has opened it"),
        other => broken(other),
    })?;
    tables::prepare(&database)?;
    let snapshot = database.begin_read().map_err(broken)?;
    let (revision, _) = tables::bounds(&snapshot)?;
    let announced = *shared.latest.borrow();
    if revision < announced {
        return Err(Error::corrupt(format!("the disk has lost what it had confirmed: revision {announced} became {revision}")));
    }
    let leases = tables::leases(&snapshot)?;
    drop(snapshot);
    shared.leases.lock().unwrap_or_else(PoisonError::into_inner).set(&leases, Instant::now());
    if revision > announced {
        // Watches read these commits from the file.
        *shared.recent.write().unwrap_or_else(PoisonError::into_inner) = Recent::starting_at(revision.next());
    }
    *shared.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
    shared.latest.send_if_modified(|latest| std::mem::replace(latest, revision) != revision);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_stays_full_is_tried_ever_more_seldom_and_told_once() {
        let (mut revival, start) = (Revival::default(), Instant::now());
        let full = Error::unavailable("no space left");
        let pauses: Vec<Duration> = (0..4)
            .map(|attempt| {
                assert_eq!(revival.failed(&full, start), attempt == 0);
                let next = revival.next().unwrap();
                revival.opened();
                assert_eq!((revival.next(), revival.reason()), (None, None));
                next - start
            })
            .collect();
        assert_eq!(pauses, [500, 1000, 2000, 2000].map(Duration::from_millis));
        assert!(revival.failed(&Error::unavailable("another"), start));
        assert!(revival.succeeded() && !revival.succeeded());
        assert!(revival.failed(&full, start));
        assert_eq!(revival.next(), Some(start + LEAST_PAUSE));
    }
}
