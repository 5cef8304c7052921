//! Getting one repository: bounded in size and time, with a copy on disk for bad days.

use super::source::{Source, SourceError};
use futures::StreamExt as _;
use orrery_catalog::{Checks, Repository as Content, RepositoryError, RepositorySource};
use orrery_core::package::Repository;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Most bytes taken from a remote repository, as sent.
const DOWNLOAD_BYTES_MAX: usize = 256 << 20;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries for connection faults and answers of 500 and above.
const TRIES: u32 = 3;
/// First pause between tries; doubles.
const TRY_PAUSE: Duration = Duration::from_millis(300);
/// Forms we read, best first, as Cosmos asks for them (cosmos.md 2.2).
const ACCEPT: &str = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v5,\
    application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4,\
    application/vnd.dcos.universe.repo+json;charset=utf-8;version=v3,application/json;q=0.5,*/*;q=0.1";

/// Why a repository cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Its URI is none.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nobody answers there.
    #[error("Could not access data at URI for repository: {0}")]
    Connection(String),
    /// The server answers with an error.
    #[error("the server answered {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// The answer is too large.
    #[error("the repository is larger than {DOWNLOAD_BYTES_MAX} bytes")]
    TooLarge,
    /// The file cannot be read.
    #[error("{path} cannot be read: {cause}")]
    File {
        /// Path.
        path: PathBuf,
        /// Cause.
        cause: std::io::Error,
    },
    /// What came is no repository.
    #[error(transparent)]
    Content(#[from] RepositoryError),
    /// Reading it failed in a way that should not happen.
    #[error("the repository cannot be read: {0}")]
    Internal(String),
}

/// Fetches repositories.
pub(crate) struct Fetcher {
    client: reqwest::Client,
    cache: PathBuf,
    builtin: Arc<Content>,
    /// Newest change seen below a local path, to read it again only when something changed.
    seen: std::sync::Mutex<std::collections::HashMap<PathBuf, Stamp>>,
}

/// Number of entries and newest modification below a path.
type Stamp = (u64, Option<SystemTime>);

impl Fetcher {
    pub(crate) fn new(cache: PathBuf, builtin: Arc<Content>) -> Self {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("cosmos/0.6.3 dcos/2.2 orrery/", env!("CARGO_PKG_VERSION")))
            .no_gzip()
            .build()
            .unwrap_or_default();
        Self { client, cache, builtin, seen: std::sync::Mutex::default() }
    }

    /// Fetches; gives `before` back when a local repository has not changed.
    pub(crate) async fn fetch(&self, repository: &Repository, before: Option<&Arc<Content>>) -> Result<Arc<Content>, FetchError> {
        let source = RepositorySource { name: repository.name.clone(), uri: repository.uri.clone() };
        match Source::parse(&repository.uri)? {
            Source::Builtin => Ok(Arc::clone(&self.builtin)),
            Source::Local(path) => {
                let stamped = path.clone();
                let stamp = blocking(move || Ok(stamp(&stamped, 0))).await?;
                let unchanged = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(path.clone(), stamp)
                    == Some(stamp);
                match before.filter(|_| unchanged) {
                    Some(before) => Ok(Arc::clone(before)),
                    None => blocking(move || read(source, &path)).await.map(Arc::new),
                }
            }
            Source::Remote(url) => {
                let bytes = self.download(url).await?;
                let stored = self.stored_path(repository);
                blocking(move || {
                    let content = Content::from_json(source, bytes.clone())?;
                    if let Err(error) = store(&stored, &bytes) {
                        tracing::warn!(path = %stored.display(), %error, "the copy of a repository cannot be kept");
                    }
                    Ok(content)
                })
                .await
                .map(Arc::new)
            }
        }
    }

    /// The last good copy of a remote repository.
    pub(crate) fn stored(&self, repository: &Repository) -> Option<Arc<Content>> {
        let bytes = std::fs::read(self.stored_path(repository)).ok()?;
        let source = RepositorySource { name: repository.name.clone(), uri: repository.uri.clone() };
        Content::from_json(source, bytes).ok().map(Arc::new)
    }

    fn stored_path(&self, repository: &Repository) -> PathBuf {
        self.cache.join(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, repository.uri.as_bytes()).to_string())
    }

    async fn download(&self, url: url::Url) -> Result<Vec<u8>, FetchError> {
        let mut pause = TRY_PAUSE;
        for attempt in 1.. {
            match self.try_download(url.clone()).await {
                Err(FetchError::Connection(_) | FetchError::Status { status: 500.. }) if attempt < TRIES => {}
                result => return result,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the last try returns")
    }

    async fn try_download(&self, url: url::Url) -> Result<Vec<u8>, FetchError> {
        let request = self.client.get(url).header("Accept", ACCEPT).header("Accept-Encoding", "gzip");
        let response = request.send().await.map_err(connection)?;
        if !response.status().is_success() {
            return Err(FetchError::Status { status: response.status().as_u16() });
        }
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(connection)?;
            if bytes.len() + chunk.len() > DOWNLOAD_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// The innermost cause says most: refused, unknown host, certificate.
fn connection(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    FetchError::Connection(cause.to_string())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, FetchError> + Send + 'static) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(FetchError::Internal(error.to_string())))
}

fn read(source: RepositorySource, path: &Path) -> Result<Content, FetchError> {
    if path.is_dir() {
        return Ok(Content::from_directory(source, path, Checks::Read)?);
    }
    let file = |cause| FetchError::File { path: path.to_owned(), cause };
    // A device or pipe says it is empty and never ends, or never begins.
    if !std::fs::metadata(path).map_err(file)?.is_file() {
        return Err(file(std::io::Error::other("it is neither a file nor a directory")));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|opened| opened.take(DOWNLOAD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(file)?;
    if bytes.len() > DOWNLOAD_BYTES_MAX {
        return Err(FetchError::TooLarge);
    }
    Ok(Content::from_json(source, bytes)?)
}

/// Directories below a repository are at most this deep.
const DEPTH_MAX: u32 = 8;

fn stamp(path: &Path, depth: u32) -> Stamp {
    let Ok(metadata) = std::fs::metadata(path) else { return (0, None) };
    let mut all = (1, metadata.modified().ok());
    if metadata.is_dir() && depth < DEPTH_MAX {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let (count, newest) = stamp(&entry.path(), depth + 1);
            all = (all.0 + count, all.1.max(newest));
        }
    }
    all
}

fn store(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_no_repositories() {
        let source = RepositorySource { name: "x".into(), uri: "/dev/zero".into() };
        let error = read(source, Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero cannot be read: it is neither a file nor a directory");
    }
}
