//! `cargo x`: the developer's commands. A machine with Rust, git and Debian's
//! package manager needs nothing else by hand.

mod arguments;
mod bench;
mod binaries;
mod chaos;
mod command;
mod demo;
mod dns;
mod documentation;
mod fuzz;
mod http;
mod layers;
mod licence;
mod lint;
mod policy;
mod requirements;
mod sim;
mod test;
mod text;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use protoc_bin_vendored as _;

const HELP: &str = "\
Orrery's developer commands

  cargo x demo                     build, start a cluster, install hello-world, fetch its page
  cargo x up [--release] [ARGS…]   build, then run `orrery up ARGS…`
  cargo x test [--fast] [FILTER…]  all tests; --fast leaves out the end-to-end ones
  cargo x lint                     format, clippy, dependencies, licences, layers, text
  cargo x bench [NAME…] [--json]   release build, then race the peers
  cargo x chaos [FILTER…]          the long set of faults on a cluster of many hosts
  cargo x fuzz [TARGET] [--seconds N]
                                   fuzz one target, or each in turn (default 60 seconds)
  cargo x sim [--seeds N] [--seed S [--trace]]
                                   simulate the control plane on virtual time; replay a seed
  cargo x build [--release]        build `orrery` and `dcos`
  cargo x setup                    install the Debian packages that tests and benches use
  cargo x help                     this text
";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = if arguments.is_empty() { "help".to_owned() } else { arguments.remove(0) };
    match dispatch(&name, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(name: &str, arguments: &[String]) -> Result<()> {
    match name {
        "up" => binaries::up(arguments),
        "demo" => demo::run(arguments),
        "test" => test::run(arguments),
        "bench" => bench::run(arguments),
        "lint" => lint::run(arguments),
        "chaos" => chaos::run(arguments),
        "fuzz" => fuzz::run(arguments),
        "build" => binaries::build_command(arguments),
        "sim" => sim::run(arguments),
        "setup" => requirements::setup(arguments),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("there is no command `cargo x {name}`. `cargo x help` lists them."),
    }
}
