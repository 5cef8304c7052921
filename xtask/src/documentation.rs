//! Whether the sources have documentation examples: running none costs a build of everything.

use std::path::Path;

use crate::workspace;

/// Whether any tracked Rust file has a code block that `cargo test --doc` would run.
pub(crate) fn has_examples() -> anyhow::Result<bool> {
    let root = workspace::root();
    for path in workspace::files()?.iter().filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "rs")) {
        if std::fs::read_to_string(root.join(path)).is_ok_and(|source| has_example(&source)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_example(source: &str) -> bool {
    let mut inside = false;
    for line in source.lines().map(str::trim_start) {
        let Some(comment) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
        let Some(language) = comment.trim().strip_prefix("```") else { continue };
        if !inside && !matches!(language.split(',').next(), Some("text" | "ignore" | "sh" | "json" | "yaml" | "toml")) {
            return true;
        }
        inside = !inside;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_example;

    #[test]
    fn only_rust_blocks_count() {
        assert!(has_example("/// ```\n/// let x = 1;\n/// ```\n"));
        assert!(has_example("//! ```no_run\n//! ```\n"));
        assert!(!has_example("//! ```text\n//! a\n//! ```\nlet s = \"```\";\n"));
    }
}
