//! Which node a data directory is of, and whose orders were taken last.

use crate::checkpoint::write_durably;
use crate::config::AgentConfig;
use crate::error::Error;
use orrery_core::NodeId;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// File below the data directory with the id of the node that its tasks belong to.
pub const NODE_ID_FILE: &str = "node-id";
/// File beside it with the epoch of the last leader whose orders were taken.
pub(crate) const EPOCH_FILE: &str = "epoch";

/// The node that a data directory is of; `None` when no agent has started there.
pub fn node_of(data: &Path) -> Option<NodeId> {
    NodeId::parse(fs::read_to_string(data.join(NODE_ID_FILE)).ok()?.trim()).ok()
}

/// The node keeps the id of its first start.
pub(crate) fn node_id(config: &AgentConfig) -> Result<NodeId, Error> {
    if let Some(id) = node_of(&config.data_dir) {
        return Ok(id);
    }
    become_node(&config.data_dir, &config.facts.id)?;
    Ok(config.facts.id.clone())
}

/// Makes a data directory that of `node`, all or nothing. Tasks of another node must have ended before.
///
/// # Errors
/// [`Error::File`].
pub fn become_node(data: &Path, node: &NodeId) -> Result<(), Error> {
    let cluster_of = |node: &NodeId| node.as_str().rsplit_once("-S").map(|(cluster, _)| cluster.to_owned());
    if node_of(data).is_some_and(|before| cluster_of(&before) != cluster_of(node)) {
        // Another cluster counts its leaders anew; orders of its first would be taken for old ones.
        let path = data.join(EPOCH_FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::file("remove", &path)(error)),
            _ => {}
        }
    }
    let path = data.join(NODE_ID_FILE);
    write_durably(&path, node.as_str().as_bytes()).map_err(Error::file("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_of_one_cluster() {
        let data = tempfile::tempdir().unwrap();
        let epoch = data.path().join(EPOCH_FILE);
        assert_eq!(node_of(data.path()), None);
        for (node, kept) in [("c-S0", true), ("c-S3", true), ("d-S3", false), ("d-S3", true)] {
            fs::write(&epoch, "7").unwrap();
            let node = NodeId::parse(node).unwrap();
            become_node(data.path(), &node).unwrap();
            assert_eq!((node_of(data.path()), epoch.exists()), (Some(node.clone()), kept), "{node}");
        }
    }
}
