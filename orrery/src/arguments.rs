//! The command line of the daemon.

use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::sim_report::{NODES_MAX, TASKS_MAX};
use crate::token_command::GivenUrl;

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
    /// Serve as one of several controllers that share an etcd.
    Controller(Box<ControllerArguments>),
    /// Stop what runs on a data directory: a cluster with its tasks, or a controller alone.
    Down(DownOptions),
    /// Tell whether the cluster of a data directory runs, and where.
    Status(StatusOptions),
    /// Make this machine a node of a cluster that runs elsewhere.
    Agent(Box<AgentOptions>),
    /// Make, list and revoke join tokens, with which machines become nodes.
    Token(TokenOptions),
    /// Look into the store of a cluster that is stopped, or move it.
    Store(StoreOptions),
    /// Save and restore a cluster.
    Backup(BackupOptions),
    /// Try things on paper: no cluster is needed and none is changed.
    Sim(SimOptions),
}

/// Data directory of the cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDirectory {
    /// Where the cluster keeps everything [default: $XDG_DATA_HOME/orrery or ~/.local/share/orrery].
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl DataDirectory {
    /// The directory of an agent, absolute: its default is beside that of a cluster.
    pub(crate) fn agent_path(&self) -> anyhow::Result<PathBuf> {
        let path = self.path()?;
        Ok(if self.data_dir.is_none() { path.with_file_name("orrery-agent") } else { path })
    }

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
        let path = std::path::absolute(path)?;
        anyhow::ensure!(!path.is_file(), "{} is a file; name a directory with --data-dir", path.display());
        Ok(path)
    }
}

/// Most nodes that one machine is divided into.
pub(crate) const AGENTS_MAX: u16 = 64;

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
    /// Address of the HTTP door; port 0 takes a free one. On an address that others reach it speaks TLS
    /// only and wants a login: the user admin, with the password in the file admin-password of the data
    /// directory.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Address of the DNS server; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5354")]
    pub(crate) dns_listen: SocketAddr,
    /// DNS servers for names outside the cluster [default: those of /etc/resolv.conf].
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns_upstream: Vec<SocketAddr>,
    /// Nodes to run on this machine; they share its resources.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(AGENTS_MAX)))]
    pub(crate) agents: u16,
    /// Attributes of the nodes, `rack:a;disk:ssd`; once for all nodes, or once for each in order.
    #[arg(long, value_name = "KEY:VALUE;…")]
    pub(crate) attributes: Vec<String>,
    /// Resources of each node, `cpus:4;mem:2048;disk:10000;ports:[31000-32000]` [default: detected].
    #[arg(long, value_name = "NAME:AMOUNT;…")]
    pub(crate) resources: Option<String>,
    /// Hold replacements when more than this share of the nodes vanishes within a minute; 0 = never
    /// [default: 50, or what the cluster has been told before].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) mass_loss_brake: Option<u8>,
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

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  orrery controller --store etcd://127.0.0.1:2379 --data-dir /var/lib/orrery
  orrery controller --store etcd://e1:2379,e2:2379,e3:2379 --store-ca ca.pem --listen 127.0.0.1:8080")]
pub(crate) struct ControllerArguments {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    /// The etcd that all controllers of the cluster share.
    #[arg(long, value_name = "etcd://HOST:PORT,…")]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) etcd: EtcdArguments,
    /// Address of the HTTP door; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Where other controllers and agents reach the door [default: the address it listens on].
    #[arg(long, value_name = "URL", value_parser = crate::advertised::url)]
    pub(crate) advertise: Option<String>,
    /// Address of the DNS server; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5354")]
    pub(crate) dns_listen: SocketAddr,
    /// DNS servers for names outside the cluster [default: those of /etc/resolv.conf].
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns_upstream: Vec<SocketAddr>,
    /// Default package repository instead of the one inside the program: a directory, a file or a URL.
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) universe: Option<String>,
    /// Hold replacements when more than this share of the nodes vanishes within a minute; 0 = never
    /// [default: 50, or what the cluster has been told before].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) mass_loss_brake: Option<u8>,
    /// Name of the cluster, for people.
    #[arg(long, value_name = "NAME", default_value = "orrery")]
    pub(crate) name: String,
    /// Do not make this the attached cluster of the `dcos` command.
    #[arg(long)]
    pub(crate) no_attach: bool,
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
    /// Stop the tasks of an agent too; without it they run on, and the next agent takes them up.
    #[arg(long)]
    pub(crate) stop_tasks: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to reach an etcd.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_field_names, reason = "the names are those of the flags")]
pub(crate) struct EtcdArguments {
    /// User of the etcd.
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) store_user: Option<String>,
    /// File with the user's password.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store_password_file: Option<PathBuf>,
    /// Authority that signed the etcd's certificates, PEM; turns TLS on.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store_ca: Option<PathBuf>,
    /// Our certificate for the etcd, PEM.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store_certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    #[command(flatten)]
    pub(crate) etcd: EtcdArguments,
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
    /// Move a cluster from its data directory to an etcd, or back.
    #[command(after_help = "Examples:
  orrery store migrate --data-dir DIR --to etcd://e1:2379,e2:2379,e3:2379
  orrery store migrate --data-dir DIR --from etcd://e1:2379,e2:2379,e3:2379")]
    Migrate {
        /// The etcd it goes to.
        #[arg(long, value_name = "etcd://HOST:PORT,…", conflicts_with = "from")]
        to: Option<String>,
        /// The etcd it comes from.
        #[arg(long, value_name = "etcd://HOST:PORT,…")]
        from: Option<String>,
        /// Replace what the target holds, if that is this cluster too.
        #[arg(long, value_name = "CLUSTER ID")]
        force: Option<String>,
    },
    /// Open a store again that was closed by a move.
    Reopen {
        /// The etcd, instead of the data directory.
        #[arg(long, value_name = "etcd://HOST:PORT,…")]
        store: Option<String>,
        /// The cluster that it holds.
        #[arg(long, value_name = "CLUSTER ID")]
        force: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  orrery backup create cluster.backup                  of the cluster in the data directory, also while it runs
  orrery backup create cluster.backup --store etcd://e1:2379,e2:2379
  orrery backup verify cluster.backup
  orrery backup restore cluster.backup --data-dir DIR")]
pub(crate) struct BackupOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    #[command(flatten)]
    pub(crate) etcd: EtcdArguments,
    #[command(subcommand)]
    pub(crate) command: BackupCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Write everything the cluster has decided to a file.
    Create {
        /// A new file.
        file: PathBuf,
        /// The etcd, instead of the data directory.
        #[arg(long, value_name = "etcd://HOST:PORT,…")]
        store: Option<String>,
    },
    /// Check every byte and every entry of a backup.
    Verify {
        /// The backup.
        file: PathBuf,
    },
    /// Fill a store from a backup. Its controllers must be stopped.
    Restore {
        /// The backup.
        file: PathBuf,
        /// The etcd, instead of the data directory.
        #[arg(long, value_name = "etcd://HOST:PORT,…")]
        store: Option<String>,
        /// Replace what the store holds, if that is this cluster too.
        #[arg(long, value_name = "CLUSTER ID")]
        force: Option<String>,
    },
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  orrery agent --join https://c1:8080,https://c2:8080 --token-file token --data-dir /var/lib/orrery-agent
  orrery agent --data-dir /var/lib/orrery-agent           later starts need neither URL nor token, but the other flags again
  orrery agent … --attributes 'rack:r1;disk:ssd' --region eu --zone eu-a --role slave_public")]
pub(crate) struct AgentOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    /// URLs of controllers; needed on the first start, remembered from then on.
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',')]
    pub(crate) join: Vec<String>,
    /// Join token of `orrery token create`, for the first start; `-` reads it from standard input, so
    /// that it is not in the list of processes.
    #[arg(long, value_name = "TOKEN", env = "ORRERY_JOIN_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// File with the join token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// What the node offers, `cpus:4;mem:2048;disk:10000;ports:[31000-32000]`; what is left out is detected.
    #[arg(long, value_name = "NAME:AMOUNT;…")]
    pub(crate) resources: Option<String>,
    /// Attributes for placement, `rack:r1;disk:ssd`.
    #[arg(long, value_name = "NAME:VALUE;…")]
    pub(crate) attributes: Option<String>,
    /// Region of the node.
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Zone of the node within its region.
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// Role whose tasks the node takes: `*` for everyone's, `slave_public` for a public node.
    #[arg(long, value_name = "ROLE", default_value = "*")]
    pub(crate) role: String,
    /// Name of the node, as constraints and tasks see it [default: its address].
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Address that others reach the node by [default: the one from which it reaches the controllers].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<IpAddr>,
    /// Port that is shown as the agent's; its service is reached through the controllers.
    #[arg(long, value_name = "PORT", default_value_t = 5051)]
    pub(crate) port: u16,
    /// Socket of Docker Engine [default: $DOCKER_HOST or /var/run/docker.sock, when there].
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_socket: Option<PathBuf>,
    /// Log lines as JSON.
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenOptions {
    #[command(flatten)]
    pub(crate) data: DataDirectory,
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that lets one machine join, and print the command to run there.
    Create {
        /// How long it works: 30m, 2h, 1d.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
        ttl: Duration,
        /// URL under which the machine reaches a controller, instead of those that the controllers know. A host alone
        /// means the port of this controller's door.
        #[arg(long, value_name = "URL")]
        url: Vec<GivenUrl>,
    },
    /// List the tokens; their secrets are told once only.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a token void.
    Revoke {
        /// Its id, or the token itself.
        id: String,
    },
}

/// Longest life of a token.
const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

fn duration(text: &str) -> Result<Duration, String> {
    let help = || "write a number and a unit: 90s, 30m, 2h, 1d".to_owned();
    let at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| help())?;
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(help()),
    };
    match number.checked_mul(seconds).map(Duration::from_secs) {
        Some(ttl) if ttl.is_zero() => Err("it must be above zero: a token that has expired lets nobody in".into()),
        Some(ttl) if ttl <= TTL_MAX => Ok(ttl),
        _ => Err("at most 30d".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct SimOptions {
    #[command(subcommand)]
    pub(crate) command: SimCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Place a workload with the engine of the leader; tell how well it lies and draw it.
    Report(ReportOptions),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  orrery sim report                                        a mixed workload on 320 nodes, in words
  orrery sim report --output placement.svg                 the same, and a heat map of the nodes
  orrery sim report --nodes 10000 --strategy binpack --fill 60 --output page.html
  orrery sim report --workload cluster.yaml                nodes and apps of your own:

    nodes:
    - { count: 20, resources: 'cpus:16;mem:65536;disk:400000', attributes: 'rack:r1', zone: a }
    - { hostname: big, resources: 'cpus:64;mem:262144', attributes: 'rack:r2', state: draining }
    apps:
    - { id: /web, cpus: 0.5, mem: 512, instances: 200, constraints: [[rack, GROUP_BY]] }")]
pub(crate) struct ReportOptions {
    /// Nodes and apps, YAML or JSON; apps as in Marathon, nodes with what `orrery agent` takes as
    /// --resources, --attributes, --region, --zone and --role, a count and a state (active, draining,
    /// drained, lost) [default: a mixed workload].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "tasks", "fill"])]
    pub(crate) workload: Option<PathBuf>,
    /// Nodes of the mixed workload.
    #[arg(long, value_name = "N", default_value_t = 320, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    pub(crate) nodes: u32,
    /// Most tasks of the mixed workload [default: as many as fill it].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=TASKS_MAX))]
    pub(crate) tasks: Option<u64>,
    /// Same seed, same workload and same ports.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Strategy of apps that name none.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = StrategyName::Spread)]
    pub(crate) strategy: StrategyName,
    /// How much of the scarcer of cpus and memory the mixed workload asks for; beyond 100 something waits.
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u32).range(0..=200))]
    pub(crate) fill: u32,
    /// Draw a heat map of the nodes: an .svg, or an .html with the words below it.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Which of the nodes that take a task is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StrategyName {
    /// Fewest instances of the app, then least loaded.
    Spread,
    /// The node in use whose free room is shaped most like the task.
    Binpack,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_tokens() {
        let seconds = |text: &str| duration(text).map(|ttl| ttl.as_secs());
        for (text, wanted) in [
            ("5", Ok(5)),
            ("90s", Ok(90)),
            ("30m", Ok(1_800)),
            ("30d", Ok(2_592_000)),
            ("0s", Err("above zero")),
            ("0", Err("above zero")),
            ("31d", Err("at most 30d")),
            ("99999999999999999999d", Err("write a number and a unit")),
            ("s", Err("write a number and a unit")),
            ("1w", Err("write a number and a unit")),
        ] {
            match (seconds(text), wanted) {
                (Ok(given), Ok(wanted)) => assert_eq!(given, wanted, "{text}"),
                (Err(given), Err(wanted)) => assert!(given.contains(wanted), "{text}: {given}"),
                (given, wanted) => panic!("{text}: {given:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let data = |path: &std::path::Path| DataDirectory { data_dir: Some(path.to_owned()) }.path();
        let error = data(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("is a file; name a directory with --data-dir"), "{error}");
        assert!(data(&file.path().with_extension("new")).is_ok(), "one that is made later");
    }
}
