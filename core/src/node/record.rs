//! What the store keeps of a node.

use super::{Administration, Claims, NodeFacts, NodeId};
use crate::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// The durable part of a node: its facts and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// What it said when it last joined.
    pub facts: NodeFacts,
    /// When it first joined; unknown in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Timestamp>,
    /// What operators have ordered.
    #[serde(default)]
    pub administration: Administration,
    /// Since when it is lost, so that a new leader neither waits for it nor counts its loss again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<Timestamp>,
    /// What is set aside on it.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
}

/// A node that has left for ever. Its id is never used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetiredNode {
    /// Its id.
    pub id: NodeId,
    /// Its host name.
    pub hostname: String,
    /// When it was decommissioned.
    pub retired_at: Timestamp,
    /// An operator promised that the machine was dead, instead of it having been emptied.
    #[serde(default)]
    pub gone: bool,
}

impl RetiredNode {
    /// What its agent is told when it comes back.
    pub fn sentence(&self) -> String {
        format!(
            "node {} ({}) was decommissioned at {} and its id is never used again; to use this machine, remove the agent's data directory and join with a new token",
            self.id, self.hostname, self.retired_at
        )
    }
}

/// A document below `nodes/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeDocument {
    /// Of a node of the cluster.
    Member(Box<NodeRecord>),
    /// Of a node that has left.
    Retired(RetiredNode),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Current {
    facts: NodeFacts,
    #[serde(default)]
    registered_at: Option<Timestamp>,
    #[serde(default)]
    administration: Administration,
    #[serde(default)]
    lost_since: Option<Timestamp>,
    #[serde(default)]
    claims: Claims,
}

impl<'de> Deserialize<'de> for NodeDocument {
    // By way of a JSON value: untagged enums cannot hold numbers of arbitrary precision.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.get("retiredAt").is_some() {
            return serde_json::from_value(value).map(Self::Retired).map_err(de::Error::custom);
        }
        let record = if value.get("facts").is_some() {
            let Current { facts, registered_at, administration, lost_since, claims } =
                serde_json::from_value(value).map_err(de::Error::custom)?;
            NodeRecord { facts, registered_at, administration, lost_since, claims }
        } else {
            // The first version stored nothing but the facts.
            let facts = serde_json::from_value(value).map_err(de::Error::custom)?;
            let administration = Administration::Active;
            NodeRecord { facts, registered_at: None, administration, lost_since: None, claims: Claims::default() }
        };
        Ok(Self::Member(Box::new(record)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{AfterDrain, Drain};

    const FACTS: &str = r#"{"id":"c-S1","hostname":"h","address":"10.0.0.1","resources":{"cpus":1.5,"mem":64,"disk":0}}"#;

    #[test]
    fn records_of_every_version_are_read() {
        let NodeDocument::Member(old) = serde_json::from_str(FACTS).unwrap() else { panic!() };
        assert_eq!((old.administration, old.registered_at), (Administration::Active, None));
        let drain = Drain { since: Timestamp::EPOCH, deadline: Some(Timestamp::from_millis(9)), then: AfterDrain::Decommission };
        for administration in [
            Administration::Active,
            Administration::Deactivated { since: Timestamp::EPOCH, drained: true },
            Administration::Draining(drain),
        ] {
            let record = NodeRecord {
                administration,
                registered_at: Some(Timestamp::EPOCH),
                lost_since: Some(Timestamp::EPOCH),
                ..(*old).clone()
            };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<NodeDocument>(&text).unwrap(), NodeDocument::Member(Box::new(record)), "{text}");
        }
        let retired =
            RetiredNode { id: NodeId::parse("c-S1").unwrap(), hostname: "h".into(), retired_at: Timestamp::EPOCH, gone: true };
        let text = serde_json::to_string(&retired).unwrap();
        assert_eq!(serde_json::from_str::<NodeDocument>(&text).unwrap(), NodeDocument::Retired(retired));
        for text in ["1", "{}", r#"{"facts":{}}"#, r#"{"retiredAt":3}"#] {
            assert!(serde_json::from_str::<NodeDocument>(text).is_err(), "{text}");
        }
    }
}
