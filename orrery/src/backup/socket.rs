//! The backup of a running daemon, through a socket in its data directory.
//!
//! Not a part of the HTTP door: a backup holds the keys of the cluster, so that only who may read the
//! data directory gets it, whatever the door allows.

use anyhow::Context as _;
use orrery_controller::backup::{BackupError, export};
use orrery_store::Store;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
        // The file that arrives is not whole, and its receiver says so.
        tracing::warn!(%error, "a backup was not finished");
    }
}

/// Takes a backup from the daemon of `data`.
pub(super) async fn fetch(data: &Path, file: &mut tokio::fs::File) -> Result<(), BackupError> {
    let (_directory, path) = short(data)?;
    let mut stream = UnixStream::connect(path).await?;
    tokio::io::copy(&mut stream, file).await?;
    Ok(())
}
