//! The package repository inside the program.

use orrery_catalog::{Checks, Repository, RepositorySource};
use orrery_controller::catalog::BUILTIN_URI;
use rust_embed::RustEmbed;
use std::borrow::Cow;

#[derive(RustEmbed)]
#[folder = "../universe/repo"]
struct Files;

#[derive(RustEmbed)]
#[folder = "../universe"]
#[include = "assets/*"]
struct Assets;

/// Content of a file that our packages refer to as `builtin:<name>`.
pub(crate) fn asset(name: &str) -> Option<Cow<'static, [u8]>> {
    Assets::get(name).map(|file| file.data)
}

/// Reads the embedded repository.
pub(crate) fn builtin() -> Repository {
    let files = Files::iter().filter_map(|path| Files::get(&path).map(|file| (path, file.data)));
    let source = RepositorySource { name: "Universe".into(), uri: BUILTIN_URI.into() };
    Repository::from_files(source, files, Checks::Read)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_embedded_repository_is_whole() {
        let repository = super::builtin();
        assert!(repository.faults.is_empty(), "{:?}", repository.faults);
        assert!(repository.packages.iter().any(|package| package.name == "hello-world"));
    }
}
