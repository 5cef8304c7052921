//! An etcd that wants TLS and a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orrery_e2e::{PATIENCE, Process, eventually, orrery_binary};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

const SAN: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost";

fn openssl(directory: &Path, words: &str) {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(directory).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A port that is free now. Both of etcd's are asked for before either is used.
fn free_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

struct SecureEtcd {
    directory: PathBuf,
    client: u16,
    peer: u16,
    http: reqwest::Client,
    process: Process,
}

impl SecureEtcd {
    fn launch(directory: &Path, client: u16, peer: u16) -> Process {
        let mut command = Command::new("etcd");
        let url = format!("https://127.0.0.1:{client}");
        let peers = format!("http://127.0.0.1:{peer}");
        command
            .args([
                "--name",
                "m0",
                "--log-level",
                "error",
                "--cert-file",
                "server.pem",
                "--key-file",
                "server.key",
                "--data-dir",
                "etcd",
            ])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers, "--initial-cluster", &format!("m0={peers}")])
            .current_dir(directory);
        Process::start(command, &directory.join("etcd.log"))
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        let url = format!("https://127.0.0.1:{}/v3/{path}", self.client);
        let answer = eventually("etcd answers", async || {
            let sent = self.http.post(&url).body(body.to_string()).send().await.map_err(|error| error.to_string())?;
            sent.text().await.map_err(|error| error.to_string())
        })
        .await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer["error"].is_null(), "{path}: {answer}");
        answer
    }

    /// With a user that may touch nothing but the cluster's own keys.
    async fn start(directory: &Path) -> Option<Self> {
        if Command::new("etcd").arg("--version").output().is_err() {
            assert!(std::env::var_os("ORRERY_REQUIRE_ETCD").is_none(), "etcd is not installed");
            eprintln!("SKIPPED: secure_store: etcd is not installed (Debian: etcd-server)");
            return None;
        }
        openssl(directory, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
        openssl(directory, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=etcd");
        std::fs::write(directory.join("san"), SAN).unwrap();
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san";
        openssl(directory, sign);
        let authority = reqwest::Certificate::from_pem(&std::fs::read(directory.join("ca.pem")).unwrap()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
        let ((first, client), (second, peer)) = (free_port(), free_port());
        drop((first, second));
        let process = Self::launch(directory, client, peer);
        let etcd = Self { directory: directory.to_owned(), client, peer, http, process };
        let key = |text: &str| STANDARD.encode(text);
        for (path, body) in [
            ("auth/role/add", json!({ "name": "root" })),
            ("auth/user/add", json!({ "name": "root", "password": "of-root" })),
            ("auth/user/grant", json!({ "user": "root", "role": "root" })),
            ("auth/role/add", json!({ "name": "cluster" })),
            (
                "auth/role/grant",
                json!({ "name": "cluster", "perm": { "permType": "READWRITE", "key": key("/orrery/"), "range_end": key("/orrery0") } }),
            ),
            ("auth/user/add", json!({ "name": "orrery", "password": "of-orrery" })),
            ("auth/user/grant", json!({ "user": "orrery", "role": "cluster" })),
            ("auth/enable", json!({})),
        ] {
            etcd.ask(path, &body).await;
        }
        Some(etcd)
    }

    fn controller(&self, name: &str, password: &str) -> Process {
        let file = self.directory.join(format!("{name}.password"));
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let mut command = Command::new(orrery_binary());
        command
            .args(["controller", "--store", &format!("etcd://127.0.0.1:{}", self.client), "--store-ca", "ca.pem"])
            .args(["--store-user", "orrery", "--store-password-file"])
            .arg(&file)
            .args(["--listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0", "--data-dir", name])
            .env("DCOS_DIR", self.directory.join("dcos"))
            .current_dir(&self.directory);
        Process::start(command, &self.directory.join(format!("{name}.log")))
    }
}

#[tokio::test]
async fn a_controller_uses_a_store_with_tls_and_a_password() {
    let directory = tempfile::Builder::new().prefix("orrery-e2e-").tempdir().unwrap();
    let Some(mut etcd) = SecureEtcd::start(directory.path()).await else { return };
    let mut controller = etcd.controller("controller", "of-orrery");
    let url = controller.says("ready ", PATIENCE);
    let http = reqwest::Client::new();
    let write = async |id: &str| {
        eventually("the app is taken", async || {
            let app = json!({ "id": id, "cmd": "true", "instances": 0 });
            let sent =
                http.post(format!("{url}/v2/apps")).header("content-type", "application/json").body(app.to_string()).send();
            let answer = sent.await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            if matches!(status, 201 | 409) { Ok(()) } else { Err(format!("{status}: {:?}", answer.text().await)) }
        })
        .await;
    };
    write("/one").await;

    // A store that starts again knows none of the tokens that it gave for passwords.
    etcd.process.kill();
    etcd.process = SecureEtcd::launch(&etcd.directory, etcd.client, etcd.peer);
    write("/two").await;

    let mut wrong = etcd.controller("wrong", "guessed");
    let (good, log) = wrong.ends(PATIENCE);
    let last = log.lines().last().unwrap_or_default();
    println!("a wrong password: {last}");
    assert!(!good && last.contains("authentication failed"), "{log}");
}
