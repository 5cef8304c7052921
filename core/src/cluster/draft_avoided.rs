//! Nodes on which starting an app failed before its process ran: a full disk, an engine that is broken, no way to
//! an image. The least loaded node would be such a one again and again, since nothing ever runs there.

use super::draft::Draft;
use crate::app::App;
use crate::assignment::{FailureReason, TaskReport};
use crate::instance::Seat;
use crate::node::NodeId;
use crate::{AppId, Timestamp};
use imbl::OrdMap;
use std::sync::Arc;

/// How long an app avoids such a node while others take it, milliseconds.
const AVOIDED_MS: i64 = 10 * 60_000;
/// Most nodes that one app avoids: where more fail it is no fault of theirs.
const NODES_MAX: usize = 64;
/// With so many apps those that are gone are forgotten.
const APPS_MAX: usize = 1_000;

impl Draft {
    /// Notes how a task ended on a node; if it could not be started, its app avoids the node for a while.
    pub(super) fn note_start(&mut self, node: &NodeId, app: &AppId, report: &TaskReport) {
        let failed = matches!(
            report.reason,
            Some(FailureReason::LaunchFailed | FailureReason::FetchFailed | FailureReason::ImagePullFailed)
        );
        if !failed {
            return;
        }
        if self.cluster.avoided.len() >= APPS_MAX {
            let apps = &self.cluster.apps;
            self.cluster.avoided = self.cluster.avoided.iter().filter(|(id, _)| apps.contains_key(*id)).map(copied).collect();
        }
        let mut nodes = self.avoided_by(app);
        nodes.insert(node.clone(), self.now);
        if nodes.len() > NODES_MAX {
            nodes.clear();
        }
        self.cluster.avoided.insert(app.clone(), nodes);
    }

    /// Nodes that an app avoids now, and since when.
    fn avoided_by(&self, app: &AppId) -> OrdMap<NodeId, Timestamp> {
        let nodes = self.cluster.avoided.get(app).into_iter().flatten();
        nodes.filter(|(_, since)| self.now.millis_since(**since) < AVOIDED_MS).map(copied).collect()
    }

    /// Seats on nodes that the app does not avoid; none when it avoids none, or no other takes it.
    pub(super) fn seats_beside_avoided(&mut self, app: &Arc<App>, count: usize) -> Vec<Seat> {
        if self.cluster.avoided.is_empty() {
            return Vec::new();
        }
        let avoided: Vec<NodeId> = self.avoided_by(&app.id).into_iter().map(|(node, _)| node).collect();
        if avoided.is_empty() {
            self.cluster.avoided.remove(&app.id);
            return Vec::new();
        }
        let (salt, strategy) = (self.entropy.next_number(), app.placement.strategy.unwrap_or_default());
        self.ledger_for(app).place_beside(app, count, strategy, salt, &avoided)
    }
}

fn copied<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}
