//! What `orrery up` refuses before it touches anything.

use super::nodes;
use crate::arguments::UpOptions;

/// Names are not answered to the whole world; the door itself asks for a login elsewhere. What the flags say of the
/// nodes is told to the cluster as it is, or not at all.
pub(crate) fn check(options: &UpOptions) -> anyhow::Result<()> {
    names(options.dns_listen)?;
    let faults = nodes::faults(options);
    anyhow::ensure!(faults.is_empty(), "{}", listed(&faults));
    Ok(())
}

/// Faults of flags, in one message.
pub(crate) fn listed(faults: &[String]) -> String {
    match faults {
        [fault] => fault.clone(),
        _ => format!("{} flags are wrong:\n  {}", faults.len(), faults.join("\n  ")),
    }
}

/// Names are answered on loopback and private addresses (RFC 1918, RFC 4193): a resolver that the
/// whole world reaches is used for attacks.
pub(crate) fn names(address: std::net::SocketAddr) -> anyhow::Result<()> {
    let private = match address.ip() {
        std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    anyhow::ensure!(
        private,
        "--dns-listen {address}: names are answered on loopback and private addresses only, because an open resolver is used for \
         attacks; use 127.0.0.1, [::1] or this machine's address in a private network"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, names};
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;

    #[test]
    fn flags_that_the_nodes_would_not_follow_are_refused() {
        let checked = |flags: &[&str]| {
            let arguments = Arguments::try_parse_from(["orrery", "up"].iter().chain(flags)).unwrap();
            let Command::Up(options) = arguments.command else { panic!("not up") };
            check(&options).map_err(|error| error.to_string())
        };
        checked(&["--agents=2", "--attributes=rack:a", "--attributes=rack:b", "--resources=cpus:1"]).unwrap();
        checked(&["--agents=3", "--attributes=rack:a"]).unwrap();
        for (flags, sentence) in [
            (&["--attributes=:x"][..], "--attributes: \":x\" has no name; write NAME:VALUE, such as rack:r1"),
            (
                &["--agents=3", "--attributes=rack:a", "--attributes=rack:b"],
                "--attributes is there 2 times for 3 nodes; give it once for all, or once for each",
            ),
            (&["--resources=cpus:-1"], "--resources: \"-1\" is no amount of cpus"),
        ] {
            assert_eq!(checked(flags).unwrap_err(), sentence);
        }
        let all = checked(&["--attributes=rack:a;rack:b;@zone:z", "--resources=gpus:0.5"]).unwrap_err();
        assert!(all.starts_with("3 flags are wrong:\n"), "{all}");
    }

    #[test]
    fn only_private_addresses_answer_names() {
        for (address, good) in [
            ("127.0.0.1:53", true),
            ("10.1.2.3:53", true),
            ("192.168.0.9:53", true),
            ("[fd00::1]:53", true),
            ("0.0.0.0:53", false),
            ("8.8.8.8:53", false),
            ("[::]:53", false),
            ("[2001:db8::1]:53", false),
        ] {
            assert_eq!(names(address.parse().unwrap()).is_ok(), good, "{address}");
        }
    }
}
