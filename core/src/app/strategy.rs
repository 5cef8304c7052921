//! How an app is upgraded, backed off and replaced.

use crate::Scalar;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bounds of a rolling upgrade, as fractions of `instances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// Share that must stay healthy, 0–1.
    pub minimum_health_capacity: Scalar,
    /// Share that may run on top, 0–1.
    pub maximum_over_capacity: Scalar,
}

impl Default for UpgradeStrategy {
    fn default() -> Self {
        Self { minimum_health_capacity: Scalar::ONE, maximum_over_capacity: Scalar::ONE }
    }
}

/// What happens to instances on a lost node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreachableStrategy {
    /// Wait for the node for ever (resident apps).
    Disabled,
    /// Replace and forget, in whole seconds after the loss.
    Replace {
        /// A replacement starts after this.
        inactive_after_seconds: u32,
        /// The lost instance is forgotten after this.
        expunge_after_seconds: u32,
    },
}

impl Default for UnreachableStrategy {
    fn default() -> Self {
        Self::Replace { inactive_after_seconds: 0, expunge_after_seconds: 0 }
    }
}

impl Serialize for UnreachableStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Disabled => serializer.serialize_str("disabled"),
            Self::Replace { inactive_after_seconds, expunge_after_seconds } => {
                Times { inactive_after_seconds, expunge_after_seconds }.serialize(serializer)
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    #[serde(default)]
    inactive_after_seconds: u32,
    #[serde(default)]
    expunge_after_seconds: u32,
}

impl<'de> Deserialize<'de> for UnreachableStrategy {
    // By way of a JSON value: untagged enums cannot hold numbers of arbitrary precision.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value == "disabled" {
            return Ok(Self::Disabled);
        }
        let Times { inactive_after_seconds, expunge_after_seconds } = serde_json::from_value(value).map_err(de::Error::custom)?;
        Ok(Self::Replace { inactive_after_seconds, expunge_after_seconds })
    }
}

/// Whom to stop first when there are too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum KillSelection {
    #[default]
    YoungestFirst,
    OldestFirst,
}

/// Pause between launches of an app that keeps failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// First pause, seconds.
    pub first_seconds: Scalar,
    /// Each failure multiplies the pause by this, at least 1.
    pub factor: Scalar,
    /// Longest pause, seconds.
    pub longest_seconds: Scalar,
}

impl Backoff {
    /// The pause after the one of `previous_ms` milliseconds (`None`: the first failure), in
    /// milliseconds.
    pub fn next_pause_ms(&self, previous_ms: Option<i64>) -> i64 {
        let longest_ms = self.longest_seconds.thousandths();
        match previous_ms {
            None => self.first_seconds.thousandths().min(longest_ms),
            Some(previous) => {
                let grown = i128::from(previous) * i128::from(self.factor.thousandths().max(1000)) / 1000;
                i64::try_from(grown).unwrap_or(i64::MAX).min(longest_ms)
            }
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_seconds: Scalar::ONE, factor: Scalar::from_thousandths(1150), longest_seconds: Scalar::from_units(300) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let backoff = Backoff::default();
        assert_eq!(backoff.next_pause_ms(None), 1000);
        assert_eq!(backoff.next_pause_ms(Some(1000)), 1150);
        assert_eq!(backoff.next_pause_ms(Some(299_000)), 300_000);
        assert_eq!(backoff.next_pause_ms(Some(i64::MAX)), 300_000);
    }
}
