//! `orrery agent`: makes this machine a node of a cluster that runs elsewhere.

mod checks;
mod complaint;
mod connect;
mod controllers;
mod join;
mod only_here;
mod rotate;

use crate::arguments::AgentOptions;
use crate::data_list::DATA_LIST;
use crate::instance_file::{InstanceFile, Kind};
use crate::signals::{Signals, Wish};
use crate::store_command::STORE_FILE;
use crate::{announce, create_private, logging, resident};
use anyhow::Context as _;
use checks::Plan;
use orrery_agent::{Agent, AgentConfig, Limits};
use orrery_link::credentials::Credentials;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most threads that drive an agent's futures. Nearly all of its time it waits, and each thread keeps a
/// stack, a part of the heap and a random generator of its own, of which large machines would have many.
const WORKER_THREADS_MAX: usize = 4;
/// After its registration an agent has done what it does only once.
const STARTED_AFTER: Duration = Duration::from_secs(2);

/// Runs until a signal: SIGTERM and SIGINT leave the tasks running, so that an upgrade disturbs
/// nobody; `orrery down --stop-tasks` (SIGUSR2) stops them first.
pub(crate) fn run(options: &AgentOptions) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(options)?;
    logging::start(options.log_json)?;
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKER_THREADS_MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(serve(options, plan))
}

/// Ends what runs in the data directory for another node than the certificate is for: whose tasks they are
/// nobody would know any more, and the controllers let nobody in who says to be another than his certificate.
async fn leave_before(config: &AgentConfig) -> anyhow::Result<()> {
    let (data, node) = (&config.data_dir, &config.facts.id);
    let Some(before) = orrery_agent::node_of(data).filter(|before| before != node) else { return Ok(()) };
    tracing::warn!(
        "this machine was node {before} and is node {node} now: the tasks of {before} are stopped; when {before} holds tasks or \
         data, let it go with `dcos node decommission --gone {before}`"
    );
    let _only = only_here::hold(&before)?;
    let agent = Agent::start(config.clone()).await.with_context(|| format!("the tasks of node {before} cannot be stopped"))?;
    agent.stop_all("its machine is another node now").await;
    drop(agent);
    orrery_agent::become_node(data, node)?;
    Ok(())
}

/// The data directory of the `orrery up` whose node this was, if it was one: the store that was left there
/// holds what every app had been told, secrets among it.
fn stores_above(data: &Path) -> Vec<PathBuf> {
    let above = data.parent().and_then(Path::parent).filter(|above| above.join(STORE_FILE).exists());
    above.map(Path::to_owned).into_iter().collect()
}

async fn serve(options: &AgentOptions, plan: Plan) -> anyhow::Result<ExitCode> {
    crate::up::raise_open_files();
    let data = plan.data.clone();
    create_private(&data)?;
    if let Some(running) = InstanceFile::read(&data) {
        anyhow::bail!("process {} uses the data directory {} already; stop it with `orrery down`", running.pid, data.display());
    }
    let mut signals = Signals::new()?;
    let credentials = tokio::select! {
        joined = join::credentials(&plan, Credentials::read(&data)?) => joined?,
        _ = signals.wait() => return Ok(ExitCode::SUCCESS),
    };
    let facts = plan.facts(&credentials)?;
    let _only = only_here::hold(&facts.id)?;
    let node = facts.id.clone();
    let config = AgentConfig {
        data_dir: data.clone(),
        framework_id: format!("{}-0001", credentials.cluster),
        facts,
        docker: crate::docker_socket(options.docker_socket.as_deref()),
        spawner_program: std::env::current_exe()?,
        // The data directory, with the credentials, is hidden anyway.
        hidden: stores_above(&data),
        hidden_list: Some(DATA_LIST.into()),
        limits: Limits::default(),
    };
    tokio::select! {
        left = leave_before(&config) => left?,
        _ = signals.wait() => return Ok(ExitCode::SUCCESS),
    }
    let agent = Arc::new(Agent::start(config).await.with_context(|| format!("the agent of node {node} cannot start"))?);
    let (registered, mut registration) = watch::channel(None);
    let mut staying = tokio::spawn(connect::stay_joined(Arc::clone(&agent), data.clone(), credentials.clone(), registered));
    let own = InstanceFile {
        url: credentials.controllers.first().cloned().unwrap_or_default(),
        cluster_id: credentials.cluster.clone(),
        ..InstanceFile::of_this_process(Kind::Agent)
    };
    if let Err(error) = own.write(&data) {
        // Its tasks need it more than people need this file, and room may be made later.
        tracing::warn!(%error, "cannot write to {}: `orrery status` and `orrery down` do not find this agent", data.display());
    }
    let (mut told, mut trimmed) = (false, false);
    let mut started = std::pin::pin!(tokio::time::sleep(STARTED_AFTER));
    let outcome = loop {
        tokio::select! {
            ended = &mut staying => {
                break Err(match ended {
                    Ok(error) => error,
                    Err(error) => anyhow::anyhow!("the agent's connection ended unexpectedly: {error}"),
                });
            }
            changed = registration.changed(), if !told => {
                let url = registration.borrow_and_update().clone();
                if let Some(url) = url.filter(|_| changed.is_ok()) {
                    told = true;
                    tracing::info!(%node, %url, "registered");
                    announce(&format!("ready {node} at {url}"));
                    started.as_mut().reset(Instant::now() + STARTED_AFTER);
                }
            }
            () = &mut started, if told && !trimmed => {
                trimmed = true;
                if let Err(error) = resident::trim() {
                    tracing::debug!(%error, "what the start needed stays in memory");
                }
            }
            wish = signals.wait() => {
                if wish == Wish::StopTasks {
                    tracing::info!("stopping the tasks");
                    agent.stop_all("the node is stopping").await;
                    // The ends must be known before the node is silent: its tasks would count as lost.
                    agent.part().await;
                } else {
                    tracing::info!("leaving; the tasks run on");
                    agent.shutdown().await;
                }
                break Ok(ExitCode::SUCCESS);
            }
        }
    };
    staying.abort();
    InstanceFile::remove(&data);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_that_a_node_was_beside_is_hidden() {
        let above = tempfile::tempdir().unwrap();
        let data = above.path().join("agents/0");
        assert!(stores_above(&data).is_empty());
        std::fs::write(above.path().join(STORE_FILE), "").unwrap();
        assert_eq!(stores_above(&data), [above.path()]);
        assert!(stores_above(Path::new("/")).is_empty());
    }
}
