//! Whether a backup can become a cluster again.

use super::{Backup, BackupError};
use orrery_core::Timestamp;
use orrery_core::cluster::{Cluster, LoadFault};

/// What a backup holds.
#[derive(Debug)]
pub struct Contents {
    /// Number of entries.
    pub entries: usize,
    /// Number of apps.
    pub apps: usize,
    /// Number of instances, one task each.
    pub instances: usize,
    /// Number of nodes.
    pub nodes: usize,
    /// Entries that cannot be read as what they should be.
    pub faults: Vec<LoadFault>,
}

/// Reads every entry of a backup as a controller would.
///
/// # Errors
/// [`BackupError::File`], [`BackupError::Damaged`].
pub fn verify(backup: &Backup, now: Timestamp) -> Result<Contents, BackupError> {
    let entries = backup.entries()?.collect::<Result<Vec<_>, _>>()?;
    let (cluster, faults) = Cluster::load(entries.iter().map(|(key, value)| (key.as_str(), value.as_slice())), now);
    Ok(Contents {
        entries: entries.len(),
        apps: cluster.apps.len(),
        instances: cluster.instances.len(),
        nodes: cluster.nodes.len(),
        faults,
    })
}
