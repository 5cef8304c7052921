//! Python's `json` and a Python mustache renderer over the same repository document.

use crate::process::find;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("catalog.py");

/// What Python needs for the repository document at `path`, as its script prints it; `None` without Python.
pub(crate) fn catalog(path: &Path) -> anyhow::Result<Option<Value>> {
    // Debian's Python sees Debian's pystache; another one may come first on the path.
    let candidates = [find("python3"), Some("/usr/bin/python3".into()).filter(|path: &std::path::PathBuf| path.is_file())];
    let mut candidates: Vec<_> = candidates.into_iter().flatten().collect();
    candidates.dedup();
    let has_mustache = |python: &std::path::PathBuf| {
        let check = Command::new(python).args(["-c", "import pystache"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    };
    let Some(python) = candidates.iter().find(|python| has_mustache(python)).or(candidates.first()) else { return Ok(None) };
    let output = Command::new(python).args(["-c", SCRIPT]).arg(path).output().context("cannot run Python")?;
    if !output.status.success() {
        bail!("Python failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}
