//! Amounts that are free on a node or needed by a task, one column per resource.

/// Most tasks on one node, so that the document of its assignments stays below what stores take
/// even with the longest ids.
pub const NODE_TASKS_MAX: usize = 1_500;

/// Scalars in thousandths; GPUs, ports and places for tasks whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Free {
    pub(crate) cpus: i64,
    pub(crate) mem: i64,
    pub(crate) disk: i64,
    pub(crate) gpus: u32,
    pub(crate) ports: u32,
    pub(crate) tasks: u32,
}

impl Free {
    pub(crate) const NOTHING: Self = Self { cpus: 0, mem: 0, disk: 0, gpus: 0, ports: 0, tasks: 0 };
    /// More than any node has.
    pub(crate) const MOST: Self =
        Self { cpus: i64::MAX, mem: i64::MAX, disk: i64::MAX, gpus: u32::MAX, ports: u32::MAX, tasks: u32::MAX };

    /// The columns that quotas know.
    pub(crate) fn columns(&self) -> [i64; 4] {
        [self.cpus, self.mem, self.disk, i64::from(self.gpus)]
    }

    /// Cpus and memory.
    pub(crate) const fn shape(&self) -> (i64, i64) {
        (self.cpus, self.mem)
    }

    /// Whether every column has at least what is needed.
    pub(crate) const fn covers(&self, need: &Self) -> bool {
        self.cpus >= need.cpus
            && self.mem >= need.mem
            && self.disk >= need.disk
            && self.gpus >= need.gpus
            && self.ports >= need.ports
            && self.tasks >= need.tasks
    }

    /// Whether these amounts can go without changing the maxima: each is less, or nothing.
    pub(crate) const fn is_inside(&self, most: &Self) -> bool {
        (self.cpus < most.cpus || self.cpus == 0)
            && (self.mem < most.mem || self.mem == 0)
            && (self.disk < most.disk || self.disk == 0)
            && (self.gpus < most.gpus || self.gpus == 0)
            && (self.ports < most.ports || self.ports == 0)
            && (self.tasks < most.tasks || self.tasks == 0)
    }

    /// The smaller of each column.
    pub(crate) fn min(&self, other: &Self) -> Self {
        Self {
            cpus: self.cpus.min(other.cpus),
            mem: self.mem.min(other.mem),
            disk: self.disk.min(other.disk),
            gpus: self.gpus.min(other.gpus),
            ports: self.ports.min(other.ports),
            tasks: self.tasks.min(other.tasks),
        }
    }

    /// The larger of each column.
    pub(crate) fn max(&self, other: &Self) -> Self {
        Self {
            cpus: self.cpus.max(other.cpus),
            mem: self.mem.max(other.mem),
            disk: self.disk.max(other.disk),
            gpus: self.gpus.max(other.gpus),
            ports: self.ports.max(other.ports),
            tasks: self.tasks.max(other.tasks),
        }
    }
}
