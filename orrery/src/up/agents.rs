//! The agents of this process, each joined to the leader by a pair of channels.

use super::nodes;
use crate::arguments::UpOptions;
use crate::data_list::DATA_LIST;
use crate::store_command::AGENTS_DIRECTORY;
use anyhow::Context as _;
use orrery_agent::{Agent, AgentConfig, Limits, Link, detect_resources};
use orrery_controller::door::AgentDirectory;
use orrery_controller::{AgentLink, Handle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Orders waiting for an agent; one that lags more is cut off and gets a snapshot.
const ORDERS_LIMIT: usize = 8_192;
/// Reports waiting for the leader.
const REPORTS_LIMIT: usize = 4_096;
/// Pause before an agent that was cut off comes back.
const REJOIN_PAUSE: Duration = Duration::from_millis(200);

/// The running agents.
pub(crate) struct Agents {
    agents: Vec<Arc<Agent>>,
    joins: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts the agents; they take back tasks that run already.
pub(crate) async fn start(
    options: &UpOptions,
    data: &Path,
    cluster_id: &str,
    handle: &Handle,
    directory: &AgentDirectory,
) -> anyhow::Result<Agents> {
    let docker = crate::docker_socket(options.docker_socket.as_deref());
    let detected = detect_resources(data);
    let mut started = Agents { agents: Vec::new(), joins: Vec::new() };
    for index in 0..options.agents {
        let cluster = handle.cluster();
        // Machines that joined have credentials, and their own tasks run on them.
        let is_taken = |id: &_| cluster.retired.contains_key(id) || cluster.trust.credentials.contains_key(id);
        let id = nodes::node_id(cluster_id, index, is_taken)?;
        let facts = nodes::facts(options, index, id.clone(), &detected);
        let config = AgentConfig {
            data_dir: data.join(AGENTS_DIRECTORY).join(index.to_string()),
            facts,
            framework_id: format!("{cluster_id}-0001"),
            docker: docker.clone(),
            spawner_program: std::env::current_exe()?,
            // The store holds what every app has been told, secrets among it.
            hidden: vec![data.to_owned()],
            hidden_list: Some(DATA_LIST.into()),
            limits: Limits::default(),
        };
        let agent = Arc::new(Agent::start(config).await.with_context(|| format!("agent {id} cannot start"))?);
        // The data directory may be of a node that was an agent in between, and keeps its id then.
        directory.insert(&agent.facts().id, agent.routes());
        started.joins.push(tokio::spawn(stay_joined(Arc::clone(&agent), handle.clone())));
        started.agents.push(agent);
    }
    Ok(started)
}

/// Keeps the agent connected: a connection that ends is followed by a new one.
async fn stay_joined(agent: Arc<Agent>, handle: Handle) {
    loop {
        let (down, orders) = mpsc::channel(ORDERS_LIMIT);
        let (reports, up) = mpsc::channel(REPORTS_LIMIT);
        handle.attach(AgentLink { down, up, signs: Arc::default() });
        match agent.serve(Link { down: orders, up: reports }).await {
            Err(error @ orrery_agent::Error::Dismissed(_)) => {
                tracing::error!(node = %agent.facts().id, "{error}");
                return;
            }
            Err(error) => tracing::warn!(%error, "an agent lost its controller"),
            Ok(()) => {}
        }
        tokio::time::sleep(REJOIN_PAUSE).await;
    }
}

impl Agents {
    /// Stops all tasks and waits for their ends. The leader is not told: the tasks are still
    /// wanted and start again with the cluster.
    pub(crate) async fn stop_tasks(self) {
        self.joins.iter().for_each(tokio::task::JoinHandle::abort);
        for agent in self.agents {
            agent.stop_all("the cluster is stopping").await;
        }
    }
}
