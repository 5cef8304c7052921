//! Finding the task whose logs somebody wants (platform.md 5, dcos-log version 2).

use orrery_core::cluster::Cluster;
use orrery_core::{Instance, NodeId, TaskId};

/// Ids named in an answer to an ambiguous question.
const IDS_SHOWN: usize = 5;

/// Where a task's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPlace {
    /// Its whole id.
    pub task: TaskId,
    /// The node it ran on last.
    pub node: NodeId,
    /// Its sandbox directory there, once it has one.
    pub sandbox: Option<String>,
}

/// Why no single task was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindTaskError {
    /// There is none.
    #[error("there is no task \"{0}\", neither running nor among those that ended lately; see `dcos task list --all`")]
    Unknown(String),
    /// The prefix fits several.
    #[error("\"{prefix}\" fits {count} tasks, among them {}; give more of the id", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        count: usize,
        /// Some of them.
        ids: Vec<String>,
    },
    /// It waits for a node.
    #[error("the task \"{0}\" has not been given to a node yet; it has no logs")]
    NotPlaced(String),
}

/// The living or ended task with this id, or the only one whose id begins with it. When a prefix
/// fits living and ended tasks, the living ones are meant.
///
/// # Errors
/// [`FindTaskError`] when there is no such single task.
pub fn find_task(cluster: &Cluster, id: &str) -> Result<TaskPlace, FindTaskError> {
    if id.is_empty() {
        return Err(FindTaskError::Unknown(String::new()));
    }
    let living = || cluster.instances.values().map(AsRef::as_ref).filter(|instance| instance.incarnation > 0);
    let ended = || cluster.completed.iter().rev().map(|task| task.instance.as_ref());
    // A relaunched instance waits under the id of the task that ended: look for that one first.
    let exact = living().filter(|instance| instance.seat.is_some()).chain(ended()).chain(living());
    if let Some(instance) = exact.into_iter().find(|instance| instance.task_id().to_string() == id) {
        return place(instance);
    }
    let fits = |instance: &&Instance| instance.task_id().to_string().starts_with(id);
    let mut found: Vec<&Instance> = living().filter(|instance| instance.seat.is_some()).filter(fits).collect();
    if found.is_empty() {
        found = ended().filter(fits).collect();
    }
    match found.as_slice() {
        [] => Err(FindTaskError::Unknown(id.chars().take(200).collect())),
        [instance] => place(instance),
        several => Err(FindTaskError::Ambiguous {
            prefix: id.to_owned(),
            count: several.len(),
            ids: several.iter().take(IDS_SHOWN).map(|instance| instance.task_id().to_string()).collect(),
        }),
    }
}

fn place(instance: &Instance) -> Result<TaskPlace, FindTaskError> {
    let task = instance.task_id();
    let Some(node) = instance.node() else { return Err(FindTaskError::NotPlaced(task.to_string())) };
    Ok(TaskPlace { node: node.clone(), sandbox: instance.sandbox(), task })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use orrery_core::cluster::CompletedTask;
    use std::sync::Arc;

    #[test]
    fn tasks_are_found_by_id_and_prefix() {
        let mut cluster = fixture::cluster();
        let running = cluster.instances.values().find(|instance| instance.seat.is_some()).unwrap().clone();
        let id = running.task_id().to_string();
        for text in [id.as_str(), &id[..id.len() - 5], "shop_web"] {
            let found = find_task(&cluster, text).unwrap();
            assert_eq!((found.task.to_string(), found.node.as_str()), (id.clone(), "c1-S0"), "{text}");
            assert_eq!(found.sandbox.as_deref(), Some("/var/orrery/run-1"));
        }
        for text in ["", "web", "shop_web.instance-9"] {
            assert!(matches!(find_task(&cluster, text), Err(FindTaskError::Unknown(_))), "{text}");
        }
        // Ended tasks are found when no living one fits.
        for incarnation in [7, 8] {
            let instance = Arc::new(Instance { incarnation, ..(*running).clone() });
            cluster.completed.push_back(Arc::new(CompletedTask { instance, exit: None, reason: None, at: fixture::NOW }));
        }
        assert_eq!(find_task(&cluster, "shop_web").unwrap().task.to_string(), id);
        let ended = id.replace("._app.1", "._app.7");
        assert_eq!(find_task(&cluster, &ended).unwrap().task.to_string(), ended);
        cluster.instances.remove(&running.id);
        assert!(matches!(find_task(&cluster, "shop_web"), Err(FindTaskError::Ambiguous { count: 2, .. })));
    }
}
