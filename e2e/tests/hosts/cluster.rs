//! The operator's walk of `docs/guide/cluster.md`: every block of it is run as it stands there.

use orrery_e2e::{Host, Network, PATIENCE, Process, dcos_binary, orrery_binary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const GUIDE: &str = include_str!("../../../docs/guide/cluster.md");
/// The guide's network; the test's own takes its place.
const GUIDE_PREFIX: &str = "10.0.0.";

/// A block of commands.
struct Block {
    hosts: Vec<String>,
    background: bool,
    /// What its output begins with when it is ready.
    ready: Option<String>,
    script: String,
}

fn blocks(guide: &str) -> Vec<Block> {
    guide.split("```sh\n").skip(1).map(|rest| read_block(rest.split("\n```").next().unwrap_or_default())).collect()
}

fn read_block(text: &str) -> Block {
    let (head, script) = text.split_once('\n').unwrap_or((text, ""));
    let head = head.strip_prefix("# on ").unwrap_or_else(|| panic!("a block does not say where it runs: {head}"));
    let (hosts, how) = head.split_once(',').unwrap_or((head, ""));
    Block {
        hosts: hosts.split_whitespace().map(str::to_owned).collect(),
        background: how.contains("in the background"),
        ready: how.split('"').nth(1).map(str::to_owned),
        script: script.to_owned(),
    }
}

struct Walk {
    network: Network,
    hosts: BTreeMap<String, Host>,
    directory: tempfile::TempDir,
    daemons: Vec<Process>,
}

impl Walk {
    fn own(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn host(&mut self, name: &str) -> Host {
        if let Some(host) = self.hosts.get(name) {
            return host.clone();
        }
        let index: u8 = name[1..].parse().expect("hosts are named like c1");
        let number = match &name[..1] {
            "c" => 10 + index,
            "a" => 20 + index,
            _ => 30 + index,
        };
        let host = self.network.host(number);
        std::fs::create_dir_all(self.own(name).join("home")).expect("a directory");
        std::fs::create_dir_all(self.own(name).join("var/lib")).expect("a directory");
        self.hosts.insert(name.to_owned(), host.clone());
        host
    }

    /// The script as this host runs it: its own addresses and directories.
    fn command(&mut self, name: &str, script: &str, variables: &[(&str, &str)]) -> std::process::Command {
        let host = self.host(name);
        let prefix = host.address.rsplit_once('.').map_or("", |(prefix, _)| prefix);
        let own = self.own(name);
        let script =
            script.replace(GUIDE_PREFIX, &format!("{prefix}.")).replace("/var/lib/", &format!("{}/var/lib/", own.display()));
        let mut command = host.command(Path::new("/bin/sh"));
        let programs: Vec<PathBuf> =
            [orrery_binary(), dcos_binary()].iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
        let path = format!("{}:{}:/usr/bin:/bin:/usr/sbin:/sbin", programs[0].display(), programs[1].display());
        // One process, so that a signal reaches the daemon and not a shell.
        let script = if script.contains('\n') && !script.contains("\\\n") { script } else { format!("exec {script}") };
        command.args(["-eu", "-c", &script]).env_clear().env("PATH", path).env("HOME", own.join("home"));
        command.env("NAME", name).env("ADDRESS", &host.address).env("NO_COLOR", "1").envs(variables.iter().copied());
        command.current_dir(own.join("home"));
        command
    }

    fn run(&mut self, name: &str, script: &str, variables: &[(&str, &str)]) -> String {
        let output = self.command(name, &format!("true\n{script}"), variables).output().expect("a shell");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("--- {name}\n{script}\n{text}");
        assert!(output.status.success(), "on {name}: {script}\n{text}\n{}", self.logs());
        text
    }

    fn logs(&self) -> String {
        let logs = self.daemons.iter().map(|daemon| {
            let log = daemon.log();
            let lines: Vec<&str> = log.lines().rev().take(15).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        });
        logs.collect::<Vec<_>>().join("\n---\n")
    }

    fn start(&mut self, name: &str, block: &Block, variables: &[(&str, &str)]) {
        let command = self.command(name, &block.script, variables);
        let log = self.own(name).join(format!("daemon-{}.log", self.daemons.len()));
        let mut process = Process::start(command, &log);
        if let Some(ready) = &block.ready {
            process.says(ready, PATIENCE);
        }
        self.daemons.push(process);
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.daemons.clear();
        for host in self.hosts.values() {
            host.kill_all();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_is_walked() {
    let test = "the_guide_is_walked";
    let Some(network) = Network::create(test) else { return };
    if std::process::Command::new("etcd").arg("--version").output().is_err() {
        assert!(std::env::var_os("ORRERY_REQUIRE_ETCD").is_none(), "etcd is not installed");
        eprintln!("SKIPPED: {test}: etcd is not installed (Debian: etcd-server)");
        return;
    }
    let directory = tempfile::Builder::new().prefix("orrery-walk-").tempdir().expect("a directory");
    let mut walk = Walk { network, hosts: BTreeMap::new(), directory, daemons: Vec::new() };
    let blocks = blocks(GUIDE);
    assert!(blocks.len() > 12, "the guide lost its blocks");
    let token_block = blocks.iter().position(|block| block.script.contains("token create")).expect("a token is made");
    let mut password = String::new();
    for block in &blocks {
        for name in &block.hosts {
            let token = if block.script.contains("$TOKEN") {
                let text = walk.run(&blocks[token_block].hosts[0], &blocks[token_block].script, &[]);
                text.split_whitespace().find(|word| word.starts_with("orrery1.")).expect("a token").to_owned()
            } else {
                String::new()
            };
            let variables = [("TOKEN", token.as_str()), ("PASSWORD", password.as_str())];
            if block.background {
                walk.start(name, block, &variables);
            } else {
                let text = walk.run(name, &block.script, &variables);
                if block.script.contains("cat /var/lib/orrery/admin-password") {
                    let word = text
                        .lines()
                        .map(str::trim)
                        .find(|line| line.len() >= 20 && line.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                    password = word.expect("a password").to_owned();
                }
            }
        }
    }
    let tasks = walk.run("w1", "dcos task list", &[]);
    assert_eq!(tasks.matches("web.shop").count(), 3, "{tasks}");
    let nodes = walk.run("w1", "dcos node list", &[]);
    let address = |host: &str| walk.hosts[host].address.clone();
    assert!(nodes.contains(&address("a1")) && !nodes.contains(&address("a3")), "{nodes}");
}
