//! Which machine is which node.

use orrery_core::NodeId;
use orrery_link::stream::LinkState;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a machine whose connection has ended is expected back before another one may be its node.
const MACHINE_REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// The machine of each node that is connected, or was a moment ago. A second machine that shows the same
/// certificate has stolen it, or is a copy; one that was only cut off comes back, and two would run its tasks.
#[derive(Debug, Clone, Default)]
pub struct Machines(Arc<Mutex<HashMap<NodeId, Present>>>);

#[derive(Debug)]
struct Present {
    machine: String,
    link: LinkState,
    /// When the link ended.
    left: Option<Instant>,
}

/// Why a machine may not connect as a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Another one is heard.
    Now,
    /// Another one was, so long ago.
    Before(Duration),
}

/// Whether two machines may be one that has started anew: its data directory lies where it lay. A machine is told by
/// its boot, that place and its file system, with dots between them; agents of earlier versions tell all in one word.
fn is_one_place(one: &str, other: &str) -> bool {
    match (one.split('.').nth(1), other.split('.').nth(1)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

impl Taken {
    /// For people at the machine that is refused.
    pub(super) fn message(self, node: &NodeId) -> String {
        let known = match self {
            Self::Now => format!("node {node} is connected from another machine"),
            Self::Before(ago) => format!(
                "node {node} was heard from another machine {} s ago, and counts as cut off until {} s have passed",
                ago.as_secs(),
                MACHINE_REMEMBERED.as_secs()
            ),
        };
        format!(
            "{known}: this one is a copy of it or has its credentials; to make it a node of its own, move its \
             credentials.json away and join with a new token"
        )
    }
}

impl Present {
    fn keeps_out(&self, machine: &str) -> Option<Taken> {
        if self.machine == machine {
            return None;
        }
        if !self.link.has_ended() {
            return Some(Taken::Now);
        }
        let ago = self.left.map_or(Duration::ZERO, |left| left.elapsed());
        (!is_one_place(&self.machine, machine) && ago < MACHINE_REMEMBERED).then_some(Taken::Before(ago))
    }
}

impl Machines {
    /// Why `machine` may not connect as `node`, if it may not.
    pub(super) fn taken(&self, node: &NodeId, machine: &str) -> Option<Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(node)?.keeps_out(machine)
    }

    /// Takes note of a connection, unless another machine was quicker.
    pub(super) fn enter(&self, node: &NodeId, machine: String, link: LinkState) -> Result<(), Taken> {
        let mut machines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = machines.get(node).and_then(|present| present.keeps_out(&machine)) {
            return Err(taken);
        }
        machines.insert(node.clone(), Present { machine, link, left: None });
        Ok(())
    }

    /// A connection has ended, unless a newer one has taken its place. Those that ended long ago are forgotten.
    pub(super) fn leave(&self, node: &NodeId) {
        let mut machines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = machines.get_mut(node).filter(|present| present.link.has_ended()) {
            present.left.get_or_insert_with(Instant::now);
        }
        machines.retain(|_, present| present.left.is_none_or(|left| left.elapsed() < MACHINE_REMEMBERED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use orrery_core::assignment::{Down, Up};
    use orrery_link::stream::{self, LinkEnd, StreamOptions};

    #[tokio::test]
    async fn a_machine_is_expected_back_before_another_one_may_be_its_node() {
        let node = NodeId::parse("c-S4").unwrap();
        let machines = Machines::default();
        let silence = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let (_body, opening) = stream::open::<Down>(StreamOptions::CONTROLLER);
        let link = opening.receive::<Up, _>(Body::from_stream(silence));
        let first = link.state.clone();
        machines.enter(&node, "boot.place.dev".into(), first.clone()).unwrap();
        assert_eq!(machines.taken(&node, "boot.place.dev"), None);
        assert_eq!(machines.taken(&node, "boot.copy.dev"), Some(Taken::Now));
        first.end(LinkEnd::Left);
        machines.leave(&node);
        assert!(matches!(machines.taken(&node, "boot.copy.dev"), Some(Taken::Before(_))), "it was only cut off");
        for comes in ["boot.place.dev", "boot.place.other", "next.place.dev", "of-an-earlier-version"] {
            assert_eq!(machines.taken(&node, comes), None, "{comes}");
        }
        let text = Taken::Before(Duration::from_secs(7)).message(&node);
        assert!(text.contains("7 s ago") && text.contains("300 s"), "{text}");
    }
}
