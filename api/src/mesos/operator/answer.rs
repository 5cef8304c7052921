//! Answers to the calls that only read.

use super::call::CallType;
use super::schema::RESPONSE;
use super::views;
use super::wire::encode;
use crate::mesos::metrics::metrics;
use crate::mesos::{MasterFacts, version};
use orrery_core::Timestamp;
use orrery_core::cluster::Cluster;
use serde_json::{Map, Value, json};

/// The two forms of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Media {
    Json,
    Protobuf,
}

impl Media {
    /// The form that a Content-Type or Accept header names; JSON when it names any form. `None` for
    /// a form that is neither.
    pub fn parse(header: &str) -> Option<Self> {
        header.split(',').find_map(|entry| match entry.split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" | "application/*" | "*/*" | "" => Some(Self::Json),
            _ => None,
        })
    }

    /// The Content-Type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// The answer to a call that reads the state of the cluster, as JSON. `None` for calls that change
/// something, and for those that are not served.
pub fn answer(kind: CallType, facts: &MasterFacts, cluster: &Cluster, now: Timestamp) -> Option<Value> {
    let content = match kind {
        CallType::GetHealth => json!({ "healthy": true }),
        CallType::GetFlags => views::flags(facts),
        CallType::GetVersion => json!({ "version_info": version(facts) }),
        CallType::GetMetrics => {
            let metrics = metrics(facts, cluster, now).into_iter();
            json!({ "metrics": metrics.map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>() })
        }
        CallType::GetState => json!({
            "get_tasks": views::tasks(cluster),
            "get_executors": views::executors(),
            "get_frameworks": views::frameworks(facts, cluster),
            "get_agents": views::agents(facts, cluster),
        }),
        CallType::GetAgents => views::agents(facts, cluster),
        CallType::GetFrameworks => views::frameworks(facts, cluster),
        CallType::GetExecutors => views::executors(),
        CallType::GetTasks => views::tasks(cluster),
        CallType::GetRoles => views::roles(cluster),
        CallType::GetWeights => json!({ "weight_infos": crate::mesos::weights(cluster) }),
        CallType::GetMaster => views::master(facts),
        CallType::GetQuota => json!({ "status": crate::mesos::quota(cluster) }),
        _ => return None,
    };
    let mut answer = Map::new();
    answer.insert("type".into(), json!(kind.word()));
    answer.insert(kind.word().to_ascii_lowercase(), content);
    Some(Value::Object(answer))
}

/// The answer in protobuf.
pub fn to_protobuf(answer: &Value) -> Vec<u8> {
    encode(RESPONSE, answer)
}
