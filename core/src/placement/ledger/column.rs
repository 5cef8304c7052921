//! A number for each slot; copies share what has not changed since.

use std::sync::Arc;

/// Numbers of a page: one kilobyte is copied by the first change of a shared one.
const PAGE: usize = 256;

/// Numbers by slot. A copy takes one count of each page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    pages: Vec<Arc<[u32; PAGE]>>,
    len: usize,
}

impl Column {
    pub(crate) fn of(values: &[u32]) -> Self {
        let page = |values: &[u32]| {
            let mut page = [0; PAGE];
            page[..values.len()].copy_from_slice(values);
            Arc::new(page)
        };
        Self { pages: values.chunks(PAGE).map(page).collect(), len: values.len() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// That of a slot; none beyond the last one.
    pub(crate) fn get(&self, slot: u32) -> Option<u32> {
        let slot = slot as usize;
        (slot < self.len).then(|| self.pages[slot / PAGE][slot % PAGE])
    }

    /// Says something else of a slot that there is; what was said before.
    pub(crate) fn replace(&mut self, slot: u32, value: u32) -> u32 {
        let slot = slot as usize;
        let before = self.pages[slot / PAGE][slot % PAGE];
        if before != value {
            Arc::make_mut(&mut self.pages[slot / PAGE])[slot % PAGE] = value;
        }
        before
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages.iter().flat_map(|page| page.iter().copied()).take(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_was_copied_from() {
        for len in [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE] {
            let values: Vec<u32> = (0..len as u32).collect();
            let column = Column::of(&values);
            assert_eq!((column.len(), column.get(len as u32)), (len, None));
            assert!(column.iter().eq(values.iter().copied()), "{len}");
            let mut other = column.clone();
            for slot in 0..len as u32 {
                assert_eq!(other.replace(slot, 7), slot);
                assert_eq!((other.get(slot), column.get(slot)), (Some(7), Some(slot)));
            }
            assert!(column.iter().eq(values) && other.iter().all(|value| value == 7));
        }
    }
}
