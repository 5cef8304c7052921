//! The flags of an agent: all faults at once, before anything is touched.

use crate::arguments::AgentOptions;
use crate::up::attributes::{self, Source};
use crate::up::nodes::override_resources;
use crate::up::refuse::listed;
use orrery_agent::detect_resources;
use orrery_core::node::{NodeFacts, Resources};
use orrery_link::address::ControllerAddress;
use orrery_link::credentials::Credentials;
use orrery_link::token::Token;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};

/// Longest name of a role, region, zone or attribute, bytes.
const NAME_BYTES_MAX: usize = 128;
/// What such a name may be.
const NAME: &str = "1–128 letters, digits, dots, dashes and underscores";
/// Longest token, as a file or standard input holds it, bytes.
const TOKEN_BYTES_MAX: u64 = 4_096;

/// What the flags say.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) data: PathBuf,
    pub(crate) join: Vec<ControllerAddress>,
    pub(crate) token: Option<Token>,
    resources: Resources,
    attributes: BTreeMap<String, String>,
    region: Option<String>,
    zone: Option<String>,
    role: String,
    hostname: Option<String>,
    address: Option<IpAddr>,
    port: u16,
}

impl Plan {
    /// Reads the flags.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn of(options: &AgentOptions) -> anyhow::Result<Self> {
        let mut faults = Vec::new();
        let data = options.data.agent_path()?;
        let join =
            options.join.iter().filter_map(|url| url.parse().map_err(|error| faults.push(format!("--join: {error}"))).ok());
        let join: Vec<ControllerAddress> = join.collect();
        let token = read_token(options).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let mut resources = detect_resources(&data);
        let wrong = override_resources(&mut resources, options.resources.as_deref().unwrap_or_default(), 0, 1);
        faults.extend(wrong.into_iter().map(|fault| format!("--resources: {}", fault.message)));
        let (attributes, wrong) = attributes::read(options.attributes.as_deref().unwrap_or_default(), Source::Agent);
        let strange = attributes.iter().filter_map(|(name, value)| match (is_name(name), value.is_empty()) {
            (false, _) => Some(format!("\"{name}\" is no name; write {NAME}")),
            (true, true) => Some(format!("\"{name}\" has no value; write NAME:VALUE")),
            (true, false) => None,
        });
        faults.extend(wrong.into_iter().chain(strange).map(|fault| format!("--attributes: {fault}")));
        for (flag, value) in [("--region", &options.region), ("--zone", &options.zone), ("--hostname", &options.hostname)] {
            if value.as_ref().is_some_and(|value| !is_name(value)) {
                faults.push(format!("{flag}: write {NAME}"));
            }
        }
        if options.zone.is_some() && options.region.is_none() {
            faults.push("--zone: a zone is in a region; say which with --region".into());
        }
        if let Some(address) = options.address.filter(|address| address.is_unspecified() || address.is_multicast()) {
            faults.push(format!("--address: nobody reaches a node by {address}; write an address of this machine"));
        }
        if options.role != "*" && !is_name(&options.role) {
            faults.push(format!("--role: \"{}\" is no role; write * or a name such as slave_public", options.role));
        }
        anyhow::ensure!(faults.is_empty(), "{}", listed(&faults));
        Ok(Self {
            data,
            join,
            token,
            resources,
            attributes,
            region: options.region.clone(),
            zone: options.zone.clone(),
            role: options.role.clone(),
            hostname: options.hostname.clone(),
            address: options.address,
            port: options.port,
        })
    }

    /// What the node says of itself.
    pub(crate) fn facts(&self, credentials: &Credentials) -> anyhow::Result<NodeFacts> {
        let controllers = self.join.iter().cloned().chain(credentials.controllers.iter().filter_map(|url| url.parse().ok()));
        let address = self.address.or_else(|| controllers.into_iter().find_map(|controller| own_address(&controller)));
        let address = address.ok_or_else(|| {
            anyhow::anyhow!(
                "this machine has no address from which it reaches a controller; say which one others reach it by with --address"
            )
        })?;
        Ok(NodeFacts {
            port: self.port,
            resources: self.resources.clone(),
            attributes: self.attributes.clone(),
            region: self.region.clone(),
            zone: self.zone.clone(),
            role: self.role.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..NodeFacts::new(credentials.node.clone(), self.hostname.clone().unwrap_or_else(|| address.to_string()), address)
        })
    }
}

fn is_name(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(valid)
}

fn read_token(options: &AgentOptions) -> Result<Option<Token>, String> {
    let text = match (options.token.as_deref(), options.token_file.as_deref()) {
        (None, None) => return Ok(None),
        (Some("-"), _) => read_bounded(std::io::stdin()).map_err(|error| format!("--token -: {error}"))?,
        (Some(text), _) => text.to_owned(),
        (None, Some(path)) => read_file(path).map_err(|error| format!("--token-file {}: {error}", path.display()))?,
    };
    text.parse().map(Some).map_err(|error| format!("--token: {error}"))
}

fn read_file(path: &Path) -> std::io::Result<String> {
    read_bounded(std::fs::File::open(path)?)
}

fn read_bounded(source: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The address from which this machine would speak to a controller. Nothing is sent.
fn own_address(controller: &ControllerAddress) -> Option<IpAddr> {
    use std::net::ToSocketAddrs as _;
    let targets = (controller.host(), controller.port()).to_socket_addrs().ok()?;
    targets.into_iter().find_map(|target| {
        let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(target).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;

    fn plan(flags: &[&str]) -> anyhow::Result<Plan> {
        let fixed = ["orrery", "agent", "--data-dir", "/nowhere"];
        let arguments = Arguments::try_parse_from(fixed.iter().chain(flags)).unwrap();
        let Command::Agent(options) = arguments.command else { panic!("not an agent") };
        Plan::of(&options)
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let flags = [
            "--join=http://10.0.0.1,https://ok:1,ftp://x",
            "--token=eyJ",
            "--resources=cpus:-1;memory:3;ports:[9-1];mem:1;mem:2",
            "--attributes=rack;disk:ssd;disk:hdd;@zone:z;a b:c;empty:;:x",
            "--zone=a b",
            "--role=",
            "--address=0.0.0.0",
        ];
        let text = plan(&flags).unwrap_err().to_string();
        let parts = [
            "not encrypted",
            "ftp://x",
            "no join token",
            "cpus",
            "memory",
            "[9-1]",
            "--resources: \"mem\" is there twice",
            "rack",
            "\"disk\" is there twice",
            "use --zone",
            "\"a b\" is no name",
            "\"empty\" has no value",
            "\":x\" has no name",
            "--zone: write",
            "--region",
            "--role",
            "--address: nobody",
        ];
        for part in parts {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        assert!(text.starts_with("17 flags"), "{text}");
    }

    #[test]
    fn facts_follow_the_flags() {
        let flags = [
            "--join=https://127.0.0.1:1",
            "--resources=cpus:8;cpus(eng):4;mem:2048;ports:[31000-31001]",
            "--attributes=rack:r1",
            "--region=eu",
            "--zone=a",
            "--role=slave_public",
        ];
        let credentials = Credentials {
            cluster: "c".into(),
            node: orrery_core::NodeId::parse("c-S3").unwrap(),
            certificate: String::new(),
            key: String::new(),
            authority: String::new(),
            controllers: Vec::new(),
        };
        let facts = plan(&flags).unwrap().facts(&credentials).unwrap();
        assert_eq!((facts.hostname.as_str(), facts.address), ("127.0.0.1", IpAddr::from([127, 0, 0, 1])));
        assert_eq!(facts.resources.cpus, orrery_core::Scalar::from_units(12));
        assert_eq!((facts.resources.ports.len(), facts.attributes["rack"].as_str()), (2, "r1"));
        assert_eq!(
            (facts.region.as_deref(), facts.zone.as_deref(), facts.role.as_str()),
            (Some("eu"), Some("a"), "slave_public")
        );
        assert!(plan(&[]).unwrap().facts(&credentials).unwrap_err().to_string().contains("--address"));
    }
}
