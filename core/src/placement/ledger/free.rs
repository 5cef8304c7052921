//! Amounts that are free on a node or needed by a task, one column per resource.

/// Scalars in thousandths, GPUs and ports whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Free {
    pub(crate) cpus: i64,
    pub(crate) mem: i64,
    pub(crate) disk: i64,
    pub(crate) gpus: u32,
    pub(crate) ports: u32,
}

impl Free {
    /// Whether every column has at least what is needed.
    pub(crate) const fn covers(&self, need: &Self) -> bool {
        (self.cpus >= need.cpus)
            & (self.mem >= need.mem)
            & (self.disk >= need.disk)
            & (self.gpus >= need.gpus)
            & (self.ports >= need.ports)
    }

    /// The larger of each column.
    pub(crate) fn max(&self, other: &Self) -> Self {
        Self {
            cpus: self.cpus.max(other.cpus),
            mem: self.mem.max(other.mem),
            disk: self.disk.max(other.disk),
            gpus: self.gpus.max(other.gpus),
            ports: self.ports.max(other.ports),
        }
    }
}
