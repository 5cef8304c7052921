//! Text that is never shown.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A secret. It is stored as `{"redact": "…"}`, so that whoever prints stored documents for people
/// knows what to leave out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    redact: String,
}

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { redact: text.into() }
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.redact
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
