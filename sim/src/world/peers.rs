//! The way from one controller to another: the leader's stream, through the network.

use super::World;
use super::controllers::number_of;
use crate::chance::Chance;
use crate::network::Place;
use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use orrery_controller::{LeaderRecord, Peers, ReplicaStream};
use std::io::{Error, ErrorKind, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Frames that a connection holds.
const CONNECTION_FRAMES: usize = 64;
/// How long a connection that is not answered is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The peers of one controller.
pub(super) struct SimulatedPeers {
    world: World,
    number: usize,
    chance: Mutex<Chance>,
}

impl SimulatedPeers {
    pub(super) fn new(world: World, number: usize, chance: Chance) -> Self {
        Self { world, number, chance: Mutex::new(chance) }
    }
}

#[async_trait]
impl Peers for SimulatedPeers {
    async fn replica(&self, leader: &LeaderRecord) -> Result<ReplicaStream> {
        let other = number_of(&leader.controller.id).ok_or_else(|| Error::other("it is not there"))?;
        let (here, there) = (Place::Controller(self.number), Place::Controller(other));
        let network = &self.world.network;
        let delay = self.chance.lock().unwrap_or_else(PoisonError::into_inner).millis(1, 6);
        tokio::time::sleep(delay).await;
        if network.is_blocked(here, there) || network.is_blocked(there, here) {
            tokio::time::sleep(CONNECT_TIMEOUT).await;
            return Err(Error::other("it does not answer"));
        }
        if network.is_rejected(here, there) {
            return Err(Error::new(ErrorKind::ConnectionRefused, "something between refuses"));
        }
        // Who is dead, or has not begun to serve, does not listen.
        let handle = self.world.controllers()[other].handle();
        let handle = handle.ok_or_else(|| Error::new(ErrorKind::ConnectionRefused, "nothing listens there"))?;
        let mut stream = handle.replica().await.ok_or_else(|| Error::other("it does not lead"))?;
        let reset = network.connect(here, there);
        let (sender, received) = mpsc::channel::<Result<Bytes>>(CONNECTION_FRAMES);
        let pipe = network.pipe((there, here), CONNECTION_FRAMES, sender, reset, |frame| vec![frame]);
        tokio::spawn(async move {
            loop {
                let frame = tokio::select! {
                    biased;
                    () = pipe.closed() => return,
                    frame = stream.next() => frame,
                };
                let Some(frame) = frame else { return };
                if pipe.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(received)))
    }

    async fn forward(&self, _: &LeaderRecord, _: Request<Body>) -> Result<Response<Body>> {
        Err(Error::other("requests go their own way here"))
    }
}
