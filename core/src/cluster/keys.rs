//! Layout of the store (design: decisions only, JSON that a person can read).

use crate::node::NodeId;
use crate::{AppId, Timestamp};

/// Prefix of every key.
pub const ROOT: &str = "/orrery/v1/";
/// Holds the epoch of the leader; compared in every transaction.
pub const EPOCH_KEY: &str = "/orrery/v1/epoch";
/// Says who leads: present for as long as the leader's lease lives.
pub const LEADER_KEY: &str = "/orrery/v1/leader";

/// Holds the id of the cluster, a JSON string.
pub const CLUSTER_ID: &str = "/orrery/v1/cluster/id";
/// Below it, a key for each controller that is there, with its lease.
pub const CONTROLLERS: &str = "/orrery/v1/controllers/";

pub(super) const BRAKE: &str = "/orrery/v1/cluster/brake";
pub(super) const REPOSITORIES: &str = "/orrery/v1/repositories";
pub(super) const APPS: &str = "/orrery/v1/apps";
pub(super) const VERSIONS: &str = "/orrery/v1/versions";
pub(super) const PACKAGES: &str = "/orrery/v1/packages";
pub(super) const DEPLOYMENTS: &str = "/orrery/v1/deployments/";
/// Pages of instances, by app.
pub const INSTANCES: &str = "/orrery/v1/instances";
pub(super) const NODES: &str = "/orrery/v1/nodes/";
pub(super) const FAILURES: &str = "/orrery/v1/failures";

/// Names may hold `/`, which is fine in keys: nothing is below a role.
pub(super) const ROLES: &str = "/orrery/v1/roles/";

pub(super) fn role(name: &str) -> String {
    format!("{ROLES}{name}")
}

pub(super) fn app(id: &AppId) -> String {
    format!("{APPS}{id}")
}

/// `!` cannot occur in ids, so that versions of `/a` never mix with those of `/a/b`.
pub(super) fn version(id: &AppId, version: Timestamp) -> String {
    format!("{VERSIONS}{id}!{version}")
}

pub(super) fn package(id: &AppId) -> String {
    format!("{PACKAGES}{id}")
}

pub(super) fn deployment(id: &str) -> String {
    format!("{DEPLOYMENTS}{id}")
}

/// A page of an app's instances, by its number.
pub(super) fn page(app: &AppId, number: u32) -> String {
    format!("{INSTANCES}{app}!{number:08x}")
}

/// What [`page`] wrote, behind [`INSTANCES`].
pub(super) fn parse_page(rest: &str) -> Option<(AppId, u32)> {
    let (app, number) = rest.rsplit_once('!')?;
    let number = u32::from_str_radix(number, 16).ok().filter(|_| number.len() == 8)?;
    Some((AppId::parse(app).ok()?, number))
}

pub(super) fn node(id: &NodeId) -> String {
    format!("{NODES}{id}")
}

pub(super) fn failure(id: &AppId) -> String {
    format!("{FAILURES}{id}")
}
