//! The Docker executor: tasks with images, run by a Docker Engine on a unix socket.

mod create;
mod logs;
mod parameter;
mod run;

pub(crate) use run::DockerRun;

use crate::checkpoint::Record;
use crate::volume::Resolved;
use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, InspectContainerOptions, ListContainersOptions, StartContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::StreamExt;
use orrery_core::assignment::FailureReason;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;

/// Longest wait for an answer of the engine, seconds. Pulls and stops have limits of their own.
const TIMEOUT_SECONDS: u64 = 120;
/// Attempts to look at a container from before, [`run::RETRY_MAX`] apart.
const ADOPT_ATTEMPTS: u32 = 12;
/// The engine's own init for containers; Debian ships it apart.
const INIT_PROGRAMS: [&str; 3] = ["/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/local/bin/docker-init"];

/// A connection to the engine.
#[derive(Debug)]
pub(crate) struct Engine {
    docker: Docker,
    node: String,
    pulls: Semaphore,
    calls: Semaphore,
    init: bool,
}

impl Engine {
    /// Connects and agrees on a version.
    pub(crate) async fn connect(socket: PathBuf, config: &crate::AgentConfig) -> Result<Self, String> {
        let path = socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&path, TIMEOUT_SECONDS, API_DEFAULT_VERSION).map_err(|error| error.to_string())?;
        let docker = docker.negotiate_version().await.map_err(|error| error.to_string())?;
        docker.ping().await.map_err(|error| error.to_string())?;
        Ok(Self {
            docker,
            node: config.facts.id.to_string(),
            pulls: Semaphore::new(config.limits.pulls),
            calls: Semaphore::new(config.limits.engine_calls),
            init: INIT_PROGRAMS.iter().any(|program| Path::new(program).exists()),
        })
    }

    /// Removes containers of this node that no record knows.
    pub(crate) async fn remove_orphans(&self, runs: BTreeSet<String>) {
        let label = format!("{}={}", create::NODE_LABEL, self.node);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let known: BTreeSet<String> = runs.iter().map(|run| format!("/{}", create::name(run))).collect();
        match self.docker.list_containers(Some(options)).await {
            Ok(containers) => {
                for name in containers.into_iter().filter_map(|container| container.names?.into_iter().next()) {
                    if !known.contains(&name) {
                        tracing::warn!(container = name, "removing a container that no task record knows");
                        run::remove(&self.docker, name.trim_start_matches('/')).await;
                    }
                }
            }
            Err(error) => tracing::warn!("cannot list containers: {error}"),
        }
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
        if !image.force_pull {
            match self.docker.inspect_image(&reference).await {
                Ok(_) => return Ok(()),
                Err(error) if run::is_absent(&error) => {}
                Err(error) => return Err(fail(&error)),
            }
        }
        let _permit = self.pulls.acquire().await.map_err(|error| (FailureReason::LaunchFailed, error.to_string()))?;
        let options = CreateImageOptions { from_image: Some(reference), ..CreateImageOptions::default() };
        let mut progress = self.docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            step.map_err(|error| fail(&error))?;
        }
        Ok(())
    }

    async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, Error> {
        self.docker.inspect_container(name, None::<InspectContainerOptions>).await
    }

    /// Creates and starts the container of a record. The error is a sentence for the task's report.
    pub(crate) async fn start(&self, record: &Record, volumes: &[Resolved]) -> Result<DockerRun, String> {
        let spec = record.assignment.containers.first().ok_or("the assignment has no container")?;
        let body = create::body(record, spec, volumes, &self.node, self.init)?;
        let name = create::name(&record.run.container);
        let _permit = self.calls.acquire().await.map_err(|error| error.to_string())?;
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let created = self.docker.create_container(Some(options), body).await;
        created.map_err(|error| format!("Cannot create the container: {}", run::reason(&error)))?;
        let started = match self.docker.start_container(&name, None::<StartContainerOptions>).await {
            Ok(()) => self.inspect(&name).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(inspected) => Ok(DockerRun::supervise(self.docker.clone(), &inspected, &record.run)),
            Err(error) => {
                run::remove(&self.docker, &name).await;
                Err(format!("Cannot start the container: {}", run::reason(&error)))
            }
        }
    }

    /// Takes hold of the container of a record; `None` when there is none. A container that was
    /// created and never started is removed.
    pub(crate) async fn adopt(&self, record: &Record) -> Option<DockerRun> {
        let name = create::name(&record.run.container);
        // Only the engine's word that there is none counts: a container taken for gone would run on
        // beside its replacement.
        let mut attempt = 1;
        let inspected = loop {
            match self.inspect(&name).await {
                Ok(inspected) => break inspected,
                Err(error) if run::is_absent(&error) => return None,
                Err(error) => {
                    tracing::warn!(container = name, attempt, "cannot look at it: {}", run::reason(&error));
                    if attempt == ADOPT_ATTEMPTS {
                        return None;
                    }
                }
            }
            attempt += 1;
            tokio::time::sleep(run::RETRY_MAX).await;
        };
        let created_only = inspected.state.as_ref().and_then(|state| state.status.as_ref()).map(ToString::to_string);
        if created_only.as_deref() == Some("created") {
            run::remove(&self.docker, &name).await;
            return None;
        }
        Some(DockerRun::supervise(self.docker.clone(), &inspected, &record.run))
    }
}
