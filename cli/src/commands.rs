//! The command line: one module for each word.

mod apply;
mod auth;
mod cluster;
mod completion;
mod config;
mod explain;
mod marathon;
mod marathon_app;
mod marathon_app_table;
mod marathon_debug;
mod marathon_deployment;
mod marathon_group;
mod marathon_task;
mod node;
mod node_order;
mod node_watch;
mod package;
mod package_describe;
mod package_install;
mod package_repo;
mod package_uninstall;
mod plan;
mod quota;
mod service;
mod task;
mod task_log;

use clap::{Parser, Subcommand};

use crate::context::{Context, Globals};
use crate::error::{ExitTable, Outcome};

/// Commands with the full table of exit codes.
pub(crate) const NEW_COMMANDS: &[&str] = &["apply", "diff", "validate", "explain"];

const EXAMPLES: &str = "\
First steps:
  dcos cluster setup http://127.0.0.1:8080   connect to a cluster
  dcos package search                        what can be installed
  dcos package install hello-world --wait    install it and wait until it is healthy
  dcos marathon app list                     what runs
  dcos task log --follow hello-world         what it says
  dcos apply -f specs/ --wait                make the cluster match files

Exit codes: 0 done, 1 failed. apply, diff, validate and explain (and all with DCOS_EXIT_CODES=2):
  2 wrong usage or file, 3 not found, 4 not allowed, 5 conflict, 6 timed out waiting,
  7 partly failed, 8 unreachable, 10 rollout failed, 130 stopped watching;
  diff ends with 1 on differences and 9 on failure.";

/// Install packages, run apps and look after a DC/OS cluster
#[derive(Debug, Parser)]
#[command(name = "dcos", version, after_help = EXAMPLES, infer_subcommands = false, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The first words.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the cluster match specs in files
    Apply(apply::ApplyArgs),
    /// Log in to the cluster and out of it
    Auth(auth::AuthArgs),
    /// Choose and set up clusters
    Cluster(cluster::ClusterArgs),
    /// Print the completion script of a shell
    Completion(completion::CompletionArgs),
    /// Read and change the configuration
    Config(config::ConfigArgs),
    /// Show how the cluster differs from specs in files
    Diff(apply::DiffArgs),
    /// Say why an app is not running
    Explain(explain::ExplainArgs),
    /// Run and manage apps
    Marathon(marathon::MarathonArgs),
    /// See the nodes of the cluster, drain and remove them
    Node(node::NodeArgs),
    /// Find, install and remove packages
    Package(package::PackageArgs),
    /// Look ahead: what a change would start, stop and where
    Plan(plan::PlanArgs),
    /// Limit what groups may take of the cluster
    Quota(quota::QuotaArgs),
    /// Propose moves that leave fewer nodes in use, or even loads
    Rebalance(plan::RebalanceArgs),
    /// See the services of the cluster
    Service(service::ServiceArgs),
    /// See tasks, their logs and their files
    Task(task::TaskArgs),
    /// Check specs in files
    Validate(apply::ValidateArgs),
}

impl Command {
    /// Exit codes the command may use.
    pub(crate) fn table(&self) -> ExitTable {
        match self {
            Self::Diff(_) => ExitTable::Comparison,
            Self::Apply(_) | Self::Validate(_) | Self::Explain(_) => ExitTable::Full,
            _ => ExitTable::Legacy,
        }
    }
}

/// Runs a command.
pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Apply(args) => apply::apply(context, args).await,
        Command::Auth(args) => auth::run(context, args).await,
        Command::Cluster(args) => cluster::run(context, args).await,
        Command::Completion(args) => completion::run(&args),
        Command::Config(args) => config::run(context, args),
        Command::Diff(args) => apply::diff(context, args).await,
        Command::Explain(args) => explain::run(context, args).await,
        Command::Marathon(args) => marathon::run(context, args).await,
        Command::Node(args) => node::run(context, args).await,
        Command::Package(args) => package::run(context, args).await,
        Command::Plan(args) => plan::plan(context, args).await,
        Command::Quota(args) => quota::run(context, args).await,
        Command::Rebalance(args) => plan::rebalance(context, args).await,
        Command::Service(args) => service::run(context, args).await,
        Command::Task(args) => task::run(context, args).await,
        Command::Validate(args) => apply::validate(context, args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path} has no help");
                check(sub, &path);
            }
        }
        check(&Cli::command(), "dcos");
    }

    #[test]
    fn original_command_lines_parse() {
        let lines = [
            "dcos cluster setup http://h --no-check --insecure",
            "dcos cluster list --attached --json",
            "dcos package describe redis --app --render --options=o.json --package-version=1",
            "dcos package describe redis --package-versions",
            "dcos package install redis --cli --package-version=1.0 --options=o.json --yes",
            "dcos package install redis --app --app-id=/x --yes",
            "dcos package list redis --json --app-id=/x --cli",
            "dcos package repo add U http://u --index=0",
            "dcos package repo remove A B",
            "dcos package uninstall redis --app --app-id=/x --yes",
            "dcos package search --json web",
            "dcos marathon app add app.json",
            "dcos marathon app update --force /x cpus=1 cmd=a=b",
            "dcos marathon app start --force /x 3",
            "dcos marathon app kill --scale --host=h /x",
            "dcos marathon app version list --max-count=2 /x",
            "dcos marathon app show --app-version=-1 /x",
            "dcos marathon deployment watch --max-count=1 --interval=2 d",
            "dcos marathon deployment list -q",
            "dcos marathon task kill --scale --wipe --json a b",
            "dcos marathon leader show --json",
            "dcos marathon ping --once",
            "dcos task --all --json redis",
            "dcos task list --completed",
            "dcos task log --follow --lines=5 x stderr",
            "dcos task ls --long x path",
            "dcos task exec -i -t x bash -c ls",
            "dcos node --json",
            "dcos node list",
            "dcos node drain ID --max-grace-period 10m --timeout 1h --wait",
            "dcos node drain ID --decommission",
            "dcos node deactivate ID",
            "dcos node reactivate ID",
            "dcos node decommission ID",
            "dcos service --completed --inactive",
            "dcos config set core.timeout 5",
            "dcos auth login --username=u --password=p",
            "dcos apply -f a.yaml -f - -R --dry-run --wait --timeout 5m",
            "dcos --color never --progress plain diff -f x",
        ];
        for line in lines {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn slips_are_answered_with_the_near_word() {
        let error = Cli::try_parse_from(["dcos", "packge", "list"]).unwrap_err().to_string();
        assert!(error.contains("'package'"), "{error}");
    }
}
