//! The trees that a batch goes by: which it needs, brought up to date.
//!
//! Trees of groups cost whoever uses them all changes since they were used last. Where a batch would find its
//! nodes soon enough in the order of all nodes, which everybody shares, it passes over some there instead: as
//! long as all it has passed over costs less than the trees would, so that it never pays more than twice.

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
const SHARED: u64 = 4;

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
    /// How many nodes may be passed over among all before trees are cheaper.
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
}

impl Way {
    /// Whether the nodes with this value can be found, and not only among all.
    pub(crate) fn has_tree(self, value: u32) -> bool {
        self == Self::Trees || self == Self::Tree(value)
    }
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
}

impl Means {
    /// Chooses the means of a batch; `bought` when others were too dear.
    pub(crate) fn of(trial: &Trial<'_>, asks: &Asks, views: &Views, changes: &Changes, count: usize, bought: bool) -> Self {
        let (rows, fields, filter) = (&*trial.rows, trial.fields, &trial.filter);
        let (nodes, packs) = (rows.hot.len(), trial.strategy == Strategy::Binpack);
        let wishes = !filter.wishes.is_empty();
        // Of the joined fields the first that has few values is enough.
        let class = asks.classes.iter().copied().find(|number| fields.get(*number).has_large_groups(nodes));
        let groups = class.or(asks.classes.first().copied()).map_or(0, |class| fields.get(class).len());
        let by_level = !bought && filter.wishes.are_met_by_most() && groups > GROUPS_A_TASK.saturating_mul(count);
        let mut numbers: Vec<u32> = match (packs, wishes) {
            _ if by_level => Vec::new(),
            (_, true) => class.into_iter().collect(),
            (true, false) => Vec::new(),
            // A field with nearly a value per node is served by the counters alone.
            (false, false) => asks.demanded().filter(|number| fields.get(*number).has_few_values(nodes)).collect(),
        };
        numbers.truncate(FIELDS_FOLLOWED_MAX);
        let led = batch::is_led(filter, count, |number| numbers.contains(&number));
        let all = by_level || if packs { !wishes || class.is_none() } else { !wishes && !led };
        let mut means = Self { packs, lens: rows.lens(), fields: Vec::new(), all, class, by_level, budget: u64::MAX };
        if by_level {
            means.budget = groups as u64 * GROUP_COST;
        }
        for number in numbers {
            let wanted = if bought { None } else { wanted(trial, number, wishes) };
            let way = wanted.map_or(Way::Trees, |value| {
                let own = if wishes { Way::Tree(value) } else { Way::Trees };
                let cost = |kind: &Kind| views.cost(kind, changes);
                let shared = if means.all { 0 } else { cost(&means.kind_of_all()).min(Views::cost_anew(rows)) / SHARED };
                let rent = cost(&means.kind(number, own)).saturating_sub(shared);
                let is_worth = rent >= PASSED_A_TASK.saturating_mul(count as u64);
                if !is_worth || !fields.get(number).is_most(value) {
                    return own;
                }
                means.all = true;
                means.budget = means.budget.min(rent).min(Views::cost_anew(rows));
                Way::Among(value)
            });
            means.fields.push((number, way));
        }
        means
    }

    fn kind(&self, field: u32, way: Way) -> Kind {
        let only = if let Way::Tree(value) = way { Some(value) } else { None };
        Kind { field: Some(field), only, packs: self.packs, lens: self.lens.clone() }
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

    /// Notes what was spent instead of bringing trees up to date.
    pub(crate) fn note(&self, views: &mut Views, wishes: bool, spent: u64) {
        for (field, way) in &self.fields {
            if let Way::Among(value) = way {
                views.spend(&self.kind(*field, if wishes { Way::Tree(*value) } else { Way::Trees }), spent);
            }
        }
    }
}

/// The value of a field with few, told by patterns alone, whose nodes a batch asks for first.
fn wanted(trial: &Trial<'_>, number: u32, wishes: bool) -> Option<u32> {
    let field = trial.fields.get(number);
    if !field.is_coarse() {
        return None;
    }
    if !wishes {
        return trial.filter.only_value(number);
    }
    let first = |value: u32| field.members[value as usize].first().map(|slot| (trial.dislike(*slot), value));
    (0..field.len() as u32).filter_map(first).min().map(|(_, value)| value)
}
