//! Whose instances are where, for affinities: counted for each selector that some app names.

use super::counted::Counted;
use super::fields::Fields;
use crate::app::{App, Selector};
use crate::hash::Map;
use std::collections::BTreeMap;

/// Selectors counted at a time; at the limit all are dropped and counted anew when asked for.
pub(crate) const SELECTORS_MAX: usize = 1024;

/// Instances with a seat that one selector, or one demand to stay away, is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    pub(crate) counted: Counted,
    /// When it last changed, by the ledger's count of changes.
    pub(crate) changed: u64,
}

/// Whose census it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Home {
    /// Instances the selector means.
    Selected(Selector),
    /// Instances that want nobody of the selector with the same value of the field.
    Repelling(Selector, String),
}

/// All that are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Censuses {
    selected: BTreeMap<Selector, Census>,
    repelling: BTreeMap<Selector, BTreeMap<String, Census>>,
}

/// Selectors that mean an app: by its id, and by each of its labels.
fn selectors_of(app: &App) -> impl Iterator<Item = Selector> {
    let labels = app.labels.iter().map(|(key, value)| Selector::Label(format!("{key}={value}")));
    std::iter::once(Selector::App(app.id.clone())).chain(labels)
}

impl Censuses {
    /// Changes of what `taken` says, as one may be asked whether they have happened, and how often the app
    /// itself counts.
    pub(crate) fn state(taken: &[Involved]) -> Vec<(Home, u64, u32)> {
        taken.iter().map(|involved| (involved.home.clone(), involved.census.changed, involved.own)).collect()
    }

    /// Whether a selector is counted.
    pub(crate) fn knows(&self, selector: &Selector) -> bool {
        self.selected.contains_key(selector)
    }

    /// Makes room for so many more selectors, should none of them be known.
    pub(crate) fn make_room(&mut self, more: usize) {
        if self.selected.len() + more > SELECTORS_MAX {
            self.selected.clear();
        }
    }

    /// Starts to count a selector; `slots` are those of the instances it means now.
    pub(crate) fn start(&mut self, selector: Selector, slots: impl Iterator<Item = u32>, at: u64) {
        let mut counted: Map<u32, u32> = Map::default();
        slots.for_each(|slot| *counted.entry(slot).or_default() += 1);
        self.selected.insert(selector, Census { counted: Counted::of(counted), changed: at });
    }

    /// An instance of `app` took or gave up a seat.
    pub(crate) fn seat(&mut self, app: &App, slot: u32, more: bool, fields: &Fields, at: u64) {
        if !self.selected.is_empty() {
            for selector in selectors_of(app) {
                if let Some(census) = self.selected.get_mut(&selector) {
                    census.counted.count(slot, more, fields);
                    census.changed = at;
                }
            }
        }
        for rule in app.placement.anti_affinity.iter().filter(|rule| rule.weight.is_none()) {
            let by_field = self.repelling.entry(rule.selector.clone()).or_default();
            let census = by_field.entry(rule.field.clone()).or_default();
            census.counted.count(slot, more, fields);
            census.changed = at;
            if census.counted.is_empty() {
                by_field.remove(&rule.field);
                if by_field.is_empty() {
                    self.repelling.remove(&rule.selector);
                }
            }
        }
    }

    /// Takes out what decides where `app` may go: what its rules name, and who wants it away.
    pub(crate) fn take(&mut self, app: &App) -> Vec<Involved> {
        let rules = app.placement.affinity.iter().chain(&app.placement.anti_affinity);
        let mut selectors: Vec<&Selector> = rules.map(|rule| &rule.selector).collect();
        selectors.sort_unstable();
        selectors.dedup();
        let mut taken: Vec<Involved> = selectors
            .into_iter()
            .map(|selector| Involved {
                kept: self.selected.contains_key(selector),
                census: self.selected.remove(selector).unwrap_or_default(),
                own: u32::from(selector.selects(app)),
                home: Home::Selected(selector.clone()),
            })
            .collect();
        if !self.repelling.is_empty() {
            for selector in selectors_of(app) {
                for (field, census) in self.repelling.remove(&selector).into_iter().flatten() {
                    let own = app
                        .placement
                        .anti_affinity
                        .iter()
                        .filter(|rule| rule.weight.is_none() && rule.selector == selector && rule.field == field);
                    taken.push(Involved {
                        kept: true,
                        own: own.count() as u32,
                        census,
                        home: Home::Repelling(selector.clone(), field),
                    });
                }
            }
        }
        taken
    }

    /// Puts back what was taken out.
    pub(crate) fn put_back(&mut self, taken: Vec<Involved>) {
        for involved in taken.into_iter().filter(|involved| involved.kept) {
            match involved.home {
                Home::Selected(selector) => drop(self.selected.insert(selector, involved.census)),
                Home::Repelling(selector, field) => {
                    self.repelling.entry(selector).or_default().insert(field, involved.census);
                }
            }
        }
    }
}

/// A census that a batch looks at.
#[derive(Debug, Clone)]
pub(crate) struct Involved {
    pub(crate) home: Home,
    pub(crate) census: Census,
    /// How often an instance of the app itself is counted there.
    pub(crate) own: u32,
    /// Goes back when the batch is over.
    kept: bool,
}
