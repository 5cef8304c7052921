//! Connections of agents, whatever carries them.

use crate::handle::Input;
use orrery_core::assignment::{Down, PROTOCOL_VERSION, Up};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// The controller's end of one connection of an agent.
pub struct AgentLink {
    /// Orders to the agent. An agent that does not take them in time is cut off; it gets a snapshot
    /// when it comes back.
    pub down: mpsc::Sender<Down>,
    /// What the agent says. The first message must be [`Up::Register`].
    pub up: mpsc::Receiver<Up>,
}

static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

impl AgentLink {
    pub(crate) async fn serve(mut self, inbox: mpsc::Sender<Input>) {
        let link = NEXT_LINK.fetch_add(1, Ordering::Relaxed);
        let Some(Up::Register { protocol, facts, tasks }) = self.up.recv().await else {
            tracing::warn!("an agent did not begin with its registration; connection closed");
            return;
        };
        let node = facts.id.clone();
        if protocol > PROTOCOL_VERSION {
            tracing::info!(%node, protocol, "agent speaks a newer protocol; using {PROTOCOL_VERSION}");
        }
        tracing::info!(%node, tasks = tasks.len(), "agent registered");
        if inbox.send(Input::Register { facts, tasks, link, down: self.down }).await.is_err() {
            return;
        }
        while let Some(message) = self.up.recv().await {
            let input = match message {
                Up::Reports { tasks } => Input::Reports { node: node.clone(), link, tasks },
                Up::Register { .. } | Up::Heartbeat => continue,
                Up::Goodbye => break,
            };
            if inbox.send(input).await.is_err() {
                return;
            }
        }
        // The leader is gone when this fails, and with it the need to tell.
        let _ = inbox.send(Input::Lost { node, link }).await;
    }
}
