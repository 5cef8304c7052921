//! Systems that are measured beside us. One that is not installed is said to be missing; nothing
//! fails for it.

mod etcd;
mod knot;
mod python;
mod swarm;

pub(crate) use etcd::Etcd;
pub(crate) use knot::Knot;
pub(crate) use python::catalog as python_catalog;
pub(crate) use swarm::Swarm;

use crate::report::Report;
use std::net::{Ipv4Addr, TcpListener};

/// Peers that several benches share.
#[derive(Default)]
pub(crate) struct Peers {
    swarm: SwarmState,
}

#[derive(Default)]
enum SwarmState {
    #[default]
    NotTried,
    Absent,
    Running(Box<Swarm>),
}

impl Peers {
    /// Docker Swarm, started when first asked for; `None` where it cannot run, which is said once.
    pub(crate) fn swarm(&mut self, report: &Report) -> Option<&mut Swarm> {
        if matches!(self.swarm, SwarmState::NotTried) {
            self.swarm = match Swarm::start() {
                Ok(swarm) => SwarmState::Running(Box::new(swarm)),
                Err(error) => {
                    report.note(&format!("Docker Swarm cannot run here, its recorded figures are quoted: {error:#}"));
                    SwarmState::Absent
                }
            };
        }
        match &mut self.swarm {
            SwarmState::Running(swarm) => Some(swarm),
            SwarmState::NotTried | SwarmState::Absent => None,
        }
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
