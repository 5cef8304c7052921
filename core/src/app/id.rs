//! App ids: slash paths such as `/shop/web`.

use crate::shared_text::SharedText;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Longest id accepted, in bytes.
pub const ID_MAX_BYTES: usize = 256;

/// Canonical absolute path of an app, group, pod or job (marathon.md 1.3): starts with `/`, has at
/// least one segment of `[a-z0-9.-]`, no empty, `.` or `..` segments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(SharedText);

/// Why a text is not an app id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing but slashes.
    #[error("the id is empty; give at least one path segment such as /web")]
    Empty,
    /// A segment with characters outside the rule.
    #[error(
        "segment \"{0}\" is not allowed: use lower-case letters, digits, dots and dashes; a dash may not stand first or last"
    )]
    Segment(String),
    /// A last segment that the HTTP API uses itself.
    #[error("the last segment may not be \"{0}\", which the API uses itself")]
    Reserved(String),
    /// `..` climbs above the root.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// Longer than [`ID_MAX_BYTES`].
    #[error("the id is longer than {ID_MAX_BYTES} bytes")]
    TooLong,
}

impl AppId {
    /// Parses `text`, relative ids being resolved against the root.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Self::parse_in("/", text)
    }

    /// Parses `text`, resolving relative ids, `.` and `..` against the group `base`.
    pub fn parse_in(base: &str, text: &str) -> Result<Self, IdError> {
        let mut segments: Vec<&str> = Vec::new();
        let start = if text.starts_with('/') { "" } else { base };
        for segment in start.split('/').chain(text.split('/')).filter(|segment| !segment.is_empty()) {
            match segment {
                "." => {}
                ".." => {
                    segments.pop().ok_or(IdError::AboveRoot)?;
                }
                _ => segments.push(segment),
            }
        }
        let last = *segments.last().ok_or(IdError::Empty)?;
        if let Some(bad) = segments.iter().find(|segment| !is_segment(segment)) {
            return Err(IdError::Segment(bad.chars().take(64).collect()));
        }
        if matches!(last, "restart" | "tasks" | "versions") {
            return Err(IdError::Reserved(last.to_owned()));
        }
        let path = format!("/{}", segments.join("/"));
        if path.len() > ID_MAX_BYTES { Err(IdError::TooLong) } else { Ok(Self(path.into())) }
    }

    /// The path, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Path segments, outermost first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0[1..].split('/')
    }

    /// Segments joined by `_`: the prefix of instance ids.
    pub fn safe_path(&self) -> String {
        self.0[1..].replace('/', "_")
    }

    /// Inverse of [`AppId::safe_path`].
    pub fn from_safe_path(text: &str) -> Result<Self, IdError> {
        Self::parse(&text.replace('_', "/"))
    }

    /// Reversed and dot-joined (`/a/b` → `b.a`): Mesos task name and discovery name.
    pub fn host_name(&self) -> String {
        let segments: Vec<&str> = self.segments().rev().collect();
        segments.join(".")
    }

    /// The enclosing group: `/` for a top-level app.
    pub fn group(&self) -> &str {
        match self.0.rfind('/') {
            Some(0) | None => "/",
            Some(at) => &self.0[..at],
        }
    }

    /// Whether this id lies below the group path `group` (canonical, `/` = everything).
    pub fn is_below(&self, group: &str) -> bool {
        group == "/" || self.0.strip_prefix(group).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn is_segment(segment: &str) -> bool {
    segment.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    })
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for AppId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for AppId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths() {
        for (base, text, want) in [
            ("/", "/a", "/a"),
            ("/", "a//b/", "/a/b"),
            ("/g", "a", "/g/a"),
            ("/g/h", "../a", "/g/a"),
            ("/", "/a.b-c/d1", "/a.b-c/d1"),
        ] {
            assert_eq!(AppId::parse_in(base, text).unwrap().as_str(), want);
        }
    }

    #[test]
    fn refusals() {
        for text in ["", "/", "/A", "/a_b", "/-a", "/a-", "/a..b", "/x/restart", "/a/../..", "/ä", "/a b"] {
            assert!(AppId::parse(text).is_err(), "{text}");
        }
        assert_eq!(AppId::parse(&"/a".repeat(200)), Err(IdError::TooLong));
    }

    #[test]
    fn derived_names() {
        let id = AppId::parse("/shop/eu/web").unwrap();
        assert_eq!(id.safe_path(), "shop_eu_web");
        assert_eq!(AppId::from_safe_path("shop_eu_web").unwrap(), id);
        assert_eq!(id.host_name(), "web.eu.shop");
        assert_eq!(id.group(), "/shop/eu");
        assert!(id.is_below("/shop") && id.is_below("/") && !id.is_below("/sho"));
    }
}
