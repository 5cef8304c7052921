//! Which apps have names at, or below, a form.

use super::LABEL_MAX_BYTES;
use super::forms::{Forms, reversed};
use crate::AppId;
use imbl::OrdMap;
use std::ops::Bound;
use std::sync::Arc;

/// Apps by the forms of their names, whose labels stand in reverse order, so that what lies below a
/// name stands together. Changes cost O(log apps).
#[derive(Debug, Clone, Default)]
pub(super) struct AppIndex(OrdMap<Arc<str>, Arc<[AppId]>>);

/// A form of an app's name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed<'a> {
    /// The form, its labels in reverse order.
    pub(super) key: &'a str,
    pub(super) app: &'a AppId,
}

impl Indexed<'_> {
    /// The form as it stands in names.
    pub(super) fn form(&self) -> String {
        reversed(self.key)
    }

    /// Which of the app's forms it is: 0 the mangled label, 1 the discovery name.
    pub(super) fn number(&self) -> usize {
        usize::from(self.key.contains('.') || self.key.len() > LABEL_MAX_BYTES)
    }
}

impl AppIndex {
    pub(super) fn insert(&mut self, app: &AppId) {
        for form in Forms::of(app).iter() {
            let key = reversed(form);
            let held = self.0.get(key.as_str()).map(|apps| &**apps).unwrap_or_default();
            let Err(at) = held.binary_search(app) else { continue };
            let apps = held[..at].iter().chain([app]).chain(&held[at..]).cloned().collect();
            self.0.insert(key.into(), apps);
        }
    }

    pub(super) fn remove(&mut self, app: &AppId) {
        for form in Forms::of(app).iter() {
            let key = reversed(form);
            let Some(held) = self.0.get(key.as_str()) else { continue };
            let apps: Arc<[AppId]> = held.iter().filter(|held| *held != app).cloned().collect();
            if apps.is_empty() {
                self.0.remove(key.as_str());
            } else {
                self.0.insert(key.into(), apps);
            }
        }
    }

    /// The forms that are `key`.
    pub(super) fn at(&self, key: &str) -> impl Iterator<Item = Indexed<'_>> {
        self.0.get_key_value(key).into_iter().flat_map(indexed)
    }

    /// The forms one or more labels below `key`; every form for the empty key.
    pub(super) fn below(&self, key: &str) -> impl Iterator<Item = Indexed<'_>> + use<'_> {
        self.beginning(if key.is_empty() { String::new() } else { format!("{key}.") })
    }

    /// The forms that begin with `prefix`.
    pub(super) fn beginning(&self, prefix: String) -> impl Iterator<Item = Indexed<'_>> + use<'_> {
        let range = self.0.range::<_, str>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        range.take_while(move |(key, _)| key.starts_with(&prefix)).flat_map(indexed)
    }
}

fn indexed<'a>((key, apps): (&'a Arc<str>, &'a Arc<[AppId]>)) -> impl Iterator<Item = Indexed<'a>> {
    apps.iter().map(move |app| Indexed { key, app })
}
