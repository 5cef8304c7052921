//! Calls: what a client asks for.

use super::wire::{Read, read};
use serde_json::{Map, Value, json};

macro_rules! call_types {
    ($($name:ident $word:literal $number:literal;)*) => {
        /// The calls that clients send; the words and numbers are those of Mesos.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are Mesos' words")]
        pub enum CallType { $($name),* }

        impl CallType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in JSON.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// The number in protobuf.
            pub const fn number(self) -> u64 {
                match self { $(Self::$name => $number),* }
            }
        }
    };
}

call_types! {
    GetHealth "GET_HEALTH" 1;
    GetFlags "GET_FLAGS" 2;
    GetVersion "GET_VERSION" 3;
    GetMetrics "GET_METRICS" 4;
    GetLoggingLevel "GET_LOGGING_LEVEL" 5;
    SetLoggingLevel "SET_LOGGING_LEVEL" 6;
    ListFiles "LIST_FILES" 7;
    ReadFile "READ_FILE" 8;
    GetState "GET_STATE" 9;
    GetAgents "GET_AGENTS" 10;
    GetFrameworks "GET_FRAMEWORKS" 11;
    GetExecutors "GET_EXECUTORS" 12;
    GetTasks "GET_TASKS" 13;
    GetRoles "GET_ROLES" 14;
    GetWeights "GET_WEIGHTS" 15;
    UpdateWeights "UPDATE_WEIGHTS" 16;
    GetMaster "GET_MASTER" 17;
    Subscribe "SUBSCRIBE" 18;
    ReserveResources "RESERVE_RESOURCES" 19;
    UnreserveResources "UNRESERVE_RESOURCES" 20;
    CreateVolumes "CREATE_VOLUMES" 21;
    DestroyVolumes "DESTROY_VOLUMES" 22;
    GetMaintenanceStatus "GET_MAINTENANCE_STATUS" 23;
    GetMaintenanceSchedule "GET_MAINTENANCE_SCHEDULE" 24;
    UpdateMaintenanceSchedule "UPDATE_MAINTENANCE_SCHEDULE" 25;
    StartMaintenance "START_MAINTENANCE" 26;
    StopMaintenance "STOP_MAINTENANCE" 27;
    GetQuota "GET_QUOTA" 28;
    SetQuota "SET_QUOTA" 29;
    RemoveQuota "REMOVE_QUOTA" 30;
    Teardown "TEARDOWN" 31;
    MarkAgentGone "MARK_AGENT_GONE" 32;
    GrowVolume "GROW_VOLUME" 34;
    ShrinkVolume "SHRINK_VOLUME" 35;
    UpdateQuota "UPDATE_QUOTA" 36;
    DrainAgent "DRAIN_AGENT" 37;
    DeactivateAgent "DEACTIVATE_AGENT" 38;
    ReactivateAgent "REACTIVATE_AGENT" 39;
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is asked for.
    pub kind: CallType,
    /// The message named like the call in small letters, as JSON; null when there is none. In
    /// protobuf only those of the calls that a client sends that way are read: `framework_id`
    /// (TEARDOWN) and `role` (REMOVE_QUOTA).
    pub arguments: Value,
}

/// A body that is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not JSON or not protobuf.
    #[error("the body is not a call: it cannot be read as {0}")]
    Unreadable(&'static str),
    /// Without `type`.
    #[error("Expecting 'type' to be present")]
    NoType,
    /// A type that Mesos does not have.
    #[error("{0} is not the type of a call")]
    UnknownType(String),
}

/// Reads a call from a body in protobuf or JSON.
///
/// # Errors
/// [`CallError`] when it is none.
pub fn decode(body: &[u8], is_protobuf: bool) -> Result<Call, CallError> {
    if is_protobuf { decode_protobuf(body) } else { decode_json(body) }
}

fn decode_json(body: &[u8]) -> Result<Call, CallError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| CallError::Unreadable("JSON"))?;
    let word = value.get("type").and_then(Value::as_str).ok_or(CallError::NoType)?;
    let kind = CallType::ALL.iter().copied().find(|kind| kind.word() == word);
    let kind = kind.ok_or_else(|| CallError::UnknownType(word.chars().take(80).collect()))?;
    let arguments = value.get(word.to_ascii_lowercase()).cloned().unwrap_or_default();
    Ok(Call { kind, arguments })
}

/// Number of the field that holds the arguments, for the calls whose arguments are read.
const REMOVE_QUOTA_FIELD: u64 = 15;
const TEARDOWN_FIELD: u64 = 16;

fn decode_protobuf(body: &[u8]) -> Result<Call, CallError> {
    let fields = read(body).ok_or(CallError::Unreadable("protobuf"))?;
    let number = fields.iter().rev().find_map(|field| match field {
        (1, Read::Int(number)) => Some(*number),
        _ => None,
    });
    let number = number.ok_or(CallError::NoType)?;
    let kind = CallType::ALL.iter().copied().find(|kind| kind.number() == number);
    let kind = kind.ok_or_else(|| CallError::UnknownType(number.to_string()))?;
    let message = |wanted: u64| {
        fields.iter().find_map(|field| match field {
            (number, Read::Bytes(bytes)) if *number == wanted => read(bytes),
            _ => None,
        })
    };
    let arguments = match kind {
        CallType::RemoveQuota => message(REMOVE_QUOTA_FIELD).and_then(|fields| Some(json!({ "role": text(&fields, 1)? }))),
        CallType::Teardown => message(TEARDOWN_FIELD).and_then(|fields| {
            let id = fields.iter().find_map(|field| match field {
                (1, Read::Bytes(bytes)) => read(bytes),
                _ => None,
            })?;
            Some(json!({ "framework_id": { "value": text(&id, 1)? } }))
        }),
        _ => None,
    };
    Ok(Call { kind, arguments: arguments.unwrap_or_default() })
}

fn text(fields: &[(u64, Read<'_>)], wanted: u64) -> Option<String> {
    fields.iter().find_map(|field| match field {
        (number, Read::Bytes(bytes)) if *number == wanted => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    })
}

impl Call {
    /// A text at a path of the arguments, such as `agent_id/value`.
    pub fn argument(&self, path: &str) -> Option<&str> {
        path.split('/').try_fold(&self.arguments, |value, key| value.get(key))?.as_str()
    }

    /// The body of this call in JSON.
    pub fn to_json(&self) -> Value {
        let mut call = Map::new();
        call.insert("type".into(), json!(self.kind.word()));
        if !self.arguments.is_null() {
            call.insert(self.kind.word().to_ascii_lowercase(), self.arguments.clone());
        }
        Value::Object(call)
    }
}
