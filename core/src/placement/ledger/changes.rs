//! Which slots changed, for those who follow.

/// A bounded log of changed slots; who falls behind it starts over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// Sequence number of the first entry.
    begin: u64,
    slots: Vec<u32>,
}

/// Entries kept beyond four per slot.
const SPARE: usize = 4096;

impl Changes {
    /// Notes a change; `slots` is how many slots there are.
    pub(crate) fn note(&mut self, slot: u32, slots: usize) {
        if self.slots.len() >= 4 * slots + SPARE {
            // The newer half stays, so that nobody who follows closely has to start over.
            let half = self.slots.len() / 2;
            self.slots.drain(..half);
            self.begin += half as u64;
        }
        self.slots.push(slot);
    }

    /// Changes from `seen` on; nothing when they are forgotten.
    pub(crate) fn since(&self, seen: u64) -> Option<&[u32]> {
        let skip = seen.checked_sub(self.begin)?;
        self.slots.get(skip as usize..)
    }

    /// Sequence number of the next entry.
    pub(crate) fn end(&self) -> u64 {
        self.begin + self.slots.len() as u64
    }
}
