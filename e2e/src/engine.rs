//! A Docker Engine and an image registry of a test's own.

use crate::{PATIENCE, eventually};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// An image that is made of this machine's busybox and plays nginx: what is in
/// `/usr/share/nginx/html` is served on port 80.
pub const IMAGE: &str = "orrery-e2e/nginx:1";

/// Makes the file tree of [`IMAGE`] below `$1` and packs it as `$2`.
const ROOT: &str = r#"
set -eu
mkdir -p "$1/bin" "$1/usr/sbin" "$1/usr/share/nginx/html" "$1/etc/nginx/conf.d" "$1/tmp" "$1/proc"
cp "$(readlink -f "$(command -v busybox)")" "$1/bin/busybox"
for program in sh sed printf cat sleep httpd env; do ln -s busybox "$1/bin/$program"; done
for library in $(ldd "$1/bin/busybox" 2> /dev/null | grep -o '/[^ ]*'); do mkdir -p "$1$(dirname "$library")"; cp -L "$library" "$1$library"; done
echo 'worker_connections 1;' > "$1/etc/nginx/nginx.conf"
printf '#!/bin/sh\nexec httpd -f -p 80 -h /usr/share/nginx/html\n' > "$1/usr/sbin/nginx"
chmod +x "$1/usr/sbin/nginx"
tar -C "$1" -cf "$2" .
"#;

/// A running engine on a private socket; ends with the value.
pub struct Engine {
    directory: tempfile::TempDir,
    bridge: String,
    daemon: Option<Child>,
    registry: Option<Child>,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Engine {
    /// Starts an engine that has [`IMAGE`]. `None`, told loudly, where this machine cannot run one.
    ///
    /// # Panics
    /// When there is none and `ORRERY_REQUIRE_DOCKER` is set.
    pub async fn start(test: &str) -> Option<Self> {
        match Self::try_start().await {
            Ok(engine) => Some(engine),
            Err(why) => {
                assert!(std::env::var_os("ORRERY_REQUIRE_DOCKER").is_none(), "no Docker Engine: {why}");
                eprintln!("SKIPPED: {test}: no Docker Engine: {why}");
                None
            }
        }
    }

    async fn try_start() -> Result<Self, String> {
        if !run("dockerd", &["--version"]) {
            return Err("dockerd is not installed (Debian: docker.io)".into());
        }
        if !run("busybox", &["true"]) {
            return Err("busybox is not installed".into());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        // A bridge of its own: two engines on one bridge give out the same addresses.
        let number = std::process::id() % 60_000;
        let bridge = format!("orre2e{number}");
        let address = format!("10.{}.{}.1/24", 192 + number / 256 % 60, number % 256);
        let mut engine = Self { directory, bridge: bridge.clone(), daemon: None, registry: None };
        if !run("ip", &["link", "add", &bridge, "type", "bridge"])
            || !run("ip", &["addr", "add", &address, "dev", &bridge])
            || !run("ip", &["link", "set", &bridge, "up"])
        {
            return Err("cannot create a network bridge (needs root)".into());
        }
        let path = |name: &str| engine.directory.path().join(name);
        let log = std::fs::File::create(path("log")).map_err(|error| error.to_string())?;
        let daemon = Command::new("dockerd")
            .arg("-H")
            .arg(format!("unix://{}", engine.socket().display()))
            .arg("--data-root")
            .arg(path("root"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg(format!("--bridge={bridge}"))
            .arg(format!("--iptables={}", run("iptables", &["-L", "-n"])))
            .args(["--ip6tables=false", "--shutdown-timeout=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        engine.daemon = Some(daemon);
        engine.serves().await?;
        engine.import()?;
        Ok(engine)
    }

    async fn serves(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.call("GET", "/_ping", "", &[]).is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            let ended = self.daemon.as_mut().is_some_and(|daemon| !matches!(daemon.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                return Err(format!("dockerd does not start: {}", log.lines().last().unwrap_or("it said nothing")));
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// One request to the engine; status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(self.socket())?;
        let head = format!("{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Ok((status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())))
    }

    fn import(&self) -> Result<(), String> {
        let (root, archive) = (self.directory.path().join("image"), self.directory.path().join("image.tar"));
        let made = Command::new("sh").args(["-c", ROOT, "sh"]).arg(&root).arg(&archive).status();
        if !made.is_ok_and(|status| status.success()) {
            return Err("the test image cannot be made".into());
        }
        let body = std::fs::read(&archive).map_err(|error| error.to_string())?;
        let (repository, tag) = IMAGE.split_once(':').unwrap_or((IMAGE, "latest"));
        let path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}");
        match self.call("POST", &path, "Content-Type: application/x-tar\r\n", &body) {
            Ok((200, _)) => Ok(()),
            other => Err(format!("the test image cannot be imported: {other:?}")),
        }
    }

    /// Starts a registry on this machine, moves [`IMAGE`] there and forgets it here; gives its name
    /// in the registry. `None` where Debian's docker-registry is not installed.
    ///
    /// # Panics
    /// When the registry does not take it.
    pub async fn move_to_registry(&mut self) -> Option<String> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let file = self.directory.path().join("registry.yml");
        let storage = self.directory.path().join("registry");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            storage.display()
        );
        std::fs::write(&file, text).expect("a file");
        let quiet = Command::new("docker-registry").arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.registry = Some(quiet.ok()?);
        let name = format!("127.0.0.1:{port}/nginx");
        eventually("the registry takes the image", async || {
            let tag = self.call("POST", &format!("/images/{IMAGE}/tag?repo={name}&tag=1"), "", &[]);
            let push = self.call("POST", &format!("/images/{name}/push?tag=1"), "X-Registry-Auth: e30=\r\n", &[]);
            match push {
                Ok((200, said)) if !said.contains("\"error\"") => Ok(()),
                other => Err(format!("{tag:?} {other:?}")),
            }
        })
        .await;
        for image in [format!("{name}:1"), IMAGE.to_owned()] {
            let removed = self.call("DELETE", &format!("/images/{image}?force=true"), "", &[]).expect("an answer");
            assert_eq!(removed.0, 200, "{removed:?}");
        }
        Some(format!("{name}:1"))
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        run("kill", &["-TERM", &child.id().to_string()]);
        let _ = child.wait();
    }
}

fn unmount(below: &Path) {
    // Mounts that a killed container left would keep the directory from being removed.
    for line in std::fs::read_to_string("/proc/self/mounts").unwrap_or_default().lines() {
        if let Some(point) = line.split(' ').nth(1).filter(|point| Path::new(point).starts_with(below)) {
            run("umount", &["-l", point]);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        end(self.daemon.take());
        end(self.registry.take());
        unmount(self.directory.path());
        run("ip", &["link", "del", &self.bridge]);
    }
}
