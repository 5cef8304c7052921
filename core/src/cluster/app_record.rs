//! An app and its history.

use crate::{App, Timestamp};
use imbl::Vector;
use std::sync::Arc;

/// Versions kept for each app (Marathon: `zk_max_versions`).
pub const VERSIONS_MAX: usize = 50;

/// An app with its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRecord {
    /// The version wanted now.
    pub app: Arc<App>,
    /// All versions kept, oldest first; the last is `app`.
    pub versions: Vector<Arc<App>>,
}

impl AppRecord {
    /// The definition of one version.
    pub fn version(&self, version: Timestamp) -> Option<&Arc<App>> {
        self.versions.iter().find(|app| app.version == version)
    }
}
