//! What a machine may lack. A test that goes without says so loudly.

use std::path::PathBuf;

/// A file of the material shared beside the workspace (`ORRERY_SHARED`, default `../shared`).
pub type ShareFile = Option<PathBuf>;

/// The file, or `None` after telling that `test` is skipped.
pub fn shared(test: &str, path: &str) -> ShareFile {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let directory = std::env::var_os("ORRERY_SHARED").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let file = directory.join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("SKIPPED: {test}: {} is not there; set ORRERY_SHARED", file.display());
    None
}
