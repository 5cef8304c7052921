//! Fields and numbers of the answers (mesos.v1.master.Response of Mesos 1.11).

use super::wire::Kind::{Bool, Double, Enum, Int, Message as Sub, Text};
use super::wire::Message;

/// Numbers of the types of answers; they differ from those of the calls.
const RESPONSE_TYPE: &[(&str, u64)] = &[
    ("GET_HEALTH", 1),
    ("GET_FLAGS", 2),
    ("GET_VERSION", 3),
    ("GET_METRICS", 4),
    ("GET_STATE", 8),
    ("GET_AGENTS", 9),
    ("GET_FRAMEWORKS", 10),
    ("GET_EXECUTORS", 11),
    ("GET_TASKS", 12),
    ("GET_ROLES", 13),
    ("GET_WEIGHTS", 14),
    ("GET_MASTER", 15),
    ("GET_QUOTA", 18),
];

/// An answer to any call.
pub(super) const RESPONSE: Message = &[
    ("type", 1, Enum(RESPONSE_TYPE)),
    ("get_health", 2, Sub(&[("healthy", 1, Bool)])),
    ("get_flags", 3, Sub(&[("flags", 1, Sub(&[("name", 1, Text), ("value", 2, Text)]))])),
    ("get_version", 4, Sub(&[("version_info", 1, Sub(VERSION_INFO))])),
    ("get_metrics", 5, Sub(&[("metrics", 1, Sub(&[("name", 1, Text), ("value", 2, Double)]))])),
    ("get_state", 9, Sub(GET_STATE)),
    ("get_agents", 10, Sub(GET_AGENTS)),
    ("get_frameworks", 11, Sub(GET_FRAMEWORKS)),
    ("get_executors", 12, Sub(&[])),
    ("get_tasks", 13, Sub(GET_TASKS)),
    ("get_roles", 14, Sub(&[("roles", 1, Sub(ROLE))])),
    ("get_weights", 15, Sub(&[("weight_infos", 1, Sub(&[("weight", 1, Double), ("role", 2, Text)]))])),
    ("get_master", 16, Sub(GET_MASTER)),
    // A status without infos and configs: an empty message, but there.
    ("get_quota", 19, Sub(&[("status", 1, Sub(&[]))])),
];

const ID: Message = &[("value", 1, Text)];
const TIME: Message = &[("nanoseconds", 1, Int)];

const VERSION_INFO: Message =
    &[("version", 1, Text), ("build_date", 2, Text), ("build_time", 3, Double), ("build_user", 4, Text), ("git_tag", 7, Text)];

const GET_STATE: Message = &[
    ("get_tasks", 1, Sub(GET_TASKS)),
    ("get_executors", 2, Sub(&[])),
    ("get_frameworks", 3, Sub(GET_FRAMEWORKS)),
    ("get_agents", 4, Sub(GET_AGENTS)),
];

const GET_AGENTS: Message = &[("agents", 1, Sub(AGENT))];

const AGENT: Message = &[
    ("agent_info", 1, Sub(AGENT_INFO)),
    ("active", 2, Bool),
    ("version", 3, Text),
    ("pid", 4, Text),
    ("registered_time", 5, Sub(TIME)),
    ("reregistered_time", 6, Sub(TIME)),
    ("total_resources", 7, Sub(RESOURCE)),
    ("allocated_resources", 8, Sub(RESOURCE)),
    ("offered_resources", 9, Sub(RESOURCE)),
    ("capabilities", 10, Sub(&[("type", 1, Enum(&[("MULTI_ROLE", 1), ("HIERARCHICAL_ROLE", 2)]))])),
    ("deactivated", 12, Bool),
    ("drain_info", 13, Sub(DRAIN_INFO)),
    ("estimated_drain_start_time", 14, Sub(TIME)),
];

const DRAIN_INFO: Message = &[("state", 1, Enum(&[("DRAINING", 1), ("DRAINED", 2)])), ("config", 2, Sub(DRAIN_CONFIG))];

const DRAIN_CONFIG: Message = &[("max_grace_period", 1, Sub(&[("seconds", 1, Int), ("nanos", 2, Int)])), ("mark_gone", 2, Bool)];

const AGENT_INFO: Message = &[
    ("hostname", 1, Text),
    ("resources", 3, Sub(RESOURCE)),
    ("attributes", 5, Sub(ATTRIBUTE)),
    ("id", 6, Sub(ID)),
    ("port", 8, Int),
    ("domain", 10, Sub(DOMAIN)),
];

const VALUE_TYPE: &[(&str, u64)] = &[("SCALAR", 0), ("RANGES", 1), ("SET", 2), ("TEXT", 3)];
const SCALAR: Message = &[("value", 1, Double)];
const RANGES: Message = &[("range", 1, Sub(&[("begin", 1, Int), ("end", 2, Int)]))];

const RESOURCE: Message = &[
    ("name", 1, Text),
    ("type", 2, Enum(VALUE_TYPE)),
    ("scalar", 3, Sub(SCALAR)),
    ("ranges", 4, Sub(RANGES)),
    ("role", 6, Text),
    ("reservation", 8, Sub(&[("principal", 1, Text), ("labels", 2, Sub(LABELS))])),
    ("allocation_info", 11, Sub(&[("role", 1, Text)])),
];

const ATTRIBUTE: Message = &[("name", 1, Text), ("type", 2, Enum(VALUE_TYPE)), ("scalar", 3, Sub(SCALAR)), ("text", 5, Sub(ID))];

const NAME: Message = &[("name", 1, Text)];
const DOMAIN: Message = &[("fault_domain", 1, Sub(&[("region", 1, Sub(NAME)), ("zone", 2, Sub(NAME))]))];

const GET_FRAMEWORKS: Message = &[("frameworks", 1, Sub(FRAMEWORK))];

const FRAMEWORK: Message = &[
    ("framework_info", 1, Sub(FRAMEWORK_INFO)),
    ("active", 2, Bool),
    ("connected", 3, Bool),
    ("registered_time", 4, Sub(TIME)),
    ("allocated_resources", 9, Sub(RESOURCE)),
    ("offered_resources", 10, Sub(RESOURCE)),
    ("recovered", 11, Bool),
];

const FRAMEWORK_CAPABILITY: &[(&str, u64)] =
    &[("TASK_KILLING_STATE", 2), ("GPU_RESOURCES", 3), ("PARTITION_AWARE", 5), ("MULTI_ROLE", 6), ("REGION_AWARE", 8)];

const FRAMEWORK_INFO: Message = &[
    ("user", 1, Text),
    ("name", 2, Text),
    ("id", 3, Sub(ID)),
    ("failover_timeout", 4, Double),
    ("checkpoint", 5, Bool),
    ("hostname", 7, Text),
    ("webui_url", 9, Text),
    ("capabilities", 10, Sub(&[("type", 1, Enum(FRAMEWORK_CAPABILITY))])),
    ("roles", 12, Text),
];

const GET_TASKS: Message = &[("tasks", 2, Sub(TASK)), ("completed_tasks", 3, Sub(TASK)), ("unreachable_tasks", 5, Sub(TASK))];

const TASK_STATE: &[(&str, u64)] = &[
    ("TASK_STARTING", 0),
    ("TASK_RUNNING", 1),
    ("TASK_FINISHED", 2),
    ("TASK_FAILED", 3),
    ("TASK_KILLED", 4),
    ("TASK_LOST", 5),
    ("TASK_STAGING", 6),
    ("TASK_ERROR", 7),
    ("TASK_KILLING", 8),
    ("TASK_DROPPED", 9),
    ("TASK_UNREACHABLE", 10),
    ("TASK_GONE", 11),
    ("TASK_GONE_BY_OPERATOR", 12),
    ("TASK_UNKNOWN", 13),
];

const TASK: Message = &[
    ("name", 1, Text),
    ("task_id", 2, Sub(ID)),
    ("framework_id", 3, Sub(ID)),
    ("agent_id", 5, Sub(ID)),
    ("state", 6, Enum(TASK_STATE)),
    ("resources", 7, Sub(RESOURCE)),
    ("statuses", 8, Sub(TASK_STATUS)),
    ("status_update_state", 9, Enum(TASK_STATE)),
    ("labels", 11, Sub(LABELS)),
    ("discovery", 12, Sub(DISCOVERY)),
    ("container", 13, Sub(CONTAINER)),
    ("user", 14, Text),
];

const TASK_STATUS: Message = &[
    ("task_id", 1, Sub(ID)),
    ("state", 2, Enum(TASK_STATE)),
    ("message", 4, Text),
    ("agent_id", 5, Sub(ID)),
    ("timestamp", 6, Double),
    ("healthy", 8, Bool),
    ("source", 9, Enum(&[("SOURCE_MASTER", 0), ("SOURCE_AGENT", 1), ("SOURCE_EXECUTOR", 2)])),
    ("container_status", 13, Sub(CONTAINER_STATUS)),
];

const CONTAINER_STATUS: Message = &[("network_infos", 1, Sub(NETWORK_INFO)), ("container_id", 4, Sub(ID))];

const NETWORK_INFO: Message = &[
    ("labels", 4, Sub(LABELS)),
    ("ip_addresses", 5, Sub(&[("protocol", 1, Enum(&[("IPv4", 1), ("IPv6", 2)])), ("ip_address", 2, Text)])),
    ("name", 6, Text),
];

const LABELS: Message = &[("labels", 1, Sub(&[("key", 1, Text), ("value", 2, Text)]))];

const DISCOVERY: Message = &[
    ("visibility", 1, Enum(&[("FRAMEWORK", 0), ("CLUSTER", 1), ("EXTERNAL", 2)])),
    ("name", 2, Text),
    ("ports", 6, Sub(&[("ports", 1, Sub(PORT))])),
];

const PORT: Message = &[("number", 1, Int), ("name", 2, Text), ("protocol", 3, Text), ("labels", 5, Sub(LABELS))];

const CONTAINER: Message = &[
    ("type", 1, Enum(&[("DOCKER", 1), ("MESOS", 2)])),
    ("volumes", 2, Sub(VOLUME)),
    ("docker", 3, Sub(DOCKER)),
    ("mesos", 5, Sub(&[("image", 1, Sub(IMAGE))])),
    ("network_infos", 7, Sub(NETWORK_INFO)),
];

const VOLUME: Message = &[("container_path", 1, Text), ("host_path", 2, Text), ("mode", 3, Enum(&[("RW", 1), ("RO", 2)]))];

const DOCKER: Message = &[
    ("image", 1, Text),
    ("network", 2, Enum(&[("HOST", 1), ("BRIDGE", 2), ("NONE", 3), ("USER", 4)])),
    ("port_mappings", 3, Sub(&[("host_port", 1, Int), ("container_port", 2, Int), ("protocol", 3, Text)])),
    ("privileged", 4, Bool),
    ("parameters", 5, Sub(&[("key", 1, Text), ("value", 2, Text)])),
    ("force_pull_image", 6, Bool),
];

const IMAGE: Message = &[("type", 1, Enum(&[("APPC", 1), ("DOCKER", 2)])), ("docker", 3, Sub(NAME)), ("cached", 4, Bool)];

const ROLE: Message = &[("name", 1, Text), ("weight", 2, Double), ("frameworks", 3, Sub(ID)), ("resources", 4, Sub(RESOURCE))];

const GET_MASTER: Message = &[("master_info", 1, Sub(MASTER_INFO)), ("start_time", 2, Double), ("elected_time", 3, Double)];

const MASTER_INFO: Message = &[
    ("id", 1, Text),
    ("ip", 2, Int),
    ("port", 3, Int),
    ("pid", 4, Text),
    ("hostname", 5, Text),
    ("version", 6, Text),
    ("address", 7, Sub(&[("hostname", 1, Text), ("ip", 2, Text), ("port", 3, Int)])),
];
