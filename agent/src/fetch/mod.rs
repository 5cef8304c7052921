//! Artifacts of a task: downloaded or copied into its sandbox and unpacked, within bounds.

mod cache;
mod download;
mod extract;
mod readable;

use crate::hidden::Hidden;
use crate::spawner::Identity;
use cache::Cache;
use extract::{Bounds, kind};
use orrery_core::app::Artifact;
pub(crate) use readable::lies_in;
use readable::readable;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;
use url::Url;

/// Fetches artifacts, a bounded number at once.
#[derive(Debug)]
pub(crate) struct Fetcher {
    /// Made for the first download: most tasks fetch nothing, and it holds all certificate authorities.
    client: LazyLock<Result<reqwest::Client, String>>,
    cache: Arc<Cache>,
    permits: Semaphore,
    bounds: Arc<Bounds>,
    hidden: Hidden,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Web(Url),
    File(PathBuf),
}

fn source(uri: &str) -> Result<Source, String> {
    if uri.starts_with('/') {
        return Ok(Source::File(uri.into()));
    }
    let url = Url::parse(uri).map_err(|error| format!("it is neither a URL nor an absolute path ({error})"))?;
    match url.scheme() {
        "http" | "https" => Ok(Source::Web(url)),
        "file" => url.to_file_path().map(Source::File).map_err(|()| "a file URL must have an absolute path of this node".into()),
        other => Err(format!("\"{other}\" URLs are not supported; use http, https, file or an absolute path")),
    }
}

/// Name of the file in the sandbox: `destPath`, or the last part of the URI's path.
fn destination(artifact: &Artifact, source: &Source) -> Result<PathBuf, String> {
    let name = match (&artifact.dest_path, source) {
        (Some(path), _) => path.clone(),
        (None, Source::File(path)) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        (None, Source::Web(url)) => {
            let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
            percent_decode(last)
        }
    };
    let path = PathBuf::from(&name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || !inside || path.file_name().is_none() || (artifact.dest_path.is_none() && name.contains('/')) {
        return Err(format!(
            "\"{name}\" is no name for a file in the sandbox; set \"destPath\" to a relative path without \"..\""
        ));
    }
    Ok(path)
}

/// Undoes `%41`; what is not such an escape stays as it is.
fn percent_decode(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl Fetcher {
    /// A fetcher with its cache.
    pub(crate) fn new(config: &crate::AgentConfig) -> Result<Self, String> {
        let cache = Cache::open(config.cache_dir(), config.limits.cache_bytes)
            .map_err(|error| format!("cannot open the artifact cache {}: {error}", config.cache_dir().display()))?;
        Ok(Self {
            client: LazyLock::new(download::client),
            cache: Arc::new(cache),
            permits: Semaphore::new(config.limits.fetches),
            bounds: Arc::new(Bounds::default()),
            hidden: config.all_hidden(),
        })
    }

    fn client(&self) -> Result<&reqwest::Client, String> {
        self.client.as_ref().map_err(Clone::clone)
    }

    /// Fetches all artifacts into `sandbox`; all faults at once, each with its URI.
    pub(crate) async fn fetch(&self, artifacts: &[Artifact], sandbox: &Path, identity: Option<&Identity>) -> Result<(), String> {
        let fetches: Vec<_> = artifacts.iter().map(|artifact| self.fetch_when_permitted(artifact, sandbox, identity)).collect();
        let results = futures::future::join_all(fetches).await;
        let faults: Vec<String> = results.into_iter().filter_map(Result::err).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    async fn fetch_when_permitted(&self, artifact: &Artifact, sandbox: &Path, identity: Option<&Identity>) -> Result<(), String> {
        let _permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
        self.fetch_one(artifact, sandbox, identity).await.map_err(|why| format!("Cannot fetch {}: {why}", artifact.uri))
    }

    async fn fetch_one(&self, artifact: &Artifact, sandbox: &Path, identity: Option<&Identity>) -> Result<(), String> {
        let source = source(&artifact.uri)?;
        let name = destination(artifact, &source)?;
        let target = sandbox.join(&name);
        let (root, parent) = (sandbox.to_owned(), target.parent().unwrap_or(sandbox).to_owned());
        blocking(move || create_inside(&root, &parent)).await?;
        match &source {
            Source::File(path) => {
                let (path, target, identity) = (path.clone(), target.clone(), identity.cloned());
                let hidden = self.hidden.clone();
                blocking(move || copy(&readable(&path, identity.as_ref(), &hidden.paths())?, &target)).await?;
            }
            Source::Web(url) if artifact.cache => {
                let lock = self.cache.lock(&artifact.uri);
                let _guard = lock.lock().await;
                let cached = self.cached(url, &artifact.uri).await?;
                let target = target.clone();
                blocking(move || copy(&cached, &target)).await?;
            }
            Source::Web(url) => download::download(self.client()?, url, &target).await?,
        }
        let unpack = if artifact.extract && !artifact.executable {
            kind(&name.to_string_lossy()).or_else(|| kind_of(&source))
        } else {
            None
        };
        let (bounds, root, executable) = (self.bounds.clone(), sandbox.to_owned(), artifact.executable);
        blocking(move || {
            if executable {
                return fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string());
            }
            let Some(kind) = unpack else { return Ok(()) };
            let single = name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            extract::extract(&target, kind, &root, &single, &bounds).map_err(|why| format!("cannot unpack it: {why}"))
        })
        .await
    }

    async fn cached(&self, url: &Url, uri: &str) -> Result<PathBuf, String> {
        if let Some(path) = self.cache.find(uri) {
            if path.exists() {
                return Ok(path);
            }
            self.cache.forget(uri);
        }
        let temporary = self.cache.temporary(uri);
        download::download(self.client()?, url, &temporary).await?;
        self.cache.enter(uri, &temporary).map_err(|error| format!("cannot keep it in the cache: {error}"))
    }
}

/// With a `destPath` the URI still tells the kind.
fn kind_of(source: &Source) -> Option<extract::Kind> {
    match source {
        Source::Web(url) => kind(url.path()),
        Source::File(path) => kind(&path.to_string_lossy()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// Creates a directory below `root`; links on the way may not lead out.
fn create_inside(root: &Path, directory: &Path) -> Result<(), String> {
    let say = |error: std::io::Error| format!("cannot create {}: {error}", directory.display());
    let root = root.canonicalize().map_err(say)?;
    let existing = directory.ancestors().find_map(|path| path.canonicalize().ok());
    if !existing.is_some_and(|path| path.starts_with(&root)) {
        return Err("its place lies outside the sandbox".into());
    }
    fs::create_dir_all(directory).map_err(say)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let found = fs::metadata(from).map_err(|error| format!("{} cannot be read: {error}", from.display()))?;
    if !found.is_file() {
        return Err(format!("{} is not a plain file", from.display()));
    }
    let _ = fs::remove_file(to);
    fs::copy(from, to).map_err(|error| error.to_string())?;
    // As Mesos: what was fetched can be written by its owner and carries no special bits.
    let mode = found.permissions().mode() & 0o777 | 0o600;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "fetch_test.rs"]
mod tests;
