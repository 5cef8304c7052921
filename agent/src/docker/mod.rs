//! The Docker executor: tasks with images, run by a Docker Engine on a unix socket.

mod availability;
mod create;
mod logs;
mod parameter;
mod run;

pub(crate) use availability::supervise;
pub(crate) use run::DockerRun;

use crate::checkpoint::Record;
use crate::volume::Resolved;
use bollard::errors::Error;
use bollard::query_parameters::{CreateContainerOptions, CreateImageOptions, InspectContainerOptions, StartContainerOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::StreamExt;
use orrery_core::assignment::FailureReason;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio::sync::{Semaphore, watch};

/// Longest wait for an answer of the engine, seconds. Pulls and stops have limits of their own.
const TIMEOUT_SECONDS: u64 = 120;
/// The engine's own init for containers; Debian ships it apart.
const INIT_PROGRAMS: [&str; 3] = ["/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/local/bin/docker-init"];

/// The engine of this node, whether it answers or not.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
    docker: OnceLock<Docker>,
    node: String,
    pulls: Semaphore,
    calls: Semaphore,
    init: bool,
    /// Why it does not answer, if it does not.
    pub(crate) state: watch::Sender<Result<(), String>>,
}

impl Engine {
    /// The engine at `socket`, which need not be there yet.
    pub(crate) fn new(socket: PathBuf, config: &crate::AgentConfig) -> Self {
        Self {
            socket,
            docker: OnceLock::new(),
            node: config.facts.id.to_string(),
            pulls: Semaphore::new(config.limits.pulls),
            calls: Semaphore::new(config.limits.engine_calls),
            init: INIT_PROGRAMS.iter().any(|program| Path::new(program).exists()),
            state: watch::Sender::new(Err("it has not been asked yet".into())),
        }
    }

    /// The client; it refuses to exist before the socket does.
    fn docker(&self) -> Result<&Docker, String> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let path = self.socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&path, TIMEOUT_SECONDS, API_DEFAULT_VERSION).map_err(|error| error.to_string())?;
        Ok(self.docker.get_or_init(|| docker))
    }

    /// Makes the image available.
    pub(crate) async fn pull(&self, record: &Record) -> Result<(), (FailureReason, String)> {
        let image = record.assignment.containers.first().and_then(|spec| spec.image.as_ref());
        let image = image.ok_or_else(|| (FailureReason::LaunchFailed, "the task has no image".to_owned()))?;
        let reference = create::reference(&image.name);
        let fail = |error: &Error| {
            let told = run::reason(error);
            (FailureReason::ImagePullFailed, format!("Cannot pull image \"{}\": {told}", image.name))
        };
        let work = async {
            let docker = self.docker().map_err(|error| (FailureReason::LaunchFailed, error))?;
            if !image.force_pull {
                match docker.inspect_image(&reference).await {
                    Ok(_) => return Ok(()),
                    Err(error) if run::is_absent(&error) => {}
                    Err(error) => return Err(fail(&error)),
                }
            }
            let _permit = self.pulls.acquire().await.map_err(|error| (FailureReason::LaunchFailed, error.to_string()))?;
            let options = CreateImageOptions { from_image: Some(reference.clone()), ..CreateImageOptions::default() };
            let mut progress = docker.create_image(Some(options), None, None);
            while let Some(step) = progress.next().await {
                step.map_err(|error| fail(&error))?;
            }
            Ok(())
        };
        self.while_available(work).await.unwrap_or_else(|complaint| Err((FailureReason::LaunchFailed, complaint)))
    }

    /// Creates and starts the container of a record. The error is a sentence for the task's report.
    pub(crate) async fn start(&self, record: &Record, volumes: &[Resolved]) -> Result<DockerRun, String> {
        self.while_available(self.start_now(record, volumes)).await?
    }

    async fn start_now(&self, record: &Record, volumes: &[Resolved]) -> Result<DockerRun, String> {
        let docker = self.docker()?;
        let spec = record.assignment.containers.first().ok_or("the assignment has no container")?;
        let body = create::body(record, spec, volumes, &self.node, self.init)?;
        let name = create::name(&record.run.container);
        let _permit = self.calls.acquire().await.map_err(|error| error.to_string())?;
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let created = docker.create_container(Some(options), body).await;
        created.map_err(|error| format!("Cannot create the container: {}", run::reason(&error)))?;
        let started = match docker.start_container(&name, None::<StartContainerOptions>).await {
            Ok(()) => docker.inspect_container(&name, None::<InspectContainerOptions>).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(inspected) => Ok(DockerRun::supervise(docker.clone(), &inspected, &record.run)),
            Err(error) => {
                run::remove(docker, &name).await;
                Err(format!("Cannot start the container: {}", run::reason(&error)))
            }
        }
    }

    /// Takes hold of the container of a record; `None` when there is none. Waits for as long as the
    /// engine does not answer: only its word that there is none counts, because a container taken
    /// for gone would run on beside its replacement. A container that was created and never started
    /// is removed.
    pub(crate) async fn adopt(&self, record: &Record) -> Option<DockerRun> {
        let name = create::name(&record.run.container);
        let (docker, inspected) = loop {
            self.available().await;
            if let Ok(docker) = self.docker() {
                match docker.inspect_container(&name, None::<InspectContainerOptions>).await {
                    Ok(inspected) => break (docker, inspected),
                    Err(error) if run::is_absent(&error) => return None,
                    Err(error) => tracing::warn!(container = name, "cannot look at it: {}", run::reason(&error)),
                }
            }
            tokio::time::sleep(run::RETRY_MAX).await;
        };
        let created_only = inspected.state.as_ref().and_then(|state| state.status.as_ref()).map(ToString::to_string);
        if created_only.as_deref() == Some("created") {
            run::remove(docker, &name).await;
            return None;
        }
        Some(DockerRun::supervise(docker.clone(), &inspected, &record.run))
    }
}
