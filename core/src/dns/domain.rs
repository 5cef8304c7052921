//! The domains in which running tasks have names (platform.md 3.1 and 3.2).

use super::{CLUSTER_DOMAIN, MESOS_DOMAIN};

/// A domain of tasks, within which each framework has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// Where tasks can be reached.
    Mesos,
    /// The nodes of tasks.
    Slave,
    /// The nodes of tasks.
    AgentIp,
    /// The tasks' own addresses.
    ContainerIp,
    /// Where tasks can be reached.
    AutoIp,
}

impl Domain {
    pub(super) const ALL: [Self; 5] = [Self::Mesos, Self::Slave, Self::AgentIp, Self::ContainerIp, Self::AutoIp];
    /// Those that hold hosts only, under the mangled label.
    pub(super) const DIRECTORY: [Self; 3] = [Self::AgentIp, Self::ContainerIp, Self::AutoIp];

    /// The domain of a framework's tasks.
    pub(super) fn of(self, framework: &str) -> String {
        match self {
            Self::Mesos => format!("{framework}.{MESOS_DOMAIN}"),
            Self::Slave => format!("{framework}.slave.{MESOS_DOMAIN}"),
            Self::AgentIp => format!("{framework}.agentip.{CLUSTER_DOMAIN}"),
            Self::ContainerIp => format!("{framework}.containerip.{CLUSTER_DOMAIN}"),
            Self::AutoIp => format!("{framework}.autoip.{CLUSTER_DOMAIN}"),
        }
    }

    /// [`Domain::of`] for [`super::MARATHON`].
    pub(super) const fn of_marathon(self) -> &'static str {
        match self {
            Self::Mesos => "marathon.mesos",
            Self::Slave => "marathon.slave.mesos",
            Self::AgentIp => "marathon.agentip.dcos.thisdcos.directory",
            Self::ContainerIp => "marathon.containerip.dcos.thisdcos.directory",
            Self::AutoIp => "marathon.autoip.dcos.thisdcos.directory",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::MARATHON;

    #[test]
    fn marathons_domains() {
        for domain in Domain::ALL {
            assert_eq!(domain.of(MARATHON), domain.of_marathon());
        }
    }
}
