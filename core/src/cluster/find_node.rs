//! Which node people mean.

use super::Cluster;
use crate::node::{Node, NodeId};
use std::sync::Arc;

/// Nodes named in the sentence about an ambiguous name.
const NAMED_MAX: usize = 5;

/// Why a name means no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindNodeError {
    /// Nobody is called so.
    #[error("there is no node {0}; see: dcos node list")]
    Nobody(String),
    /// Several are called so.
    #[error("{name} means {count} nodes ({nodes}); give the id")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many it may mean.
        count: usize,
        /// The first of them.
        nodes: String,
    },
    /// The node has left for ever.
    #[error("{0}")]
    Retired(String),
}

impl Cluster {
    /// The node with an id, a host name, an address, a number (`S3`) or an end of its id, in this
    /// order; the first kind that fits decides.
    ///
    /// # Errors
    /// [`FindNodeError`] when none fits, or several do.
    pub fn find_node(&self, name: &str) -> Result<&Arc<Node>, FindNodeError> {
        if let Some(node) = NodeId::parse(name).ok().and_then(|id| self.nodes.get(&id)) {
            return Ok(node);
        }
        let address = name.parse::<std::net::IpAddr>().ok();
        let number = |id: &str| id.rsplit_once('-').is_some_and(|(_, number)| number == name);
        let kinds: [&dyn Fn(&Node) -> bool; 4] = [
            &|node| node.facts.hostname == name,
            &|node| Some(node.facts.address) == address,
            &|node| number(node.facts.id.as_str()),
            &|node| !name.is_empty() && node.facts.id.as_str().ends_with(name),
        ];
        for fits in kinds {
            let found: Vec<&Arc<Node>> = self.nodes.values().filter(|node| fits(node)).collect();
            match found.as_slice() {
                [] => {}
                [node] => return Ok(node),
                several => {
                    let names = several.iter().take(NAMED_MAX).map(|node| node.facts.id.as_str());
                    let nodes = names.collect::<Vec<_>>().join(", ");
                    return Err(FindNodeError::Ambiguous { name: name.into(), count: several.len(), nodes });
                }
            }
        }
        let retired = self
            .retired
            .values()
            .find(|retired| retired.id.as_str() == name || retired.hostname == name || number(retired.id.as_str()));
        Err(retired.map_or_else(
            || FindNodeError::Nobody(name.chars().take(200).collect()),
            |retired| FindNodeError::Retired(retired.sentence()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::node::NodeFacts;

    #[test]
    fn people_name_nodes_in_many_ways() {
        let mut cluster = Cluster::default();
        for (id, hostname, address) in [
            ("c-S1", "alpha", "10.0.0.1"),
            ("c-S11", "beta", "10.0.0.2"),
            ("c-S2", "twin", "10.0.0.3"),
            ("c-S3", "twin", "10.0.0.4"),
        ] {
            let facts = NodeFacts::new(NodeId::parse(id).unwrap(), hostname.into(), address.parse().unwrap());
            cluster.put_node(Arc::new(Node::joined(facts, Timestamp::EPOCH)));
        }
        for (name, id) in [
            ("c-S1", "c-S1"),
            ("alpha", "c-S1"),
            ("10.0.0.2", "c-S11"),
            ("S1", "c-S1"),
            ("S11", "c-S11"),
            ("11", "c-S11"),
            ("S3", "c-S3"),
        ] {
            assert_eq!(cluster.find_node(name).map(|node| node.facts.id.as_str()), Ok(id), "{name}");
        }
        let error = |name: &str| cluster.find_node(name).unwrap_err().to_string();
        assert_eq!(error("twin"), "twin means 2 nodes (c-S2, c-S3); give the id");
        assert_eq!(error("1"), "1 means 2 nodes (c-S1, c-S11); give the id");
        for name in ["", "S9", "gamma", "10.0.0.9"] {
            assert!(error(name).starts_with("there is no node"), "{name}");
        }
    }
}
