//! `dcos completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::error::Outcome;
use crate::output::print_bytes;

/// Arguments of `dcos completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dcos completion bash > /etc/bash_completion.d/dcos
  source <(dcos completion zsh)
  dcos completion fish > ~/.config/fish/completions/dcos.fish")]
pub(crate) struct CompletionArgs {
    /// Shell that the script is for
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish", "powershell", "elvish"]))]
    shell: String,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs) -> Outcome {
    let shell = match args.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        "powershell" => Shell::PowerShell,
        "elvish" => Shell::Elvish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dcos", &mut script);
    print_bytes(&script)?;
    Ok(0)
}
