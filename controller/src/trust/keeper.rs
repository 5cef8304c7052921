//! Keeps the controller's certificate, and cuts off whose certificate was revoked.

use super::{hash_password, wall_clock};
use crate::handle::{ControlError, Handle};
use imbl::OrdMap;
use orrery_core::cluster::Cluster;
use orrery_core::trust::{AuthorityRecord, NodeCredential, Secret, SigningKey, TrustError, User};
use orrery_core::{NodeId, Timestamp};
use orrery_link::authority::{Authority, CERTIFICATE_LIFETIME, Key, Request, Validity};
use orrery_link::credentials::write_private;
use orrery_link::identity::{Identity, Role};
use orrery_link::server::Connections;
use orrery_link::tls::{Certified, server_config};
use rand::distr::{Alphanumeric, SampleString as _};
use rustls::ServerConfig;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Name of the first user.
const ADMIN: &str = "admin";
/// Letters and digits of its password.
const PASSWORD_LENGTH: usize = 24;
/// Pause after something failed.
const RETRY: Duration = Duration::from_secs(1);
/// Connections with revoked certificates end after this time: a node that leaves for ever is still
/// told so, and one that has renewed its certificate has moved to a new connection.
const CUT_DELAY: Duration = Duration::from_secs(20);
/// Longest wait: the wall clock may have been set.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the keeper needs to know.
#[derive(Clone)]
pub struct KeeperOptions {
    /// The cluster.
    pub handle: Handle,
    /// Name of this controller, unique in the cluster.
    pub name: String,
    /// Host names under which clients reach it.
    pub names: Vec<String>,
    /// Addresses under which clients reach it.
    pub addresses: Vec<IpAddr>,
    /// Life of certificates.
    pub lifetime: Duration,
    /// File for the first user's password, when this controller is the first leader.
    pub password_file: PathBuf,
    /// File for a certificate with which commands on this machine act.
    pub operator_file: Option<PathBuf>,
    /// Connections with certificates.
    pub connections: Connections,
}

impl KeeperOptions {
    /// Options with the usual lifetime.
    pub fn new(handle: Handle, name: String, password_file: PathBuf) -> Self {
        Self {
            handle,
            name,
            names: Vec::new(),
            addresses: Vec::new(),
            lifetime: CERTIFICATE_LIFETIME,
            password_file,
            operator_file: None,
            connections: Connections::default(),
        }
    }
}

/// Pause before the operator's file is written again.
const OPERATOR_RETRY: Duration = Duration::from_secs(10);

/// What the keeper keeps.
#[derive(Debug, Clone)]
pub struct Keeper {
    /// TLS of the door; none until there is an authority.
    pub tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// The controller's own certificate, for connections to other controllers.
    pub own: watch::Receiver<Option<Arc<Certified>>>,
}

/// Starts to keep: the first leader makes the authority; every controller issues its own certificate
/// and renews it after two thirds of its life. Open connections go on; new ones get the new one.
pub fn keep(options: KeeperOptions, stop: CancellationToken) -> Keeper {
    let (tls, tls_source) = watch::channel(None);
    let (own, own_source) = watch::channel(None);
    let work =
        Work { options, tls, own, renew_at: None, authority: None, operator: None, credentials: OrdMap::new(), cut_at: None };
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work.run() => {}
        }
    });
    Keeper { tls: tls_source, own: own_source }
}

struct Work {
    options: KeeperOptions,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    own: watch::Sender<Option<Arc<Certified>>>,
    renew_at: Option<Timestamp>,
    /// Who made the present certificate.
    authority: Option<Arc<AuthorityRecord>>,
    /// The operator's file that is to be written, with what, and when.
    operator: Option<(PathBuf, String, Instant)>,
    /// Those of the last look.
    credentials: OrdMap<NodeId, Arc<NodeCredential>>,
    /// When connections are to be cut.
    cut_at: Option<Instant>,
}

impl Work {
    async fn run(mut self) {
        let mut generation = self.options.handle.generation();
        loop {
            generation.borrow_and_update();
            let cluster = self.options.handle.cluster();
            let wait = match self.look(&cluster).await {
                Ok(wait) => wait.min(self.cut(&cluster)),
                Err(error) => {
                    tracing::warn!("the controller's certificate: {error}");
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = generation.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Does what is due; returns how long nothing will be.
    async fn look(&mut self, cluster: &Cluster) -> Result<Duration, String> {
        self.note_revoked(cluster);
        let Some(record) = cluster.trust.authority.clone() else {
            // A follower waits for what the leader makes.
            self.establish(cluster).await?;
            return Ok(RETRY);
        };
        let now = wall_clock();
        if self.renew_at.is_none_or(|at| at <= now) || self.authority.as_ref() != Some(&record) {
            let authority = Authority::from_pem(&record.certificate, record.key.reveal()).map_err(|error| error.to_string())?;
            let own = self.certify(&authority, &cluster.id, &self.options.name, now)?;
            let config = server_config(&own).map_err(|error| error.to_string())?;
            if let Some(path) = &self.options.operator_file {
                let operator = self.certify(&authority, &cluster.id, "operator", now)?;
                let text = serde_json::json!({
                    "certificate": operator.certificate, "key": operator.key, "authority": operator.authority,
                });
                self.operator = Some((path.clone(), text.to_string(), Instant::now()));
            }
            // Before the door opens: who hears that the controller is ready may use the file at once.
            self.keep_operator();
            self.tls.send_replace(Some(config));
            self.own.send_replace(Some(Arc::new(own)));
            let lifetime = i64::try_from(self.options.lifetime.as_millis()).unwrap_or(i64::MAX / 4);
            self.renew_at = Some(now.plus_millis(lifetime / 3 * 2));
            self.authority = Some(record);
            tracing::info!("the controller has a new certificate");
        }
        let left = self.renew_at.map_or(0, |at| at.millis_since(now).max(0));
        Ok(Duration::from_millis(left as u64).min(self.keep_operator()))
    }

    /// Writes the operator's file when it is due; returns how long it is not. Whoever cannot write it, as
    /// on a full disk, serves all the same.
    fn keep_operator(&mut self) -> Duration {
        let Some((path, text, at)) = &mut self.operator else { return WAIT_MAX };
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return left;
        }
        match write_private(path, text.as_bytes()) {
            Ok(()) => {
                self.operator = None;
                WAIT_MAX
            }
            Err(error) => {
                tracing::error!("commands on this machine will not work: cannot write {}: {error}; trying again", path.display());
                *at = Instant::now() + OPERATOR_RETRY;
                OPERATOR_RETRY
            }
        }
    }

    fn certify(&self, authority: &Authority, cluster: &str, name: &str, now: Timestamp) -> Result<Certified, String> {
        let key = Key::generate().map_err(|error| error.to_string())?;
        let issued = key.request().and_then(|request| Request::parse(&request)).and_then(|request| {
            let identity = Identity::controller(cluster, name)
                .map_err(|error| orrery_link::authority::AuthorityError::Sign(error.to_string()))?;
            let validity = Validity::starting(now, self.options.lifetime);
            authority.issue(&request, &identity, validity, &self.options.names, &self.options.addresses)
        });
        let issued = issued.map_err(|error| error.to_string())?;
        Ok(Certified { certificate: issued.certificate, key: key.to_pem(), authority: authority.certificate_pem().to_owned() })
    }

    /// Makes the authority, the key for logins and the first user. The password's file comes first:
    /// what lies there and was not taken is removed or replaced.
    async fn establish(&self, cluster: &Cluster) -> Result<(), String> {
        if cluster.id.is_empty() {
            return Ok(());
        }
        let authority = Authority::create(&cluster.id, wall_clock()).map_err(|error| error.to_string())?;
        let key = Key::generate().map_err(|error| error.to_string())?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
        let path = &self.options.password_file;
        write_private(path, format!("{password}\n").as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
        let hashed = hashed.map_err(|error| error.to_string())??;
        let record =
            AuthorityRecord { certificate: authority.certificate_pem().to_owned(), key: Secret::new(authority.key_pem()) };
        let signing = SigningKey {
            id: key.fingerprint().to_string()[..16].to_owned(),
            public: key.public_pem(),
            private: Secret::new(key.to_pem()),
        };
        let admin = User { uid: ADMIN.into(), description: "Made with the cluster".into(), password: hashed };
        let taken = self.options.handle.edit(move |draft| Ok(draft.establish_trust(record, signing, admin))).await;
        // Another controller was first, and has the password of the user that counts. When the outcome
        // is unknown, this one may be right.
        if !matches!(taken, Ok(true) | Err(ControlError::Store(_))) {
            let _ = std::fs::remove_file(path);
        }
        taken.map(drop).map_err(|error| error.to_string())
    }

    /// Takes note when certificates were revoked.
    fn note_revoked(&mut self, cluster: &Cluster) {
        if self.credentials.ptr_eq(&cluster.trust.credentials) {
            return;
        }
        self.credentials = cluster.trust.credentials.clone();
        self.cut_at.get_or_insert(Instant::now() + CUT_DELAY);
    }

    /// Cuts connections when it is time; returns how long nothing is to be cut.
    fn cut(&mut self, cluster: &Cluster) -> Duration {
        let Some(at) = self.cut_at else { return WAIT_MAX };
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return left;
        }
        self.cut_at = None;
        let cut = self.options.connections.cut(|peer| match &peer.identity.role {
            Role::Node(node) => matches!(cluster.trust.admits(node, &peer.serial), Err(TrustError::Revoked(_))),
            Role::Controller(_) => false,
        });
        if cut > 0 {
            tracing::info!(connections = cut, "connections with revoked certificates were cut");
        }
        WAIT_MAX
    }
}
