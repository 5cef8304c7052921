//! Edits of installed packages and repositories.

use super::draft::{Draft, EditError};
use super::keys;
use crate::AppId;
use crate::package::{PackageInstance, Repository};
use imbl::Vector;
use std::sync::Arc;

impl Draft {
    /// Records an installed package. The app itself is edited in the same draft.
    pub fn put_package(&mut self, package: PackageInstance) {
        self.write(keys::package(&package.app_id), &package);
        self.cluster.packages.insert(package.app_id.clone(), Arc::new(package));
    }

    /// Forgets an installed package.
    ///
    /// # Errors
    /// [`EditError::NoPackage`].
    pub fn remove_package(&mut self, id: &AppId) -> Result<Arc<PackageInstance>, EditError> {
        let package = self.cluster.packages.remove(id).ok_or_else(|| EditError::NoPackage(id.clone()))?;
        self.delete(keys::package(id));
        Ok(package)
    }

    /// Adds a repository at `index` (default: the end). `default` is the list in force when nobody
    /// has changed it yet.
    ///
    /// # Errors
    /// [`EditError::RepositoryPresent`] or [`EditError::RepositoryIndex`].
    pub fn add_repository(
        &mut self,
        repository: Repository,
        index: Option<usize>,
        default: &[Repository],
    ) -> Result<Vector<Repository>, EditError> {
        let mut list = self.repositories(default);
        if let Some(present) = list.iter().find(|present| present.name == repository.name || present.uri == repository.uri) {
            let what = if present.name == repository.name { &repository.name } else { &repository.uri };
            return Err(EditError::RepositoryPresent(what.clone()));
        }
        let index = index.unwrap_or(list.len());
        if index > list.len() {
            return Err(EditError::RepositoryIndex { attempted: index, max: list.len() });
        }
        list.insert(index, repository);
        self.set_repositories(list.clone());
        Ok(list)
    }

    /// Removes the repository that matches every given field.
    ///
    /// # Errors
    /// [`EditError::NoRepository`].
    pub fn remove_repository(
        &mut self,
        name: Option<&str>,
        uri: Option<&str>,
        default: &[Repository],
    ) -> Result<Vector<Repository>, EditError> {
        let mut list = self.repositories(default);
        let matches = |repository: &Repository| {
            name.is_none_or(|name| repository.name == name) && uri.is_none_or(|uri| repository.uri == uri)
        };
        let at = list.iter().position(matches).ok_or(EditError::NoRepository)?;
        list.remove(at);
        self.set_repositories(list.clone());
        Ok(list)
    }

    fn repositories(&self, default: &[Repository]) -> Vector<Repository> {
        self.cluster.repositories.clone().unwrap_or_else(|| default.iter().cloned().collect())
    }

    fn set_repositories(&mut self, list: Vector<Repository>) {
        self.write(keys::REPOSITORIES.into(), &list);
        self.cluster.repositories = Some(list);
    }
}
