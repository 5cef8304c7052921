//! The command line of the daemon.

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Orrery: a datacenter operating system.
#[derive(Debug, Parser)]
#[command(name = "orrery", version, about, after_help = "Try `orrery up --detach`, then `dcos package search`.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole cluster on this machine and serve until stopped.
    Up(Box<UpOptions>),
    /// Stop the cluster of a data directory, and its tasks.
    Down(DownOptions),
    /// Tell whether the cluster of a data directory runs, and where.
    Status(StatusOptions),
    /// Look into the store of a cluster that is stopped.
    Store(StoreOptions),
}

/// Data directory of the cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDirectory {
    /// Where the cluster keeps everything [default: $XDG_DATA_HOME/orrery or ~/.local/share/orrery].
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDirectory {
    /// The directory, absolute.
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        let home = || std::env::home_dir().map(|home| home.join(".local/share"));
        let default = || std::env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty()).map(PathBuf::from).or_else(home);
        let path = match &self.data_dir {
            Some(path) => path.clone(),
            None => {
                default().ok_or_else(|| anyhow::anyhow!("there is no home directory; say where with --data-dir"))?.join("orrery")
            }
        };
        Ok(std::path::absolute(path)?)
    }
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  orrery up                                serve in the foreground on 127.0.0.1:8080
  orrery up --detach                       the same in the background
  orrery up --listen 127.0.0.1:0           on any free port; the address is printed
  orrery up --agents 3                     three nodes on this machine
  orrery up --universe ./universe          packages from a directory")]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    /// Address of the HTTP door; port 0 takes a free one. Loopback only until authentication exists.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Address of the DNS server; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5354")]
    pub(crate) dns_listen: SocketAddr,
    /// DNS servers for names outside the cluster [default: those of /etc/resolv.conf].
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns_upstream: Vec<SocketAddr>,
    /// Nodes to run on this machine; they share its resources.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) agents: u16,
    /// Attributes of the nodes, `rack:a;disk:ssd`; once for all nodes, or once for each in order.
    #[arg(long, value_name = "KEY:VALUE;…")]
    pub(crate) attributes: Vec<String>,
    /// Resources of each node, `cpus:4;mem:2048;disk:10000;ports:[31000-32000]` [default: detected].
    #[arg(long, value_name = "NAME:AMOUNT;…")]
    pub(crate) resources: Option<String>,
    /// Default package repository instead of the one inside the program: a directory, a file or a URL.
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) universe: Option<String>,
    /// Socket of Docker Engine [default: $DOCKER_HOST or /var/run/docker.sock, when there].
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_socket: Option<PathBuf>,
    /// Name of the cluster, for people.
    #[arg(long, value_name = "NAME", default_value = "orrery")]
    pub(crate) name: String,
    /// Do not make this the attached cluster of the `dcos` command.
    #[arg(long)]
    pub(crate) no_attach: bool,
    /// Run in the background; returns when the cluster serves.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Log lines as JSON.
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    /// Seconds to wait for the tasks to stop.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Print every entry, for people.
    Dump {
        /// Only keys that begin with this.
        #[arg(default_value = "/")]
        prefix: String,
    },
}
