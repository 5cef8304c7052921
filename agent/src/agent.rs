//! The agent: takes orders over a link, runs their tasks, says what is true of them.

use crate::checkpoint::{Record, Run, boot_id, directory_name, write_atomically};
use crate::config::AgentConfig;
use crate::docker::{self, Engine};
use crate::fetch::Fetcher;
use crate::health::Prober;
use crate::identity::{EPOCH_FILE, node_id};
use crate::lifecycle::drive;
use crate::process::{self, Executor, FAREWELL, Spawner};
use crate::state::{Entry, Shared, now};
use crate::{Error, cgroup, collect, volume};
use orrery_core::assignment::{Assignment, Down, FailureReason, PROTOCOL_VERSION, TaskReport, Up};
use orrery_core::instance::Condition;
use orrery_core::node::NodeFacts;
use orrery_core::task::{Action, Known, StopCause, Wanted, plan, plan_snapshot};
use orrery_core::{InstanceId, TaskId};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Most reports in one message.
const REPORT_BATCH_MAX: usize = 512;
/// Pause between signs of life on an idle link.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Longest wait for a controller that takes the last reports and the goodbye: there may be none.
const PARTING_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection with a controller. Both channels are bounded by whoever creates them.
#[derive(Debug)]
pub struct Link {
    /// Orders.
    pub down: mpsc::Receiver<Down>,
    /// Reports.
    pub up: mpsc::Sender<Up>,
}

/// An agent: makes one node match its assignment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(crate) shared: Arc<Shared>,
    /// Held for as long as the agent lives: two agents in one directory would run everything twice.
    _lock: Arc<nix::fcntl::Flock<File>>,
}

fn lock(config: &AgentConfig) -> Result<nix::fcntl::Flock<File>, Error> {
    fs::create_dir_all(&config.data_dir).map_err(Error::file("create", &config.data_dir))?;
    let path = config.data_dir.join("lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(Error::file("open", &path))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).map_err(|_| Error::Locked(config.data_dir.clone()))
}

impl Agent {
    /// Starts an agent: takes up the tasks that run from before, attaches to the spawner or starts
    /// it, and finds out which executors work. Needs no controller.
    pub async fn start(mut config: AgentConfig) -> Result<Self, Error> {
        // Relative paths would mean something else to the spawner.
        config.data_dir = std::path::absolute(&config.data_dir).map_err(Error::file("find", &config.data_dir))?;
        let lock = lock(&config)?;
        config.facts.id = node_id(&config)?;
        for directory in [config.records_dir(), config.executors_dir(), config.volumes_dir(), config.cache_dir()] {
            fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        }
        let (cgroups, complaint) = cgroup::Cgroups::set_up(config.facts.id.as_str());
        if let Some(complaint) = complaint {
            tracing::warn!("{complaint}");
        }
        let spawner = Spawner::attach(config.data_dir.join("spawner"), config.spawner_program.clone()).await?;
        if !spawner.facts.isolated {
            tracing::warn!("tasks share the node's process and mount namespaces: {}", spawner.facts.because);
        }
        config.facts.executors = vec!["process".into()];
        let docker = config.docker.clone().map(|socket| Engine::new(socket, &config));
        if let Some(engine) = &docker {
            engine.ask_first().await;
            if let Some(complaint) = engine.complaint() {
                tracing::warn!("{complaint}; tasks with images cannot run here until it does");
            }
        }
        let epoch =
            fs::read_to_string(config.data_dir.join(EPOCH_FILE)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let executor = Executor { spawner, cgroups, address: config.facts.address, hidden: config.all_hidden() };
        let fetcher = Fetcher::new(&config).map_err(Error::Spawner)?;
        let prober = Prober::new(config.limits.probes);
        let shared = Arc::new(Shared::new(config, boot_id(), executor, docker, fetcher, prober, epoch));
        let agent = Self { shared, _lock: Arc::new(lock) };
        agent.take_up().await?;
        tokio::spawn(collect::run(agent.shared.clone()));
        tokio::spawn(docker::supervise(agent.shared.clone()));
        Ok(agent)
    }

    /// Takes up what the records tell of.
    async fn take_up(&self) -> Result<(), Error> {
        let directory = self.shared.config.records_dir();
        let (records, broken) = Record::read_all(&directory).map_err(Error::file("read", &directory))?;
        let deadline = Instant::now() + FAREWELL;
        for record in &broken {
            // Nobody can say any more what runs there, so that nothing may.
            self.shared.process.reap_orphan(record, deadline).await.map_err(Error::file("clear", record))?;
        }
        // Before any task starts, so that no group is taken away from one that is just starting.
        let unfinished = records.iter().filter(|record| record.end.is_none());
        let cgroups = &self.shared.process.cgroups;
        let busy = cgroups.sweep(|| unfinished.map(|record| record.run.container.clone()).collect());
        if !broken.is_empty() {
            // A task that is wanted still must not start beside what a damaged record told of.
            process::wait_for(cgroups, &busy, deadline).await;
        }
        for record in records {
            let mut report = TaskReport::first(record.task(), record.created_at);
            report.container = Some(record.run.container.clone());
            report.sandbox = Some(record.run.sandbox.display().to_string());
            report.started_at = record.started_at;
            report.health.clone_from(&record.health);
            if record.docker.is_some() {
                // As it was last known, for as long as the engine does not say what became of it.
                report.condition = Condition::Running;
                report.at = record.started_at.unwrap_or(record.created_at);
                report.ready = record.ready;
            }
            let over = record.end.is_some();
            self.shared.enter(&record, record.end.clone().unwrap_or(report));
            if !over {
                tokio::spawn(drive(self.shared.clone(), Box::new(record), true));
            }
        }
        Ok(())
    }

    /// What the node says of itself, with its lasting id and the executors that work now.
    pub fn facts(&self) -> NodeFacts {
        let mut facts = self.shared.config.facts.clone();
        if self.shared.docker.as_ref().is_some_and(Engine::is_available) {
            facts.executors.push("docker".into());
        }
        facts.leaving = self.shared.leaving.is_cancelled();
        facts
    }

    /// Returns when the facts are no longer `told`.
    async fn facts_other_than(&self, told: &NodeFacts) {
        let leaving = async {
            if told.leaving {
                return std::future::pending().await;
            }
            self.shared.leaving.cancelled().await;
        };
        let executors = async {
            let Some(engine) = &self.shared.docker else { return std::future::pending().await };
            let mut state = engine.state.subscribe();
            let offered = told.executors.iter().any(|executor| executor == "docker");
            let _ = state.wait_for(|state| state.is_ok() != offered).await;
        };
        tokio::select! {
            () = leaving => {}
            () = executors => {}
        }
    }

    /// Serves one connection until it ends: registers, then reports what changes and carries out
    /// orders. Call it again with a new link after a disconnect. Returns `Ok` after
    /// [`Agent::stop_all`], when all reports have been sent.
    ///
    /// # Errors
    /// [`Error::Disconnected`]; [`Error::FactsChanged`] when the node has to register anew;
    /// [`Error::Dismissed`] when the node has left the cluster for ever: all tasks have been stopped,
    /// and there is nothing to come back for.
    pub async fn serve(&self, link: Link) -> Result<(), Error> {
        let Link { mut down, up } = link;
        let tasks = {
            let mut board = self.shared.board();
            board.unsent.clear();
            board.tasks.values().map(|entry| entry.report.clone()).collect()
        };
        let facts = Box::new(self.facts());
        let register = Up::Register { protocol: PROTOCOL_VERSION, facts: facts.clone(), tasks };
        up.send(register).await.map_err(|_| Error::Disconnected)?;
        let receive = async {
            while let Some(message) = down.recv().await {
                match message {
                    Down::Dismiss { epoch, because } if self.admits(epoch) => return Err(Error::Dismissed(because)),
                    message => self.obey(message),
                }
            }
            Err(Error::Disconnected)
        };
        // Orders are read while reports wait for room, so that neither side can block the other. Facts come
        // before reports: whoever hears of tasks that end must know by then that the node takes no new ones.
        let ended = tokio::select! {
            biased;
            () = self.facts_other_than(&facts) => Err(Error::FactsChanged),
            ended = receive => ended,
            ended = self.send_reports(&up, facts.leaving) => ended,
        };
        match &ended {
            Ok(()) => {
                drop(up);
                // The other end closes the link when it has taken the goodbye.
                let taken = async { while down.recv().await.is_some() {} };
                let _ = tokio::time::timeout(PARTING_TIMEOUT, taken).await;
                self.shared.parted.cancel();
            }
            Err(Error::Dismissed(because)) => {
                // The ends are told as long as anybody listens; nothing is placed on a node that has left.
                let _ = tokio::join!(self.stop_all(because), self.send_reports(&up, true));
            }
            Err(_) => {}
        }
        ended
    }

    /// Sends what is new until the link ends or all has been said. `leaving` is what the controller knows.
    async fn send_reports(&self, up: &mpsc::Sender<Up>, leaving: bool) -> Result<(), Error> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let tasks = self.shared.take_unsent(REPORT_BATCH_MAX);
            if self.shared.leaving.is_cancelled() && !leaving {
                // The next registration tells of them.
                return Err(Error::FactsChanged);
            }
            let destroyed = std::mem::take(&mut self.shared.board().destroyed);
            if !destroyed.is_empty() {
                up.send(Up::Destroyed { instances: destroyed.into_iter().collect() }).await.map_err(|_| Error::Disconnected)?;
            }
            let message = if tasks.is_empty() {
                if self.shared.leaving.is_cancelled() && self.active() == 0 {
                    up.send(Up::Goodbye).await.map_err(|_| Error::Disconnected)?;
                    return Ok(());
                }
                tokio::select! {
                    () = self.shared.news.notified() => continue,
                    () = up.closed() => return Err(Error::Disconnected),
                    _ = heartbeat.tick() => Up::Heartbeat,
                }
            } else {
                Up::Reports { tasks }
            };
            up.send(message).await.map_err(|_| Error::Disconnected)?;
        }
    }

    fn active(&self) -> usize {
        self.shared.board().tasks.values().filter(|entry| entry.known() != Known::Ended).count()
    }

    /// Whether an order of `epoch` counts; higher epochs are remembered.
    fn admits(&self, epoch: u64) -> bool {
        let before = self.shared.epoch.fetch_max(epoch, Ordering::SeqCst);
        if before < epoch {
            let path = self.shared.config.data_dir.join(EPOCH_FILE);
            if let Err(error) = write_atomically(&path, epoch.to_string().as_bytes()) {
                tracing::warn!("cannot remember the epoch: {error}");
            }
        } else if before > epoch {
            tracing::warn!(
                epoch,
                newest = before,
                "an order of a deposed leader is ignored; if it leads because its store was put back to an earlier state, \
                 see: orrery store reopen --help"
            );
        }
        before <= epoch
    }

    fn obey(&self, message: Down) {
        let (Down::Snapshot { epoch, .. }
        | Down::Launch { epoch, .. }
        | Down::Run { epoch, .. }
        | Down::Stop { epoch, .. }
        | Down::Forget { epoch, .. }
        | Down::Destroy { epoch, .. }
        | Down::Dismiss { epoch, .. }) = &message
        else {
            return;
        };
        if !self.admits(*epoch) {
            return;
        }
        match message {
            Down::Snapshot { launches, mut assignments, stopping, .. } => {
                let hostname = &self.shared.config.facts.hostname;
                // One that cannot be run is left out, and so stopped where it runs.
                assignments
                    .extend(launches.iter().flat_map(|launch| launch.resolve(hostname)).filter_map(|(_, found)| found.ok()));
                self.obey_snapshot(assignments, stopping);
            }
            Down::Launch { launch, .. } => {
                for (task, found) in launch.resolve(&self.shared.config.facts.hostname) {
                    match found {
                        Ok(assignment) => self.act(&task, plan(Wanted::Run, self.known(&task)), Some(assignment), ""),
                        Err(message) => self.refuse(&task, message),
                    }
                }
            }
            Down::Run { assignment, .. } => {
                let task = assignment.task_id();
                self.act(&task, plan(Wanted::Run, self.known(&task)), Some(*assignment), "");
            }
            Down::Stop { task, because, .. } => self.act(&task, plan(Wanted::Stop, self.known(&task)), None, &because),
            Down::Destroy { instances, .. } => instances.into_iter().for_each(|instance| self.destroy(instance)),
            // Taken by whoever serves the connection; a dismissal by a deposed leader gets here and no further.
            Down::Dismiss { .. } | Down::Controllers { .. } => {}
            Down::Forget { tasks, .. } => {
                for task in tasks {
                    self.act(&task, plan(Wanted::Forgotten, self.known(&task)), None, "");
                }
            }
        }
    }

    /// Deletes the data of an instance and says so. What a task still uses is left for the next order.
    fn destroy(&self, instance: InstanceId) {
        let mut tasks =
            self.shared.board().tasks.iter().map(|(task, entry)| (task.instance().clone(), entry.known())).collect::<Vec<_>>();
        tasks.retain(|(of, known)| *of == instance && *known != Known::Ended);
        if !tasks.is_empty() {
            tracing::warn!(%instance, "its data are in use and are not deleted");
            return;
        }
        let (shared, directory) = (self.shared.clone(), self.shared.config.volumes_dir());
        tokio::task::spawn_blocking(move || match volume::destroy(&directory, &instance) {
            Ok(()) => {
                shared.board().destroyed.insert(instance);
                shared.news.notify_one();
            }
            Err(error) => tracing::warn!(%instance, %error, "its data cannot be deleted; the next connection tries again"),
        });
    }

    fn obey_snapshot(&self, assignments: Vec<Assignment>, stopping: Vec<TaskId>) {
        let states: BTreeMap<TaskId, Known> =
            self.shared.board().tasks.iter().map(|(task, entry)| (task.clone(), entry.known())).collect();
        let mut assignments: BTreeMap<TaskId, Assignment> =
            assignments.into_iter().map(|assignment| (assignment.task_id(), assignment)).collect();
        let assigned: Vec<TaskId> = assignments.keys().cloned().collect();
        let state = |task: &TaskId| states.get(task).copied().unwrap_or(Known::Nothing);
        for (task, action) in plan_snapshot(assigned, stopping, states.keys(), state) {
            let assignment = assignments.remove(&task);
            let because = if assignment.is_some() { "" } else { "the cluster no longer assigns it to this node" };
            self.act(&task, action, assignment, because);
        }
    }

    fn known(&self, task: &TaskId) -> Known {
        self.shared.board().tasks.get(task).map_or(Known::Nothing, Entry::known)
    }

    fn act(&self, task: &TaskId, action: Action, assignment: Option<Assignment>, because: &str) {
        match action {
            Action::Start => {
                if let Some(assignment) = assignment
                    && !self.shared.leaving.is_cancelled()
                {
                    self.begin(assignment);
                }
            }
            Action::Stop => self.shared.stop(task, StopCause::Asked(because.to_owned())),
            Action::Report => self.shared.repeat(task),
            Action::ReportNeverRan => self.never_ran(task, because),
            Action::Reap => self.reap(task),
            Action::Nothing => {}
        }
    }

    fn begin(&self, assignment: Assignment) {
        let task = assignment.task_id();
        let config = &self.shared.config;
        let (container, name) = (uuid(), directory_name(&task));
        let sandbox = config.executors_dir().join(&name).join("runs").join(&container);
        let run = Run { sandbox, record: config.records_dir().join(&name), container };
        let mut report = TaskReport::first(task, now());
        report.container = Some(run.container.clone());
        report.sandbox = Some(run.sandbox.display().to_string());
        let record = Box::new(Record {
            assignment: Arc::new(assignment),
            run: Arc::new(run),
            created_at: report.at,
            boot: self.shared.boot.clone(),
            started_at: None,
            docker: None,
            stop: None,
            health: Vec::new(),
            ready: false,
            end: None,
        });
        self.shared.enter(&record, report);
        tokio::spawn(drive(self.shared.clone(), record, false));
    }

    /// Answers an order that cannot be carried out.
    fn refuse(&self, task: &TaskId, message: String) {
        if self.known(task) == Known::Nothing {
            self.enter_ended(TaskReport::unlaunchable(task.clone(), now(), message));
        }
    }

    fn never_ran(&self, task: &TaskId, because: &str) {
        let mut report = TaskReport::first(task.clone(), now());
        report.condition = Condition::Killed;
        report.reason = Some(FailureReason::Stopped);
        let because = if because.is_empty() { String::new() } else { format!("; {because}") };
        report.message = Some(format!("Stopped before it started{because}"));
        self.enter_ended(report);
    }

    fn enter_ended(&self, report: TaskReport) {
        let task = report.task.clone();
        let entry = Entry { assignment: None, run: None, report, stop: watch::Sender::new(None) };
        self.shared.board().tasks.insert(task.clone(), entry);
        self.shared.repeat(&task);
    }

    /// Drops the record of an ended task; its sandbox stays until it is collected.
    fn reap(&self, task: &TaskId) {
        let entry = {
            let mut board = self.shared.board();
            board.unsent.remove(task);
            board.tasks.remove(task)
        };
        if let Some(run) = entry.and_then(|entry| entry.run) {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = fs::remove_dir_all(&run.record) {
                    tracing::warn!("cannot remove {}: {error}", run.record.display());
                }
            });
        }
    }

    /// Stops all tasks and waits until they have ended, then ends the spawner. A link that is being
    /// served ends with [`Error::FactsChanged`]; the next one tells that the node takes no new tasks, and
    /// says goodbye.
    pub async fn stop_all(&self, because: &str) {
        self.shared.leaving.cancel();
        let tasks: Vec<TaskId> = self.shared.board().tasks.keys().cloned().collect();
        for task in tasks {
            self.shared.stop(&task, StopCause::Asked(because.to_owned()));
        }
        loop {
            let ended = self.shared.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.active() == 0 {
                break;
            }
            ended.await;
        }
        self.shared.news.notify_one();
        self.shared.process.spawner.quit().await;
        self.shared.process.cgroups.remove_node();
        self.shared.abandon.cancel();
    }

    /// Waits after [`Agent::stop_all`] until a controller has taken the ends and the goodbye, for a few seconds
    /// at most. Connections have to be served meanwhile.
    pub async fn part(&self) {
        if tokio::time::timeout(PARTING_TIMEOUT, self.shared.parted.cancelled()).await.is_err() {
            tracing::warn!("no controller has taken the ends of the tasks; the next start of the agent tells them");
        }
    }

    /// Leaves without touching the tasks: they run on, and the next agent in the same directory
    /// takes them up.
    pub async fn shutdown(&self) {
        self.shared.abandon.cancel();
        tokio::task::yield_now().await;
    }
}

/// A random UUID for a run.
fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
