//! Commands that packages bring: `dcos-<name>` under the attached cluster's directory or on the path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;

use crate::commands::Cli;
use crate::config::{Cluster, Directory, effective, process_environment};
use crate::output::print_note;

/// Where a cluster's plugins are.
pub(crate) fn plugins_directory(cluster: &Cluster) -> Option<PathBuf> {
    Some(cluster.directory.as_ref()?.join("subcommands"))
}

/// The executable of a plugin of a package.
pub(crate) fn executable_path(plugins: &Path, package: &str) -> PathBuf {
    plugins.join(package).join("env").join("bin").join(format!("dcos-{package}"))
}

/// Names of the packages that have brought a command.
pub(crate) fn installed(cluster: &Cluster) -> Vec<String> {
    let Some(entries) = plugins_directory(cluster).and_then(|directory| std::fs::read_dir(directory).ok()) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Runs a plugin when the first word names one and no command of our own. Gives its exit code.
pub(crate) fn run_if_named(arguments: &[OsString]) -> Option<u8> {
    let word = arguments.get(1)?.to_str()?;
    let safe = !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if !safe || word.starts_with('-') || word == "help" || Cli::command().find_subcommand(word).is_some() {
        return None;
    }
    let directory = Directory::find(&process_environment).ok()?;
    let cluster = directory.current(process_environment("DCOS_CLUSTER").as_deref(), &process_environment).ok();
    let path = cluster.as_ref().and_then(|cluster| find(cluster, word)).or_else(|| on_path(word))?;
    let mut command = Command::new(&path);
    // Plugins get their own name as first argument, as the original did.
    command.args(&arguments[1..]);
    if let Some(cluster) = &cluster {
        for (name, variable) in
            [("core.dcos_url", "DCOS_URL"), ("core.dcos_acs_token", "DCOS_ACS_TOKEN"), ("core.ssl_verify", "DCOS_SSL_VERIFY")]
        {
            if let Some(value) = effective(cluster, name, &process_environment) {
                command.env(variable, value);
            }
        }
    }
    // The way back to this very program, which need not be on the path.
    if let Ok(own) = std::env::current_exe() {
        command.env("DCOS_CLI", own);
    }
    match command.status() {
        Ok(status) => Some(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            print_note(&format!("Error: cannot run {}: {error}", path.display()));
            Some(1)
        }
    }
}

fn find(cluster: &Cluster, word: &str) -> Option<PathBuf> {
    let plugins = plugins_directory(cluster)?;
    let own = executable_path(&plugins, word);
    if own.is_file() {
        return Some(own);
    }
    // A package may bring commands of other names.
    installed(cluster)
        .iter()
        .map(|package| plugins.join(package).join("env").join("bin").join(format!("dcos-{word}")))
        .find(|path| path.is_file())
}

fn on_path(word: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(format!("dcos-{word}"))).find(|path| path.is_file())
}
