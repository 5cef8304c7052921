//! `dcos config`.

use clap::{Args, Subcommand};

use crate::config::{Cluster, KEYS, effective, parse_value, process_environment, variables_of};
use crate::context::Context;
use crate::error::{Error, Outcome};
use crate::output::{print_line, print_note};

/// What stands for a secret.
const MASK: &str = "********";
/// Column at which notes on variables begin.
const NOTE_COLUMN: usize = 35;

/// Arguments of `dcos config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Properties of the section core are overruled by DCOS_<KEY>, others by DCOS_<SECTION>_<KEY>.

Examples:
  dcos config show
  dcos config set core.timeout 30
  dcos config unset core.ssl_verify")]
enum ConfigCommand {
    /// Print the properties that can be set
    Keys,
    /// Set a property of the attached cluster
    Set {
        /// Name such as core.dcos_url
        name: String,
        /// Its new value
        value: String,
    },
    /// Print all properties of the attached cluster, or one
    Show {
        /// Name such as core.dcos_url
        name: Option<String>,
    },
    /// Remove a property of the attached cluster
    Unset {
        /// Name such as core.ssl_verify
        name: String,
    },
    /// Check the configuration of the attached cluster
    Validate,
}

/// Runs `dcos config`.
pub(crate) fn run(context: &Context, args: ConfigArgs) -> Outcome {
    match args.command {
        ConfigCommand::Keys => {
            for (name, meaning) in KEYS {
                print_line(&format!("{name}: {meaning}"))?;
            }
        }
        ConfigCommand::Set { name, value } => set(&mut context.cluster()?, &name, &value)?,
        ConfigCommand::Show { name } => show(&context.cluster()?, name.as_deref())?,
        ConfigCommand::Unset { name } => {
            let mut cluster = context.cluster()?;
            if !cluster.unset(&name)? {
                return Err(Error::not_found(format!("Property '{name}' doesn't exist")).fix("dcos config show"));
            }
            // A token is good for one address only.
            let token = name == "core.dcos_url" && cluster.unset("core.dcos_acs_token")?;
            cluster.save()?;
            print_note(&format!("Removed [{name}]{}", if token { " and [core.dcos_acs_token]" } else { "" }));
        }
        ConfigCommand::Validate => {
            for (name, text) in context.cluster()?.all() {
                parse_value(&name, &text)?;
            }
            print_line("Congratulations, your configuration is valid!")?;
        }
    }
    Ok(0)
}

fn set(cluster: &mut Cluster, name: &str, text: &str) -> Result<(), Error> {
    let value = parse_value(name, text)?;
    let old = cluster.get(name);
    let new = match &value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let secret = name == "core.dcos_acs_token";
    let change = match &old {
        None if secret => "set".to_owned(),
        None => format!("set to '{new}'"),
        Some(old) if *old == new && secret => "already set to that value".to_owned(),
        Some(old) if *old == new => format!("already set to '{old}'"),
        Some(_) if secret => "changed".to_owned(),
        Some(old) => format!("changed from '{old}' to '{new}'"),
    };
    let mut message = format!("[{name}]: {change}");
    if name == "core.dcos_url" && old.is_some_and(|old| old != new) && cluster.unset("core.dcos_acs_token")? {
        message += "\n[core.dcos_acs_token]: removed";
    }
    cluster.set(name, value)?;
    cluster.save()?;
    print_note(&message);
    Ok(())
}

fn show(cluster: &Cluster, name: Option<&str>) -> Result<(), Error> {
    if let Some(name) = name {
        let value = effective(cluster, name, &process_environment);
        let value = value.ok_or_else(|| Error::not_found(format!("Property '{name}' doesn't exist")).fix("dcos config keys"))?;
        return print_line(&value);
    }
    let mut all = cluster.all();
    for (name, _) in KEYS {
        if cluster.get(name).is_none() && effective(cluster, name, &process_environment).is_some() {
            all.push(((*name).to_owned(), String::new()));
        }
    }
    all.sort();
    for (name, file) in all {
        let value = effective(cluster, &name, &process_environment).unwrap_or_default();
        let secret = name == "core.dcos_acs_token";
        let line = format!("{name} {}", if secret { MASK } else { &value });
        let variable = variables_of(&name).into_iter().find(|variable| process_environment(variable).is_some());
        match variable {
            Some(variable) if value != file => {
                let there = if secret { "config file value differs".to_owned() } else { format!("config file value: {file}") };
                print_line(&format!("{line:NOTE_COLUMN$} # overwritten by environment var {variable}; {there}"))?;
            }
            _ => print_line(&line)?,
        }
    }
    Ok(())
}
