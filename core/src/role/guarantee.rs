//! Guarantees: what is held back for roles that do not use all of theirs yet.

use super::{Amounts, Role, Usage, lineage, role_of};
use crate::{App, Scalar};
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why fewer tasks may start than there is room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Tasks that may start.
    pub allowed: usize,
    /// The resource.
    pub resource: String,
    /// How much of it is held back for others.
    pub amount: Scalar,
    /// For whom, the largest first, at most three.
    pub roles: Vec<String>,
}

/// Roles named when something is held back.
const ROLES_NAMED: usize = 3;

impl Usage {
    /// How many of `count` tasks may start when `free` is what open nodes have left, when not all: the
    /// rest would take what is guaranteed to others.
    pub fn guaranteed(&self, app: &App, count: usize, free: &Amounts, roles: &OrdMap<Arc<str>, Arc<Role>>) -> Option<HeldBack> {
        let need = Amounts::of_task(app);
        let mut worst: Option<HeldBack> = None;
        for (resource, mut lacks) in self.unmet(Some(role_of(app, roles)), roles) {
            let each = need.get(resource);
            if each <= 0 {
                continue;
            }
            let held: i128 = lacks.iter().map(|(lack, _)| lack).sum();
            let allowed = usize::try_from(((free.get(resource) - held) / each).max(0)).unwrap_or(usize::MAX);
            if allowed < count && worst.as_ref().is_none_or(|worst| allowed < worst.allowed) {
                lacks.sort_unstable_by(|one, other| other.cmp(one));
                worst = Some(HeldBack {
                    allowed,
                    resource: resource.to_owned(),
                    amount: Scalar::from_thousandths(i64::try_from(held).unwrap_or(i64::MAX)),
                    roles: lacks.iter().take(ROLES_NAMED).map(|(_, role)| (*role).to_owned()).collect(),
                });
            }
        }
        worst
    }

    /// What is held back for roles that do not use all of theirs yet, by resource and by the topmost role it is
    /// guaranteed to; nothing for `own` and those above it.
    fn unmet<'a>(&self, own: Option<&str>, roles: &'a OrdMap<Arc<str>, Arc<Role>>) -> BTreeMap<&'a str, Vec<(i128, &'a str)>> {
        let is_mine = |name: &str| own.is_some_and(|own| lineage(own).any(|mine| mine == name));
        // What tasks of the app's own role take counts for those above it.
        let others = roles.values().rev().filter(|role| !role.guarantees.is_empty() && !is_mine(&role.name));
        let mut unmet: BTreeMap<&str, Vec<(i128, &str)>> = BTreeMap::new();
        let mut below: BTreeMap<(&str, &str), i128> = BTreeMap::new();
        // In falling order those below come before those above, which hold back at least as much: what a role
        // as a whole has already may be in other hands than those it is guaranteed to.
        for role in others {
            let used = self.of_role(&role.name, roles);
            for (resource, guarantee) in &role.guarantees {
                let own_lack = i128::from(guarantee.thousandths()) - used.get(resource);
                let lack = own_lack.max(below.remove(&(&*role.name, &**resource)).unwrap_or(0));
                if lack <= 0 {
                    continue;
                }
                let covers = |name: &&str| roles.get(*name).is_some_and(|role| role.guarantees.contains_key(resource));
                match lineage(&role.name).skip(1).find(|name| covers(name) && !is_mine(name)) {
                    Some(above) => *below.entry((above, resource)).or_default() += lack,
                    None => unmet.entry(resource).or_default().push((lack, &role.name)),
                }
            }
        }
        unmet
    }
}

/// All that is guaranteed, by resource, in thousandths: what roles are guaranteed together, a role and those
/// below it once.
pub(crate) fn guaranteed_in_all(roles: &OrdMap<Arc<str>, Arc<Role>>) -> BTreeMap<&str, i128> {
    let lacks = Usage::default().unmet(None, roles);
    lacks.into_iter().map(|(resource, lacks)| (resource, lacks.iter().map(|(lack, _)| lack).sum())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AppId;

    #[test]
    fn unmet_guarantees_are_held_back_once() {
        let guarantee = |name: &str, cpus: i64| {
            let guarantees = BTreeMap::from([("cpus".to_owned(), Scalar::from_units(cpus))]);
            (Arc::from(name), Arc::new(Role { guarantees, ..Role::new(name.into()) }))
        };
        let roles: OrdMap<Arc<str>, Arc<Role>> =
            [guarantee("eng", 10), guarantee("eng/prod", 6), guarantee("web", 4)].into_iter().collect();
        let app = |id: &str, role: Option<&str>| {
            let mut app = App::new(AppId::parse(id).unwrap());
            app.role = role.map(Into::into);
            app
        };
        let mut usage = Usage::default();
        let mut free = Amounts::default();
        free.add_node(&crate::node::Resources { cpus: Scalar::from_units(15), ..Default::default() });
        let other = app("/x", None);
        let held = usage.guaranteed(&other, 9, &free, &roles).unwrap();
        assert_eq!((held.allowed, held.amount, held.roles.len()), (1, Scalar::from_units(14), 2), "eng holds back for eng/prod");
        assert_eq!(usage.guaranteed(&app("/p", Some("eng/prod")), 99, &free, &roles).unwrap().allowed, 11, "4 for web");
        // Who is beside eng/prod may not take the last of what is guaranteed to it.
        assert_eq!(usage.guaranteed(&app("/d", Some("eng/dev")), 99, &free, &roles).unwrap().allowed, 5);
        (0..10).for_each(|_| usage.seats(&app("/p", Some("eng/prod")), 1));
        assert_eq!(usage.guaranteed(&other, 11, &free, &roles), None);
        assert_eq!(usage.guaranteed(&other, 12, &free, &roles).unwrap().allowed, 11);
        // What others below eng take is not what eng/prod is guaranteed.
        let mut usage = Usage::default();
        (0..10).for_each(|_| usage.seats(&app("/d", Some("eng/dev")), 1));
        let held = usage.guaranteed(&other, 9, &free, &roles).unwrap();
        assert_eq!((held.allowed, held.amount), (5, Scalar::from_units(10)), "6 for eng/prod, 4 for web");
    }
}
