//! The backends under test: in memory, on disk, and a real etcd process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use orrery_store::{Embedded, EmbeddedOptions, Etcd, EtcdOptions, Store};
use tempfile::TempDir;

/// A store and what must live as long as it does.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    /// How many random histories to try: a transaction costs a disk write or a network round trip.
    pub(crate) histories: u32,
    _server: Option<Server>,
    _dir: Option<TempDir>,
}

pub(crate) fn memory() -> Backend {
    let store = Embedded::in_memory_with(EmbeddedOptions { retention: None }).unwrap();
    Backend { store: Arc::new(store), histories: 200, _server: None, _dir: None }
}

pub(crate) fn disk() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open_with(dir.path().join("store.redb"), EmbeddedOptions { retention: None }).unwrap();
    Backend { store: Arc::new(store), histories: 16, _server: None, _dir: Some(dir) }
}

/// `None` when there is no etcd to test with and none is demanded.
pub(crate) async fn etcd() -> Option<Backend> {
    let server = Server::start()?;
    let store = server.connect().await;
    Some(Backend { store: Arc::new(store), histories: 16, _server: Some(server), _dir: None })
}

/// An etcd process of one member, with its own directory and ports.
pub(crate) struct Server {
    binary: PathBuf,
    dir: TempDir,
    client_port: u16,
    peer_port: u16,
    process: Child,
    /// Certificates and their key, when the clients' door is TLS.
    tls: Option<Certificates>,
}

/// One authority and one certificate, which server and clients share.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn generate() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Self { authority, certificate, key: key.serialize_pem() }
    }
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// Starts with a door that asks clients for a certificate of the authority.
    pub(crate) fn start_with(tls: Option<Certificates>) -> Option<Self> {
        let binary = find()?;
        let dir = tempfile::tempdir().unwrap();
        if let Some(Certificates { authority, certificate, key }) = &tls {
            for (name, text) in [("ca.pem", authority), ("cert.pem", certificate), ("key.pem", key)] {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
        }
        let (client_port, peer_port) = free_ports();
        let process = launch(&binary, dir.path(), client_port, peer_port, tls.is_some());
        Some(Self { binary, dir, client_port, peer_port, process, tls })
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.client_port)
    }

    /// Connects as soon as the process answers.
    pub(crate) async fn connect(&self) -> Etcd {
        let options = EtcdOptions { timeout: Duration::from_secs(30), ..EtcdOptions::default() };
        Etcd::connect(&[self.endpoint()], &options).await.expect("etcd answers")
    }

    /// Kills the process as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the same data and ports.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.binary, self.dir.path(), self.client_port, self.peer_port, self.tls.is_some());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/bin".into());
    let found = places.into_iter().map(|place| place.join("etcd")).find(|binary| binary.is_file());
    if found.is_none() {
        let advice = "no `etcd` found: install the Debian package etcd-server";
        let demanded = ["CI", "ORRERY_REQUIRE_ETCD"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!demanded, "{advice}");
        eprintln!("\n*** SKIPPED: {advice} ***\n");
    }
    found
}

/// Two ports nobody listens on now. Both are held until both are known.
fn free_ports() -> (u16, u16) {
    let [a, b] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    (a.local_addr().unwrap().port(), b.local_addr().unwrap().port())
}

fn launch(binary: &Path, dir: &Path, client_port: u16, peer_port: u16, tls: bool) -> Child {
    let client = format!("{}://127.0.0.1:{client_port}", if tls { "https" } else { "http" });
    let peer = format!("http://127.0.0.1:{peer_port}");
    // The kernel ends the server when a killed test can't.
    let guard = Path::new("/usr/bin/setpriv");
    let mut command = if guard.is_file() {
        let mut command = Command::new(guard);
        command.args(["--pdeathsig", "KILL"]).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    if tls {
        command.args(["--client-cert-auth", "--trusted-ca-file"]).arg(dir.join("ca.pem"));
        command.arg("--cert-file").arg(dir.join("cert.pem")).arg("--key-file").arg(dir.join("key.pem"));
    }
    command
        .args(["--name", "test", "--data-dir"])
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        // Short elections allow short leases: etcd grants no less than 1.5 elections.
        .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
        .args(["--logger", "zap", "--log-level", "panic"])
        .env_remove("ETCD_UNSUPPORTED_ARCH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd starts")
}

/// Ends a test that hangs; far above what anything here takes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), future).await.expect("it happens before the test is given up")
}
