//! What the repository's text must not contain, whatever its language.

use std::path::Path;

use anyhow::Result;

use crate::lint::Findings;
use crate::workspace;

/// Lines of Rust, without its tests, above which a file has too many nouns.
const LONG_FILE_LINES: usize = 700;

/// Prefixes of paths that exist on one machine only. In pieces, so that this
/// file does not contain them.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/.cargo"), concat!("/ro", "ot/.rustup"), concat!("/Us", "ers/")];

/// Hosts of package registries: a mirror may stand in for any of them.
const REGISTRIES: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Files that tools or others wrote.
const FOREIGN: [&str; 2] = ["Cargo.lock", "LICENSE"];

pub(crate) fn check() -> Result<Findings> {
    let root = workspace::root();
    let mut findings = Findings::default();
    for name in &workspace::files()? {
        let foreign = FOREIGN.iter().any(|foreign| name.rsplit('/').next() == Some(*foreign));
        // Listed files may be deleted, and need not be text.
        if !foreign && let Ok(text) = std::fs::read_to_string(root.join(name)) {
            examine(name, &text, &mut findings);
        }
    }
    Ok(findings)
}

fn examine(name: &str, text: &str, findings: &mut Findings) {
    for (line, content) in (1..).zip(text.lines()) {
        for path in MACHINE_PATHS {
            if content.contains(path) {
                findings.faults.push(format!("{name}:{line}: the path {path} exists on one machine only."));
            }
        }
        for host in REGISTRIES {
            if content.contains(host) {
                findings.faults.push(format!("{name}:{line}: the registry host {host} is named; name the package alone."));
            }
        }
        if content.starts_with("<<<<<<< ") || content.starts_with(">>>>>>> ") {
            findings.faults.push(format!("{name}:{line}: a merge was not finished."));
        }
    }
    let rust = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    if rust && !is_test(name) {
        let lines = lines_without_tests(text);
        if lines > LONG_FILE_LINES {
            findings
                .warnings
                .push(format!("{name} has {lines} lines without its tests, over {LONG_FILE_LINES}: a file has one noun."));
        }
    }
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("_test.rs") || name.starts_with("e2e/")
}

fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

#[cfg(test)]
mod tests {
    use super::{LONG_FILE_LINES, MACHINE_PATHS, REGISTRIES, examine};
    use crate::lint::Findings;

    #[test]
    fn forbidden_text_is_found_with_its_place() {
        let text = format!("fine\nsee {}x\nfrom https://{}/y\n", MACHINE_PATHS[0], REGISTRIES[0]);
        let mut findings = Findings::default();
        examine("docs/a.md", &text, &mut findings);
        assert_eq!(findings.faults.len(), 2);
        assert!(findings.faults[0].starts_with("docs/a.md:2:"));
        assert!(findings.faults[1].starts_with("docs/a.md:3:"));
    }

    #[test]
    fn long_files_are_warned_of_without_their_tests() {
        let long = "x\n".repeat(LONG_FILE_LINES + 1);
        let tested = format!("x\n#[cfg(test)]\n{long}");
        for (name, text, expected) in [
            ("core/src/app.rs", &long, 1),
            ("core/src/app.rs", &tested, 0),
            ("core/src/app_test.rs", &long, 0),
            ("docs/app.md", &long, 0),
        ] {
            let mut findings = Findings::default();
            examine(name, text, &mut findings);
            assert_eq!(findings.warnings.len(), expected, "{name}");
            assert!(findings.faults.is_empty());
        }
    }
}
