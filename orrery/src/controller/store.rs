//! The store of `--store`.

use crate::arguments::ControllerArguments;
use anyhow::Context as _;
use orrery_store::{Etcd, EtcdOptions, EtcdTls};
use std::path::Path;
use std::time::Duration;

/// How long a call may take: shorter than a member that hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to the store of the arguments.
pub(crate) async fn connect(arguments: &ControllerArguments) -> anyhow::Result<Etcd> {
    let tls = match (&arguments.store_ca, &arguments.store_certificate, &arguments.store_key) {
        (None, None, None) => None,
        (Some(authority), certificate, key) => {
            let identity = match (certificate, key) {
                (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
                (None, None) => None,
                _ => anyhow::bail!("--store-certificate and --store-key belong together"),
            };
            Some(EtcdTls { authority: read(authority)?, identity, server_name: None })
        }
        _ => anyhow::bail!("--store-certificate needs --store-ca, the authority that signed the store's own certificate"),
    };
    let user = match (&arguments.store_user, &arguments.store_password_file) {
        (Some(user), Some(file)) => Some((user.clone(), String::from_utf8_lossy(&read(file)?).trim_end().to_owned())),
        (None, None) => None,
        _ => anyhow::bail!("--store-user and --store-password-file belong together"),
    };
    let endpoints = endpoints(&arguments.store, tls.is_some())?;
    let options = EtcdOptions { tls, user, timeout: CALL_TIMEOUT };
    Etcd::connect(&endpoints, &options).await.context("the store cannot be used")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// `etcd://HOST:PORT,HOST:PORT` as addresses of its members.
fn endpoints(store: &str, tls: bool) -> anyhow::Result<Vec<String>> {
    let scheme = if tls { "https" } else { "http" };
    let members = store.strip_prefix("etcd://").ok_or_else(|| {
        anyhow::anyhow!("--store {store}: only etcd://HOST:PORT[,HOST:PORT…] can be shared by several controllers")
    })?;
    let members: Vec<&str> = members.split(',').map(|member| member.trim().trim_end_matches('/')).collect();
    for member in &members {
        let port = member.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>().is_ok()));
        anyhow::ensure!(port == Some((true, true)), "--store: \"{member}\" is not HOST:PORT");
    }
    Ok(members.into_iter().map(|member| format!("{scheme}://{member}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_the_store() {
        assert_eq!(endpoints("etcd://a:2379,[::1]:1/", false).unwrap(), ["http://a:2379", "http://[::1]:1"]);
        assert_eq!(endpoints("etcd://a:2379", true).unwrap(), ["https://a:2379"]);
        for wrong in ["a:2379", "etcd://", "etcd://a", "etcd://a:x", "etcd://:1", "etcd://a:1,,b:1"] {
            assert!(endpoints(wrong, false).is_err(), "{wrong}");
        }
    }
}
