//! Keeping the published names in step with the cluster.

use orrery_core::InstanceId;
use orrery_core::cluster::Cluster;
use orrery_core::dns::{Owner, master_records};
use orrery_net::ZoneHandle;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Tells the zone what is published; names follow from it when somebody asks for them.
pub(crate) struct Names(ZoneHandle);

impl Names {
    /// Names in `zone`.
    pub(crate) fn new(zone: ZoneHandle) -> Self {
        Self(zone)
    }

    /// Publishes the controllers, and which of them leads.
    pub(crate) fn masters(&self, masters: &[SocketAddr], leader: Option<SocketAddr>) {
        self.0.apply(Owner::Masters, master_records(masters, leader));
    }

    /// Publishes the names of `cluster`, which differs from the one before in the instances `touched`.
    /// Costs the apps of those and the nodes that changed.
    pub(crate) fn update(&self, cluster: &Cluster, touched: &BTreeSet<InstanceId>) {
        self.0.publish(cluster, touched);
    }

    /// Publishes the names of a cluster of which it is not known how it differs. Costs its apps.
    pub(crate) fn renew(&self, cluster: &Cluster) {
        self.0.publish_anew(cluster);
    }
}
