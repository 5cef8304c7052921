//! A controller of one agent, for tests.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part")]

pub mod engine;

use orrery_agent::{Agent, AgentConfig, Limits, Link};
use orrery_core::app::NetworkMode;
use orrery_core::assignment::{Assignment, CommandSpec, ContainerSpec, Down, ExecutorKind, TaskReport, Up};
use orrery_core::instance::Condition;
use orrery_core::node::NodeFacts;
use orrery_core::{AppId, InstanceId, NodeId, Scalar, TaskId, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Far beyond anything a test waits for; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn config(directory: &Path) -> AgentConfig {
    let unique = format!(
        "{:x}",
        std::process::id() ^ directory.to_string_lossy().bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte))
    );
    AgentConfig {
        data_dir: directory.to_owned(),
        facts: NodeFacts::new(
            NodeId::parse(&format!("test-{unique}-S0")).unwrap(),
            "localhost".into(),
            "127.0.0.1".parse().unwrap(),
        ),
        framework_id: "framework-0001".into(),
        docker: None,
        spawner_program: PathBuf::from(env!("CARGO_BIN_EXE_orrery-spawner")),
        hidden: Vec::new(),
        hidden_list: None,
        limits: Limits::default(),
    }
}

pub fn spec(command: &str) -> ContainerSpec {
    ContainerSpec {
        name: "_app".into(),
        executor: ExecutorKind::Process,
        command: Some(CommandSpec::Shell(command.into())),
        image: None,
        user: None,
        cpus: Scalar::from_thousandths(100),
        cpus_limit: None,
        mem_limit: Some(Scalar::from_units(64)),
        disk: Scalar::ZERO,
        gpus: 0,
        env: BTreeMap::new(),
        fetch: Vec::new(),
        volumes: Vec::new(),
        network: NetworkMode::Host,
        network_name: None,
        ports: Vec::new(),
        health_checks: Vec::new(),
        readiness_checks: Vec::new(),
        labels: BTreeMap::new(),
        tty: false,
    }
}

static NEXT: AtomicU32 = AtomicU32::new(1);

pub fn assignment(container: ContainerSpec) -> Assignment {
    let app = AppId::parse("/test/app").unwrap();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Assignment {
        instance: InstanceId::new(&orrery_core::AppId::parse("/test/app").unwrap(), uuid::Uuid::from_u128(number.into())),
        incarnation: 1,
        run_spec: app,
        version: Timestamp::from_millis(1),
        containers: vec![container],
        kill_grace_ms: 3_000,
    }
}

pub struct Cluster {
    pub agent: Agent,
    pub down: mpsc::Sender<Down>,
    up: mpsc::Receiver<Up>,
    serving: JoinHandle<Result<(), orrery_agent::Error>>,
    pub reports: BTreeMap<TaskId, TaskReport>,
    pub history: Vec<TaskReport>,
    pub epoch: u64,
}

impl Cluster {
    pub async fn start(directory: &Path) -> Self {
        Self::with(config(directory)).await
    }

    pub async fn with(config: AgentConfig) -> Self {
        let agent = Agent::start(config).await.unwrap();
        Self::connect(agent).await
    }

    pub async fn connect(agent: Agent) -> Self {
        let (down, down_receiver) = mpsc::channel(1024);
        let (up_sender, up) = mpsc::channel(1024);
        let served = agent.clone();
        let serving = tokio::spawn(async move { served.serve(Link { down: down_receiver, up: up_sender }).await });
        let mut cluster = Self { agent, down, up, serving, reports: BTreeMap::new(), history: Vec::new(), epoch: 1 };
        match cluster.receive().await {
            Up::Register { tasks, .. } => tasks.into_iter().for_each(|task| cluster.note(task)),
            other => panic!("the first message must register, not {other:?}"),
        }
        cluster
    }

    pub async fn receive(&mut self) -> Up {
        tokio::time::timeout(PATIENCE, self.up.recv()).await.expect("a message in time").expect("an open link")
    }

    fn note(&mut self, report: TaskReport) {
        self.history.push(report.clone());
        self.reports.insert(report.task.clone(), report);
    }

    pub async fn run(&self, assignment: &Assignment) -> TaskId {
        self.down.send(Down::Run { epoch: self.epoch, assignment: Box::new(assignment.clone()) }).await.unwrap();
        assignment.task_id()
    }

    pub async fn stop(&self, task: &TaskId) {
        self.down.send(Down::Stop { epoch: self.epoch, task: task.clone(), because: "a test asked".into() }).await.unwrap();
    }

    pub async fn until(&mut self, task: &TaskId, what: impl Fn(&TaskReport) -> bool) -> TaskReport {
        loop {
            if let Some(report) = self.reports.get(task)
                && what(report)
            {
                return report.clone();
            }
            match tokio::time::timeout(PATIENCE, self.up.recv()).await {
                Ok(Some(Up::Reports { tasks })) => tasks.into_iter().for_each(|task| self.note(task)),
                Ok(Some(_)) => {}
                other => panic!("{other:?}; the last report was {:#?}", self.reports.get(task)),
            }
        }
    }

    pub async fn running(&mut self, task: &TaskId) -> TaskReport {
        let report = self.until(task, |report| report.condition == Condition::Running || report.condition.is_terminal()).await;
        assert_eq!(report.condition, Condition::Running, "{report:#?}");
        report
    }

    pub async fn ended(&mut self, task: &TaskId) -> TaskReport {
        self.until(task, |report| report.condition.is_terminal()).await
    }

    /// Waits for the connection to end and makes the next one.
    pub async fn reconnected(self) -> Self {
        let ended = tokio::time::timeout(PATIENCE, self.serving).await.expect("the connection ends in time").unwrap();
        assert!(matches!(ended, Err(orrery_agent::Error::FactsChanged)), "{ended:?}");
        Self { epoch: self.epoch, ..Self::connect(self.agent).await }
    }

    /// Leaves the tasks alone, as a crash of the agent would.
    pub async fn abandon(self) {
        self.agent.shutdown().await;
        drop((self.down, self.up));
        let _ = self.serving.await;
    }

    pub async fn finish(self) {
        self.agent.stop_all("the test is over").await;
        drop((self.down, self.up));
        let _ = self.serving.await;
    }
}

/// Waits for a file that a task writes.
pub async fn file(path: &Path) -> String {
    let read = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(path)
                && text.ends_with('\n')
            {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{} never appeared", path.display()))
}

pub fn log(report: &TaskReport, name: &str) -> String {
    std::fs::read_to_string(Path::new(report.sandbox.as_ref().unwrap()).join(name)).unwrap()
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
