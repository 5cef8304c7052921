//! What an agent is told when it starts.

use crate::hidden::Hidden;
use orrery_core::node::NodeFacts;
use std::path::PathBuf;

/// Settings of one agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Everything the agent keeps lies below. One agent per directory.
    pub data_dir: PathBuf,
    /// What the node says of itself. Its id is used on the first start in `data_dir`; later starts
    /// keep the first one. `executors` is filled in by the agent.
    pub facts: NodeFacts,
    /// Framework id, a part of sandbox paths that clients parse.
    pub framework_id: String,
    /// Socket of the Docker Engine, if tasks may use it.
    pub docker: Option<PathBuf>,
    /// Program that becomes the spawner when called with the argument `spawner`; usually the
    /// running program itself.
    pub spawner_program: PathBuf,
    /// Further files and directories that tasks must not see, such as those of a controller on the
    /// same machine. The data directory and the engine's socket are hidden anyway.
    pub hidden: Vec<PathBuf>,
    /// Directory whose files name one further such path each. It is read whenever a task starts, since other
    /// daemons of the machine come and go.
    pub hidden_list: Option<PathBuf>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Tasks being prepared or started at once.
    pub launches: usize,
    /// Artifacts being downloaded or unpacked at once.
    pub fetches: usize,
    /// Images being pulled at once.
    pub pulls: usize,
    /// Other calls to the container engine at once.
    pub engine_calls: usize,
    /// Health checks being probed at once (Marathon: 256).
    pub probes: usize,
    /// Sandboxes of ended tasks that are kept.
    pub sandboxes: usize,
    /// How long they are kept, seconds (Mesos: one week).
    pub sandbox_seconds: u64,
    /// Bytes of the artifact cache (Mesos: 2 GB).
    pub cache_bytes: u64,
    /// Records of ended tasks that no controller has taken note of; the oldest go first.
    pub ended_tasks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            launches: 32,
            fetches: 8,
            pulls: 4,
            engine_calls: 8,
            probes: 256,
            sandboxes: 1_000,
            sandbox_seconds: 7 * 24 * 3600,
            cache_bytes: 2 << 30,
            ended_tasks: 100_000,
        }
    }
}

impl AgentConfig {
    /// Sandboxes: `<data dir>/slaves/<node>/frameworks/<framework>/executors/<task>/runs/<run>`.
    pub(crate) fn executors_dir(&self) -> PathBuf {
        let node = self.data_dir.join("slaves").join(self.facts.id.as_str());
        node.join("frameworks").join(&self.framework_id).join("executors")
    }

    /// All that tasks must not see.
    pub(crate) fn all_hidden(&self) -> Hidden {
        let always = self.hidden.iter().chain([&self.data_dir]).chain(&self.docker).cloned();
        Hidden::new(always.collect(), self.hidden_list.clone())
    }

    pub(crate) fn records_dir(&self) -> PathBuf {
        self.data_dir.join("tasks")
    }

    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.data_dir.join("volumes")
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.data_dir.join("cache")
    }
}
