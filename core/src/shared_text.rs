//! The text of an id that many things name.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

/// A text whose copies share it; ordered like the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SharedText(Arc<str>);

impl SharedText {
    /// Whether the other is a copy of this very one; equal ones need not be.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Where it lies: the same for copies of this very one.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

impl Ord for SharedText {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most that are equal are copies of one, and need not be read.
        if self.is(other) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for SharedText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Into<Arc<str>>> From<T> for SharedText {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
