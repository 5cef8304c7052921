//! The catalog in use: configured repositories, fetched, kept and merged.
//!
//! A repository that cannot be fetched keeps its last good copy and stops no other one; its fault
//! is told by [`CatalogService::health`].

mod fetch;
mod source;

pub use fetch::FetchError;
pub use source::{BUILTIN_URI, Source, SourceError};

use fetch::Fetcher;
use orrery_catalog::{Index, Repository as Content};
use orrery_core::package::Repository;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Age at which a copy of a remote repository is fetched anew, in the background.
const REMOTE_FRESH: Duration = Duration::from_secs(60);
/// Age at which a directory or file is looked at again.
const LOCAL_FRESH: Duration = Duration::from_secs(1);

/// State of one repository for people.
#[derive(Debug, Clone)]
pub struct Health {
    /// The repository.
    pub repository: Repository,
    /// Package versions in the copy in use.
    pub packages: usize,
    /// Why the last fetch failed.
    pub error: Option<String>,
    /// Broken packages that were left out.
    pub faults: Vec<String>,
}

struct Copy {
    content: Option<Arc<Content>>,
    error: Option<Arc<FetchError>>,
    checked: Instant,
    fetching: bool,
}

/// The catalog service.
pub struct CatalogService {
    fetcher: Fetcher,
    default: Vec<Repository>,
    copies: Mutex<HashMap<CopyKey, Copy>>,
    merged: Mutex<Option<(Vec<usize>, Arc<Index>)>>,
}

/// Key of a copy: name and URI.
type CopyKey = (String, String);

impl CatalogService {
    /// A service that keeps copies of remote repositories in `cache`, with `builtin` as the content
    /// of [`BUILTIN_URI`] and `default` as the list until somebody changes it.
    pub fn new(cache: PathBuf, builtin: Arc<Content>, default: Vec<Repository>) -> Self {
        Self { fetcher: Fetcher::new(cache, builtin), default, copies: Mutex::default(), merged: Mutex::default() }
    }

    /// The list in force while the cluster has none of its own.
    pub fn default_repositories(&self) -> &[Repository] {
        &self.default
    }

    /// Fetches a repository now, for a user who adds it.
    ///
    /// # Errors
    /// [`FetchError`] when it cannot be had or read.
    pub async fn fetch(&self, repository: &Repository) -> Result<Arc<Content>, FetchError> {
        let content = self.fetcher.fetch(repository, None).await?;
        self.keep(repository, Ok(Arc::clone(&content)));
        Ok(content)
    }

    /// The merged view of `repositories`, from the copies at hand; waits only for those never
    /// fetched before.
    pub async fn index(self: &Arc<Self>, repositories: &[Repository]) -> Arc<Index> {
        let mut contents = Vec::new();
        for repository in repositories {
            contents.extend(self.content(repository).await);
        }
        let identity: Vec<usize> = contents.iter().map(|content| Arc::as_ptr(content) as usize).collect();
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, index)) = merged.as_ref()
            && *known == identity
        {
            return Arc::clone(index);
        }
        let index = Arc::new(Index::new(contents));
        *merged = Some((identity, Arc::clone(&index)));
        index
    }

    /// How each repository is doing.
    pub fn health(&self, repositories: &[Repository]) -> Vec<Health> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let health = |repository: &Repository| {
            let copy = copies.get(&key(repository));
            let content = copy.and_then(|copy| copy.content.as_ref());
            Health {
                repository: repository.clone(),
                packages: content.map_or(0, |content| content.packages.len()),
                error: copy.and_then(|copy| copy.error.as_ref()).map(ToString::to_string),
                faults: content.map(|content| content.faults.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            }
        };
        repositories.iter().map(health).collect()
    }

    async fn content(self: &Arc<Self>, repository: &Repository) -> Option<Arc<Content>> {
        let (known, stale) = {
            let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
            match copies.get_mut(&key(repository)) {
                Some(copy) => {
                    let fresh = if Source::is_remote(&repository.uri) { REMOTE_FRESH } else { LOCAL_FRESH };
                    let stale = !copy.fetching && copy.checked.elapsed() >= fresh && repository.uri != BUILTIN_URI;
                    copy.fetching |= stale;
                    (Some(copy.content.clone()), stale)
                }
                None => (None, true),
            }
        };
        match known {
            Some(content) if !stale => content,
            // A remote copy is refreshed behind the reader's back; a local one is read at once.
            Some(content) if Source::is_remote(&repository.uri) => {
                let (service, repository) = (Arc::clone(self), repository.clone());
                crate::surroundings::spawn(async move { service.refresh(&repository).await });
                content
            }
            // In a task of its own: a reader that goes away must not leave the copy marked as being fetched.
            _ => {
                let (service, repository) = (Arc::clone(self), repository.clone());
                crate::surroundings::spawn(async move { service.refresh(&repository).await }).await.ok().flatten()
            }
        }
    }

    async fn refresh(&self, repository: &Repository) -> Option<Arc<Content>> {
        let before = self
            .copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key(repository))
            .and_then(|copy| copy.content.clone());
        let result = self.fetcher.fetch(repository, before.as_ref()).await;
        if let Err(error) = &result {
            tracing::warn!(repository = repository.name, uri = repository.uri, %error, "repository cannot be refreshed; using the last good copy");
        }
        self.keep(repository, result)
    }

    fn keep(&self, repository: &Repository, result: Result<Arc<Content>, FetchError>) -> Option<Arc<Content>> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = copies.entry(key(repository)).or_insert(Copy {
            content: None,
            error: None,
            checked: Instant::now(),
            fetching: false,
        });
        copy.checked = Instant::now();
        copy.fetching = false;
        match result {
            Ok(content) => {
                copy.content = Some(content);
                copy.error = None;
            }
            Err(error) => {
                if copy.content.is_none() {
                    copy.content = self.fetcher.stored(repository);
                }
                copy.error = Some(Arc::new(error));
            }
        }
        copy.content.clone()
    }
}

fn key(repository: &Repository) -> CopyKey {
    (repository.name.clone(), repository.uri.clone())
}
