//! A cluster of its own for a test.

use crate::{dcos_binary, eventually, orrery_binary};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running `orrery up` with its own data and CLI directories. Dropping it stops it and its tasks.
pub struct TestCluster {
    child: Option<Child>,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    listen: String,
    /// URL of the door.
    pub url: String,
    /// For requests.
    pub http: reqwest::Client,
}

impl TestCluster {
    /// Starts a cluster with extra arguments for `orrery up`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments, &[])
    }

    /// The same at another address, with environment variables.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_at(listen: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("orrery-e2e-").tempdir().expect("a temporary directory");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (listen, url) = (listen.to_owned(), String::new());
        let mut cluster = Self { child: None, directory, arguments, environment, listen, url, http: reqwest::Client::new() };
        cluster.up();
        cluster
    }

    /// What the daemon is started with the next time.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Starts the daemon again on the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn up(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut child = Command::new(orrery_binary())
            .arg("up")
            .args(["--listen", &self.listen, "--dns-listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data())
            .args(&self.arguments)
            .env("DCOS_DIR", self.dcos_dir())
            .envs(self.environment.clone())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("orrery starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("orrery's output");
        self.child = Some(child);
        let url = line.trim().strip_prefix("ready ");
        self.url = url
            .unwrap_or_else(|| panic!("orrery up did not become ready; it said {line:?}; its log:\n{}", self.log()))
            .to_owned();
    }

    /// Stops the daemon as `orrery down` does.
    ///
    /// # Panics
    /// When it cannot be stopped.
    pub fn down(&mut self) {
        let output =
            Command::new(orrery_binary()).args(["down", "--data-dir"]).arg(self.data()).output().expect("orrery down runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if let Some(mut child) = self.child.take() {
            child.wait().expect("the daemon ends");
        }
    }

    /// Kills the daemon with SIGKILL; tasks run on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("the daemon is killed");
        child.wait().expect("the daemon ends");
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Directory of the CLI's configuration.
    pub fn dcos_dir(&self) -> PathBuf {
        self.directory.path().join("dcos")
    }

    /// A directory for files of the test.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("orrery.log")
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs the `dcos` command.
    pub fn dcos(&self, arguments: &[&str]) -> crate::Output {
        self.dcos_with_input(arguments, "")
    }

    /// Runs the `dcos` command with text on standard input.
    pub fn dcos_with_input(&self, arguments: &[&str], input: &str) -> crate::Output {
        let mut command = Command::new(dcos_binary());
        command
            .args(arguments)
            .env("DCOS_DIR", self.dcos_dir())
            .env("NO_COLOR", "1")
            .env_remove("DCOS_URL")
            .current_dir(self.scratch());
        crate::Output::of(command, input)
    }

    /// GET, as JSON.
    ///
    /// # Panics
    /// When there is no JSON answer.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.expect("an answer");
        let text = response.text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("GET {path}: {error}: {text}"))
    }

    /// Any method with a JSON body; status and answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url)).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Creates an app and waits until its deployment is over.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create(&self, app: &Value) {
        let (status, answer) = self.send("POST", "/v2/apps", app).await;
        assert_eq!(status, 201, "{answer}");
        self.settled().await;
    }

    /// Creates an app without waiting for it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn launch(&self, app: &Value) {
        let (status, answer) = self.send("POST", "/v2/apps", app).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// Changes an app and waits until its deployment is over.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn change(&self, id: &str, fields: &Value) {
        let (status, answer) = self.send("PUT", &format!("/v2/apps{id}"), fields).await;
        assert_eq!(status, 200, "{answer}");
        self.settled().await;
    }

    /// GET of a URL outside the door; status and text, or why there is no answer.
    ///
    /// # Errors
    /// The failure as text.
    pub async fn fetch(&self, url: &str) -> Result<(u16, String), String> {
        let response = self.http.get(url).send().await.map_err(|error| format!("{url}: {error:?}"))?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(|error| format!("{url}: {error:?}"))?))
    }

    /// Waits until no deployment is left.
    pub async fn settled(&self) {
        eventually("deployments end", async || {
            let deployments = self.get("/v2/deployments").await;
            if deployments.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(deployments.to_string()) }
        })
        .await;
    }

    /// The tasks of an app.
    pub async fn tasks(&self, app: &str) -> Vec<Value> {
        self.get(&format!("/v2/apps{app}/tasks")).await["tasks"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until exactly `count` tasks of an app run, and gives them.
    pub async fn running(&self, app: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} tasks of {app} run"), async || {
            let tasks = self.tasks(app).await;
            let good = tasks.len() == count && tasks.iter().all(|task| task["state"] == "TASK_RUNNING");
            if good { Ok(tasks) } else { Err(format!("{tasks:?}; last failure {}", self.last_failure(app).await)) }
        })
        .await
    }

    /// Waits until exactly `count` tasks of an app exist and are healthy.
    pub async fn healthy(&self, app: &str, count: usize) {
        eventually(&format!("{count} tasks of {app} are healthy"), async || {
            let shown = self.get(&format!("/v2/apps{app}")).await;
            let app = &shown["app"];
            let good = app["tasksHealthy"] == count && app["tasksRunning"] == count && app["deployments"] == json!([]);
            if good { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    }

    /// What Marathon shows as the last failure of an app; null without one.
    pub async fn last_failure(&self, app: &str) -> Value {
        self.get(&format!("/v2/apps{app}?embed=app.lastTaskFailure")).await["app"]["lastTaskFailure"].clone()
    }

    /// Waits for a failure of an app whose message has all of `words`; gives the failure.
    pub async fn failure_with(&self, app: &str, words: &[&str]) -> Value {
        eventually(&format!("the last failure of {app} says {words:?}"), async || {
            let failure = self.last_failure(app).await;
            let message = failure["message"].as_str().unwrap_or_default().to_lowercase();
            if words.iter().all(|word| message.contains(word)) { Ok(failure) } else { Err(failure.to_string()) }
        })
        .await
    }

    /// Address of the DNS server.
    ///
    /// # Panics
    /// When the cluster does not tell it.
    pub async fn dns_server(&self) -> SocketAddr {
        let status = self.get("/v1/status").await;
        status["dns"].as_str().and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{status}"))
    }

    /// Counts what was ever committed; an idle cluster does not raise it.
    pub async fn generation(&self) -> String {
        self.get("/v1/status").await["generation"].to_string()
    }

    /// `http://host:port` of a task's port.
    ///
    /// # Panics
    /// When it has none.
    pub fn address(task: &Value, port: usize) -> String {
        let (host, port) = (task["host"].as_str().expect("a host"), &task["ports"][port]);
        assert!(port.is_number(), "no such port: {task}");
        format!("http://{host}:{port}")
    }

    /// All stored entries of a stopped cluster, as `orrery store dump` prints them.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub fn dump(&self) -> String {
        let output = Command::new(orrery_binary())
            .args(["store", "--data-dir"])
            .arg(self.data())
            .arg("dump")
            .output()
            .expect("orrery runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the `orrery` command.
    pub fn orrery(&self, arguments: &[&str]) -> crate::Output {
        let mut command = Command::new(orrery_binary());
        command.args(arguments).env("DCOS_DIR", self.dcos_dir()).env("NO_COLOR", "1");
        crate::Output::of(command, "")
    }

    /// Starts the `dcos` command and leaves it running.
    ///
    /// # Panics
    /// When it does not start.
    pub fn dcos_in_background(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(dcos_binary());
        command.args(arguments).env("DCOS_DIR", self.dcos_dir()).env_remove("DCOS_URL").current_dir(self.scratch());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dcos starts")
    }

    /// Writes a file of the test.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.scratch().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if self.child.is_none() && !self.data().join("running.json").exists() {
            return;
        }
        if self.child.is_none() {
            // Killed by the test: what it left behind is stopped by a last start.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.up()));
        }
        if let Some(mut child) = self.child.take() {
            let stopped = Command::new(orrery_binary()).args(["down", "--data-dir"]).arg(self.data()).status();
            if !stopped.is_ok_and(|status| status.success()) {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the cluster ---\n{}", self.log());
        }
    }
}
