//! Where the built binaries are.

use std::path::PathBuf;

/// The daemon: `ORRERY_BIN`, else beside the tests' own target directory.
pub fn orrery_binary() -> PathBuf {
    find("ORRERY_BIN", "orrery")
}

/// The client: `DCOS_BIN`, else beside the tests' own target directory.
pub fn dcos_binary() -> PathBuf {
    find("DCOS_BIN", "dcos")
}

fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let test = std::env::current_exe().expect("a running test has a path");
    let path = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps").join(name);
    assert!(path.exists(), "{} is not built; run the tests with `cargo x test`", path.display());
    path
}
