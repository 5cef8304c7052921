//! What all repositories offer together.
//!
//! Repositories are ordered; an earlier one hides the versions of a later one that have the same
//! name and version. "Latest" is the highest revision in the first repository that has the name,
//! never the highest version: versions are opaque.

use crate::error::CatalogError;
use crate::package::Package;
use crate::repository::Repository;
use crate::search::{self, SearchResult};
use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

/// Most versions named in an error about an unknown one.
const KNOWN_VERSIONS_SHOWN: usize = 5;

/// A package and the repository it comes from.
#[derive(Debug, Clone)]
pub struct Found {
    /// The repository.
    pub repository: Arc<Repository>,
    /// The package version.
    pub package: Arc<Package>,
}

impl Deref for Found {
    type Target = Package;

    fn deref(&self) -> &Package {
        &self.package
    }
}

/// The merged view of ordered repositories. Immutable: build a new one when a repository changes.
#[derive(Debug, Default)]
pub struct Index {
    repositories: Vec<Arc<Repository>>,
    /// By name; versions by repository, then by falling revision, equal versions once.
    packages: BTreeMap<String, Vec<Found>>,
    /// In the order of search results.
    searched: Vec<search::Searched>,
}

impl Index {
    /// Merges repositories, the first having priority.
    pub fn new(repositories: Vec<Arc<Repository>>) -> Self {
        let mut packages: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for repository in &repositories {
            let mut sorted: Vec<&Arc<Package>> = repository.packages.iter().collect();
            // Stable: of two equal revisions the first in the repository counts.
            sorted.sort_by_key(|package| std::cmp::Reverse(package.release_version));
            for package in sorted {
                let found = Found { repository: Arc::clone(repository), package: Arc::clone(package) };
                if let Some(versions) = packages.get_mut(&package.name) {
                    versions.push(found);
                } else {
                    packages.insert(package.name.clone(), vec![found]);
                }
            }
        }
        for versions in packages.values_mut() {
            let mut seen: HashSet<String> = HashSet::with_capacity(versions.len());
            versions.retain(|found| seen.insert(found.version.clone()));
        }
        let searched = search::prepare(&packages);
        Self { repositories, packages, searched }
    }

    /// The repositories, in order.
    pub fn repositories(&self) -> &[Arc<Repository>] {
        &self.repositories
    }

    /// Number of different names.
    pub fn names_count(&self) -> usize {
        self.packages.len()
    }

    /// Every version that can be resolved, by name, latest first.
    pub fn packages(&self) -> impl Iterator<Item = &Found> {
        self.packages.values().flatten()
    }

    /// All versions of a name, the latest first.
    ///
    /// # Errors
    /// `PackageNotFound`, with names that look like it.
    pub fn versions(&self, name: &str) -> Result<&[Found], CatalogError> {
        self.packages.get(name).map(Vec::as_slice).ok_or_else(|| CatalogError::PackageNotFound {
            package_name: name.to_owned(),
            similar: search::similar(name, self.packages.keys()),
        })
    }

    /// Versions and revisions of a name, the latest first: `/package/list-versions`.
    ///
    /// # Errors
    /// `PackageNotFound`, with names that look like it.
    pub fn list_versions(&self, name: &str) -> Result<Vec<(&str, u64)>, CatalogError> {
        let versions = self.versions(name)?;
        Ok(versions.iter().map(|found| (found.version.as_str(), found.release_version)).collect())
    }

    /// The given version of a name, or its latest.
    ///
    /// # Errors
    /// `PackageNotFound` or `VersionNotFound`, each with what there is instead.
    pub fn resolve(&self, name: &str, version: Option<&str>) -> Result<&Found, CatalogError> {
        let versions = self.versions(name)?;
        let found = match version {
            // A name is only kept with at least one version.
            None => versions.first(),
            Some(version) => versions.iter().find(|found| found.version == version),
        };
        found.ok_or_else(|| CatalogError::VersionNotFound {
            package_name: name.to_owned(),
            package_version: version.unwrap_or_default().to_owned(),
            known: versions.iter().take(KNOWN_VERSIONS_SHOWN).map(|f| f.version.clone()).collect(),
        })
    }

    /// Packages that match, selected ones first, then by name. A query with `*` is a pattern for
    /// the whole text, exact in case; any other is part of the text in any case. Name,
    /// description and tags of the latest version are searched. No query matches all.
    pub fn search(&self, query: Option<&str>) -> Vec<Arc<SearchResult>> {
        search::search(&self.searched, query)
    }

    /// Versions that an installed `version` may be upgraded to, the latest first.
    pub fn upgrades_to(&self, name: &str, version: &str) -> Vec<&str> {
        let versions = self.packages.get(name).map(Vec::as_slice).unwrap_or_default();
        let allowed = versions.iter().filter(|found| found.version != version && matches_version(&found.upgrades_from, version));
        allowed.map(|found| found.version.as_str()).collect()
    }

    /// Versions there are that `package` may be downgraded to, the latest first.
    pub fn downgrades_to(&self, package: &Package) -> Vec<&str> {
        let versions = self.packages.get(&package.name).map(Vec::as_slice).unwrap_or_default();
        let allowed = versions
            .iter()
            .filter(|found| found.version != package.version && matches_version(&package.downgrades_to, &found.version));
        allowed.map(|found| found.version.as_str()).collect()
    }
}

/// Whether a list of exact versions and `*` names a version.
fn matches_version(patterns: &[String], version: &str) -> bool {
    patterns.iter().any(|pattern| pattern == "*" || pattern == version)
}
