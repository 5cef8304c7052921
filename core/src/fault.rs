//! One fault of an input: where it is, what was given and what would be right.

use serde::{Deserialize, Serialize};

/// A fault found in a spec. Validation returns all faults of an input, never only the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON pointer-like path of the field, as Marathon prints it: `/upgradeStrategy/minimumHealthCapacity`.
    pub path: String,
    /// One sentence: what is wrong and what is allowed.
    pub message: String,
    /// The offending value, rendered short; absent when a field is missing or the value is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Fault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), value: None }
    }

    /// The same fault with the offending value, cut to [`VALUE_MAX_CHARS`].
    #[must_use]
    pub fn with_value(mut self, value: impl std::fmt::Display) -> Self {
        let text = value.to_string();
        let mut short: String = text.chars().take(VALUE_MAX_CHARS).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        self.value = Some(short);
        self
    }
}

/// Longest rendering of an offending value in a fault, in characters.
pub const VALUE_MAX_CHARS: usize = 120;

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        if let Some(value) = &self.value {
            write!(f, " (given: {value})")?;
        }
        Ok(())
    }
}
