//! Writing a backup of a store that is in use.

use super::file::{Footer, Header, Writer};
use super::{BackupError, CLOSED_KEY, PASSING};
use orrery_core::Timestamp;
use orrery_core::cluster::ROOT;
use orrery_store::Store;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Key of the cluster's id.
const CLUSTER_ID_KEY: &str = "/orrery/v1/cluster/id";

/// The id of the cluster in a store.
pub(super) async fn cluster_id(store: &dyn Store) -> Result<Option<String>, BackupError> {
    let entry = store.get(CLUSTER_ID_KEY).await?;
    Ok(entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()))
}

/// Writes everything of the cluster in `store`, at one revision, page by page.
///
/// # Errors
/// Those of the store and of `out`; [`BackupError::is_compacted`] when it took longer than the store
/// keeps history: begin again.
pub async fn export(
    store: &dyn Store,
    now: Timestamp,
    out: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<(Header, Footer), BackupError> {
    let cluster = cluster_id(store).await?.ok_or(BackupError::Nothing)?;
    let mut page = store.range(ROOT, None, 0, None).await?;
    let revision = page.revision;
    let header = Header { cluster, revision: revision.0, created_at: now, version: env!("CARGO_PKG_VERSION").into() };
    let mut writer = Writer::new(Vec::new(), &header)?;
    loop {
        for entry in &page.entries {
            if entry.key != CLOSED_KEY && !PASSING.iter().any(|prefix| entry.key.starts_with(prefix)) {
                writer.entry(&entry.key, &entry.value)?;
            }
        }
        out.write_all(&std::mem::take(writer.sink())).await?;
        if !page.more {
            break;
        }
        let last = page.entries.last().map(|entry| entry.key.clone());
        page = store.range(ROOT, Some(revision), 0, last.as_deref()).await?;
    }
    let (rest, footer) = writer.finish()?;
    out.write_all(&rest).await?;
    out.flush().await?;
    Ok((header, footer))
}
