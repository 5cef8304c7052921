//! `orrery`: the daemon. `orrery up` is a whole cluster on one machine.

mod advertised;
mod agent;
mod arguments;
mod attach;
mod backup;
mod controller;
mod daemon;
mod data_list;
mod down;
mod front;
mod instance_file;
mod location;
mod logging;
mod output;
mod resident;
mod signals;
mod sim_report;
mod status;
mod store_command;
mod token_command;
mod universe;
mod up;

use arguments::{Arguments, Command, SimCommand};
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
        Err(error) if output::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// The one place where the daemon tells a person what went wrong; that it cannot be written is no error on top of it.
fn report(error: &anyhow::Error) {
    use std::io::Write as _;
    let mut out = std::io::stderr();
    let _ = writeln!(out, "Error: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(out, "  because: {cause}");
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // Only fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command {
        Command::Up(options) if options.detach => daemon::detach(&options),
        Command::Up(options) => {
            logging::start(options.log_json)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(up::up(options))
        }
        Command::Controller(arguments) => {
            logging::start(arguments.log_json)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(controller::controller(arguments))
        }
        Command::Down(options) => down::down(&options),
        Command::Status(options) => status::status(&options),
        Command::Agent(options) => agent::run(&options),
        Command::Token(options) => token_command::run(&options),
        Command::Store(options) => store_command::run(&options),
        Command::Backup(options) => backup::run(options),
        Command::Sim(options) => match &options.command {
            SimCommand::Report(options) => sim_report::run(options),
        },
    }
}

/// Makes a directory that others may not list.
fn create_private(path: &std::path::Path) -> anyhow::Result<()> {
    use anyhow::Context as _;
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

/// Whoever started us waits for this one line; that it cannot be read any more is no error.
fn announce(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Socket of Docker Engine: the one given, or the usual one when it is there.
fn docker_socket(given: Option<&std::path::Path>) -> Option<std::path::PathBuf> {
    use std::path::PathBuf;
    let from_environment = || std::env::var("DOCKER_HOST").ok().and_then(|host| host.strip_prefix("unix://").map(PathBuf::from));
    let path = given.map(PathBuf::from).or_else(from_environment).unwrap_or_else(|| "/var/run/docker.sock".into());
    (given.is_some() || path.exists()).then_some(path)
}
