//! `cargo x bench [NAME…] [--json]`: figures with their scale and machine, beside peers run in the
//! same minutes.

mod bench;
mod cluster;
mod dns;
mod exponent;
mod figure;
mod http;
mod machine;
mod marks;
mod memory;
mod peer;
mod process;
mod report;
mod samples;

use anyhow::Context as _;
use clap::Parser;
use report::Report;
use std::process::ExitCode;

/// Measures Orrery beside its peers.
#[derive(Debug, Parser)]
#[command(name = "cargo x bench")]
struct Arguments {
    /// Benches to run [default: all]; `list` names them.
    names: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Become a DNS server of this many apps: the bench starts itself like that.
    #[arg(long, hide = true, value_name = "APPS")]
    dns_server: Option<usize>,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What the parts under test complain about belongs beside their figures.
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    if let Some(apps) = arguments.dns_server {
        return match bench::serve_dns(apps) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("Error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if arguments.names.iter().any(|name| name == "list") {
        for (name, about, _) in bench::ALL {
            println!("{name:24} {about}");
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benches that are wanted; false when one of them could not be done.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let known = |name: &String| bench::ALL.iter().any(|(known, ..)| known == name);
    if let Some(unknown) = arguments.names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = bench::ALL.iter().map(|(name, ..)| *name).collect();
        anyhow::bail!("there is no bench {unknown:?}; there are: {}", names.join(", "));
    }
    let directory = std::env::temp_dir();
    let machine = machine::describe(&directory);
    let mut report = Report::new(arguments.json, machine);
    let mut peers = peer::Peers::default();
    for (name, _, bench) in bench::ALL {
        if !arguments.names.is_empty() && !arguments.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        report.begin(name);
        if let Err(error) = bench(&mut report, &mut peers).with_context(|| format!("the bench {name} could not be done")) {
            report.failure(&error);
        }
        report.end();
    }
    Ok(report.summary())
}
