//! Sets of ports as sorted, disjoint, inclusive ranges.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// `begin..=end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "a plain pair")]
pub struct PortRange {
    pub begin: u16,
    pub end: u16,
}

/// A set of ports, written as Mesos writes it: `[31000-32000, 33000-33001]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PortRanges(Vec<PortRange>);

/// A text that is no set of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a list of port ranges; write [31000-32000, 33000-33100] with ports 1–65535")]
pub struct PortRangesError(String);

impl PortRanges {
    /// The set of the given ranges, merged.
    pub fn new(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut ranges: Vec<PortRange> =
            ranges.into_iter().filter(|(begin, end)| begin <= end).map(|(begin, end)| PortRange { begin, end }).collect();
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if u32::from(range.begin) <= u32::from(last.end) + 1 => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// Whether `port` is in the set.
    pub fn contains(&self, port: u16) -> bool {
        let at = self.0.partition_point(|range| range.end < port);
        self.0.get(at).is_some_and(|range| range.begin <= port)
    }

    /// How many ports there are.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|range| u32::from(range.end - range.begin) + 1).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All ports, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|range| range.begin..=range.end)
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect();
        write!(f, "[{}]", texts.join(", "))
    }
}

impl fmt::Debug for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PortRanges {
    type Err = PortRangesError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PortRangesError(text.chars().take(120).collect());
        let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
        let mut ranges = Vec::new();
        for part in inner.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (begin, end) = part.split_once('-').unwrap_or((part, part));
            let (begin, end): (u16, u16) = (begin.trim().parse().map_err(|_| error())?, end.trim().parse().map_err(|_| error())?);
            if begin == 0 || begin > end {
                return Err(error());
            }
            ranges.push((begin, end));
        }
        Ok(Self::new(ranges))
    }
}

impl Serialize for PortRanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_and_finds() {
        let ports: PortRanges = "[20-30, 10-19, 40-40]".parse().unwrap();
        assert_eq!(ports.to_string(), "[10-30, 40-40]");
        assert_eq!(ports.len(), 22);
        assert!(ports.contains(10) && ports.contains(40) && !ports.contains(31) && !ports.contains(9));
        assert_eq!(PortRanges::new([(65535, 65535), (1, 65534)]).len(), 65535);
        for text in ["0-5", "9-3", "a", "1-99999"] {
            assert!(text.parse::<PortRanges>().is_err(), "{text}");
        }
    }
}
