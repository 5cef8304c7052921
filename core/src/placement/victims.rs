//! Whom to stop on one node so that a more important task fits: a pure choice.

use crate::node::Bundle;
use crate::{AppId, InstanceId, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A task that may be stopped for another one.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its instance.
    pub id: InstanceId,
    /// `placement.priority` of its app.
    pub priority: i32,
    /// Whether it serves, so that stopping it takes from its app's budget.
    pub serving: bool,
    /// When it was given to the node: the youngest goes first.
    pub staged_at: Timestamp,
    /// What it takes.
    pub takes: Bundle,
    /// Its host ports.
    pub ports: Vec<u16>,
}

/// What a task needs and a node does not have.
#[derive(Debug, Clone, Default)]
pub struct Want {
    /// Scalars it needs.
    pub need: Bundle,
    /// What is free, or will be once stopping tasks have ended.
    pub room: Bundle,
    /// Host ports it needs that others hold.
    pub ports: BTreeSet<u16>,
}

/// How bad it is to stop these: their highest priority, how many, the sum of their priorities.
pub type Price = (i64, usize, i64);

/// The cheapest tenants whose end makes room, none when that is not enough. `allowed` is how many more
/// serving instances of each app may stop.
pub fn choose(want: &Want, tenants: &[Tenant], allowed: &BTreeMap<AppId, usize>) -> Option<(Price, Vec<InstanceId>)> {
    let mut order: Vec<&Tenant> = tenants.iter().collect();
    order.sort_by_key(|tenant| (tenant.priority, tenant.serving, Reverse(tenant.staged_at), tenant.id.clone()));
    let first = pick(want, &order, allowed)?;
    // The same ceiling with the largest first may need fewer.
    let ceiling = first.iter().map(|tenant| tenant.priority).max().unwrap_or(i32::MIN);
    order.retain(|tenant| tenant.priority <= ceiling);
    order.sort_by_key(|tenant| {
        let helps = relief(want, tenant);
        (Reverse(helps), tenant.priority, tenant.id.clone())
    });
    let picked = match pick(want, &order, allowed) {
        Some(second) if price(&second) < price(&first) => second,
        _ => first,
    };
    Some((price(&picked), picked.into_iter().map(|tenant| tenant.id.clone()).collect()))
}

fn price(picked: &[&Tenant]) -> Price {
    let priorities = picked.iter().map(|tenant| i64::from(tenant.priority));
    (priorities.clone().max().unwrap_or(i64::MIN), picked.len(), priorities.sum())
}

/// How much of what is short a tenant would give, in thousandths of it.
fn relief(want: &Want, tenant: &Tenant) -> i128 {
    let short = want.need.minus(&want.room);
    let part = |(name, lack): (&str, crate::Scalar)| {
        let gives = tenant.takes.amounts().find(|(have, _)| *have == name).map_or(0, |(_, amount)| amount.thousandths());
        i128::from(gives.min(lack.thousandths())) * 1000 / i128::from(lack.thousandths().max(1))
    };
    short.amounts().map(part).sum()
}

/// Takes tenants in order until there is room, then gives back those that turn out not to be needed,
/// the last and most important ones first.
fn pick<'a>(want: &Want, order: &[&'a Tenant], allowed: &BTreeMap<AppId, usize>) -> Option<Vec<&'a Tenant>> {
    let mut left = allowed.clone();
    let mut picked: Vec<&Tenant> = Vec::new();
    let in_the_way = |tenant: &Tenant| tenant.ports.iter().any(|port| want.ports.contains(port));
    let mut take = |tenant: &'a Tenant, picked: &mut Vec<&'a Tenant>| {
        let budget = left.entry(tenant.id.app().clone()).or_default();
        if tenant.serving && *budget == 0 {
            return false;
        }
        *budget -= usize::from(tenant.serving);
        picked.push(tenant);
        true
    };
    let held: BTreeSet<u16> = order.iter().flat_map(|tenant| &tenant.ports).copied().collect();
    if !want.ports.is_subset(&held) {
        return None;
    }
    for tenant in order.iter().filter(|tenant| in_the_way(tenant)) {
        if !take(tenant, &mut picked) {
            return None;
        }
    }
    for tenant in order.iter().filter(|tenant| !in_the_way(tenant)) {
        if fits(want, &picked) {
            break;
        }
        if relief(want, tenant) > 0 {
            take(tenant, &mut picked);
        }
    }
    if !fits(want, &picked) {
        return None;
    }
    for index in (0..picked.len()).rev() {
        if in_the_way(picked[index]) {
            continue;
        }
        let mut fewer = picked.clone();
        fewer.remove(index);
        if fits(want, &fewer) {
            picked = fewer;
        }
    }
    Some(picked)
}

fn fits(want: &Want, picked: &[&Tenant]) -> bool {
    let room = picked.iter().fold(want.room.clone(), |room, tenant| room.plus(&tenant.takes));
    want.need.minus(&room).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;
    use proptest::prelude::*;

    fn bundle(cpus: i64, mem: i64) -> Bundle {
        Bundle { cpus: Scalar::from_units(cpus), mem: Scalar::from_units(mem), ..Bundle::default() }
    }

    fn tenant(number: u128, priority: i32, serving: bool, cpus: i64, mem: i64) -> Tenant {
        let app = AppId::parse(&format!("/app{}", number % 3)).unwrap();
        Tenant {
            id: InstanceId::new(&app, uuid::Uuid::from_u128(number)),
            priority,
            serving,
            staged_at: Timestamp::from_millis(number as i64),
            takes: bundle(cpus, mem),
            ports: vec![31_000 + number as u16],
        }
    }

    fn numbers(found: Option<(Price, Vec<InstanceId>)>) -> Vec<u128> {
        let mut numbers: Vec<u128> = found.unwrap().1.iter().map(|id| id.uuid().as_u128()).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn the_least_important_and_fewest_go() {
        let plenty: BTreeMap<AppId, usize> = (0..3).map(|number| (AppId::parse(&format!("/app{number}")).unwrap(), 9)).collect();
        let want = Want { need: bundle(4, 0), room: bundle(1, 0), ports: BTreeSet::new() };
        let tenants = [tenant(1, -5, true, 1, 1), tenant(2, -5, true, 3, 1), tenant(3, 0, true, 4, 1), tenant(4, -5, true, 0, 9)];
        assert_eq!(
            numbers(choose(&want, &tenants, &plenty)),
            [2],
            "one of three cpus rather than several, or one of higher priority"
        );
        assert_eq!(numbers(choose(&want, &tenants[..1], &plenty).or(choose(&want, &tenants, &plenty))), [2]);
        assert!(choose(&want, &tenants[..1], &plenty).is_none(), "not enough");
        let none = BTreeMap::new();
        assert!(choose(&want, &tenants, &none).is_none(), "budgets are kept");
        let port = Want { ports: BTreeSet::from([31_001]), ..Want::default() };
        assert_eq!(numbers(choose(&port, &tenants, &plenty)), [1]);
        let strange = Want { ports: BTreeSet::from([9]), ..Want::default() };
        assert!(choose(&strange, &tenants, &plenty).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_cheaper_ceiling_and_no_victim_in_vain(
            drawn in proptest::collection::vec((-3i32..3, any::<bool>(), 0i64..5, 0i64..5), 0..9),
            need in (0i64..9, 0i64..9),
            budget in 0usize..3,
        ) {
            let tenants: Vec<Tenant> =
                drawn.iter().enumerate().map(|(number, draw)| tenant(number as u128, draw.0, draw.1, draw.2, draw.3)).collect();
            let allowed: BTreeMap<AppId, usize> = (0..3).map(|number| (AppId::parse(&format!("/app{number}")).unwrap(), budget)).collect();
            let want = Want { need: bundle(need.0, need.1), ..Want::default() };
            let within = |set: &[&Tenant]| allowed.iter().all(|(app, most)| {
                set.iter().filter(|tenant| tenant.serving && tenant.id.app() == app).count() <= *most
            });
            let mut ceiling: Option<i64> = None;
            for mask in 0..1u32 << tenants.len() {
                let set: Vec<&Tenant> = tenants.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, one)| one).collect();
                if fits(&want, &set) && within(&set) {
                    ceiling = Some(ceiling.map_or(price(&set).0, |best| best.min(price(&set).0)));
                }
            }
            let found = choose(&want, &tenants, &allowed);
            // Budgets can make the greedy choice miss a solution; it never invents one.
            if let Some((_, ids)) = &found {
                let set: Vec<&Tenant> = tenants.iter().filter(|tenant| ids.contains(&tenant.id)).collect();
                prop_assert!(fits(&want, &set) && within(&set));
                for skip in 0..set.len() {
                    let mut fewer = set.clone();
                    fewer.remove(skip);
                    prop_assert!(!fits(&want, &fewer), "a victim in vain");
                }
            }
            if budget >= 2 && tenants.len() <= 6 || drawn.iter().all(|draw| !draw.1) {
                prop_assert_eq!(found.map(|(price, _)| price.0), ceiling);
            }
        }
    }
}
