//! `orrery`: the daemon. `orrery up` is a whole cluster on one machine.

mod arguments;
mod attach;
mod daemon;
mod down;
mod instance_file;
mod logging;
mod status;
mod store_command;
mod universe;
mod up;

use arguments::{Arguments, Command};
use clap::Parser as _;
use std::process::ExitCode;

/// Hidden subcommand with which an agent starts its spawner.
const SPAWNER: &str = "spawner";

fn main() -> ExitCode {
    // The spawner forks: it must run before any thread exists, so it comes before everything else.
    let mut raw = std::env::args_os().skip(1);
    if raw.next().is_some_and(|first| first == SPAWNER) {
        return orrery_agent::spawner_main(raw);
    }
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where the daemon tells a person what went wrong")]
fn report(error: &anyhow::Error) {
    eprintln!("Error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // Only fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command {
        Command::Up(options) if options.detach => daemon::detach(&options),
        Command::Up(options) => {
            logging::start(&options)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(up::up(options))
        }
        Command::Down(options) => down::down(&options),
        Command::Status(options) => status::status(&options),
        Command::Store(options) => store_command::run(options),
    }
}
