//! A laboratory: an etcd of three members, controllers and agents, each on a host of its own.

use crate::process::Process;
use crate::{Disk, EtcdCluster, EtcdOptions, Host, Network, PATIENCE, Proxy, WallClock, eventually, orrery_binary};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Host numbers: etcd, controllers and agents each have a range.
const ETCD_FIRST: u8 = 11;
const CONTROLLER_FIRST: u8 = 21;
const AGENT_FIRST: u8 = 31;
/// Longest time one request may take: a controller that hangs is a finding of its own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What a laboratory has.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Controllers.
    pub controllers: u8,
    /// Agents.
    pub agents: u8,
    /// Resources of each agent.
    pub resources: String,
    /// More arguments of every controller.
    pub controller_arguments: Vec<String>,
    /// More in the environment of every controller and agent.
    pub environment: Vec<(String, String)>,
    /// Size of a file system of its own for the data of each controller (`32m`).
    pub controller_disk: Option<String>,
    /// Whether agents and controllers reach a controller through a proxy that may hang.
    pub proxied: bool,
    /// Whether every controller and agent has a wall clock that can be set.
    pub clocks: bool,
    /// The store.
    pub etcd: EtcdOptions,
}

impl Default for LabOptions {
    fn default() -> Self {
        let resources = "cpus:8;mem:4096;disk:10000;ports:[31000-31999]".into();
        Self {
            controllers: 3,
            agents: 3,
            resources,
            controller_arguments: Vec::new(),
            environment: Vec::new(),
            controller_disk: None,
            proxied: false,
            clocks: false,
            etcd: EtcdOptions::default(),
        }
    }
}

/// One controller or agent.
pub struct Machine {
    /// Where it runs.
    pub host: Host,
    /// Its data directory.
    pub data: PathBuf,
    /// Its arguments, for the next start.
    pub arguments: Vec<String>,
    /// More of its environment, for the next start.
    pub environment: Vec<(String, String)>,
    log: PathBuf,
    /// The daemon.
    pub process: Process,
    /// A file system of its own below its data.
    pub disk: Option<Disk>,
    /// Its wall clock, where it can be set.
    pub clock: Option<WallClock>,
    /// What others reach it through.
    pub proxy: Option<Proxy>,
}

impl Machine {
    fn start(host: Host, data: PathBuf, arguments: Vec<String>, options: &LabOptions) -> Self {
        let log = data.with_extension("log");
        let clock = options.clocks.then(|| WallClock::new(&data.with_extension("clock"))).flatten();
        let mut environment = options.environment.clone();
        environment.extend(clock.iter().flat_map(WallClock::environment));
        let process = launch(&host, &arguments, &environment, &data, &log);
        Self { host, data, arguments, environment, log, process, disk: None, clock, proxy: None }
    }

    /// Kills those children of the daemon whose command line has this word; how many there were. What they
    /// started in turn has the same command line, but another parent.
    pub fn kill_children(&self, word: &str) -> usize {
        let mut killed = 0;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
            let has_word = line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
            if has_word && parent == Some(self.process.pid()) {
                let sent = Command::new("kill").arg("-KILL").arg(entry.file_name()).status();
                killed += usize::from(sent.is_ok_and(|status| status.success()));
            }
        }
        killed
    }

    /// Everything it wrote to its log, in all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts the daemon again on its data, after a kill.
    pub fn restart(&mut self) {
        self.process = launch(&self.host, &self.arguments, &self.environment, &self.data, &self.log);
    }

    /// Starts the daemon again and waits until it says that it is ready.
    pub fn restart_ready(&mut self) {
        self.restart();
        self.process.says("ready", PATIENCE);
    }
}

fn launch(
    host: &Host,
    arguments: &[String],
    environment: &[(String, String)],
    data: &std::path::Path,
    log: &std::path::Path,
) -> Process {
    let mut command = host.command(&orrery_binary());
    command
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .args(arguments)
        .env("DCOS_DIR", data.with_extension("dcos"))
        .env_remove("DCOS_URL");
    Process::start(command, log)
}

/// The laboratory; everything in it ends with the value.
pub struct Lab {
    /// Agents, by index.
    pub agents: Vec<Machine>,
    /// Controllers, by index.
    pub controllers: Vec<Machine>,
    /// The store.
    pub etcd: EtcdCluster,
    /// The switch.
    pub network: Network,
    directory: tempfile::TempDir,
    /// Trusts the cluster's authority.
    pub http: reqwest::Client,
    token: Mutex<String>,
    options: LabOptions,
}

impl Lab {
    /// Builds it and waits until every agent has joined. `None`, told loudly, where this machine
    /// cannot (no root, no etcd).
    ///
    /// # Panics
    /// When a part does not start.
    pub async fn start(test: &str, options: LabOptions) -> Option<Self> {
        let network = Network::create(test)?;
        let directory = tempfile::Builder::new().prefix("orrery-lab-").tempdir().expect("a temporary directory");
        let etcd = EtcdCluster::start(&network, ETCD_FIRST, directory.path(), test, options.etcd.clone()).await?;
        let mut lab = Self {
            agents: Vec::new(),
            controllers: Vec::new(),
            etcd,
            network,
            directory,
            http: reqwest::Client::new(),
            token: Mutex::default(),
            options,
        };
        for index in 0..lab.options.controllers {
            lab.add_controller(index).await;
            if index == 0 {
                lab.log_in().await;
            }
        }
        let password = lab.controllers[0].data.join("admin-password").display().to_string();
        for index in 0..lab.controllers.len() {
            let login = lab.dcos(index, &["auth", "login", "--username=admin", "--password-file", &password]);
            assert_eq!(login.code, 0, "{login:?}");
        }
        for index in 0..lab.options.agents {
            lab.add_agent(index, &[]);
        }
        for agent in &mut lab.agents {
            agent.process.says("ready", PATIENCE);
        }
        Some(lab)
    }

    /// A directory for files of the test.
    pub fn scratch(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Starts one more controller and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub async fn add_controller(&mut self, index: u8) {
        let host = self.network.host(CONTROLLER_FIRST + index);
        let data = self.directory.path().join(format!("controller-{index}"));
        let mut arguments: Vec<String> = ["controller", "--store", &self.etcd.store(), "--listen"].map(str::to_owned).into();
        arguments.push(format!("{}:8443", host.address));
        arguments.extend(["--dns-listen".into(), format!("{}:5353", host.address), "--data-dir".into()]);
        arguments.push(data.display().to_string());
        arguments.extend(self.options.controller_arguments.iter().cloned());
        let disk = self.options.controller_disk.as_ref().map(|size| Disk::mount(&data, size));
        let proxy = if self.options.proxied {
            Some(Proxy::start(&self.network.own_address(), format!("{}:8443", host.address)).await)
        } else {
            None
        };
        if let Some(proxy) = &proxy {
            arguments.extend(["--advertise".into(), format!("https://{}", proxy.address)]);
        }
        let mut machine = Machine::start(host, data, arguments, &self.options);
        (machine.disk, machine.proxy) = (disk, proxy);
        machine.process.says("ready", PATIENCE);
        self.controllers.push(machine);
    }

    /// Starts one more agent.
    pub fn add_agent(&mut self, index: u8, more: &[&str]) {
        let token = self.join_token();
        let host = self.network.host(AGENT_FIRST + index);
        let data = self.directory.path().join(format!("agent-{index}"));
        let way = |index: usize| match &self.controllers[index].proxy {
            Some(proxy) => format!("https://{}", proxy.address),
            None => self.url(index),
        };
        let join = (0..self.controllers.len()).map(way).collect::<Vec<_>>().join(",");
        let words = ["agent", "--join", &join, "--token", &token, "--resources", &self.options.resources, "--data-dir"];
        let mut arguments: Vec<String> = words.map(str::to_owned).into();
        arguments.push(data.display().to_string());
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        self.agents.push(Machine::start(host, data, arguments, &self.options));
    }

    /// A fresh join token, as an operator makes it on the first controller's machine.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn join_token(&self) -> String {
        let output = self.orrery(0, &["token", "create"]);
        assert!(output.0, "{}", output.1);
        let word = output.1.split_whitespace().find(|word| word.starts_with("orrery1."));
        word.unwrap_or_else(|| panic!("no token in {}", output.1)).to_owned()
    }

    /// Runs an `orrery` command on the machine of a controller, with its data directory; success and
    /// output with errors.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn orrery(&self, controller: usize, words: &[&str]) -> (bool, String) {
        let machine = &self.controllers[controller];
        let output = machine
            .host
            .command(&orrery_binary())
            .args(words)
            .arg("--data-dir")
            .arg(&machine.data)
            .output()
            .expect("orrery runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Runs the `dcos` command as attached on the machine of a controller.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn dcos(&self, controller: usize, words: &[&str]) -> crate::Output {
        let machine = &self.controllers[controller];
        let mut command: Command = machine.host.command(&crate::dcos_binary());
        command.args(words).env("DCOS_DIR", machine.data.with_extension("dcos")).env("NO_COLOR", "1").env_remove("DCOS_URL");
        crate::Output::of(command, "")
    }

    /// URL of a controller.
    pub fn url(&self, controller: usize) -> String {
        format!("https://{}:8443", self.controllers[controller].host.address)
    }

    /// Trusts the cluster's authority and logs in as `admin`.
    async fn log_in(&mut self) {
        let url = self.url(0);
        // Trust on first use: the test reads the authority where an operator reads it.
        let careless = reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("a client");
        let authority = careless.get(format!("{url}/ca/dcos-ca.crt")).send().await.expect("an answer").text().await;
        let authority = reqwest::Certificate::from_pem(authority.expect("a text").as_bytes()).expect("a certificate");
        self.http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        let path = self.controllers[0].data.join("admin-password");
        let password = std::fs::read_to_string(&path).expect("the first controller's admin password");
        let body = json!({ "uid": "admin", "password": password.trim() });
        let answer = self.http.post(format!("{url}/acs/api/v1/auth/login")).body(body.to_string());
        let answer = answer.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        let text = answer.text().await.expect("a body");
        let token: Value = serde_json::from_str(&text).expect("JSON");
        let token = token["token"].as_str().expect("a token");
        token.clone_into(self.token.get_mut().unwrap_or_else(PoisonError::into_inner));
    }

    /// The token that requests carry.
    pub fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One request to a controller; status and answer, or why there is none.
    ///
    /// # Errors
    /// The failure as text.
    pub async fn send(&self, controller: usize, method: &str, path: &str, body: &Value) -> Result<(u16, Value), String> {
        request(&self.http, &self.token(), &self.url(controller), method, path, body).await
    }

    /// GET from a controller, as JSON; fails on any status but 200.
    ///
    /// # Errors
    /// The failure as text.
    pub async fn get(&self, controller: usize, path: &str) -> Result<Value, String> {
        match self.send(controller, "GET", path, &Value::Null).await? {
            (200, value) => Ok(value),
            (status, value) => Err(format!("{status}: {value}")),
        }
    }

    /// Creates an app through a controller.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn launch(&self, controller: usize, app: &Value) {
        let answer = self.send(controller, "POST", "/v2/apps", app).await;
        assert!(matches!(answer, Ok((201, _))), "{answer:?}");
    }

    /// Tasks of an app as a controller tells them.
    ///
    /// # Errors
    /// The failure as text.
    pub async fn tasks(&self, controller: usize, app: &str) -> Result<Vec<Value>, String> {
        let value = self.get(controller, &format!("/v2/apps{app}/tasks")).await?;
        Ok(value["tasks"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until exactly `count` tasks of an app run, says the controller, and gives them.
    pub async fn running(&self, controller: usize, app: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} tasks of {app} run"), async || {
            let tasks = self.tasks(controller, app).await?;
            let good = tasks.len() == count && tasks.iter().all(|task| task["state"] == "TASK_RUNNING");
            if good { Ok(tasks) } else { Err(format!("{tasks:?}")) }
        })
        .await
    }

    /// Index of the leading controller, as any of them that answers tells.
    pub async fn leader(&self) -> usize {
        eventually("a leader is known", async || {
            let mut last = String::new();
            for asked in 0..self.controllers.len() {
                match self.get(asked, "/v2/leader").await {
                    Ok(value) => {
                        let name = value["leader"].as_str().unwrap_or_default();
                        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
                        let found = self.controllers.iter().position(|controller| controller.host.address == host);
                        if let Some(found) = found.filter(|found| self.controllers[*found].process.pid() != 0) {
                            return Ok(found);
                        }
                        last = value.to_string();
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
        .await
    }

    /// Indexes of the controllers that do not lead.
    pub async fn followers(&self) -> Vec<usize> {
        let leader = self.leader().await;
        (0..self.controllers.len()).filter(|index| *index != leader).collect()
    }

    /// Index of the agent a task runs on.
    pub fn agent_of(&self, task: &Value) -> usize {
        let host = task["host"].as_str().unwrap_or_default();
        self.agents.iter().position(|agent| agent.host.address == host).unwrap_or_else(|| panic!("no agent of {task}"))
    }

    /// Stops every task with the apps, so that nothing outlives the test.
    pub fn sweep(&mut self) {
        for agent in &mut self.agents {
            agent.process.kill();
        }
        for agent in &self.agents {
            agent.host.kill_all();
        }
    }
}

/// One request; status and answer, or why there is none.
///
/// # Errors
/// The failure as text.
pub(crate) async fn request(
    http: &reqwest::Client,
    token: &str,
    url: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<(u16, Value), String> {
    let method: reqwest::Method = method.parse().map_err(|_| format!("{method} is no method"))?;
    let mut request = http.request(method, format!("{url}{path}")).header("authorization", format!("token={token}"));
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.map_err(|error| format!("{url}{path}: {error:?}"))?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(|error| format!("{url}{path}: {error:?}"))?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for machine in self.controllers.iter().chain(&self.agents) {
                let log = machine.process.log();
                let tail: Vec<&str> = log.lines().rev().take(60).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                eprintln!("--- {} ---\n{}", machine.log.display(), tail.join("\n"));
            }
        }
        self.sweep();
    }
}
