//! Starting, adopting and ending process tasks.

use super::client::{ANSWER_TIMEOUT, Spawner};
use super::environment::environment;
use super::nameless;
use super::watch::Process;
use crate::cgroup::Cgroups;
use crate::checkpoint::Run;
use crate::hidden::Hidden;
use crate::spawner::{END_NOW, ExitRecord, Helper, HelperResult, Identity, Launch, MountSetup, PidRecord, operation};
use crate::volume::Resolved;
use nix::sys::signal::Signal;
use orrery_core::Timestamp;
use orrery_core::app::NetworkMode;
use orrery_core::assignment::{CommandSpec, ContainerSpec};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for the init of a task that could not start.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);
/// Pause before another look at what could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longer than any command health check may take to end after its own timeout.
const HELPER_SLACK: Duration = Duration::from_secs(2);

/// Runs tasks as process groups of this node.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) spawner: Spawner,
    pub(crate) cgroups: Cgroups,
    pub(crate) address: IpAddr,
    /// What no task may see of this node, beside what no task of any node may see.
    pub(crate) hidden: Hidden,
}

/// A running process task.
#[derive(Debug, Clone)]
pub(crate) struct ProcessRun {
    process: Arc<Process>,
    pid: PidRecord,
}

/// What is left of a task when the agent returns.
#[derive(Debug)]
pub(crate) enum Found {
    /// It runs.
    Running(ProcessRun),
    /// It has ended, or never began.
    Ended,
}

impl Executor {
    /// Starts the command of `spec`. The error is a sentence for the task's report.
    pub(crate) async fn start(
        &self,
        spec: &ContainerSpec,
        run: &Run,
        identity: Option<Identity>,
        volumes: &[Resolved],
        kill_grace_ms: u32,
    ) -> Result<ProcessRun, String> {
        let arguments = match &spec.command {
            Some(CommandSpec::Shell(text)) => vec!["/bin/sh".into(), "-c".into(), text.clone()],
            Some(CommandSpec::Arguments(arguments)) if !arguments.is_empty() => arguments.clone(),
            _ => return Err("there is no command to run: give \"cmd\" or \"args\"".into()),
        };
        if spec.network != NetworkMode::Host {
            return Err("only tasks with an image can have a network of their own; use network mode \"host\"".into());
        }
        let isolated = self.spawner.facts.isolated;
        if !isolated {
            link_volumes(&run.sandbox, volumes)?;
        }
        let mounts = volumes.iter().map(|volume| MountSetup {
            source: volume.source.clone(),
            target: volume.target.clone(),
            read_only: volume.read_only,
            own: volume.persistent,
        });
        let launch = Launch {
            sandbox: run.sandbox.clone(),
            record: run.record.clone(),
            arguments,
            environment: environment(spec, &run.sandbox, &run.container, self.address),
            identity,
            cgroups: self.cgroups.setups(&run.container, spec),
            mounts: mounts.collect(),
            hidden: self.hidden.paths(),
            kill_grace_ms,
            tty: spec.tty,
            gpus: spec.gpus > 0,
        };
        let grace = Duration::from_millis(u64::from(kill_grace_ms));
        let mut answer = String::new();
        for _attempt in 0..2 {
            answer = match self.spawner.request(operation::TASK, &launch, ANSWER_TIMEOUT).await {
                Ok(answer) => answer,
                Err(error) => {
                    // It may still begin, or have begun: claim it, or end what runs.
                    if let (_, Found::Running(process)) = self.adopt_surely(run, grace).await {
                        process.kill();
                        let _ = tokio::time::timeout(FAREWELL, process.ended()).await;
                    }
                    self.cgroups.remove(&run.container);
                    return Err(error.to_string());
                }
            };
            if !answer.is_empty() {
                break;
            }
            // The spawner died with the request in its queue. Nothing has been started if we can
            // still claim the launch.
            let claimed = PidRecord::GIVEN_UP.create(&run.record).map_err(|error| error.to_string())?;
            if !claimed {
                break;
            }
            std::fs::remove_file(run.record.join("pid.json")).map_err(|error| error.to_string())?;
        }
        if let Some(message) = answer.strip_prefix('E') {
            // Its init is on its way out; the groups can go once it has gone.
            if let (_, Found::Running(process)) = self.adopt_surely(run, grace).await {
                let _ = tokio::time::timeout(FAREWELL, process.ended()).await;
            }
            self.cgroups.remove(&run.container);
            return Err(sentence(message));
        }
        match self.adopt_surely(run, grace).await {
            (_, Found::Running(process)) => Ok(process),
            // It was so short that it is over already; its record tells how it went.
            (pid, Found::Ended) if answer == "R" => Ok(ProcessRun { process: Arc::new(Process::gone()), pid }),
            (_, Found::Ended) => Err("the process that was to watch the task died while starting it".into()),
        }
    }

    /// [`Executor::adopt`], again and again while it cannot tell: with a full disk or too many open
    /// files a task may well run, and must not be taken for gone. What has `grace` to end runs no longer
    /// when its record is damaged.
    pub(crate) async fn adopt_surely(&self, run: &Run, grace: Duration) -> (PidRecord, Found) {
        loop {
            match Self::adopt(run) {
                Ok(found) => return found,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    nameless::end(&self.cgroups, run, grace).await;
                    return (PidRecord::GIVEN_UP, Found::Ended);
                }
                Err(error) => tracing::warn!("cannot find out yet what became of {}: {error}", run.record.display()),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Finds out what has become of a task that was started earlier. A launch that has not begun is
    /// given up, so that it cannot begin behind our back. An error says nothing about the task.
    fn adopt(run: &Run) -> std::io::Result<(PidRecord, Found)> {
        let pid = match PidRecord::read(&run.record)? {
            Some(pid) => pid,
            None if PidRecord::GIVEN_UP.create(&run.record)? => PidRecord::GIVEN_UP,
            // It began just now.
            None => PidRecord::read(&run.record)?.unwrap_or(PidRecord::GIVEN_UP),
        };
        if pid.pid == 0 {
            return Ok((pid, Found::Ended));
        }
        let process = Process::open(pid.pid, pid.start_time)?;
        Ok((pid, process.map_or(Found::Ended, |process| Found::Running(ProcessRun { process: Arc::new(process), pid }))))
    }

    /// Ends what runs by the record in `directory`, of which nothing else is known, and removes it. What it does
    /// not name any more is in a group that no record knows, or else has until `deadline`.
    pub(crate) async fn reap_orphan(&self, directory: &Path, deadline: Instant) -> std::io::Result<()> {
        let pid = match PidRecord::read(directory) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                if !self.cgroups.are_used() {
                    nameless::end_by_init(directory, deadline).await;
                }
                None
            }
            read => read?,
        };
        if let Some(pid) = pid.filter(|pid| pid.pid != 0)
            && let Some(process) = Process::open(pid.pid, pid.start_time)?
        {
            tracing::warn!(pid = pid.pid, "ending a task whose record is damaged");
            process.signal(Signal::SIGKILL);
            let _ = tokio::time::timeout(FAREWELL, process.ended()).await;
        }
        nameless::remove(directory)
    }

    /// How a task that has ended did so, and whether for lack of memory. Its groups are removed.
    ///
    /// # Errors
    /// When its record cannot be read now, which another attempt may cure.
    pub(crate) fn finish(&self, run: &Run) -> std::io::Result<(Option<ExitRecord>, bool)> {
        let exit = match ExitRecord::read(&run.record) {
            Err(error) if error.kind() == ErrorKind::InvalidData => None,
            read => read?,
        };
        let out_of_memory = self.cgroups.out_of_memory(&run.container);
        if !self.cgroups.remove(&run.container) {
            // The last processes are on their way out; the groups go with the next sweep.
            self.cgroups.remove(&run.container);
        }
        Ok((exit, out_of_memory))
    }

    /// Runs a command inside the task, for a COMMAND check.
    pub(crate) async fn probe(
        &self,
        process: &ProcessRun,
        spec: &ContainerSpec,
        run: &Run,
        identity: Option<Identity>,
        command: &str,
        timeout: Duration,
    ) -> Result<HelperResult, String> {
        let helper = Helper {
            pid: process.pid.pid,
            start_time: process.pid.start_time,
            sandbox: run.sandbox.clone(),
            arguments: vec!["/bin/sh".into(), "-c".into(), command.to_owned()],
            environment: environment(spec, &run.sandbox, &run.container, self.address),
            identity,
            cgroups: self.cgroups.directories(&run.container),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let answer = self.spawner.request(operation::HELPER, &helper, timeout + HELPER_SLACK).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.split_at_checked(1) {
            Some(("X", result)) => serde_json::from_str(result).map_err(|error| error.to_string()),
            Some(("E", message)) => Err(message.to_owned()),
            _ => Err("the spawner died while running the command".into()),
        }
    }
}

/// Without mount namespaces relative volumes become links; others are refused.
fn link_volumes(sandbox: &Path, volumes: &[Resolved]) -> Result<(), String> {
    for volume in volumes {
        if volume.target.is_absolute() {
            return Err(format!(
                "cannot mount a volume on {}: this agent may not create mount namespaces; run it as root or use a path relative to the sandbox",
                volume.target.display()
            ));
        }
        let target = sandbox.join(&volume.target);
        let fail =
            |error: std::io::Error| format!("cannot link volume {} to {}: {error}", volume.source.display(), target.display());
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        if std::fs::read_link(&target).is_ok_and(|there| there == volume.source) {
            continue;
        }
        std::os::unix::fs::symlink(&volume.source, &target).map_err(fail)?;
    }
    Ok(())
}

fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl ProcessRun {
    /// When it was started.
    pub(crate) fn started_at(&self) -> Timestamp {
        Timestamp::from_millis(self.pid.at_ms)
    }

    /// Waits for the end of the task and of everything it started.
    pub(crate) async fn ended(&self) {
        self.process.ended().await;
    }

    /// Asks the task to end; its init kills it after the grace period, even without an agent.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::SIGTERM);
    }

    /// Ends the task at once, in an orderly way.
    pub(crate) fn end_now(&self) {
        self.process.signal(END_NOW);
    }

    /// Kills the task's init, and with it everything in its namespace.
    pub(crate) fn kill(&self) {
        self.process.signal(Signal::SIGKILL);
    }
}
