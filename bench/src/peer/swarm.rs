//! Docker Swarm: an engine of our own on a private socket and data directory, one node that is manager
//! and worker, host network, and an image of nothing but a static busybox. Its tasks mark the same
//! pipe as ours.

use super::free_port;
use crate::http::{Client, Endpoint};
use crate::marks::Marks;
use crate::process::{Killed, find};
use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const READY: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(90);
/// Version of the Engine API; since 1.30 it asks no registry for an image that is there.
const API: &str = "/v1.41";
const IMAGE: &str = "orrery-bench:1";
/// Where tasks see the directory of the pipe.
const MARKS: &str = "/marks";

/// A running one-node Swarm.
pub(crate) struct Swarm {
    http: Client,
    marks: Marks,
    // Fields drop in this order: the engine must end before its directory goes.
    _engine: Engine,
    _directory: tempfile::TempDir,
}

/// Engine that is asked to end, so that its containers and mounts go with it.
struct Engine {
    child: Option<Killed>,
    socket: PathBuf,
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut http = Client::new(Endpoint::Unix(self.socket.clone()));
        let _ = http.post(&format!("{API}/swarm/leave?force=true"), &Value::Null);
        if let Some(child) = &mut self.child {
            let _ = kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGTERM);
            let start = Instant::now();
            while start.elapsed() < READY && matches!(child.0.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if let Some(directory) = self.socket.parent() {
            unmount_below(directory);
        }
    }
}

/// Unmounts what an engine leaves mounted (its network namespaces), so that its directory can go.
fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // proc(5): the fifth field is the mount point; later mounts may lie on earlier ones.
    for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)) {
        if Path::new(point).starts_with(directory) {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

impl Swarm {
    /// Starts one; an error says why it cannot run here.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let dockerd = find("dockerd").context("Docker Engine is not installed (apt-get install docker.io)")?;
        let busybox = find("busybox").context("no busybox for its image (apt-get install busybox-static)")?;
        if !nix::unistd::geteuid().is_root() {
            bail!("a Docker Engine can be started by root alone");
        }
        let directory = tempfile::Builder::new().prefix("orrery-bench-").tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let socket = at("docker.sock");
        let child = Command::new(dockerd)
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--log-level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("log"))?)
            .spawn()
            .context("cannot start dockerd")?;
        let mut engine = Engine { child: Some(Killed(child)), socket: socket.clone() };
        let mut http = Client::new(Endpoint::Unix(socket));
        let start = Instant::now();
        while http.get("/version").is_err() {
            let ended = engine.child.as_mut().is_some_and(|child| !matches!(child.0.try_wait(), Ok(None)));
            if ended || start.elapsed() > READY {
                let log = fs::read_to_string(at("log")).unwrap_or_default();
                bail!("dockerd did not start: {}", log.lines().last().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let import = http.send(
            "POST",
            &format!("{API}/images/create?fromSrc=-&repo=orrery-bench&tag=1"),
            "application/x-tar",
            &image(&busybox)?,
        )?;
        if import.status != 200 {
            bail!("cannot import the image: {}", String::from_utf8_lossy(&import.body));
        }
        let swarm = json!({ "ListenAddr": format!("127.0.0.1:{}", free_port()?), "AdvertiseAddr": "127.0.0.1" });
        http.post(&format!("{API}/swarm/init"), &swarm)?;
        let marks_directory = at("marks-directory");
        fs::create_dir(&marks_directory)?;
        let marks = Marks::new(&marks_directory)?;
        Ok(Self { http, marks, _engine: engine, _directory: directory })
    }

    /// Time from the request for a service to the last of its processes running.
    pub(crate) fn start_service(&mut self, name: &str, replicas: usize) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let id = self.create(name, replicas, "1000000")?;
        let marked = self.marks.wait_many(name, replicas, PATIENCE)?;
        let time = marked.last().context("no replicas")?.duration_since(start);
        self.remove(&id)?;
        Ok(time)
    }

    /// Time from the kill of a service's process to its replacement running.
    pub(crate) fn kill_and_wait(&mut self, name: &str, stable: Duration) -> anyhow::Result<Duration> {
        let seconds = format!("{}", 90_000_000 + u64::from(std::process::id()));
        let id = self.create(name, 1, &seconds)?;
        self.marks.wait(name, PATIENCE)?;
        std::thread::sleep(stable);
        let pid = crate::process::with_last_argument(&seconds)?;
        let start = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        let time = self.marks.wait(name, PATIENCE)? - start;
        self.remove(&id)?;
        Ok(time)
    }

    fn create(&mut self, name: &str, replicas: usize, seconds: &str) -> anyhow::Result<String> {
        let command = Marks::command_at(&Path::new(MARKS).join("marks"), name, seconds);
        let service = json!({
            "Name": name,
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": IMAGE,
                    "Command": ["/bin/sh", "-c", command],
                    "Mounts": [{ "Type": "bind", "Source": self.marks.directory(), "Target": MARKS }],
                    "StopGracePeriod": 1_000_000,
                },
                "Networks": [{ "Target": "host" }],
            },
            "Mode": { "Replicated": { "Replicas": replicas } },
        });
        let answer = self.http.post(&format!("{API}/services/create"), &service)?;
        Ok(answer["ID"].as_str().context("no service id")?.to_owned())
    }

    /// Removes a service and waits until its containers are gone.
    fn remove(&mut self, id: &str) -> anyhow::Result<()> {
        self.http.delete(&format!("{API}/services/{id}"))?;
        let start = Instant::now();
        while self.http.get(&format!("{API}/containers/json"))?.as_array().is_some_and(|containers| !containers.is_empty()) {
            if start.elapsed() > PATIENCE {
                bail!("its containers do not go");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// An image's file system as tar: busybox under the names that are used.
fn image(busybox: &Path) -> anyhow::Result<Vec<u8>> {
    let program = fs::read(busybox)?;
    let mut archive = tar::Builder::new(Vec::new());
    for name in ["bin/sh", "bin/sleep"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        archive.append_data(&mut header, name, program.as_slice())?;
    }
    Ok(archive.into_inner()?)
}
