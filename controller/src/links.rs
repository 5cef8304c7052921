//! Connections of agents, whatever carries them.

use crate::handle::Input;
use crate::liveness::Signs;
use crate::shared::Shared;
use orrery_core::assignment::{CONTROLLERS_SINCE, Down, PROTOCOL_VERSION, Up};
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
    /// Passes on what the agent says until either side ends, and tells it which controllers there are whenever
    /// that changes. Signs of life go by memory, not by message.
    pub(crate) async fn serve(mut self, inbox: mpsc::Sender<Input>, shared: Arc<Shared>) {
        let (signs, link) = (self.signs, shared.next_link());
        let mut controllers = shared.controllers.subscribe();
        let Some(Up::Register { protocol, facts, tasks }) = self.up.recv().await else {
            tracing::warn!("an agent did not begin with its registration; connection closed");
            return;
        };
        let node = facts.id.clone();
        if protocol > PROTOCOL_VERSION {
            tracing::info!(%node, protocol, "agent speaks a newer protocol; using {PROTOCOL_VERSION}");
        }
        tracing::info!(%node, tasks = tasks.len(), "agent registered");
        let _listener = shared.audience.admit();
        let arrival = shared.arrivals.announce(&node);
        let down = self.down.downgrade();
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
                Ok(()) = controllers.changed(), if protocol >= CONTROLLERS_SINCE => {
                    controllers.mark_unchanged();
                    if let Some(down) = down.upgrade() {
                        // One that takes no orders is cut off, and told on its next connection.
                        let _ = down.try_send(Down::Controllers { urls: shared.controller_urls(&shared.me.url) });
                    }
                    continue;
                }
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
