//! `/v2/info`.

use serde_json::{Value, json};

/// The Marathon whose interface this is; clients compare it.
pub const MARATHON_VERSION: &str = "1.11.0";

/// What `/v2/info` needs to know.
#[derive(Debug, Clone, Copy)]
pub struct InfoView<'a> {
    /// `host:port` of the leading controller, if there is one.
    pub leader: Option<&'a str>,
    /// Whether this controller leads.
    pub elected: bool,
    /// Id of the framework under which tasks are shown.
    pub framework_id: &'a str,
    /// Host name of this controller.
    pub hostname: &'a str,
    /// Port it serves.
    pub http_port: u16,
    /// Revision it was built from.
    pub build: &'a str,
}

/// The body of `/v2/info`.
pub fn info_json(view: &InfoView<'_>) -> Value {
    let mut info = json!({
        "name": "marathon",
        "version": MARATHON_VERSION,
        "buildref": view.build,
        "elected": view.elected,
        "frameworkId": view.framework_id,
        "marathon_config": marathon_config(view),
        "zookeeper_config": zookeeper_config(),
        "http_config": {"http_port": view.http_port},
    });
    if let Some(leader) = view.leader {
        info["leader"] = json!(leader);
    }
    info
}

/// Settings of the original that clients look at, with the values that are true here.
fn marathon_config(view: &InfoView<'_>) -> Value {
    let mut config = json!({
        "checkpoint": true,
        "decline_offer_duration": 120_000,
        "default_network_name": super::app::DEFAULT_NETWORK_NAME,
        "executor": "//cmd",
        "failover_timeout": 604_800,
        "features": ["vips", "task_killing", "external_volumes", "secrets", "gpu_resources"],
        "framework_name": "marathon",
        "ha": true,
        "hostname": view.hostname,
        "launch_token": 100,
        "launch_token_refresh_interval": 30_000,
        "leader_proxy_connection_timeout_ms": 5000,
        "leader_proxy_read_timeout_ms": 10_000,
        "local_port_max": orrery_core::cluster::SERVICE_PORT_LAST,
        "local_port_min": orrery_core::cluster::SERVICE_PORT_FIRST,
        "master": "zk://leader.mesos:2181/mesos",
        "max_instances_per_offer": 100,
        "mesos_bridge_name": "mesos-bridge",
    });
    let timers = json!({
        "mesos_leader_ui_url": "/mesos",
        "mesos_role": "*",
        "mesos_user": "root",
        "min_revive_offers_interval": 5000,
        "new_group_enforce_role": "off",
        "offer_matching_timeout": 3000,
        "on_elected_prepare_timeout": 180_000,
        "reconciliation_initial_delay": 15_000,
        "reconciliation_interval": 600_000,
        "revive_offers_for_new_apps": true,
        "revive_offers_repetitions": 3,
        "scale_apps_initial_delay": 15_000,
        "scale_apps_interval": 300_000,
        "store_cache": true,
        "task_launch_confirm_timeout": 300_000,
        "task_launch_timeout": 300_000,
        "task_lost_expunge_initial_delay": 300_000,
        "task_lost_expunge_interval": 30_000,
        "task_reservation_timeout": 20_000,
    });
    if let (Value::Object(config), Value::Object(timers)) = (&mut config, timers) {
        config.extend(timers);
    }
    config
}

fn zookeeper_config() -> Value {
    json!({
        "zk": "zk://leader.mesos:2181/marathon", "zk_compression": true, "zk_compression_threshold": 65_536,
        "zk_connection_timeout": 10_000, "zk_max_node_size": 1_024_000, "zk_max_versions": orrery_core::cluster::VERSIONS_MAX,
        "zk_session_timeout": 10_000, "zk_timeout": 10_000,
    })
}
