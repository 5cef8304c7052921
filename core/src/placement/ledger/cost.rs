//! Operations counted: the same on every machine, so that cost laws can be tested.

/// What the engine did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Pages of trees visited by searches.
    pub visits: u64,
    /// Nodes asked whether they take the task.
    pub probes: u64,
    /// Pages of trees that were changed, or whose maxima were computed again.
    pub updates: u64,
    /// Rows and counters changed by seats taken and given back, tentatively or for good.
    pub seats: u64,
    /// Nodes put on or taken from a batch's heap.
    pub heap: u64,
    /// Attribute values, counters and rows looked at by set-up work and explanations.
    pub scans: u64,
}

impl Cost {
    /// All operations.
    pub const fn total(&self) -> u64 {
        self.visits + self.probes + self.updates + self.seats + self.heap + self.scans
    }

    /// Operations since `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            visits: self.visits - earlier.visits,
            probes: self.probes - earlier.probes,
            updates: self.updates - earlier.updates,
            seats: self.seats - earlier.seats,
            heap: self.heap - earlier.heap,
            scans: self.scans - earlier.scans,
        }
    }
}
