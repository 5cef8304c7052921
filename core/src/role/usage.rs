//! What each role takes, kept up to date seat by seat.

use super::{Role, lineage, role_of, top_group};
use crate::node::{Bundle, Resources};
use crate::{App, AppId, Scalar};
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Sums of resources, scalars in thousandths; wide, so that nothing overflows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPUs, memory, disk and GPUs.
    columns: [i128; 4],
    /// Resources with names of their own; what comes to nothing is absent.
    custom: BTreeMap<String, i128>,
}

const NAMES: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

impl Amounts {
    /// What one task of `app` takes.
    pub fn of_task(app: &App) -> Self {
        let mut amounts = Self::default();
        amounts.add(&app.resources, [app.cpus, app.mem, app.disk_needed()], app.gpus, 1);
        amounts
    }

    /// Adds these `times`, which may be below 0.
    fn add(&mut self, custom: &BTreeMap<String, Scalar>, scalars: [Scalar; 3], gpus: u32, times: i128) {
        for (column, scalar) in self.columns.iter_mut().zip(scalars) {
            *column += i128::from(scalar.thousandths()) * times;
        }
        self.columns[3] += i128::from(gpus) * 1000 * times;
        for (name, amount) in custom {
            let sum = self.custom.entry(name.clone()).or_default();
            *sum += i128::from(amount.thousandths()) * times;
            if *sum == 0 {
                self.custom.remove(name);
            }
        }
    }

    /// Adds what a node offers.
    pub fn add_node(&mut self, resources: &Resources) {
        self.add(&resources.custom, [resources.cpus, resources.mem, resources.disk], resources.gpus, 1);
    }

    /// Adds `count` times a bundle.
    pub fn add_bundle(&mut self, bundle: &Bundle, count: u32) {
        self.add(&bundle.custom, [bundle.cpus, bundle.mem, bundle.disk], bundle.gpus, i128::from(count));
    }

    fn merge(&mut self, other: &Self, sign: i128) {
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            *column += more * sign;
        }
        for (name, more) in &other.custom {
            *self.custom.entry(name.clone()).or_default() += more * sign;
        }
    }

    /// Cpus, memory and disk in thousandths, GPUs whole.
    pub fn of_columns([cpus, mem, disk, gpus]: [i128; 4]) -> Self {
        Self { columns: [cpus, mem, disk, gpus * 1000], custom: BTreeMap::new() }
    }

    /// Thousandths of a resource.
    pub fn get(&self, name: &str) -> i128 {
        match NAMES.iter().position(|have| *have == name) {
            Some(column) => self.columns[column],
            None => self.custom.get(name).copied().unwrap_or(0),
        }
    }

    /// Resources with names of their own, in thousandths.
    pub fn named(&self) -> impl Iterator<Item = (&str, i128)> {
        self.custom.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    fn is_empty(&self) -> bool {
        self.columns == [0; 4] && self.custom.is_empty()
    }

    /// The largest share of any of cpus, memory, disk and GPUs in `total`, in millionths.
    fn dominant_share(&self, total: &Self) -> i128 {
        let shares = self.columns.iter().zip(total.columns).filter(|(_, all)| *all > 0);
        shares.map(|(used, all)| used.max(&0).saturating_mul(1_000_000) / all).max().unwrap_or(0)
    }
}

/// What tasks with a seat take, by who is charged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// By the role an app names.
    by_role: BTreeMap<String, Amounts>,
    /// Of apps that name none, by their top-level group.
    by_group: BTreeMap<String, Amounts>,
    /// Sum of `by_group`.
    unnamed: Amounts,
}

/// Why fewer tasks may start than wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaReached {
    /// Tasks that may start.
    pub allowed: usize,
    /// Everything that the next one would exceed.
    pub exceeded: Vec<Exceeded>,
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub role: String,
    /// Of which resource.
    pub resource: String,
    /// The limit.
    pub limit: Scalar,
    /// How much more of it the next task would need.
    pub lack: Scalar,
}

impl Usage {
    /// So many tasks of `app` took their seats; below 0, gave them up.
    pub fn seats(&mut self, app: &App, times: i128) {
        // What keeps data is charged for what it holds, whether it runs or not.
        if !app.is_resident() {
            let scalars = [app.cpus, app.mem, app.disk];
            self.change(app.role.as_deref(), &app.id, &app.resources, scalars, app.gpus, times);
        }
    }

    /// Charges `role`, or the top-level group of `app`, for `bundle`, or gives it back.
    pub fn charge(&mut self, role: Option<&str>, app: &AppId, bundle: &Bundle, more: bool) {
        let scalars = [bundle.cpus, bundle.mem, bundle.disk];
        self.change(role, app, &bundle.custom, scalars, bundle.gpus, if more { 1 } else { -1 });
    }

    fn change(
        &mut self,
        role: Option<&str>,
        app: &AppId,
        custom: &BTreeMap<String, Scalar>,
        scalars: [Scalar; 3],
        gpus: u32,
        times: i128,
    ) {
        let (map, key) = if let Some(role) = role {
            (&mut self.by_role, role)
        } else {
            self.unnamed.add(custom, scalars, gpus, times);
            (&mut self.by_group, top_group(app))
        };
        if !map.contains_key(key) {
            map.insert(key.to_owned(), Amounts::default());
        }
        let Some(amounts) = map.get_mut(key) else { return };
        amounts.add(custom, scalars, gpus, times);
        if amounts.is_empty() {
            map.remove(key);
        }
    }

    /// What a role and those below it take.
    pub fn of_role(&self, role: &str, roles: &OrdMap<Arc<str>, Arc<Role>>) -> Amounts {
        let mut sum = Amounts::default();
        let from = self
            .by_role
            .range::<str, _>((Bound::Included(role), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(role));
        for (_, amounts) in from.filter(|(name, _)| name.len() == role.len() || name.as_bytes()[role.len()] == b'/') {
            sum.merge(amounts, 1);
        }
        let has_quota = |name: &str| roles.get(name).is_some_and(|role| role.is_charged());
        if role == super::ANY_ROLE {
            sum.merge(&self.unnamed, 1);
            let charged = roles.values().filter(|role| role.is_charged());
            charged.filter_map(|role| self.by_group.get(&role.name)).for_each(|amounts| sum.merge(amounts, -1));
        } else if let Some(amounts) = self.by_group.get(role).filter(|_| has_quota(role)) {
            sum.merge(amounts, 1);
        }
        sum
    }

    /// The dominant shares in `total` of the role of `app` and of those above it, the highest first, each by its
    /// weight: who has least is next (dominant resource fairness), first among the roles at the top, then among
    /// those below the same one (platform.md 2.9).
    pub fn weighted_shares(&self, app: &App, total: &Amounts, roles: &OrdMap<Arc<str>, Arc<Role>>) -> Vec<i128> {
        let share = |name| self.of_role(name, roles).dominant_share(total).saturating_mul(1000) / weight(name, roles);
        let mut shares: Vec<i128> = lineage(role_of(app, roles)).map(share).collect();
        shares.reverse();
        shares
    }

    /// By how much one task of `app` raises each of its [`Usage::weighted_shares`].
    pub fn weighted_step(app: &App, total: &Amounts, roles: &OrdMap<Arc<str>, Arc<Role>>) -> Vec<i128> {
        let task = Amounts::of_task(app).dominant_share(total).saturating_mul(1000);
        let mut steps: Vec<i128> = lineage(role_of(app, roles)).map(|name| (task / weight(name, roles)).max(1)).collect();
        steps.reverse();
        steps
    }

    /// How many of `count` tasks the quotas of the app's role and of those above it allow, when not all.
    pub fn quota(&self, app: &App, count: usize, roles: &OrdMap<Arc<str>, Arc<Role>>) -> Option<QuotaReached> {
        let need = Amounts::of_task(app);
        let mut limits: Vec<(&str, &String, Scalar, i128, i128)> = Vec::new();
        for name in lineage(role_of(app, roles)) {
            let Some(role) = roles.get(name).filter(|role| !role.limits.is_empty()) else { continue };
            let used = self.of_role(name, roles);
            let asked = role.limits.iter().map(|(resource, limit)| (resource, *limit, need.get(resource)));
            for (resource, limit, each) in asked.filter(|(.., each)| *each > 0) {
                limits.push((name, resource, limit, each, i128::from(limit.thousandths()) - used.get(resource)));
            }
        }
        let most =
            |(.., each, room): &(&str, &String, Scalar, i128, i128)| usize::try_from((room / each).max(0)).unwrap_or(usize::MAX);
        let allowed = limits.iter().map(most).min().filter(|allowed| *allowed < count)?;
        let next = allowed as i128 + 1;
        let exceeded = limits.into_iter().filter(|(.., each, room)| each.saturating_mul(next) > *room);
        let exceeded = exceeded.map(|(role, resource, limit, each, room)| {
            let lack = Scalar::from_thousandths(i64::try_from(each.saturating_mul(next) - room).unwrap_or(i64::MAX));
            Exceeded { role: role.to_owned(), resource: resource.clone(), limit, lack }
        });
        Some(QuotaReached { allowed, exceeded: exceeded.collect() })
    }
}

fn weight(role: &str, roles: &OrdMap<Arc<str>, Arc<Role>>) -> i128 {
    roles.get(role).map_or(1000, |role| i128::from(role.weight.thousandths()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str, role: Option<&str>, cpus: i64) -> App {
        let mut app = App::new(AppId::parse(id).unwrap());
        app.cpus = Scalar::from_units(cpus);
        app.role = role.map(Into::into);
        app
    }

    fn roles(list: &[(&str, i64, i64)]) -> OrdMap<Arc<str>, Arc<Role>> {
        let role = |(name, cpus, weight): &(&str, i64, i64)| {
            let limits = (*cpus > 0).then(|| ("cpus".to_owned(), Scalar::from_units(*cpus))).into_iter().collect();
            let role = Role { weight: Scalar::from_units(*weight), limits, ..Role::new((*name).into()) };
            (Arc::from(*name), Arc::new(role))
        };
        list.iter().map(role).collect()
    }

    #[test]
    fn children_are_charged_to_their_parents() {
        let roles = roles(&[("eng", 10, 1), ("eng/prod", 8, 1)]);
        let mut usage = Usage::default();
        let prod = app("/a", Some("eng/prod"), 2);
        (0..3).for_each(|_| usage.seats(&prod, 1));
        usage.seats(&app("/b", Some("engine"), 50), 1);
        assert_eq!(usage.of_role("eng", &roles).get("cpus"), 6_000);
        // Four cpus are left in eng, two in eng/prod.
        assert_eq!(usage.quota(&app("/c", Some("eng"), 2), 2, &roles), None);
        let reached = usage.quota(&prod, 5, &roles).unwrap();
        let over = |reached: &QuotaReached| {
            reached.exceeded.iter().map(|over| (over.role.clone(), over.lack)).collect::<Vec<(String, Scalar)>>()
        };
        assert_eq!((reached.allowed, over(&reached)), (1, vec![("eng/prod".into(), Scalar::from_units(2))]));
        // An app in the group of the same name is charged once the role has a quota.
        usage.seats(&app("/eng/web", None, 4), 1);
        let reached = usage.quota(&app("/eng/web", None, 1), 1, &roles).unwrap();
        assert_eq!((reached.allowed, over(&reached)), (0, vec![("eng".into(), Scalar::ONE)]));
        // Who is beyond several limits is told of all.
        let reached = usage.quota(&app("/p", Some("eng/prod"), 4), 1, &roles).unwrap();
        let both = vec![("eng/prod".into(), Scalar::from_units(2)), ("eng".into(), Scalar::from_units(4))];
        assert_eq!((reached.allowed, over(&reached)), (0, both));
        (0..3).for_each(|_| usage.seats(&prod, -1));
        assert_eq!(usage.of_role("eng/prod", &roles), Amounts::default());
    }

    #[test]
    fn who_has_least_by_weight_is_next() {
        let roles = roles(&[("heavy", 0, 4)]);
        let mut total = Amounts::default();
        total.add(&BTreeMap::new(), [Scalar::from_units(100), Scalar::from_units(100_000), Scalar::ZERO], 0, 1);
        let mut usage = Usage::default();
        usage.seats(&app("/a", Some("heavy"), 20), 1);
        usage.seats(&app("/b", Some("light"), 10), 1);
        let share = |role: &str| usage.weighted_shares(&app("/x", Some(role), 1), &total, &roles)[0];
        assert_eq!((share("heavy"), share("light"), share("new")), (50_000, 100_000, 0));
    }

    #[test]
    fn names_of_roles() {
        for name in ["*", "eng", "eng/prod"] {
            assert_eq!(super::super::name_fault(name), None, "{name}");
        }
        for name in ["", "a b", "/a", "a/", "a//b", "-a", ".", "a/../b", "*/a"] {
            assert!(super::super::name_fault(name).is_some(), "{name}");
        }
    }
}
