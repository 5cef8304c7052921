//! `dcos`: the command of a DC/OS-compatible cluster. It knows only HTTP.

#![expect(
    clippy::format_push_string,
    reason = "`write!` into a string has an error that cannot occur and would have to be discarded each time"
)]

mod change;
mod client;
mod commands;
mod config;
mod context;
mod cosmos;
mod document;
mod error;
mod event;
mod failure;
mod marathon;
mod mesos;
mod options;
mod output;
mod plugin;
mod plugin_install;
mod position;
mod progress;
mod spec;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::commands::Cli;
use crate::context::Context;
use crate::error::{Error, ExitTable};
use crate::output::{Color, paint, pretty_json, print_note};

fn main() -> ExitCode {
    // One crypto provider in the process; a second installation can only be the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(code) = plugin::run_if_named(&arguments) {
        return ExitCode::from(code);
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage_exit(&error, &arguments),
    };
    let table = exit_table(&cli);
    let json = cli.globals.json || cli.globals.output == Some(output::Format::Json);
    let color = cli.globals.color.enabled(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if json {
                print_note(&pretty_json(&error.to_json(table)));
            } else {
                let text = error.to_text();
                print_note(&match text.strip_prefix("Error:") {
                    Some(rest) => format!("{}{rest}", paint("Error:", Color::Red, color)),
                    None => text,
                });
            }
            ExitCode::from(error.exit_code(table))
        }
    }
}

fn run(cli: Cli) -> Result<u8, Error> {
    let context = Context::new(cli.globals)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::general("cannot start").cause(error.to_string()))?;
    runtime.block_on(commands::run(&context, cli.command))
}

/// Which exit codes this command line may use.
fn exit_table(cli: &Cli) -> ExitTable {
    match (cli.command.table(), std::env::var("DCOS_EXIT_CODES").as_deref()) {
        (ExitTable::Legacy, Ok("2")) => ExitTable::Full,
        (table, _) => table,
    }
}

/// Prints help, version or a usage error. Old commands end with 1 on a wrong command line, new ones with 2.
fn usage_exit(error: &clap::Error, arguments: &[std::ffi::OsString]) -> ExitCode {
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::SUCCESS;
    }
    let word = arguments.iter().skip(1).find(|argument| !argument.to_string_lossy().starts_with('-'));
    let new = word.is_some_and(|word| commands::NEW_COMMANDS.iter().any(|name| word == name));
    let full = std::env::var("DCOS_EXIT_CODES").is_ok_and(|value| value == "2");
    ExitCode::from(if new || full { 2 } else { 1 })
}
