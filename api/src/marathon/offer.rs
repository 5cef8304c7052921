//! Offers that were not used, as `/v2/queue?embed=lastUnusedOffers` shows them: nodes that refuse an app,
//! with what is free there and why that will not do.

use orrery_core::app::Packing;
use orrery_core::cluster::Cluster;
use orrery_core::node::PortRanges;
use orrery_core::placement::{Ledger, NodeLoad};
use orrery_core::{App, Node, Scalar, Timestamp};
use serde_json::{Value, json};

/// Offers shown of each app.
pub const OFFERS_MAX: usize = 20;
/// Apps whose offers are shown in one answer; looking at each costs a look at every node.
pub const OFFERED_APPS_MAX: usize = 100;

/// Looks at nodes for apps that wait, on a ledger of its own.
#[derive(Debug)]
pub struct Offers<'a> {
    cluster: &'a Cluster,
    ledger: Ledger,
    left: usize,
    now: Timestamp,
}

impl<'a> Offers<'a> {
    /// Costs the size of the cluster.
    pub fn new(cluster: &'a Cluster, now: Timestamp) -> Self {
        Self { cluster, ledger: Ledger::of(cluster), left: OFFERED_APPS_MAX, now }
    }

    /// Nodes that refuse `app` now; none when one takes it.
    pub fn unused(&mut self, app: &App) -> Value {
        if self.left == 0 {
            return json!([]);
        }
        self.left -= 1;
        self.ledger.watch(app, self.cluster);
        let (seats, _) = self.ledger.place_batch(app, 1, Packing::default(), 0);
        if !seats.is_empty() {
            return json!([]);
        }
        let refusing = self.ledger.refusing(&app.id, OFFERS_MAX);
        let offers = refusing.into_iter().filter_map(|(id, reason)| {
            let node = self.cluster.nodes.get(&id)?;
            Some(json!({ "offer": self.offer(node), "reason": [reason], "timestamp": self.now }))
        });
        offers.collect()
    }

    fn offer(&self, node: &Node) -> Value {
        let role = &node.facts.role;
        let free = self.ledger.free_on(&node.facts.id);
        let load = self.cluster.loads.get(&node.facts.id);
        let own = free_custom(node, load);
        let amounts = free.amounts().chain(own.iter().map(|(name, amount)| (*name, *amount)));
        let scalars = amounts
            .map(|(name, amount)| json!({ "name": name, "role": role, "scalar": amount.to_f64(), "ranges": [], "set": [] }));
        let taken: Vec<u16> = load.into_iter().flat_map(|load| load.ports.iter().copied()).collect();
        let ranges = free_ports(&node.facts.resources.ports, &taken);
        let ranges: Vec<Value> = ranges.iter().map(|(begin, end)| json!({ "begin": begin, "end": end })).collect();
        let ports = (!ranges.is_empty()).then(|| json!({ "name": "ports", "role": role, "ranges": ranges, "set": [] }));
        let attributes = node.facts.attributes.iter().map(|(name, text)| json!({ "name": name, "text": text }));
        json!({
            "id": format!("{}-O{}", node.facts.id, self.cluster.generation),
            "agentId": node.facts.id,
            "hostname": node.facts.hostname,
            "resources": scalars.chain(ports).collect::<Vec<_>>(),
            "attributes": attributes.collect::<Vec<_>>(),
        })
    }
}

/// What is free of the resources with names of a node's own.
fn free_custom<'a>(node: &'a Node, load: Option<&NodeLoad>) -> Vec<(&'a str, Scalar)> {
    let held = node.claims.held().custom;
    let taken = |name: &str| {
        let amounts = [load.and_then(|load| load.custom.get(name)), held.get(name)];
        amounts.into_iter().flatten().copied().sum::<Scalar>()
    };
    let free = node.facts.resources.custom.iter().map(|(name, amount)| (name.as_str(), amount.minus_or_zero(taken(name))));
    free.filter(|(_, amount)| amount.is_positive()).collect()
}

/// What is free of the ports that are offered, as first and last ports; `taken` is in order.
fn free_ports(offered: &PortRanges, taken: &[u16]) -> Vec<(u32, u32)> {
    let mut free = Vec::new();
    for range in offered.ranges() {
        // Wide, so that there is one behind the last port.
        let (mut next, last) = (u32::from(range.begin), u32::from(range.end));
        let begin = taken.partition_point(|port| *port < range.begin);
        for port in taken[begin..].iter().copied().map(u32::from).take_while(|port| *port <= last) {
            if next < port {
                free.push((next, port - 1));
            }
            next = port + 1;
        }
        if next <= last {
            free.push((next, last));
        }
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_are_taken_are_not_offered() {
        let offered = PortRanges::new([(10, 20), (30, 30), (65_530, 65_535)]);
        for (taken, free) in [
            (&[][..], &[(10, 20), (30, 30), (65_530, 65_535)][..]),
            (&[5, 10, 12, 13, 25, 30], &[(11, 11), (14, 20), (65_530, 65_535)]),
            (&[20, 65_535], &[(10, 19), (30, 30), (65_530, 65_534)]),
        ] {
            assert_eq!(free_ports(&offered, taken), free, "{taken:?}");
        }
    }
}
