//! How to reach an etcd cluster.

use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

/// Interval of HTTP/2 pings, and how long an answer may take: a dead
/// connection is noticed within their sum, also by an idle watch.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How long setting up a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach an etcd cluster.
#[derive(Clone)]
pub struct EtcdOptions {
    /// TLS, for `https://` endpoints with a private authority or client certificates.
    pub tls: Option<EtcdTls>,
    /// User name and password.
    pub user: Option<(String, String)>,
    /// How long a call may take, its repetitions included.
    pub timeout: Duration,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self { tls: None, user: None, timeout: Duration::from_secs(5) }
    }
}

impl std::fmt::Debug for EtcdOptions {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("EtcdOptions").field("tls", &self.tls).field("user", &user).field("timeout", &self.timeout).finish()
    }
}

/// Certificates, as PEM text.
#[derive(Clone)]
pub struct EtcdTls {
    /// The authority that signed the servers' certificates.
    pub authority: Vec<u8>,
    /// Our certificate and its key, when the cluster asks for them.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the servers' certificates, when it is not the endpoint's host.
    pub server_name: Option<String>,
}

impl std::fmt::Debug for EtcdTls {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl EtcdOptions {
    /// The client's form of these options.
    pub(super) fn connect_options(&self) -> ConnectOptions {
        // A member that has lost its leader must fail calls and watches, so that another is tried.
        let mut options = ConnectOptions::new()
            .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_require_leader(true);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password).with_auto_token_refresh(true);
        }
        if let Some(tls) = &self.tls {
            let mut client = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.authority));
            if let Some((certificate, key)) = &tls.identity {
                client = client.identity(Identity::from_pem(certificate, key));
            }
            if let Some(name) = &tls.server_name {
                client = client.domain_name(name);
            }
            options = options.with_tls(client);
        }
        options
    }
}
