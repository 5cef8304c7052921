//! Where a cluster's store is: in a data directory, or an etcd.

use crate::arguments::{DataDirectory, EtcdArguments};
use crate::controller::identity;
use crate::instance_file::InstanceFile;
use crate::store_command::STORE_FILE;
use anyhow::Context as _;
use orrery_core::Timestamp;
use orrery_link::authority::{certificate_der, key_der};
use orrery_link::credentials::Credentials;
use orrery_store::{Embedded, Etcd, EtcdOptions, EtcdTls, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a call may take: pages of a backup are large.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A place for a store.
pub(crate) enum Location {
    Directory(PathBuf),
    Etcd { endpoints: Vec<String>, options: EtcdOptions },
}

/// An open store.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
}

impl Location {
    /// `store`, when given, else the data directory.
    pub(crate) fn of(data: &DataDirectory, store: Option<&str>, etcd: &EtcdArguments) -> anyhow::Result<Self> {
        match store {
            Some(store) => Self::etcd(store, etcd),
            None => Ok(Self::Directory(data.path()?)),
        }
    }

    pub(crate) fn etcd(store: &str, arguments: &EtcdArguments) -> anyhow::Result<Self> {
        let (endpoints, options) = etcd(store, arguments, CALL_TIMEOUT)?;
        Ok(Self::Etcd { endpoints, options })
    }

    /// Opens the store, making an empty one where there is none.
    pub(crate) async fn open(&self) -> anyhow::Result<Opened> {
        match self {
            Self::Directory(data) => {
                if let Some(running) = InstanceFile::read(data) {
                    anyhow::bail!("a cluster runs on {} at {}; stop it with `orrery down` first", data.display(), running.url);
                }
                if Credentials::path(data).exists() {
                    anyhow::bail!("{}", storeless(data, AGENT));
                }
                crate::create_private(data)?;
                let path = data.join(STORE_FILE);
                let store = Embedded::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
                Ok(Opened { store: Arc::new(store) })
            }
            Self::Etcd { endpoints, options } => {
                let store = Etcd::connect(endpoints, options).await.context("the store cannot be used")?;
                Ok(Opened { store: Arc::new(store) })
            }
        }
    }

    /// Opens a store that must be there.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<Opened> {
        if let Self::Directory(data) = self {
            must_have_store(data)?;
        }
        self.open().await
    }

    /// Refuses a data directory whose daemon keeps its decisions elsewhere: a store that lies there is one
    /// that nobody uses.
    pub(crate) fn must_be_used(&self) -> anyhow::Result<()> {
        match self {
            Self::Directory(data) if Credentials::path(data).exists() => anyhow::bail!("{}", storeless(data, AGENT)),
            Self::Directory(data) if identity::is_controller(data) => anyhow::bail!("{}", storeless(data, CONTROLLER)),
            _ => Ok(()),
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Directory(data) => data.display().to_string(),
            Self::Etcd { endpoints, .. } => format!("etcd {}", endpoints.join(", ")),
        }
    }
}

/// Whose directory it may be.
const AGENT: &str = "an agent";
const CONTROLLER: &str = "a controller on an etcd";

fn storeless(data: &Path, whose: &str) -> String {
    format!(
        "{} is the data directory of {whose}, which has no store there; name the etcd that the controllers share with --store, \
         or another --data-dir",
        data.display()
    )
}

/// Refuses a data directory without a store: one that is none, an agent's, or that of a controller on an
/// etcd.
pub(crate) fn must_have_store(data: &Path) -> anyhow::Result<()> {
    if data.join(STORE_FILE).exists() {
        return Ok(());
    }
    let what = if Credentials::path(data).exists() {
        "is the data directory of an agent, which has no store"
    } else if identity::is_controller(data) {
        "is the data directory of a controller on an etcd, which has no store"
    } else if data.exists() {
        "has no store"
    } else {
        "does not exist"
    };
    anyhow::bail!("{} {what}; name the data directory of `orrery up`, or the etcd that the controllers share", data.display())
}

/// The members of `etcd://HOST:PORT,…` and how to reach them.
pub(crate) fn etcd(store: &str, arguments: &EtcdArguments, timeout: Duration) -> anyhow::Result<(Vec<String>, EtcdOptions)> {
    let tls = match (&arguments.store_ca, &arguments.store_certificate, &arguments.store_key) {
        (None, None, None) => None,
        (Some(authority), certificate, key) => {
            let identity = match (certificate, key) {
                (Some(certificate), Some(key)) => {
                    Some((pem("--store-certificate", certificate, is_certificate)?, pem("--store-key", key, is_key)?))
                }
                (None, None) => None,
                _ => anyhow::bail!("--store-certificate and --store-key belong together"),
            };
            Some(EtcdTls { authority: pem("--store-ca", authority, is_certificate)?, identity, server_name: None })
        }
        _ => anyhow::bail!("--store-certificate needs --store-ca, the authority that signed the store's own certificate"),
    };
    let user = match (&arguments.store_user, &arguments.store_password_file) {
        (Some(user), Some(file)) => Some((user.clone(), String::from_utf8_lossy(&read(file)?).trim_end().to_owned())),
        (None, None) => None,
        _ => anyhow::bail!("--store-user and --store-password-file belong together"),
    };
    let endpoints = endpoints(store, tls.is_some())?;
    Ok((endpoints, EtcdOptions { tls, user, timeout }))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a file of PEM. What is in none would show as a connection that cannot be made, again and again.
fn pem(flag: &str, path: &Path, holds: fn(&str) -> Result<(), &'static str>) -> anyhow::Result<Vec<u8>> {
    let content = read(path)?;
    holds(&String::from_utf8_lossy(&content)).map_err(|what| {
        anyhow::anyhow!(
            "{flag}: {} holds no {what}; name a file in PEM format, with a line like -----BEGIN {}-----",
            path.display(),
            what.to_uppercase()
        )
    })?;
    Ok(content)
}

fn is_certificate(pem: &str) -> Result<(), &'static str> {
    certificate_der(pem).map(drop).map_err(|_| "certificate")
}

fn is_key(pem: &str) -> Result<(), &'static str> {
    key_der(pem).map(drop).map_err(|_| "private key")
}

/// `etcd://HOST:PORT,HOST:PORT` as addresses of its members.
fn endpoints(store: &str, tls: bool) -> anyhow::Result<Vec<String>> {
    let scheme = if tls { "https" } else { "http" };
    // Not repeated: it may hold a password.
    anyhow::ensure!(
        !store.contains('@'),
        "the address of the store names a user, and everybody on this machine can read a password there; give \
         etcd://HOST:PORT with --store-user NAME and --store-password-file FILE"
    );
    let members = store.strip_prefix("etcd://");
    let members = members
        .ok_or_else(|| anyhow::anyhow!("{store}: only etcd://HOST:PORT[,HOST:PORT…] can be shared by several controllers"))?;
    let members: Vec<&str> = members.split(',').map(|member| member.trim().trim_end_matches('/')).collect();
    for member in &members {
        let port = member.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>().is_ok()));
        anyhow::ensure!(port == Some((true, true)), "\"{member}\" is not HOST:PORT");
    }
    Ok(members.into_iter().map(|member| format!("{scheme}://{member}")).collect())
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(since_1970().as_millis() as i64)
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    since_1970().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_link::authority::Authority;

    #[test]
    fn what_has_no_store_is_named() {
        let data = tempfile::tempdir().unwrap();
        let told = |path: &Path| must_have_store(path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told(&data.path().join("none")).contains("none does not exist; name"));
        assert!(told(data.path()).contains(" has no store; name"));
        std::fs::write(Credentials::path(data.path()), "").unwrap();
        assert!(told(data.path()).contains("of an agent"));
        std::fs::write(data.path().join(STORE_FILE), "").unwrap();
        assert_eq!(told(data.path()), "");
    }

    #[tokio::test]
    async fn a_store_is_not_made_where_nobody_uses_it() {
        let told = |error: anyhow::Error| error.to_string();
        let agent = tempfile::tempdir().unwrap();
        std::fs::write(Credentials::path(agent.path()), "").unwrap();
        let location = Location::Directory(agent.path().to_owned());
        let refusals = [location.must_be_used().map_err(told), location.open().await.map(drop).map_err(told)];
        for refusal in refusals {
            let text = refusal.unwrap_err();
            assert!(text.contains("of an agent, which has no store there; name the etcd"), "{text}");
        }
        assert!(!agent.path().join(STORE_FILE).exists());
        let controller = tempfile::tempdir().unwrap();
        let location = Location::Directory(controller.path().to_owned());
        assert!(location.must_be_used().is_ok());
        drop(identity::Identity::open(controller.path()).unwrap());
        // One that lies there from an earlier restore is as little used.
        for _ in 0..2 {
            let text = location.must_be_used().map_err(told).unwrap_err();
            assert!(text.contains("of a controller on an etcd, which has no store there; name the etcd"), "{text}");
            std::fs::write(controller.path().join(STORE_FILE), "").unwrap();
        }
        // After a move back from the etcd it is.
        identity::forget(controller.path()).unwrap();
        assert!(location.must_be_used().is_ok());
    }

    #[test]
    fn members_of_the_store() {
        assert_eq!(endpoints("etcd://a:2379,[::1]:1/", false).unwrap(), ["http://a:2379", "http://[::1]:1"]);
        assert_eq!(endpoints("etcd://a:2379", true).unwrap(), ["https://a:2379"]);
        for wrong in ["a:2379", "etcd://", "etcd://a", "etcd://a:x", "etcd://:1", "etcd://a:1,,b:1"] {
            assert!(endpoints(wrong, false).is_err(), "{wrong}");
        }
        for store in ["etcd://root:secret@a:2379", "http://root:secret@a:2379", "etcd://b:1,root:secret@a:1"] {
            let text = endpoints(store, false).unwrap_err().to_string();
            assert!(
                text.contains("--store-user") && text.contains("--store-password-file") && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_pem_is_named_with_its_flag() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            Some(path)
        };
        let authority = Authority::create("c", now()).unwrap();
        let certificate = file("good.pem", authority.certificate_pem().as_bytes());
        let key = file("good.key", authority.key_pem().as_bytes());
        let garbage = file("garbage.pem", b"\xff no PEM");
        for (store_ca, store_certificate, store_key, told) in [
            (&certificate, &certificate, &key, None),
            (&garbage, &certificate, &key, Some("--store-ca: ")),
            (&key, &certificate, &key, Some("--store-ca: ")),
            (&certificate, &garbage, &key, Some("--store-certificate: ")),
            (&certificate, &certificate, &certificate, Some("--store-key: ")),
        ] {
            let arguments = EtcdArguments {
                store_user: None,
                store_password_file: None,
                store_ca: store_ca.clone(),
                store_certificate: store_certificate.clone(),
                store_key: store_key.clone(),
            };
            match (etcd("etcd://a:1", &arguments, CALL_TIMEOUT).map_err(|error| error.to_string()), told) {
                (Ok(_), None) => {}
                (Err(text), Some(told)) => assert!(text.starts_with(told) && text.contains(" holds no "), "{text}"),
                (given, told) => panic!("{given:?}, not {told:?}"),
            }
        }
    }
}
