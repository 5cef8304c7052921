//! Offers that were not used, as `/v2/queue?embed=lastUnusedOffers` shows them: nodes that refuse an app,
//! with what is free there and why that will not do.

use orrery_core::app::Packing;
use orrery_core::cluster::Cluster;
use orrery_core::placement::Ledger;
use orrery_core::{App, Node, Timestamp};
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
        let free = self.ledger.free_on(&node.facts.id);
        let resources = free.amounts().map(
            |(name, amount)| json!({ "name": name, "role": node.facts.role, "scalar": amount.to_f64(), "ranges": [], "set": [] }),
        );
        let attributes = node.facts.attributes.iter().map(|(name, text)| json!({ "name": name, "text": text }));
        json!({
            "id": format!("{}-O{}", node.facts.id, self.cluster.generation),
            "agentId": node.facts.id,
            "hostname": node.facts.hostname,
            "resources": resources.collect::<Vec<_>>(),
            "attributes": attributes.collect::<Vec<_>>(),
        })
    }
}
