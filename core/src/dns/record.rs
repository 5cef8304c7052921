//! Records and who owns them.

use crate::{NodeId, TaskId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// What a record's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "DNS record types")]
pub enum RecordKind {
    A,
    Aaaa,
    Srv,
}

/// Where a service is: the data of an SRV record. Priority 0 and weight 1 throughout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// Name whose addresses are meant, without the final dot.
    pub target: Arc<str>,
    /// Port there.
    pub port: u16,
}

/// Data of a record. Orders by kind first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "DNS record types")]
pub enum RecordData {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv(Service),
}

impl RecordData {
    /// The type of the record.
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::A(_) => RecordKind::A,
            Self::Aaaa(_) => RecordKind::Aaaa,
            Self::Srv(_) => RecordKind::Srv,
        }
    }
}

impl From<IpAddr> for RecordData {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

/// A name and one thing it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Lower case, without the final dot.
    pub name: Arc<str>,
    /// What it stands for.
    pub data: RecordData,
}

/// Whose records they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A task.
    Task {
        /// The task.
        id: TaskId,
        /// Name of its framework, such as `marathon`.
        framework: Arc<str>,
    },
    /// A node.
    Node(NodeId),
    /// The masters.
    Masters,
}
