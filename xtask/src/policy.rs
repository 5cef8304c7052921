//! `deny.toml`, read without cargo-deny: licences, bans and sources of every
//! dependency. The file has one entry a line, which is all that is read here.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::lint::Findings;
use crate::{command, licence, workspace};

/// The part of `deny.toml` that is checked here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Policy {
    /// SPDX identifiers that any crate may have.
    licences: Vec<String>,
    /// Further identifiers that one crate may have.
    exceptions: BTreeMap<String, Vec<String>>,
    /// Crates that must not be in the tree, and why.
    bans: BTreeMap<String, String>,
}

/// A line of `cargo tree`.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    version: String,
    licence: String,
    /// What cargo prints in brackets: a path or a git address, nothing for a registry.
    source: Option<String>,
}

pub(crate) fn check() -> Result<Findings> {
    let path = workspace::root().join("deny.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let policy = parse(&text);
    let tree = command::output(command::cargo().args([
        "tree",
        "--workspace",
        "--target=all",
        "--edges=normal,build,dev",
        "--prefix=none",
        "--format={p}\t{l}",
    ]))?;
    let mut dependencies: Vec<Dependency> = tree.lines().filter_map(dependency).collect();
    dependencies.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    dependencies.dedup();
    Ok(Findings { faults: faults(&policy, &dependencies), warnings: Vec::new() })
}

fn parse(text: &str) -> Policy {
    let mut policy = Policy::default();
    let mut list = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section.clone_into(&mut list);
        } else if let Some((key, _)) = line.split_once(" = [").filter(|_| line.ends_with('[')) {
            // `[bans]` `deny = [` becomes `bans.deny`.
            let section = list.split('.').next().unwrap_or_default();
            list = format!("{section}.{key}");
        }
        match list.as_str() {
            "licenses.allow" if line.starts_with('"') => policy.licences.extend(strings(line)),
            "licenses.exceptions" => {
                if let (Some(name), Some(allowed)) = (field(line, "crate"), line.split("allow = ").nth(1)) {
                    policy.exceptions.insert(name, strings(allowed));
                }
            }
            "bans.deny" => {
                if let (Some(name), Some(reason)) = (field(line, "crate"), field(line, "reason")) {
                    policy.bans.insert(name, reason);
                }
            }
            _ => {}
        }
    }
    policy
}

/// The quoted strings of a line, comments excluded.
fn strings(line: &str) -> Vec<String> {
    let line = line.split(']').next().unwrap_or(line);
    let line = line.split('#').next().unwrap_or(line);
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The value of `name = "…"` in an inline table.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, after) = line.split_once(&format!("{name} = \""))?;
    Some(after.split('"').next()?.to_owned())
}

fn dependency(line: &str) -> Option<Dependency> {
    let (package, licence) = line.split_once('\t')?;
    let licence = licence.trim_end_matches(" (*)");
    let package = package.replace(" (proc-macro)", "");
    let mut words = package.splitn(3, ' ');
    Some(Dependency {
        name: words.next()?.to_owned(),
        version: words.next()?.trim_start_matches('v').to_owned(),
        source: words.next().map(|source| source.trim_matches(['(', ')']).to_owned()),
        licence: licence.to_owned(),
    })
}

fn faults(policy: &Policy, dependencies: &[Dependency]) -> Vec<String> {
    let mut faults = Vec::new();
    for dependency in dependencies {
        let Dependency { name, version, licence, source } = dependency;
        if let Some(reason) = policy.bans.get(name) {
            faults.push(format!(
                "the crate {name} {version} is banned: {reason}. `cargo tree --target all -i {name}` shows who brings it."
            ));
        }
        if source.as_deref().is_some_and(|source| source.contains("://")) {
            faults.push(format!("the crate {name} {version} comes from a repository: publish or replace it."));
        }
        let exceptions = policy.exceptions.get(name).map_or(&[][..], Vec::as_slice);
        let allowed = |id: &str| policy.licences.iter().chain(exceptions).any(|known| known == id);
        match licence::permitted(licence, &allowed) {
            Ok(true) => {}
            Ok(false) => faults.push(format!("the licence `{licence}` of {name} {version} is not allowed by deny.toml.")),
            Err(why) => faults.push(format!("the licence of {name} {version} is unreadable: {why}.")),
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{dependency, faults, parse};

    const DENY: &str = r#"
[licenses]
confidence-threshold = 0.9
allow = [
    "MIT", # permissive
    "Apache-2.0",
]
exceptions = [
    { crate = "imbl", allow = ["MPL-2.0"] }, # weak copyleft
]
[bans]
multiple-versions = "allow"
deny = [
    { crate = "ring", reason = "one crypto provider" },
]
"#;

    #[test]
    fn the_policy_is_read() {
        let policy = parse(DENY);
        assert_eq!(policy.licences, ["MIT", "Apache-2.0"]);
        assert_eq!(policy.exceptions["imbl"], ["MPL-2.0"]);
        assert_eq!(policy.bans["ring"], "one crypto provider");
    }

    #[test]
    fn the_committed_policy_is_complete() {
        let policy = parse(include_str!("../../deny.toml"));
        assert!(policy.licences.iter().any(|id| id == "Apache-2.0"));
        assert!(policy.bans.contains_key("ring"));
        assert!(policy.bans.contains_key("rustls-pemfile"));
        assert!(policy.exceptions.contains_key("imbl"));
    }

    #[test]
    fn lines_of_the_tree_are_read() {
        let read = dependency("serde_derive v1.0.2 (proc-macro)\tMIT OR Apache-2.0 (*)").unwrap();
        assert_eq!((read.name.as_str(), read.version.as_str()), ("serde_derive", "1.0.2"));
        assert_eq!((read.licence.as_str(), read.source), ("MIT OR Apache-2.0", None));
        let read = dependency("a v1.0.0 (https://host/a#1234)\tMIT").unwrap();
        assert_eq!(read.source.as_deref(), Some("https://host/a#1234"));
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        let tree = [
            "ring v0.17.0\tApache-2.0",
            "gpl v1.0.0\tGPL-3.0-only",
            "imbl v7.0.0\tMPL-2.0+",
            "other v7.0.0\tMPL-2.0",
            "forked v1.0.0 (https://host/x#1)\tMIT",
            "nothing v1.0.0\t",
            "good v1.0.0\tMIT",
        ];
        let found = faults(&parse(DENY), &tree.iter().filter_map(|l| dependency(l)).collect::<Vec<_>>());
        for (fault, word) in found.iter().zip(["ring", "gpl", "other", "forked", "nothing"]) {
            assert!(fault.contains(word), "{fault}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }
}
