//! Copies of a cluster's store: backups in a file, and moves from one store to another.
//!
//! A copy is made at one revision. Its target is closed first and opened last, so that no controller
//! ever leads on half of it; a copy that was interrupted is simply made again.

mod copy;
mod error;
mod export;
mod file;
mod migrate;
mod verify;

pub use copy::{Copied, Source, Target, copy};
pub use error::BackupError;
pub use export::export;
pub use file::{Backup, Entries, Footer, Header, Writer};
pub use migrate::{Closed, StoreSource, closed, migrate, reopen};
pub use verify::{Contents, verify};

use orrery_core::cluster::{EPOCH_KEY, ROOT};

/// Says that no controller may lead on this store, and why: [`Closed`] as JSON.
pub const CLOSED_KEY: &str = "/orrery/v1/closed";

/// Keys that are true of running controllers only, and would be wrong of any copy.
const PASSING: [&str; 2] = ["/orrery/v1/leader", "/orrery/v1/controllers/"];

/// Whether a key is part of a cluster's state, whatever runs it.
fn is_state(key: &str) -> bool {
    key.starts_with(ROOT) && key != EPOCH_KEY && key != CLOSED_KEY && !PASSING.iter().any(|prefix| key.starts_with(prefix))
}

/// Seconds by which the epoch of a copy leaves those of its origin behind.
const EPOCH_STEP: u64 = 1 << 20;

/// The epoch that a copy begins with. Agents ignore lower epochs than they have seen, and may have
/// seen later ones than the copy knows: those of leaders after the backup, and of earlier restores.
/// Leaders change less than once a second, so that the seconds since 1970 are ahead of all of them;
/// the step helps where the clock is wrong.
fn next_epoch(origin: u64, target: u64, now_seconds: u64) -> u64 {
    (origin + EPOCH_STEP).max(target + 1).max(now_seconds)
}

fn epoch_of(value: Option<&[u8]>) -> u64 {
    value.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "backup_test.rs"]
mod tests;
