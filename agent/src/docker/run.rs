//! One container at the engine: its end, its output, ending it.

use super::create::name;
use super::logs;
use crate::checkpoint::Run;
use crate::spawner::HelperResult;
use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, RemoveContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures::StreamExt;
use orrery_core::assignment::Exit;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Time for the last output of a container that has ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the removal of a container that has ended.
const REMOVE_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for what the engine itself says about a check's command.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Pauses between attempts to reach an engine that has gone away.
const RETRY_MIN: Duration = Duration::from_millis(200);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(5);
/// Output of a check's command kept for people, bytes.
const OUTPUT_MAX_BYTES: usize = 1024;
/// How much longer than the grace period the engine may take to stop a container.
const STOP_SLACK: Duration = Duration::from_secs(60);

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DockerEnd {
    pub(crate) exit: Option<Exit>,
    pub(crate) out_of_memory: bool,
    /// What the engine says about it.
    pub(crate) message: Option<String>,
}

/// A container that has been started.
#[derive(Debug, Clone)]
pub(crate) struct DockerRun {
    docker: Docker,
    id: Arc<str>,
    name: Arc<str>,
    addresses: Vec<IpAddr>,
    end: watch::Receiver<Option<DockerEnd>>,
    /// Ends the supervision with the last clone.
    _supervision: Arc<DropGuard>,
}

/// Addresses on networks of its own.
fn addresses(inspected: &ContainerInspectResponse) -> Vec<IpAddr> {
    let networks = inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut found: Vec<IpAddr> = networks
        .into_iter()
        .flat_map(|networks| networks.values())
        .flat_map(|network| [&network.ip_address, &network.global_ipv6_address])
        .filter_map(|address| address.as_deref()?.parse().ok())
        .collect();
    // IPv4 first: clients look at the first.
    found.sort();
    found
}

fn end_of(inspected: &ContainerInspectResponse) -> Option<DockerEnd> {
    let state = inspected.state.as_ref()?;
    if state.running == Some(true) || state.paused == Some(true) || state.restarting == Some(true) {
        return None;
    }
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
    let exit = code.map(|code| if code > 128 && code < 128 + 65 { Exit::Signal(code - 128) } else { Exit::Code(code) });
    let message = state.error.clone().filter(|text| !text.is_empty());
    Some(DockerEnd { exit, out_of_memory: state.oom_killed == Some(true), message })
}

impl DockerRun {
    /// Watches a container that exists. Its output is copied from where a former agent stopped.
    pub(super) fn supervise(docker: Docker, inspected: &ContainerInspectResponse, run: &Arc<Run>) -> Self {
        let (sender, end) = watch::channel(None);
        let token = CancellationToken::new();
        let name: Arc<str> = name(&run.container).into();
        let watching = watch_container(docker.clone(), name.clone(), run.clone(), sender);
        let cancelled = token.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = watching => {}
            }
        });
        Self {
            docker,
            id: inspected.id.clone().unwrap_or_default().into(),
            name,
            addresses: addresses(inspected),
            end,
            _supervision: Arc::new(token.drop_guard()),
        }
    }

    /// The engine's id of the container.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Addresses of its own network.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.clone()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        let _ = self.end.clone().wait_for(Option::is_some).await;
    }

    /// Asks it to end, and kills it after `grace`.
    pub(crate) async fn terminate(&self, grace: Duration) {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptions { t: Some(seconds), signal: None };
        let docker = self.docker.clone().with_timeout(grace + STOP_SLACK);
        if let Err(error) = docker.stop_container(&self.name, Some(options)).await {
            tracing::debug!(container = %self.name, "stop: {error}");
        }
    }

    /// Kills it.
    pub(crate) async fn kill(&self) {
        let _ = self.docker.kill_container(&self.name, None::<KillContainerOptions>).await;
    }

    /// How it ended; the container is removed, its output is in the sandbox. An engine that hangs
    /// does not hold the report up: the container goes when it answers again.
    pub(crate) async fn finish(&self) -> DockerEnd {
        let end = self.end.borrow().clone().unwrap_or_default();
        let _ = tokio::time::timeout(REMOVE_LIMIT, remove(&self.docker, &self.name)).await;
        end
    }

    /// Runs a command inside, for a COMMAND check. `None` when the engine does not answer, which is no
    /// fault of the task.
    pub(crate) async fn execute(&self, command: &str, timeout: Duration) -> Result<Option<HelperResult>, String> {
        let options = CreateExecOptions {
            cmd: Some(vec!["/bin/sh", "-c", command]),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let created = match tokio::time::timeout(ASK_LIMIT, self.docker.create_exec(&self.name, options)).await {
            Ok(Ok(created)) => created,
            Ok(Err(error)) => return told(&error),
            Err(_) => return Ok(None),
        };
        let mut text = Vec::new();
        let run = async {
            if let StartExecResults::Attached { mut output, .. } = self.docker.start_exec(&created.id, None).await? {
                while let Some(part) = output.next().await {
                    text.extend_from_slice(&part?.into_bytes());
                    let excess = text.len().saturating_sub(OUTPUT_MAX_BYTES);
                    text.drain(..excess);
                }
            }
            self.docker.inspect_exec(&created.id).await
        };
        let ended = tokio::time::timeout(timeout, run).await;
        let (code, timed_out) = match ended {
            Ok(Ok(result)) => (result.exit_code.and_then(|code| i32::try_from(code).ok()), false),
            Ok(Err(error)) => return told(&error),
            // Was it the command or the engine that took so long?
            Err(_) => match tokio::time::timeout(ASK_LIMIT, self.end_command(&created.id)).await {
                Ok(()) => (None, true),
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(HelperResult { code, signal: None, timed_out, output: String::from_utf8_lossy(&text).trim().to_owned() }))
    }
}

/// An answer of the engine counts against the task; that there was none does not.
fn told(error: &Error) -> Result<Option<HelperResult>, String> {
    match error {
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
            Err(format!("the engine cannot run the command: {}", reason(error)))
        }
        _ => Ok(None),
    }
}

impl DockerRun {
    /// Ends a command whose time is up, so that hanging checks do not pile up: the engine has no call
    /// for it. Its process id means something only where the engine shares our process namespace;
    /// there the process' group names the container.
    async fn end_command(&self, exec: &str) {
        let Ok(found) = self.docker.inspect_exec(exec).await else { return };
        let (Some(true), Some(Ok(pid))) = (found.running, found.pid.map(i32::try_from)) else { return };
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let pid = nix::unistd::Pid::from_raw(pid);
        if !self.id.is_empty() && group.contains(&*self.id) && nix::unistd::getpgid(Some(pid)) == Ok(pid) {
            let _ = nix::sys::signal::killpg(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// Removes a container with its anonymous volumes.
pub(super) async fn remove(docker: &Docker, name: &str) {
    let options = RemoveContainerOptions { v: true, force: true, link: false };
    if let Err(error) = docker.remove_container(name, Some(options)).await {
        tracing::debug!(container = name, "remove: {error}");
    }
}

/// What the engine says, without the frame around it.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => other.to_string(),
    }
}

/// Whether the engine says that there is no such thing.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Follows a container to its end, over restarts of the engine.
async fn watch_container(docker: Docker, name: Arc<str>, run: Arc<Run>, sender: watch::Sender<Option<DockerEnd>>) {
    let (copying, container) = (docker.clone(), name.clone());
    let mut copy = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let mut pause = RETRY_MIN;
        // An error means that the engine went away; the watch below finds out what became of it.
        while let Err(error) = logs::copy(&copying, &container, &run.sandbox, &run.record).await {
            tracing::debug!(%container, "output: {error}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }));
    let mut pause = RETRY_MIN;
    let end = loop {
        // Answers when the container ends: no polling. Its result is taken from the inspection.
        let mut waiting = Box::pin(docker.wait_container(&name, None::<WaitContainerOptions>));
        let _ = waiting.next().await;
        match docker.inspect_container(&name, None::<InspectContainerOptions>).await {
            Ok(inspected) => {
                if let Some(end) = end_of(&inspected) {
                    break end;
                }
                pause = RETRY_MIN;
            }
            Err(error) if is_absent(&error) => {
                break DockerEnd { message: Some("Its container was removed by someone else".into()), ..DockerEnd::default() };
            }
            Err(error) => tracing::debug!(container = %name, "watch: {error}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    };
    let _ = tokio::time::timeout(DRAIN_LIMIT, &mut copy).await;
    sender.send_replace(Some(end));
}
