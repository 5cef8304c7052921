//! Ways from one controller to another.

use crate::election::LeaderRecord;
use crate::replica::ReplicaStream;
use async_trait::async_trait;
use axum::body::Body;
use http::{Request, Response};

/// Reaches other controllers. The real one speaks HTTP/2 ([`HttpPeers`](crate::HttpPeers)); a
/// simulation models it.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Opens the stream of what the leader publishes.
    ///
    /// # Errors
    /// The leader cannot be reached, or does not lead. [`std::io::ErrorKind::ConnectionRefused`] means that
    /// nothing listens at its address, and nothing else.
    async fn replica(&self, leader: &LeaderRecord) -> std::io::Result<ReplicaStream>;

    /// Hands a request on to the leader, bodies streaming both ways.
    ///
    /// # Errors
    /// The leader cannot be reached; whether it has seen the request is unknown.
    async fn forward(&self, leader: &LeaderRecord, request: Request<Body>) -> std::io::Result<Response<Body>>;
}

/// For a controller that is alone.
pub(crate) struct NoPeers;

#[async_trait]
impl Peers for NoPeers {
    async fn replica(&self, _: &LeaderRecord) -> std::io::Result<ReplicaStream> {
        Err(std::io::Error::other("there are no other controllers"))
    }

    async fn forward(&self, _: &LeaderRecord, _: Request<Body>) -> std::io::Result<Response<Body>> {
        Err(std::io::Error::other("there are no other controllers"))
    }
}
