//! Users: enough to log in. Groups and permissions are still to come.

use super::Secret;
use serde::{Deserialize, Serialize};

/// Most users.
pub const USERS_MAX: usize = 10_000;
/// Longest uid, bytes.
const UID_BYTES_MAX: usize = 96;

/// Somebody who may log in; every user may do everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub uid: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Password as an argon2id string.
    pub password: Secret,
}

/// Whether a text can be a uid (bouncer: letters, digits and `@._-`).
///
/// # Errors
/// A sentence.
pub fn check_uid(uid: &str) -> Result<(), String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'.' | b'_' | b'-' | b'+');
    if (1..=UID_BYTES_MAX).contains(&uid.len()) && uid.bytes().all(valid) && uid != "." && uid != ".." {
        Ok(())
    } else {
        Err(format!("a uid is 1–{UID_BYTES_MAX} letters, digits and @._-+"))
    }
}
