//! All fields that constraints name. Nodes may have thousands of attributes; only these cost.

use super::field::Field;
use super::source::Source;
use crate::hash::Map;
use crate::node::Node;
use std::sync::Arc;

/// Fields indexed at a time; at the limit all are dropped and indexed anew when needed.
pub(crate) const FIELDS_MAX: usize = 1024;

/// Fields made of verdicts at a time; further patterns are asked value by value.
const VERDICTS_MAX: usize = 128;

/// Fields by what they say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    numbers: Map<Source, u32>,
    verdicts: usize,
    list: Vec<Field>,
    /// Grows when fields and values are numbered anew.
    pub(crate) numbering: u64,
    /// Grows when counters by value may be wrong: numbered anew, or a node with tasks changed.
    pub(crate) epoch: u64,
}

impl Fields {
    /// A field by number.
    pub(crate) fn get(&self, number: u32) -> &Field {
        &self.list[number as usize]
    }

    /// A field by number, to evaluate patterns.
    pub(crate) fn get_mut(&mut self, number: u32) -> &mut Field {
        &mut self.list[number as usize]
    }

    /// Numbers of fields, indexing those that are new.
    pub(crate) fn index(&mut self, sources: &[Source], nodes: &[Option<Arc<Node>>]) -> Vec<u32> {
        let fresh = sources.iter().filter(|source| !self.numbers.contains_key(*source)).count();
        // Values are never forgotten one by one: a field that has seen far more than there are
        // nodes is dropped with the rest.
        let bloated = self.list.iter().any(|field| field.len() > 2 * nodes.len() + 1024);
        if bloated || (fresh > 0 && self.list.len() + fresh > FIELDS_MAX) {
            self.clear();
        }
        sources.iter().map(|source| self.number(source, nodes)).collect()
    }

    /// Whether there is room for one more field made of verdicts, or it is there.
    pub(crate) fn takes_verdict(&self, source: &Source) -> bool {
        self.verdicts < VERDICTS_MAX || self.numbers.contains_key(source)
    }

    fn number(&mut self, source: &Source, nodes: &[Option<Arc<Node>>]) -> u32 {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let mut field = Field::new(source);
        for (slot, node) in nodes.iter().enumerate() {
            field.note(slot as u32, node.as_deref());
        }
        let number = self.list.len() as u32;
        self.verdicts += usize::from(source.has_verdict());
        self.numbers.insert(source.clone(), number);
        self.list.push(field);
        number
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        *self = Self { epoch: self.epoch + 1, numbering: self.numbering + 1, ..Self::default() };
    }

    /// Notes a node in every field; `occupied` when instances have seats there.
    pub(crate) fn note(&mut self, slot: u32, node: Option<&Node>, occupied: bool) {
        let mut changed = false;
        for field in &mut self.list {
            changed |= field.note(slot, node);
        }
        self.epoch += u64::from(changed && occupied);
    }
}
