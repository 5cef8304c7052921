//! Connections of agents, whatever carries them.

use crate::arrivals::Arrivals;
use crate::handle::Input;
use crate::liveness::Signs;
use orrery_core::assignment::{Down, PROTOCOL_VERSION, Up};
use std::sync::Arc;
use tokio::sync::mpsc::{self, error::TrySendError};

/// The controller's end of one connection of an agent.
pub struct AgentLink {
    /// Orders to the agent. An agent that does not take them in time is cut off; it gets a snapshot
    /// when it comes back.
    pub down: mpsc::Sender<Down>,
    /// What the agent says. The first message must be [`Up::Register`].
    pub up: mpsc::Receiver<Up>,
    /// Where signs of life are noted by whoever reads them, so that one which says nothing else wakes nobody.
    /// What comes through `up` is noted too.
    pub signs: Arc<Signs>,
}

impl AgentLink {
    /// Passes on what the agent says until either side ends. Signs of life go by memory, not by
    /// message.
    pub(crate) async fn serve(mut self, inbox: mpsc::Sender<Input>, link: u64, arrivals: Arrivals) {
        let signs = self.signs;
        let Some(Up::Register { protocol, facts, tasks }) = self.up.recv().await else {
            tracing::warn!("an agent did not begin with its registration; connection closed");
            return;
        };
        let node = facts.id.clone();
        if protocol > PROTOCOL_VERSION {
            tracing::info!(%node, protocol, "agent speaks a newer protocol; using {PROTOCOL_VERSION}");
        }
        tracing::info!(%node, tasks = tasks.len(), "agent registered");
        let arrival = arrivals.announce(&node);
        let registration = Input::Register { facts, tasks, link, down: self.down, signs: Arc::clone(&signs), arrival };
        if inbox.send(registration).await.is_err() {
            return;
        }
        let leader_gone = inbox.closed();
        tokio::pin!(leader_gone);
        loop {
            // A leader that is gone ends the connection, so that the agent looks for its successor.
            let message = tokio::select! {
                biased;
                () = &mut leader_gone => return,
                message = self.up.recv() => message,
            };
            let Some(message) = message else { break };
            signs.note();
            let input = match message {
                Up::Reports { tasks } => Input::Reports { node: node.clone(), link, tasks },
                Up::Destroyed { instances } => Input::Destroyed { node: node.clone(), link, instances },
                Up::Register { .. } | Up::Heartbeat => continue,
                Up::Goodbye => break,
            };
            match inbox.try_send(input) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(input)) => {
                    signs.wait(true);
                    if inbox.send(input).await.is_err() {
                        return;
                    }
                    signs.wait(false);
                }
            }
        }
        // The leader is gone when this fails, and with it the need to tell.
        let _ = inbox.send(Input::Lost { node, link }).await;
    }
}
