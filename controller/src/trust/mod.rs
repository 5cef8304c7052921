//! Trust at work: the controller's own certificate, logins, and who is cut off.

mod dial;
mod keeper;
mod limiter;
mod login;

pub use dial::SecureDial;
pub use keeper::{Keeper, KeeperOptions, keep};
pub use login::{LoginError, Logins};

pub(crate) use login::{PASSWORD_BYTES_MAX, hash_password};

use orrery_core::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Certificates are read by others' wall clocks, so that they are made by ours.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
