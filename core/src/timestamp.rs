//! Points in time, handed in from outside: this crate never looks at a clock.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Milliseconds since the Unix epoch. Written as Marathon writes versions:
/// `yyyy-MM-ddTHH:mm:ss.SSSZ`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Milliseconds plus one, so that an optional time takes no more room than a time.
    NonZeroU64,
);

impl Default for Timestamp {
    fn default() -> Self {
        Self::EPOCH
    }
}

/// Last instant that has four digits in its year (9999-12-30), in milliseconds.
const LATEST_MS: i64 = 253_402_128_000_000;

impl Timestamp {
    /// The epoch itself; stands for "never" in counters.
    pub const EPOCH: Self = Self(NonZeroU64::MIN);

    /// From milliseconds since the Unix epoch, clamped to the years 1970–9999.
    pub const fn from_millis(millis: i64) -> Self {
        let clamped = if millis < 0 {
            0
        } else if millis > LATEST_MS {
            LATEST_MS
        } else {
            millis
        };
        Self(NonZeroU64::MIN.saturating_add(clamped as u64))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        (self.0.get() - 1) as i64
    }

    /// Seconds since the Unix epoch as Mesos prints times.
    pub fn as_secs_f64(self) -> f64 {
        self.as_millis() as f64 / 1000.0
    }

    /// `millis` later.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.as_millis().saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this; negative when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.as_millis() - earlier.as_millis()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}ms", self.as_millis()),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(|timestamp| Self::from_millis(timestamp.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom(format!("{text} is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_marathon_versions() {
        let text = "2024-02-29T23:59:59.007Z";
        let timestamp: Timestamp = text.parse().unwrap();
        assert_eq!(timestamp.to_string(), text);
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string().len(), text.len());
    }
}
