//! The trees that a batch goes by: which it needs, brought up to date.
//!
//! Trees of groups cost whoever uses them all changes since they were used last. Where a batch would find its
//! nodes soon enough in the order of all nodes, which everybody shares, it passes over some there instead, as
//! long as that costs batches like it less than the trees would have ([`Accounts`](super::account::Accounts)).
//! When it does not find them it is done again, with trees.

use super::Strategy;
use super::asks::Asks;
use super::batch;
use super::changes::Changes;
use super::claimed::Lens;
use super::cost::Cost;
use super::fields::Fields;
use super::rows::Rows;
use super::tree::Tree;
use super::trial::Trial;
use super::view::{Kind, Views};

/// Fields whose trees one batch follows; further ones are asked node by node.
const FIELDS_FOLLOWED_MAX: usize = 8;
/// A batch of fewer than one task for so many groups had better look among all nodes than at the first of each.
pub(crate) const GROUPS_A_TASK: usize = 4;
/// Operations on the first node of each of many groups, which looking among all nodes may cost at most.
const GROUP_COST: u64 = 3;
/// Nodes passed over for each task for which no trees are done without.
const PASSED_A_TASK: u64 = 4;
/// The order of all nodes serves everybody: what it costs to bring it up to date counts for one part in so many.
const SHARED: u64 = 2;

/// Trees a batch may follow; for packing used and empty nodes apart, and by shape.
pub(crate) struct Trees<'a> {
    /// All nodes, by role; none when no plan asks for them.
    pub(crate) all: Option<&'a Tree>,
    pub(crate) grouped: Vec<Grouped<'a>>,
    /// Field that groups nodes which are liked alike.
    pub(crate) class: Option<u32>,
    /// Fields that all nodes of a class have the same value of.
    pub(crate) shared: Vec<u32>,
    /// Most nodes are liked best, and are looked for among all.
    pub(crate) by_level: bool,
    /// How many of all nodes each stream may ask before trees are cheaper.
    pub(crate) budget: u64,
}

/// Where the nodes with some values of a field are found.
#[derive(Clone, Copy)]
pub(crate) struct Grouped<'a> {
    pub(crate) field: u32,
    pub(crate) tree: Option<&'a Tree>,
    pub(crate) way: Way,
}

/// How a batch comes to the nodes with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the trees of all values.
    Trees,
    /// By the tree of this one; there is none of others.
    Tree(u32),
    /// This one is looked for among all nodes, and others are nowhere.
    Among(u32),
    /// The first by its tree, the second among all nodes, and others are nowhere.
    Both(u32, u32),
}

impl Way {
    /// Whether the nodes with this value have a tree.
    pub(crate) fn has_tree(self, value: u32) -> bool {
        self == Self::Trees || self.tree() == Some(value)
    }

    /// Whether the nodes with this value are looked for among all.
    pub(crate) fn is_among(self, value: u32) -> bool {
        matches!(self, Self::Among(sought) | Self::Both(_, sought) if sought == value)
    }

    /// The only value with a tree.
    const fn tree(self) -> Option<u32> {
        match self {
            Self::Tree(value) | Self::Both(value, _) => Some(value),
            Self::Trees | Self::Among(_) => None,
        }
    }
}

/// What a batch may do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thrift {
    /// Trees of its own, where looking among all nodes is cheaper.
    Rents,
    /// Trees of what is liked less, where most nodes are.
    Keeps,
    /// Nothing.
    Buys,
}

/// Which trees a batch goes by.
pub(crate) struct Means {
    packs: bool,
    lens: Option<Lens>,
    fields: Vec<(u32, Way)>,
    all: bool,
    class: Option<u32>,
    by_level: bool,
    budget: u64,
    /// Trees that are done without, and what they would have cost.
    without: Vec<(Kind, u64)>,
    /// What may fail, by the trees it is about.
    tried: Vec<Kind>,
    /// What to try when it fails.
    next: Thrift,
}

impl Means {
    /// Chooses the means of a batch.
    pub(crate) fn of(trial: &Trial<'_>, asks: &Asks, views: &mut Views, changes: &Changes, count: usize, thrift: Thrift) -> Self {
        let (rows, fields, filter) = (&*trial.rows, trial.fields, &trial.filter);
        let (nodes, packs) = (rows.hot.len(), trial.strategy == Strategy::Binpack);
        let wishes = !filter.wishes.is_empty();
        // Of the joined fields the first that has few values is enough.
        let class = asks.classes.iter().copied().find(|number| fields.get(*number).has_large_groups(nodes));
        let mut means = Self {
            packs,
            lens: rows.lens(),
            fields: Vec::new(),
            all: false,
            class,
            by_level: false,
            budget: u64::MAX,
            without: Vec::new(),
            tried: Vec::new(),
            next: Thrift::Buys,
        };
        let groups = class.or(asks.classes.first().copied()).map_or(0, |class| fields.get(class).len());
        if thrift == Thrift::Rents && filter.wishes.are_met_by_most() && groups > GROUPS_A_TASK.saturating_mul(count) {
            let kind = Kind { field: asks.classes.first().copied(), ..means.kind_of_all() };
            if !views.accounts.pauses(&kind, fields.numbering) {
                (means.all, means.by_level, means.budget) = (true, true, groups as u64 * GROUP_COST);
                means.tried.push(kind);
                means.next = Thrift::Keeps;
                return means;
            }
        }
        let mut numbers: Vec<u32> = match (packs, wishes) {
            (_, true) => class.into_iter().collect(),
            (true, false) => Vec::new(),
            // A field with nearly a value per node is served by the counters alone.
            (false, false) => asks.demanded().filter(|number| fields.get(*number).has_few_values(nodes)).collect(),
        };
        numbers.sort_unstable();
        numbers.dedup();
        numbers.truncate(FIELDS_FOLLOWED_MAX);
        means.all = !wishes && (packs || !batch::is_led(filter, count, |number| numbers.contains(&number)));
        for number in numbers {
            let wanted = if thrift == Thrift::Buys { None } else { wanted(trial, asks, number) };
            let way = wanted.map_or(Way::Trees, |value| means.way(trial, views, changes, (number, value), count, thrift));
            means.fields.push((number, way));
        }
        means
    }

    /// How to come to the nodes with the value of a field that a batch asks for first.
    fn way(
        &mut self,
        trial: &Trial<'_>,
        views: &mut Views,
        changes: &Changes,
        (number, value): (u32, u32),
        count: usize,
        thrift: Thrift,
    ) -> Way {
        let numbering = trial.fields.numbering;
        let most = trial.fields.get(number).most();
        let [all, first] = [Way::Trees, Way::Tree(value)].map(|way| self.kind(number, way));
        let wishes = !trial.filter.wishes.is_empty();
        let own = if wishes { &first } else { &all };
        if thrift == Thrift::Rents
            && most == Some(value)
            && !views.accounts.pauses(&all, numbering)
            && self.rents(trial, views, changes, own, count)
        {
            self.tried.push(all);
            self.next = Thrift::Keeps;
            return Way::Among(value);
        }
        if !wishes || thrift == Thrift::Buys {
            return Way::Trees;
        }
        if thrift == Thrift::Keeps && most == Some(value) {
            return Way::Tree(value);
        }
        if thrift == Thrift::Rents && !views.accounts.pauses(&first, numbering) {
            self.tried.push(first);
            self.next = if most == Some(value) { Thrift::Buys } else { Thrift::Keeps };
            return Way::Tree(value);
        }
        // What is liked best is not enough.
        if let Some(rest) = most.filter(|rest| *rest != value) {
            let others = self.kind(number, Way::Tree(rest));
            if !views.accounts.pauses(&others, numbering) && self.rents(trial, views, changes, &all, count) {
                self.tried.push(others);
                return Way::Both(value, rest);
            }
        }
        Way::Trees
    }

    /// Whether a batch had better look among all nodes than bring trees of a kind up to date, and sees to it.
    fn rents(&mut self, trial: &Trial<'_>, views: &mut Views, changes: &Changes, kind: &Kind, count: usize) -> bool {
        let (rows, fields) = (&*trial.rows, trial.fields);
        let (seen, of_all) = (views.seen(kind, rows, fields), views.seen(&self.kind_of_all(), rows, fields));
        let cost = |kind: &Kind, from| Views::cost_since(kind, rows, fields, changes, from);
        let (this, worth) = views.accounts.worth(kind, fields.numbering, seen, |from| cost(kind, from));
        // Sooner or later somebody makes it.
        let shared = if self.all || of_all.is_none() { 0 } else { cost(&self.kind_of_all(), of_all) / SHARED };
        let rent = worth.saturating_sub(shared).min(cost(kind, None));
        if rent < PASSED_A_TASK.saturating_mul(count as u64) {
            return false;
        }
        (self.all, self.budget) = (true, self.budget.min(rent));
        self.without.push((kind.clone(), this));
        true
    }

    fn kind(&self, field: u32, way: Way) -> Kind {
        Kind { field: Some(field), only: way.tree(), packs: self.packs, lens: self.lens.clone() }
    }

    fn kind_of_all(&self) -> Kind {
        Kind { field: None, only: None, packs: self.packs, lens: self.lens.clone() }
    }

    /// Brings the trees up to date.
    pub(crate) fn ready(&self, views: &mut Views, rows: &Rows, fields: &Fields, changes: &Changes, cost: &mut Cost) {
        for (field, way) in self.fields.iter().filter(|(_, way)| !matches!(way, Way::Among(_))) {
            views.sync(&self.kind(*field, *way), rows, fields, changes, cost);
        }
        // The order of all nodes is kept up to date only when it may be needed.
        if self.all {
            views.sync(&self.kind_of_all(), rows, fields, changes, cost);
        }
    }

    /// The trees, which are up to date.
    pub(crate) fn trees<'a>(&self, views: &'a Views, asks: &Asks) -> Trees<'a> {
        let grouped = |(field, way): &(u32, Way)| {
            let tree = if let Way::Among(_) = way { None } else { views.get(&self.kind(*field, *way)) };
            Grouped { field: *field, tree, way: *way }
        };
        Trees {
            all: views.get(&self.kind_of_all()).filter(|_| self.all),
            grouped: self.fields.iter().map(grouped).collect(),
            class: self.class,
            shared: self.class.map_or_else(Vec::new, |class| asks.shared(class)),
            by_level: self.by_level,
            budget: self.budget,
        }
    }

    /// Notes how it went: what it took to bring trees up to date and how many nodes were asked in vain, or that
    /// it was not possible. What to try then.
    pub(crate) fn note(&self, views: &mut Views, numbering: u64, end: u64, spent: Option<(u64, u64)>) -> Thrift {
        let spent = spent.map(|(made, asked)| made / SHARED + asked);
        for kind in &self.tried {
            match spent {
                Some(_) => views.accounts.succeeded(kind, numbering),
                None => views.accounts.failed(kind, numbering),
            }
        }
        for (kind, this) in self.without.iter().filter(|_| spent.is_some()) {
            views.accounts.did_without(kind, numbering, end, *this, spent.unwrap_or_default());
        }
        self.next
    }
}

/// The value of a field with few, told by patterns alone, whose nodes a batch asks for first: that which a demand
/// lets in, or that of the nodes that are liked best, if they are all of one value.
fn wanted(trial: &Trial<'_>, asks: &Asks, number: u32) -> Option<u32> {
    let (field, filter) = (trial.fields.get(number), &trial.filter);
    if !field.is_coarse() {
        return None;
    }
    if filter.wishes.is_empty() {
        return filter.only_value(number);
    }
    let shared = asks.shared(number);
    let first = |value: u32| field.members[value as usize].first().map(|slot| (*slot, value));
    let accepted = (0..field.len() as u32).filter_map(first);
    let accepted = accepted.filter(|(slot, _)| !filter.refuses_by(trial.counts(), *slot, &shared));
    let mut by_dislike: Vec<(i64, u32)> = accepted.map(|(slot, value)| (trial.dislike(slot), value)).collect();
    by_dislike.sort_unstable();
    let is_alone = by_dislike.get(1).is_none_or(|(dislike, _)| *dislike > by_dislike[0].0);
    by_dislike.first().filter(|_| is_alone).map(|(_, value)| *value)
}
