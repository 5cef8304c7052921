//! Instances counted by node and, on demand, by value of a field.

use super::cost::Cost;
use super::fields::Fields;
use super::tree::NONE;
use crate::hash::Map;

/// Some instances by slot, with counters by value that are made when first asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// Instances by slot.
    pub(crate) slots: Map<u32, u32>,
    counters: Vec<Counter>,
    /// Epoch of the fields that `counters` speak of.
    epoch: u64,
}

/// Counted instances by value of one field. Values without any are absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter {
    field: u32,
    pub(crate) counts: Map<u32, u32>,
}

impl Counter {
    pub(crate) fn placed(&self, value: u32) -> u32 {
        self.counts.get(&value).copied().unwrap_or(0)
    }
}

/// Adds one or takes one away; what comes to nothing is absent.
pub(crate) fn add(map: &mut Map<u32, u32>, key: u32, more: bool) {
    if more {
        *map.entry(key).or_default() += 1;
    } else if let Some(count) = map.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            map.remove(&key);
        }
    }
}

impl Counted {
    /// These instances.
    pub(crate) fn of(slots: Map<u32, u32>) -> Self {
        Self { slots, ..Self::default() }
    }

    /// Adds or takes away an instance.
    pub(crate) fn count(&mut self, slot: u32, more: bool, fields: &Fields) {
        add(&mut self.slots, slot, more);
        if self.epoch != fields.epoch {
            self.counters.clear();
        }
        for counter in &mut self.counters {
            let value = fields.get(counter.field).value(slot);
            if value != NONE {
                add(&mut counter.counts, value, more);
            }
        }
    }

    /// Makes sure there is a counter for the field; its index.
    pub(crate) fn counter(&mut self, field: u32, fields: &Fields, cost: &mut Cost) -> usize {
        if self.epoch != fields.epoch {
            self.counters.clear();
            self.epoch = fields.epoch;
        }
        if let Some(index) = self.counters.iter().position(|counter| counter.field == field) {
            return index;
        }
        let mut counter = Counter { field, counts: Map::default() };
        for (slot, count) in &self.slots {
            cost.scans += 1;
            let value = fields.get(field).value(*slot);
            if value != NONE {
                *counter.counts.entry(value).or_default() += count;
            }
        }
        self.counters.push(counter);
        self.counters.len() - 1
    }

    pub(crate) fn counter_at(&self, index: usize) -> &Counter {
        &self.counters[index]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
