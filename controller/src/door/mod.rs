//! The HTTP door: every interface on one port, each at its old path.
//!
//! Reads come from the published snapshot; changes go through the leader's handle. Handlers decode,
//! call and encode; what the formats mean lives in the `api` crate.

mod acs;
mod agents;
mod body;
mod cosmos;
mod cosmos_service;
mod forecast;
mod forward;
mod gate;
mod guard;
mod home;
mod linger;
mod link;
mod logs;
mod machines;
mod marathon;
mod mesos;
mod mesos_dns;
mod metadata;
mod native;
mod nodes;
mod vouch;

pub use agents::AgentDirectory;
pub use gate::{Admitted, Gate, guarded};
pub use linger::lingering;
pub use link::{LinkDoor, link_routes};
pub use machines::Machines;
pub use vouch::{FORWARDED_HEADER, NODE_HEADER, OPERATOR_HEADER, SERIAL_HEADER, vouch};

use crate::catalog::CatalogService;
use crate::handle::Handle;
use axum::Router;
use orrery_core::Timestamp;
use orrery_net::ZoneHandle;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// Facts about this cluster that handlers show.
#[derive(Debug, Clone)]
pub struct ClusterFacts {
    /// Name for people.
    pub name: String,
    /// Address of the door.
    pub address: SocketAddr,
    /// Address of the DNS server.
    pub dns: SocketAddr,
    /// Where it asks for names outside the cluster.
    pub dns_upstreams: Vec<SocketAddr>,
    /// When this controller started.
    pub started_at: Timestamp,
}

impl Door {
    /// Where the leader's door is; of this controller while nobody is known to lead.
    fn leader_address(&self) -> SocketAddr {
        self.handle.leader().map_or(self.facts.address, |leader| leader.controller.address)
    }
}

/// What handlers work with.
#[derive(Clone)]
pub struct Door {
    /// The leader.
    pub handle: Handle,
    /// The catalog.
    pub catalog: Arc<CatalogService>,
    /// Published names.
    pub zone: ZoneHandle,
    /// Agents' own HTTP services.
    pub agents: Arc<AgentDirectory>,
    /// Facts.
    pub facts: Arc<ClusterFacts>,
    /// Content of a file that ships inside the program, by its name.
    pub asset: fn(&str) -> Option<Cow<'static, [u8]>>,
}

/// All routes.
pub fn router(door: Door) -> Router {
    let routes = Router::new()
        .merge(home::routes())
        .merge(metadata::routes())
        .merge(cosmos::routes())
        .merge(cosmos_service::routes())
        .merge(mesos::routes())
        .merge(mesos_dns::routes())
        .merge(agents::routes())
        .merge(logs::routes())
        .merge(forward::routes())
        .merge(forecast::routes())
        .merge(native::routes())
        .merge(nodes::routes())
        .merge(marathon::routes());
    routes
        .layer(axum::middleware::from_fn_with_state(door.handle.clone(), forward::to_leader))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(axum::middleware::from_fn(guard::local_only))
        .layer(axum::extract::DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .with_state(door)
}
