//! What every command gets: the global flags and the way to the cluster.

use clap::Args;

use crate::client::Client;
use crate::config::{Cluster, Directory, process_environment};
use crate::error::Error;
use crate::output::{ColorChoice, Format, pretty_json, print_line, print_value};
use crate::progress::Progress;

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// Print JSON instead of a table (short for --output json)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    /// How to print results: table, json or yaml
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    pub(crate) output: Option<Format>,

    /// When to use colours: auto, always or never
    #[arg(
        long,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub(crate) color: ColorChoice,

    /// How to show progress on standard error: auto, tty, plain, json or quiet
    #[arg(
        long,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "STYLE",
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub(crate) progress: Progress,

    /// Cluster to talk to, by name or id, instead of the attached one
    #[arg(
        long,
        global = true,
        env = "DCOS_CLUSTER",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) cluster: Option<String>,

    /// Show the HTTP requests, on standard error
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) debug: bool,

    /// Say more about what happens; twice is --debug
    #[arg(short, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// The global flags and the configuration directory.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) directory: Directory,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Result<Self, Error> {
        Ok(Self { globals, directory: Directory::find(&process_environment)? })
    }

    /// The cluster that the command is for.
    pub(crate) fn cluster(&self) -> Result<Cluster, Error> {
        self.directory.current(self.globals.cluster.as_deref().filter(|name| !name.is_empty()), &process_environment)
    }

    /// A client of that cluster.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        // A cluster that was chosen by name is not overruled by a URL lying around in the environment.
        let chosen = self.globals.cluster.as_deref().is_some_and(|name| !name.is_empty());
        let environment =
            |name: &str| process_environment(name).filter(|_| !(chosen && matches!(name, "DCOS_URL" | "DCOS_DCOS_URL")));
        Client::for_cluster(&self.cluster()?, &environment, self.debug())
    }

    /// Whether requests are shown.
    pub(crate) fn debug(&self) -> bool {
        self.globals.debug
            || self.globals.verbose > 1
            || process_environment("DCOS_DEBUG").is_some_and(|value| value != "0" && value != "false")
    }

    /// How results are printed.
    pub(crate) fn format(&self) -> Format {
        match self.globals.output {
            Some(format) => format,
            None if self.globals.json => Format::Json,
            None => Format::Table,
        }
    }

    /// Whether results are for programs.
    pub(crate) fn structured(&self) -> bool {
        self.format() != Format::Table
    }

    /// Prints a value as JSON, or as YAML when asked for.
    pub(crate) fn print(&self, value: &serde_json::Value) -> Result<(), Error> {
        if self.format() == Format::Table { print_line(&pretty_json(value)) } else { print_value(value, self.format()) }
    }
}
