//! `orrery token …`: join tokens, by way of the controller of a data directory.

use crate::arguments::{TokenCommand, TokenOptions};
use crate::front::OPERATOR_FILE;
use crate::instance_file::InstanceFile;
use crate::output::Output;
use anyhow::Context as _;
use orrery_core::Timestamp;
use orrery_link::address::{AddressError, ControllerAddress};
use orrery_link::client::Dialer;
use orrery_link::join::{OperatorAnswer, OperatorRequest, TOKENS_PATH, TokenLine};
use orrery_link::tls::{Certified, Trust, client_config};
use serde::Deserialize;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

pub(crate) fn run(options: &TokenOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.path()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = Output::new();
    match &options.command {
        TokenCommand::Create { ttl, url } => {
            let created_by = format!("{} on {}", user(), hostname());
            let question = OperatorRequest::CreateToken { ttl_seconds: ttl.as_secs(), created_by };
            let OperatorAnswer::Created { token, expires, controllers } = runtime.block_on(ask(&data, &question))? else {
                anyhow::bail!("the controller answered something else; are both of the same version?")
            };
            // The controller that was asked is the first of them.
            let own = controllers.first().and_then(|url| url.parse().ok());
            let given: Vec<String> = url.iter().map(|url| url.beside(own.as_ref()).to_string()).collect();
            let urls = if given.is_empty() { controllers } else { given };
            writeln!(out, "{token}")?;
            writeln!(out)?;
            writeln!(out, "It lets one machine join, until {expires}. On that machine run:")?;
            writeln!(out)?;
            writeln!(out, "  orrery agent --join {} --token {token} --data-dir /var/lib/orrery-agent", urls.join(","))?;
            if urls.iter().filter_map(|url| url.parse::<ControllerAddress>().ok()).all(|url| is_local(&url)) {
                writeln!(out)?;
                writeln!(out, "This controller listens for this machine only; for others start it with --listen ADDRESS:PORT.")?;
            }
        }
        TokenCommand::List { json } => {
            let OperatorAnswer::Tokens { tokens } = runtime.block_on(ask(&data, &OperatorRequest::ListTokens))? else {
                anyhow::bail!("the controller answered something else; are both of the same version?")
            };
            if *json {
                writeln!(out, "{:#}", serde_json::to_value(&tokens)?)?;
            } else if tokens.is_empty() {
                writeln!(out, "There are no join tokens; make one with `orrery token create`.")?;
            } else {
                writeln!(out, "{:18}{:12}{:26}{:26}CREATED BY", "ID", "STATE", "EXPIRES", "USED BY")?;
                for token in &tokens {
                    writeln!(out, "{}", line(token))?;
                }
            }
        }
        TokenCommand::Revoke { id } => {
            // People paste what they have: the whole token does as well as its id.
            let id = id.split('.').nth(1).unwrap_or(id).to_owned();
            runtime.block_on(ask(&data, &OperatorRequest::RevokeToken { id: id.clone() }))?;
            writeln!(out, "Revoked the join token {id}.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a controller is, as somebody has written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenUrl {
    address: ControllerAddress,
    /// Without a scheme and without a port.
    is_bare: bool,
}

impl FromStr for GivenUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = text.parse()?;
        // Who has written a port cannot write another one behind it.
        let extended = format!("{}:1", text.trim().trim_end_matches('/'));
        let is_bare = !text.contains("://") && extended.parse::<ControllerAddress>().is_ok();
        Ok(Self { address, is_bare })
    }
}

impl GivenUrl {
    /// The address that is meant, given that of this machine's controller: all doors of a cluster usually have one port.
    fn beside(&self, own: Option<&ControllerAddress>) -> ControllerAddress {
        match own.filter(|_| self.is_bare) {
            Some(own) => self.address.clone().with_port(own.port()),
            None => self.address.clone(),
        }
    }
}

fn is_local(url: &ControllerAddress) -> bool {
    url.host() == "localhost" || url.host().parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn line(token: &TokenLine) -> String {
    let (state, used) = match &token.used_by {
        Some((_, hostname)) => ("used", hostname.as_str()),
        None if token.expired => ("expired", "-"),
        None => ("valid", "-"),
    };
    let seconds = |time: Timestamp| Timestamp::from_millis(time.as_millis() / 1_000 * 1_000).to_string();
    format!("{:18}{state:12}{:26}{used:26}{}", token.id, seconds(token.expires), token.created_by)
}

/// What a controller leaves for commands on its machine.
#[derive(Deserialize)]
struct Operator {
    certificate: String,
    key: String,
    authority: String,
}

async fn ask(data: &Path, question: &OperatorRequest) -> anyhow::Result<OperatorAnswer> {
    let running = InstanceFile::read(data).with_context(|| {
        format!(
            "no controller runs on {}; start one with `orrery up` or `orrery controller`, or say where with --data-dir",
            data.display()
        )
    })?;
    let path = data.join(OPERATOR_FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run this as the user of the controller", path.display()))?;
    let operator: Operator =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged; restart the controller", path.display()))?;
    let trusted = orrery_link::authority::certificate_der(&operator.authority)?;
    let own = Certified { certificate: operator.certificate, key: operator.key, authority: operator.authority };
    let dialer = Dialer { tls: client_config(Trust::Authority(trusted), Some(&own))?, by: "data directory" };
    let address: ControllerAddress = running.url.parse()?;
    Ok(dialer.connect(&address).await?.call(TOKENS_PATH, question).await?)
}

fn user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    user.map_or_else(|| "somebody".into(), |user| user.name)
}

fn hostname() -> String {
    nix::unistd::gethostname().map_or_else(|_| "this machine".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_has_the_port_of_the_clusters_doors() {
        let own = "https://10.0.0.11:8443".parse().unwrap();
        for (text, meant) in [
            ("foo", "https://foo:8443"),
            ("10.0.0.9/", "https://10.0.0.9:8443"),
            ("[::1]", "https://[::1]:8443"),
            ("foo:9", "https://foo:9"),
            ("[::1]:9", "https://[::1]:9"),
            ("https://foo", "https://foo:443"),
            ("https://foo:8080", "https://foo:8080"),
        ] {
            let given: GivenUrl = text.parse().unwrap();
            assert_eq!(given.beside(Some(&own)).to_string(), meant, "{text}");
        }
        assert_eq!("foo".parse::<GivenUrl>().unwrap().beside(None).to_string(), "https://foo:8080");
        assert!("no url".parse::<GivenUrl>().is_err());
    }
}
