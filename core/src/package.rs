//! Installed packages ("services") and the repositories they come from.

use crate::{AppId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A package somebody installed: the durable intent from which the app is rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageInstance {
    /// The app it became.
    pub app_id: AppId,
    /// Package name.
    pub name: String,
    /// Package version, opaque.
    pub version: String,
    /// Revision that orders versions.
    pub release_version: u64,
    /// URI of the repository it was taken from.
    pub source: String,
    /// SHA-256 of the repository content it was taken from, hexadecimal.
    #[serde(default)]
    pub repository_digest: String,
    /// What the user gave.
    #[serde(default)]
    pub options: Value,
    /// When it was installed.
    pub installed_at: Timestamp,
}

/// A configured repository; order in the list is priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Unique name.
    pub name: String,
    /// http(s), file or `builtin:` URI.
    pub uri: String,
}
