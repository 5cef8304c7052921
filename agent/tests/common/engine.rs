//! A Docker Engine of a test's own.

use bollard::Docker;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Programs the test image offers, all of them busybox.
const PROGRAMS: [&str; 12] = ["sh", "sleep", "cat", "echo", "env", "id", "nc", "head", "kill", "ls", "touch", "httpd"];
/// Name of the test image.
pub const IMAGE: &str = "orrery-test/busybox:1";

/// A running engine; ends with the value.
pub struct Engine {
    directory: tempfile::TempDir,
    bridge: String,
    iptables: bool,
    daemon: Option<Child>,
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
    /// Starts an engine; the error says why this machine cannot run one.
    pub async fn start() -> Result<Self, String> {
        if !super::is_root() {
            return Err("a Docker Engine needs root".into());
        }
        if !run("dockerd", &["--version"]) {
            return Err("dockerd is not installed (Debian: docker.io)".into());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        // A bridge of its own: two engines on one bridge give out the same addresses.
        let number = std::process::id() % 60_000;
        let bridge = format!("orrery{number}");
        let address = format!("10.{}.{}.1/24", 64 + number / 256 % 128, number % 256);
        if !run("ip", &["link", "add", &bridge, "type", "bridge"])
            || !run("ip", &["addr", "add", &address, "dev", &bridge])
            || !run("ip", &["link", "set", &bridge, "up"])
        {
            return Err("cannot create a network bridge".into());
        }
        let mut engine = Self { directory, bridge, iptables: run("iptables", &["-L", "-n"]), daemon: None };
        engine.launch().await?;
        engine.import().await?;
        Ok(engine)
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    pub fn client(&self) -> Docker {
        Docker::connect_with_unix(&self.socket().to_string_lossy(), 60, bollard::API_DEFAULT_VERSION).unwrap()
    }

    /// Starts the daemon, also again after [`Engine::stop`].
    pub async fn launch(&mut self) -> Result<(), String> {
        let path = |name: &str| self.directory.path().join(name);
        let log = std::fs::File::options().create(true).append(true).open(path("log")).map_err(|error| error.to_string())?;
        let daemon = Command::new("dockerd")
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .arg("--data-root")
            .arg(path("root"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg(format!("--bridge={}", self.bridge))
            .arg(format!("--iptables={}", self.iptables))
            .arg("--ip6tables=false")
            .arg("--shutdown-timeout=1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        self.daemon = Some(daemon);
        for _ in 0..300 {
            if self.socket().exists() && self.client().ping().await.is_ok() {
                return Ok(());
            }
            let ended = self.daemon.as_mut().is_some_and(|daemon| !matches!(daemon.try_wait(), Ok(None)));
            if ended {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(path("log")).unwrap_or_default();
        Err(format!("dockerd does not start: {}", log.lines().last().unwrap_or("it said nothing")))
    }

    /// Stops the daemon in its tracks, its socket open, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        use nix::sys::signal::{Signal, kill};
        let daemon = self.daemon.as_ref().expect("a running engine");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
        kill(pid, if frozen { Signal::SIGSTOP } else { Signal::SIGCONT }).unwrap();
    }

    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let _ = daemon.wait();
        }
    }

    /// Makes the test image of this machine's busybox.
    async fn import(&self) -> Result<(), String> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.ok_or("busybox is not installed")?;
        let mut archive = tar::Builder::new(Vec::new());
        let say = |error: std::io::Error| error.to_string();
        archive.append_path_with_name(busybox, "bin/busybox").map_err(say)?;
        for program in PROGRAMS {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, format!("bin/{program}"), "busybox").map_err(say)?;
        }
        let libraries = Command::new("ldd").arg(busybox).output().map(|output| output.stdout).unwrap_or_default();
        for word in String::from_utf8_lossy(&libraries).split_whitespace().filter(|word| word.starts_with('/')) {
            let real = std::fs::canonicalize(word).map_err(say)?;
            archive.append_path_with_name(real, word.trim_start_matches('/')).map_err(say)?;
        }
        for directory in ["tmp", "etc", "proc", "mnt"] {
            archive.append_dir(directory, "/").map_err(say)?;
        }
        let body = bollard::body_full(archive.into_inner().map_err(say)?.into());
        let (repo, tag) = IMAGE.rsplit_once(':').unwrap();
        let options = CreateImageOptions {
            from_src: Some("-".into()),
            repo: Some(repo.into()),
            tag: Some(tag.into()),
            ..Default::default()
        };
        let client = self.client();
        let mut import = client.create_image(Some(options), Some(body), None);
        while let Some(step) = import.next().await {
            step.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        let root = self.directory.path().display().to_string();
        // Mounts that a killed container left would keep the directory from being removed.
        for line in std::fs::read_to_string("/proc/self/mounts").unwrap_or_default().lines() {
            if let Some(point) = line.split(' ').nth(1).filter(|point| point.starts_with(&root)) {
                run("umount", &["-l", point]);
            }
        }
        run("ip", &["link", "del", &self.bridge]);
    }
}
