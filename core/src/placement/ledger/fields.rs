//! All fields that constraints name. Nodes may have thousands of attributes; only these cost.

use super::field::Field;
use super::hash::Map;
use crate::node::Node;

/// Fields indexed at a time; at the limit all are dropped and indexed anew when needed.
pub(crate) const FIELDS_MAX: usize = 1024;

/// Fields by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    numbers: Map<String, u32>,
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

    /// Numbers of the named fields, indexing those that are new.
    pub(crate) fn index<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str> + Clone,
        nodes: &[Option<std::sync::Arc<Node>>],
    ) -> Vec<u32> {
        let fresh = names.clone().filter(|name| !self.numbers.contains_key(*name)).count();
        // Values are never forgotten one by one: a field that has seen far more than there are
        // nodes is dropped with the rest.
        let bloated = self.list.iter().any(|field| field.len() > 2 * nodes.len() + 1024);
        if bloated || (fresh > 0 && self.list.len() + fresh > FIELDS_MAX) {
            self.clear();
        }
        names.map(|name| self.number(name, nodes)).collect()
    }

    fn number(&mut self, name: &str, nodes: &[Option<std::sync::Arc<Node>>]) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let mut field = Field::new(name);
        for (slot, node) in nodes.iter().enumerate() {
            field.note(slot as u32, node.as_deref());
        }
        let number = self.list.len() as u32;
        self.numbers.insert(name.to_owned(), number);
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
