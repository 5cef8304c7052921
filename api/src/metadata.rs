//! Small facts about the cluster at the paths of DC/OS' Admin Router (platform.md 4.1).

use orrery_core::cluster::Cluster;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The release of DC/OS whose interfaces these are. Clients refuse anything below 1.10
/// (clients.md, gotcha 8).
pub const DCOS_VERSION: &str = "2.2.0";

/// `/dcos-metadata/dcos-version.json`; `version` is ours.
pub fn dcos_version(version: &str) -> Value {
    json!({
        "version": DCOS_VERSION,
        "dcos-image-commit": format!("orrery-{version}"),
        "bootstrap-id": format!("orrery-{version}"),
        // Anything but "open" makes the command line look for enterprise plugins.
        "dcos-variant": "open",
    })
}

/// `/dcos-metadata/ui-config.json`. With the strategy "logrotate" old command lines read logs
/// through the files interface of the agents.
pub fn ui_config(cluster_id: &str) -> Value {
    json!({
        "uiConfiguration": {
            "plugins": {
                "authentication": { "enabled": false },
                "oauth": { "enabled": false },
                "tracking": { "enabled": false },
                "mesos": { "logging-strategy": "logrotate" },
            },
        },
        "clusterConfiguration": { "firstUser": false, "id": cluster_id },
    })
}

/// `/metadata`.
pub fn metadata(cluster_id: &str, address: IpAddr) -> Value {
    json!({ "PUBLIC_IPV4": address.to_string(), "CLUSTER_ID": cluster_id })
}

/// `/net/v1/nodes`: nodes and their addresses.
pub fn net_nodes(cluster: &Cluster) -> Value {
    let node = |node: &orrery_core::Node| {
        json!({
            "private_ip": node.facts.address.to_string(),
            "public_ips": [],
            "hostname": node.facts.hostname,
            "updated": node.since,
        })
    };
    cluster.nodes.values().map(|entry| node(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn versions_are_those_clients_ask_for() {
        let version = dcos_version("0.1.0");
        let (major, rest) = version["version"].as_str().unwrap().split_once('.').unwrap();
        let minor = rest.split('.').next().unwrap();
        assert!((major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap()) >= (1, 10));
        assert_eq!(version["dcos-variant"], "open");
        for key in ["dcos-image-commit", "bootstrap-id"] {
            assert_eq!(version[key], "orrery-0.1.0");
        }
    }

    #[test]
    fn shapes() {
        assert_eq!(ui_config("c1").pointer("/uiConfiguration/plugins/mesos/logging-strategy").unwrap(), "logrotate");
        assert_eq!(ui_config("c1").pointer("/clusterConfiguration/id").unwrap(), "c1");
        assert_eq!(metadata("c1", "10.0.0.9".parse().unwrap()), json!({ "PUBLIC_IPV4": "10.0.0.9", "CLUSTER_ID": "c1" }));
        assert_eq!(
            net_nodes(&fixture::cluster()),
            json!([{ "private_ip": "10.0.0.1", "public_ips": [], "hostname": "node1", "updated": "1970-01-01T00:08:20.000Z" }])
        );
    }
}
