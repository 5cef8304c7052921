//! The layers of the architecture: which crate may depend on which.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::lint::Findings;
use crate::{command, workspace};

/// Each crate and those of the workspace that it may use. Arrows point down.
const LAYERS: [(&str, &[&str]); 14] = [
    ("orrery-core", &[]),
    ("orrery-store", &["orrery-core"]),
    ("orrery-catalog", &["orrery-core"]),
    ("orrery-api", &["orrery-core"]),
    ("orrery-net", &["orrery-core"]),
    ("orrery-link", &["orrery-core"]),
    ("orrery-agent", &["orrery-core", "orrery-api", "orrery-net", "orrery-link"]),
    ("orrery-controller", &["orrery-core", "orrery-catalog", "orrery-store", "orrery-api", "orrery-net", "orrery-link"]),
    // Wires the daemons together, so it names their parts.
    (
        "orrery",
        &[
            "orrery-core",
            "orrery-catalog",
            "orrery-store",
            "orrery-api",
            "orrery-net",
            "orrery-link",
            "orrery-agent",
            "orrery-controller",
        ],
    ),
    // Runs the controllers' own code on virtual time.
    ("orrery-sim", &["orrery-core", "orrery-store", "orrery-net", "orrery-controller"]),
    // The client knows HTTP alone.
    ("dcos", &["orrery-core", "orrery-api"]),
    // Drives the built programs from outside.
    ("orrery-e2e", &[]),
    // Measures the parts that have figures of their own.
    (
        "orrery-bench",
        &["orrery-core", "orrery-catalog", "orrery-store", "orrery-api", "orrery-net", "orrery-link", "orrery-controller"],
    ),
    ("xtask", &[]),
];

/// Crates whose presence below `core` means I/O, async, a clock, randomness
/// or logging. getrandom is absent here: uuid brings it, and `core/clippy.toml`
/// bans the functions of uuid that would use it.
const IMPURE: [&str; 16] = [
    "tokio",
    "reqwest",
    "axum",
    "hyper",
    "futures",
    "async-trait",
    "mio",
    "socket2",
    "nix",
    "rustix",
    "redb",
    "rand",
    "tempfile",
    "tracing",
    "log",
    "ureq",
];

pub(crate) fn check() -> Result<Findings> {
    let mut faults = arrows(&edges(&workspace::metadata()?)?);
    let tree = command::output(command::cargo().args([
        "tree",
        "--package=orrery-core",
        "--edges=normal",
        "--target=all",
        "--prefix=none",
        "--format={p}",
    ]))?;
    faults.extend(impurities(&tree));
    Ok(Findings { faults, warnings: Vec::new() })
}

/// A crate of the workspace that uses another one.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    /// Used by tests alone.
    test_only: bool,
}

fn edges(metadata: &Value) -> Result<Vec<Edge>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut edges = Vec::new();
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if names.contains(to) && !dependency["path"].is_null() {
                edges.push(Edge { from: from.to_owned(), to: to.to_owned(), test_only: dependency["kind"] == "dev" });
            }
        }
        // So that a new crate is given its layer.
        edges.push(Edge { from: from.to_owned(), to: from.to_owned(), test_only: false });
    }
    Ok(edges)
}

fn arrows(edges: &[Edge]) -> Vec<String> {
    let mut faults = Vec::new();
    for Edge { from, to, test_only } in edges {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == from) else {
            faults.push(format!("the crate {from} has no layer. Give it one in xtask/src/layers.rs."));
            continue;
        };
        // Tests may look across, but the end-to-end tests stay outside.
        let free = from == to || (*test_only && from != "orrery-e2e");
        if !free && !allowed.contains(&to.as_str()) {
            faults.push(format!("{from} must not depend on {to}: arrows point down (docs/ARCHITECTURE.md)."));
        }
    }
    faults
}

fn impurities(tree: &str) -> Vec<String> {
    let present: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    IMPURE
        .iter()
        .filter(|name| present.contains(*name))
        .map(|name| {
            format!(
                "orrery-core has {name} in its tree: core decides and does nothing else. \
                 `cargo tree -p orrery-core -e normal -i {name}` shows who brings it."
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{arrows, edges, impurities};

    #[test]
    fn arrows_that_point_up_are_found() {
        let package = |name: &str, dependencies: &[(&str, Option<&str>)]| {
            let dependencies: Vec<_> =
                dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind, "path": "/x"})).collect();
            json!({"name": name, "dependencies": dependencies})
        };
        let metadata = json!({"packages": [
            package("orrery-core", &[("orrery-store", Some("dev"))]),
            package("orrery-store", &[("orrery-core", None)]),
            package("dcos", &[("orrery-core", None), ("orrery-store", None)]),
            package("orrery-e2e", &[("orrery-core", Some("dev"))]),
            package("orrery-new", &[]),
        ]});
        let faults = arrows(&edges(&metadata).unwrap());
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].starts_with("dcos must not depend on orrery-store"));
        assert!(faults[1].starts_with("orrery-e2e must not"));
        assert!(faults[2].starts_with("the crate orrery-new has no layer"));
    }

    #[test]
    fn impure_crates_are_found() {
        assert!(impurities("orrery-core v0.1.0\nserde v1.0.0\n").is_empty());
        assert_eq!(impurities("orrery-core v0.1.0\ntokio v1.0.0 (*)\n").len(), 1);
    }
}
