//! Hosts made of network namespaces on one switch, with links that can be cut.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of the network within this process; together with the process id it names interfaces.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A switch with hosts around it. This machine is on it too, at [`Network::own_address`].
pub struct Network {
    tag: String,
    prefix: String,
}

/// One host: a network namespace with one interface.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: String,
    /// Its address.
    pub address: String,
}

/// Which way a cut works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing passes.
    Both,
    /// What the other side sends does not arrive here; what is sent from here arrives there.
    Inbound,
}

fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).output().map_err(|error| format!("{}: {error}", words[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn must(words: &[&str]) {
    if let Err(error) = run(words) {
        panic!("{error}");
    }
}

impl Network {
    /// A network, or `None`, told loudly, where namespaces cannot be made.
    ///
    /// # Panics
    /// When it must be possible (root) and is not.
    pub fn create(test: &str) -> Option<Self> {
        let number = std::process::id().wrapping_mul(4).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let tag = format!("oy{}", number % 100_000);
        // Docker Engine's tests take 10.192 and up.
        let prefix = format!("10.{}.{}", 100 + number / 256 % 90, number % 256);
        let network = Self { tag, prefix };
        // The bridge has a namespace of its own: rules of this machine's firewall (those of a Docker
        // Engine, say) then do not reach what crosses it.
        let (switch, bridge) = (network.switch(), network.tag.clone());
        let (near, far) = (format!("{bridge}u"), format!("{bridge}d"));
        let own = format!("{}/24", network.own_address());
        let made = run(&["ip", "netns", "add", &switch])
            .and_then(|()| run(&["ip", "-n", &switch, "link", "add", &bridge, "type", "bridge"]))
            .and_then(|()| run(&["ip", "-n", &switch, "link", "set", &bridge, "up"]))
            .and_then(|()| run(&["ip", "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &switch]))
            .and_then(|()| run(&["ip", "-n", &switch, "link", "set", &far, "master", &bridge, "up"]))
            .and_then(|()| run(&["ip", "addr", "add", &own, "dev", &near]))
            .and_then(|()| run(&["ip", "link", "set", &near, "up"]));
        match made {
            Ok(()) => Some(network),
            Err(why) => {
                let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
                assert!(!root || std::env::var_os("CI").is_none(), "no test network: {why}");
                eprintln!("SKIPPED: {test}: network namespaces cannot be made here: {why}");
                None
            }
        }
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.tag)
    }

    /// The address of this machine on the network.
    pub fn own_address(&self) -> String {
        format!("{}.254", self.prefix)
    }

    /// Adds host `number` (1–200).
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn host(&self, number: u8) -> Host {
        let namespace = format!("{}-{number}", self.tag);
        let (near, far) = (format!("{}n{number}", self.tag), format!("{}f{number}", self.tag));
        let address = format!("{}.{number}", self.prefix);
        must(&["ip", "netns", "add", &namespace]);
        let switch = self.switch();
        must(&["ip", "-n", &switch, "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &namespace]);
        must(&["ip", "-n", &namespace, "link", "set", &far, "name", "eth0"]);
        must(&["ip", "-n", &switch, "link", "set", &near, "master", &self.tag, "up"]);
        must(&["ip", "-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
        must(&["ip", "-n", &namespace, "link", "set", "lo", "up"]);
        must(&["ip", "-n", &namespace, "link", "set", "eth0", "up"]);
        Host { namespace, address }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let listed = Command::new("ip").args(["netns", "list"]).output().map(|output| output.stdout).unwrap_or_default();
        let prefix = format!("{}-", self.tag);
        for line in String::from_utf8_lossy(&listed).lines() {
            if let Some(name) = line.split(' ').next().filter(|name| name.starts_with(&prefix)) {
                let _ = run(&["ip", "netns", "del", name]);
            }
        }
    }
}

impl Host {
    /// A command that will run on this host. It shares everything with this machine but the network.
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command
    }

    fn rule(&self, words: &[&str]) {
        let namespace = format!("--net=/run/netns/{}", self.namespace);
        let mut all = vec!["nsenter", &namespace, "iptables", "-w"];
        all.extend(words);
        must(&all);
    }

    /// Cuts the way to another host.
    pub fn cut(&self, other: &Self, way: Cut) {
        self.rule(&["-A", "INPUT", "-s", &other.address, "-j", "DROP"]);
        if way == Cut::Both {
            self.rule(&["-A", "OUTPUT", "-d", &other.address, "-j", "DROP"]);
        }
    }

    /// A firewall here answers TCP to and from another host with resets: connections end, and new ones are
    /// refused, although both hosts live.
    pub fn reject(&self, other: &Self) {
        for (chain, way) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
            let tcp = ["-A", chain, "-p", "tcp", way, &other.address];
            // Its own answers pass.
            self.rule(&[&tcp[..], &["--tcp-flags", "RST", "RST", "-j", "ACCEPT"]].concat());
            self.rule(&[&tcp[..], &["-j", "REJECT", "--reject-with", "tcp-reset"]].concat());
        }
    }

    /// Loses this share of arriving packets, 0–1.
    pub fn lose(&self, share: f64) {
        let share = share.to_string();
        self.rule(&["-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", &share, "-j", "DROP"]);
    }

    /// Ends all cuts and losses of this host.
    pub fn heal(&self) {
        self.rule(&["-F"]);
    }

    /// Takes the host off the switch altogether, as a dead machine is.
    pub fn unplug(&self) {
        must(&["ip", "-n", &self.namespace, "link", "set", "eth0", "down"]);
    }

    /// Puts it back.
    pub fn plug(&self) {
        must(&["ip", "-n", &self.namespace, "link", "set", "eth0", "up"]);
    }

    /// Inode of its network namespace, as `/proc/<pid>/ns/net` shows it.
    pub fn inode(&self) -> u64 {
        std::fs::metadata(format!("/run/netns/{}", self.namespace))
            .map(|file| std::os::unix::fs::MetadataExt::ino(&file))
            .unwrap_or_default()
    }

    /// Kills every process of the host: tasks outlive their agents, but not the test.
    pub fn kill_all(&self) {
        let own = self.inode();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let inode = std::fs::metadata(entry.path().join("ns/net")).map(|file| std::os::unix::fs::MetadataExt::ino(&file));
            if inode.is_ok_and(|inode| inode == own) {
                let _ = Command::new("kill").arg("-KILL").arg(entry.file_name()).stderr(std::process::Stdio::null()).status();
            }
        }
    }
}
