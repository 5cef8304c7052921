//! Child processes: shown before they run, and an error when they fail.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Directories of system programs that a user's PATH often lacks.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Cargo, at the workspace's root.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    command
}

/// A program that is not Cargo's child: without the variables that `cargo run`
/// adds, which it would pass on to the tasks it starts.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let cargo = name.to_string_lossy().starts_with("CARGO_");
        if (cargo && name != "CARGO_HOME") || name == "CARGO" || name == "PROTOC" {
            command.env_remove(name);
        }
    }
    if let Some(value) = std::env::var_os("LD_LIBRARY_PATH") {
        match without_rust_directories(&value) {
            Some(rest) => command.env("LD_LIBRARY_PATH", rest),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    command
}

/// `cargo run` puts its own directories in front of `LD_LIBRARY_PATH`.
fn without_rust_directories(value: &OsStr) -> Option<OsString> {
    let kept: Vec<PathBuf> = std::env::split_paths(value)
        .filter(|directory| {
            let path = directory.to_string_lossy();
            !(path.contains("/rustlib/") || path.contains("/toolchains/") || path.contains("/target/"))
        })
        .collect();
    (!kept.is_empty()).then(|| std::env::join_paths(kept).ok()).flatten()
}

/// Prints a line of progress.
pub(crate) fn step(text: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[1m==> {text}\x1b[0m");
    } else {
        eprintln!("==> {text}");
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let words = command.get_args().map(|word| quoted(&word.to_string_lossy()));
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Shows and runs a command with this process's output; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    step(&shown);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}).");
    }
    Ok(())
}

/// Runs a command silently and returns what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("could not start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))
}

/// True if the command can be started and exits with 0. Nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The path of a program, on PATH or in a system directory.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0))
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};

    use super::{Command, quoted, shown, without_rust_directories};

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/usr/bin/dcos");
        command.args(["package", "install", "a b", ""]);
        assert_eq!(shown(&command), "dcos package install 'a b' ''");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn library_paths_of_cargo_are_dropped() {
        let value = OsStr::new("/w/target/debug/deps:/opt/lib:/u/toolchains/stable/lib");
        assert_eq!(without_rust_directories(value), Some(OsString::from("/opt/lib")));
        assert_eq!(without_rust_directories(OsStr::new("/w/target/debug")), None);
    }
}
