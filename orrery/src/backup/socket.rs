//! The backup of a running daemon, through a socket in its data directory.
//!
//! Not a part of the HTTP door: a backup holds the keys of the cluster, so that only who may read the
//! data directory gets it, whatever the door allows.

use anyhow::Context as _;
use orrery_controller::backup::{BackupError, export};
use orrery_store::Store;
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

const SOCKET_FILE: &str = "backup.sock";
/// Backups being made at once; further callers wait.
const BACKUPS_MAX: usize = 2;

/// The socket's path by way of an open directory: a socket's own path may have 107 bytes only.
fn short(data: &Path) -> std::io::Result<(std::fs::File, PathBuf)> {
    let directory = std::fs::File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()));
    Ok((directory, path))
}

/// Serves backups of `store` until `stop`.
pub(crate) fn serve(data: &Path, store: Arc<dyn Store>, stop: CancellationToken) -> anyhow::Result<()> {
    let (directory, path) = short(data)?;
    // Left by a daemon that was killed; the data directory is ours now.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).context("cannot listen for backups")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let permits = Arc::new(Semaphore::new(BACKUPS_MAX));
    tokio::spawn(async move {
        let accept = async {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    give(&*store, stream).await;
                    drop(permit);
                });
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept => {}
        }
        drop(directory);
    });
    Ok(())
}

async fn give(store: &dyn Store, mut stream: UnixStream) {
    let me = nix::unistd::geteuid().as_raw();
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == me || peer.uid() == 0) {
        return;
    }
    if let Err(error) = export(store, crate::location::now(), &mut stream).await {
        tracing::warn!(%error, "a backup was not finished");
        // What arrives is not whole; why is written behind it. Who has gone is told nothing.
        let _ = stream.write_all(&Reason { reason: error.to_string(), again: error.is_compacted() }.to_bytes()).await;
    }
}

/// Begins the reason that a backup ends before it is whole.
const UNFINISHED: &[u8] = b"\norrery-backup-unfinished\n";
/// Longest reason that is looked for, bytes.
const REASON_MAX_BYTES: u64 = 16 << 10;

/// What stands behind a backup that is not whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reason {
    reason: String,
    again: bool,
}

impl Reason {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = UNFINISHED.to_vec();
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes
    }

    /// The reason at the end of what has arrived, if there is one.
    fn of(arrived: &[u8]) -> Option<Self> {
        let at = arrived.windows(UNFINISHED.len()).rposition(|bytes| bytes == UNFINISHED)?;
        serde_json::from_slice(&arrived[at + UNFINISHED.len()..]).ok()
    }
}

/// Why the file of a backup that has arrived is not whole: what the daemon says, else `found`.
pub(super) fn why_unfinished(path: &Path, found: BackupError) -> BackupError {
    let told = (|| {
        let mut file = std::fs::File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(REASON_MAX_BYTES))).ok()?;
        let mut end = Vec::new();
        file.read_to_end(&mut end).ok()?;
        Reason::of(&end)
    })();
    match told {
        Some(Reason { reason, again }) => BackupError::Unfinished { reason, again },
        None => found,
    }
}

/// Takes a backup from the daemon of `data`.
pub(super) async fn fetch(data: &Path, file: &mut tokio::fs::File) -> Result<(), BackupError> {
    let (_directory, path) = short(data)?;
    let mut stream = UnixStream::connect(path).await?;
    tokio::io::copy(&mut stream, file).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_is_not_whole_ends_with_its_reason() {
        let reason = || Reason { reason: "the store is unavailable: silence".into(), again: false };
        for before in [&b""[..], b"orrery-backup-1\n\0\x01", UNFINISHED] {
            let arrived = [before, &reason().to_bytes()].concat();
            assert_eq!(Reason::of(&arrived), Some(reason()));
            assert_eq!(Reason::of(&arrived[..arrived.len() - 1]), None, "cut off");
        }
        assert_eq!(Reason::of(b"orrery-backup-1\n"), None);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backup");
        std::fs::write(&file, [vec![0; 64 << 10], reason().to_bytes()].concat()).unwrap();
        let told = why_unfinished(&file, BackupError::Nothing).to_string();
        assert_eq!(told, "the daemon could not make it: the store is unavailable: silence");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(why_unfinished(&file, BackupError::Nothing), BackupError::Nothing));
    }
}
