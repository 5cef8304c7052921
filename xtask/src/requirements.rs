//! What tests and benches need beside Rust, and how a machine gets it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::{command, workspace};

/// Seconds that apt-get waits for another one to finish.
const APT_LOCK_SECONDS: u32 = 300;

/// A program of a Debian package, and who needs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) needed_by: &'static str,
    /// Set to 1 when the program is there, so that tests which need it fail
    /// rather than skip.
    pub(crate) variable: Option<&'static str>,
}

const REQUIREMENTS: [Requirement; 11] = [
    Requirement {
        program: "etcd",
        package: "etcd-server",
        needed_by: "the store's conformance suite",
        variable: Some("ORRERY_REQUIRE_ETCD"),
    },
    Requirement {
        program: "dockerd",
        package: "docker.io",
        needed_by: "tests of the Docker executor",
        variable: Some("ORRERY_REQUIRE_DOCKER"),
    },
    Requirement { program: "busybox", package: "busybox-static", needed_by: "the image of the Docker tests", variable: None },
    Requirement { program: "openssl", package: "openssl", needed_by: "tests of HTTPS checks", variable: None },
    Requirement { program: "docker-registry", package: "docker-registry", needed_by: "tests that pull images", variable: None },
    Requirement { program: "ip", package: "iproute2", needed_by: "tests in network namespaces", variable: None },
    Requirement { program: "iptables", package: "iptables", needed_by: "tests that cut the links between hosts", variable: None },
    Requirement {
        program: "faketime",
        package: "faketime",
        needed_by: "tests of clocks that jump",
        variable: Some("ORRERY_REQUIRE_FAKETIME"),
    },
    Requirement { program: "dig", package: "bind9-dnsutils", needed_by: "tests that compare DNS answers", variable: None },
    Requirement { program: "knotd", package: "knot", needed_by: "the DNS bench's peer", variable: None },
    Requirement { program: "dnsperf", package: "dnsperf", needed_by: "the DNS bench's load", variable: None },
];

/// Requirements that this machine does not have.
pub(crate) fn missing() -> Vec<&'static Requirement> {
    REQUIREMENTS.iter().filter(|requirement| command::find(requirement.program).is_none()).collect()
}

/// Variables for test processes: what is present must be used.
pub(crate) fn variables() -> Vec<&'static str> {
    REQUIREMENTS
        .iter()
        // A Docker Engine can be started by root alone.
        .filter(|requirement| requirement.program != "dockerd" || is_root())
        .filter(|requirement| command::find(requirement.program).is_some())
        .filter_map(|requirement| requirement.variable)
        .collect()
}

/// `cargo x setup`
pub(crate) fn setup(arguments: &[String]) -> Result<()> {
    Arguments::new(arguments).none()?;
    let missing = missing();
    if missing.is_empty() {
        println!("everything that tests and benches use is installed");
        return Ok(());
    }
    install(&missing)?;
    println!("installed {}", packages(&missing).join(", "));
    Ok(())
}

/// Installs what is missing where that is permitted; otherwise says what to
/// install and goes on, since tests report what they could not cover.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    match install(&missing) {
        Ok(()) => Ok(()),
        Err(error) if std::env::var_os("CI").is_some() => Err(error),
        Err(error) => {
            eprintln!("warning: {error:#}");
            Ok(())
        }
    }
}

fn packages(requirements: &[&Requirement]) -> Vec<&'static str> {
    requirements.iter().map(|requirement| requirement.package).collect()
}

fn is_root() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// The words before `apt-get`: none for root, sudo where it asks nothing.
fn privilege() -> Option<&'static [&'static str]> {
    if is_root() {
        Some(&[])
    } else if command::succeeds(Command::new("sudo").args(["-n", "true"])) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn install(missing: &[&Requirement]) -> Result<()> {
    let by_hand = by_hand(missing);
    if command::find("apt-get").is_none() {
        bail!("this machine has no apt-get. {by_hand}");
    }
    let Some(privilege) = privilege() else {
        bail!("packages are missing and this user may not install them. {by_hand}");
    };
    let apt = |arguments: &[&str]| {
        let lock = format!("DPkg::Lock::Timeout={APT_LOCK_SECONDS}");
        let words: Vec<&str> = privilege
            .iter()
            .copied()
            // Through env, since sudo drops the environment.
            .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", &lock])
            .chain(arguments.iter().copied())
            .collect();
        quietly(Command::new(words[0]).args(&words[1..]))
    };
    command::step(&format!("installing {}", packages(missing).join(", ")));
    apt(&["update"]).with_context(|| by_hand.clone())?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages(missing));
    apt(&arguments).with_context(|| by_hand.clone())?;
    let still: Vec<&str> =
        missing.iter().map(|requirement| requirement.program).filter(|program| command::find(program).is_none()).collect();
    if !still.is_empty() {
        bail!("apt-get succeeded, but there is still no {}.", still.join(", "));
    }
    Ok(())
}

fn by_hand(missing: &[&Requirement]) -> String {
    let reasons: Vec<String> =
        missing.iter().map(|requirement| format!("  {} ({})", requirement.package, requirement.needed_by)).collect();
    format!("Install by hand: sudo apt-get install {}\n{}", packages(missing).join(" "), reasons.join("\n"))
}

/// Keeps apt's many lines in a file, and shows them only when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let directory = workspace::target()?;
    std::fs::create_dir_all(&directory)?;
    let log = directory.join("setup.log");
    let file = std::fs::File::create(&log).with_context(|| format!("could not create {}", log.display()))?;
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("could not start apt-get")?;
    if !status.success() {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("`{}` failed ({status}):\n{}", command::shown(command), text.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{REQUIREMENTS, by_hand};

    #[test]
    fn the_advice_names_packages_and_reasons() {
        let text = by_hand(&[&REQUIREMENTS[0], &REQUIREMENTS[1]]);
        assert!(text.starts_with("Install by hand: sudo apt-get install etcd-server docker.io\n"));
        assert!(text.contains("the store's conformance suite"));
    }
}
