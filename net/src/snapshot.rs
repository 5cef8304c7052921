//! The names of one moment.

use crate::cache::Cache;
use orrery_core::dns::{ClusterZone, Entry};
use std::sync::Arc;

/// All names as they were at one moment, with what is kept of those that were asked for.
#[derive(Debug, Clone)]
pub struct Snapshot {
    zone: Arc<ClusterZone>,
    cache: Arc<Cache>,
}

impl Snapshot {
    pub(crate) const fn new(zone: Arc<ClusterZone>, cache: Arc<Cache>) -> Self {
        Self { zone, cache }
    }

    /// What there is at a lower-case name without final dot. `None` means that neither the name nor
    /// anything below it exists.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.cache.get(&self.zone, name)
    }

    /// Counts the changes so far.
    pub fn revision(&self) -> u64 {
        self.zone.revision()
    }

    /// The whole zone.
    pub fn zone(&self) -> &ClusterZone {
        &self.zone
    }
}
