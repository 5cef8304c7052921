//! What the apps of one run ask for.

use super::site::{self, ROLE};
use orrery_core::App;
use orrery_core::app::{Affinity, Constraint, Operator, Preference, Selector, SpreadRule};
use orrery_core::placement::Strategy;

/// What a mix is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The measure of the others.
    Basic,
    /// A fifth of the basic rate at least.
    Constrained,
    /// Batches of one: told, not judged.
    Single,
}

/// Apps of one kind.
#[derive(Clone, Copy)]
pub(super) struct Mix {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Most instances placed at a time.
    pub(super) batch: usize,
    /// Nodes keep something for a role.
    pub(super) is_reserved: bool,
    /// Quotas are asked before each batch.
    pub(super) has_quotas: bool,
    /// What app number so-and-so asks for, and of how many instances at most.
    pub(super) ask: fn(&mut App, u32),
}

const fn mix(name: &'static str, ask: fn(&mut App, u32)) -> Mix {
    let kind = Kind::Constrained;
    Mix { name, kind, batch: usize::MAX, is_reserved: false, has_quotas: false, ask }
}

fn constrain(app: &mut App, field: &str, operator: Operator, value: Option<&str>) {
    app.constraints = vec![Constraint { field: field.into(), operator, value: value.map(Into::into) }];
}

fn spread(app: &mut App, field: &str, maximum_skew: u32, weight: Option<u32>) {
    app.placement.spread = vec![SpreadRule { field: field.into(), maximum_skew, weight }];
}

fn prefer(app: &mut App, field: &str, value: String) {
    app.placement.prefer = vec![Preference { field: field.into(), operator: Operator::Like, value, weight: 10 }];
}

/// Towards or away from the app before it; the first of each pair is free.
fn neighbour(number: u32, field: &str, weight: Option<u32>) -> Vec<Affinity> {
    let before = site::id(number.saturating_sub(1)).ok().filter(|_| number % 2 == 1);
    before.into_iter().map(|id| Affinity { selector: Selector::App(id), field: field.into(), weight }).collect()
}

fn hosts(number: u32) -> String {
    format!("node-{}[0-9]*\\.example", number % 9 + 1)
}

pub(super) const BASIC: Mix = Mix { kind: Kind::Basic, ..mix("basic, spread", |_, _| {}) };
pub(super) const BINPACK: Mix =
    Mix { kind: Kind::Basic, ..mix("basic, binpack", |app, _| app.placement.strategy = Some(Strategy::Binpack)) };
pub(super) const UNIQUE_HOST: Mix = mix("UNIQUE hostname", |app, _| constrain(app, "hostname", Operator::Unique, None));
pub(super) const GROUP_BY_75: Mix = mix("GROUP_BY rack:75", |app, _| constrain(app, "rack", Operator::GroupBy, Some("75")));
pub(super) const SPREAD_RACK: Mix = mix("spread rack, maximumSkew 1", |app, _| spread(app, "rack", 1, None));
pub(super) const SPREAD_RACK_WISH: Mix = mix("spread rack, weight 5", |app, _| spread(app, "rack", 1, Some(5)));
const GROUP_BY: Mix = mix("GROUP_BY rack", |app, _| constrain(app, "rack", Operator::GroupBy, None));

/// Every operator of constraints.
pub(super) const OPERATORS: &[Mix] = &[
    UNIQUE_HOST,
    mix("UNIQUE rack, 75 instances", |app, _| {
        app.instances = app.instances.min(site::RACKS);
        constrain(app, "rack", Operator::Unique, None);
    }),
    GROUP_BY_75,
    GROUP_BY,
    mix("MAX_PER rack:14", |app, _| constrain(app, "rack", Operator::MaxPer, Some("14"))),
    mix("MAX_PER hostname:2", |app, _| constrain(app, "hostname", Operator::MaxPer, Some("2"))),
    mix("CLUSTER rack", |app, _| constrain(app, "rack", Operator::Cluster, None)),
    mix("LIKE rack", |app, _| constrain(app, "rack", Operator::Like, Some("r[1-6]."))),
    mix("UNLIKE rack", |app, _| constrain(app, "rack", Operator::Unlike, Some("r[56]."))),
    mix("LIKE hostname", |app, number| constrain(app, "hostname", Operator::Like, Some(&hosts(number)))),
    mix("IS disk", |app, _| constrain(app, "disk", Operator::Is, Some("ssd"))),
];

/// Every operator by turns, on three apps of ten.
pub(super) const MIXED: Mix = mix("every operator, 30 % of apps", |app, number| {
    if number % 10 < 3 {
        (OPERATORS[number as usize / 10 % OPERATORS.len()].ask)(app, number);
    }
});

/// Rules of the field `placement`, roles and priorities.
pub(super) const RULES: &[Mix] = &[
    SPREAD_RACK,
    SPREAD_RACK_WISH,
    mix("spread @zone, maximumSkew 2", |app, _| spread(app, "@zone", 2, None)),
    mix("prefer rack", |app, number| prefer(app, "rack", format!("r{}.*", number % 7 + 1))),
    mix("prefer hostname", |app, number| prefer(app, "hostname", hosts(number))),
    mix("prefer rack, binpack", |app, number| {
        prefer(app, "rack", format!("r{}.*", number % 7 + 1));
        app.placement.strategy = Some(Strategy::Binpack);
    }),
    mix("prefer hostname, binpack", |app, number| {
        prefer(app, "hostname", hosts(number));
        app.placement.strategy = Some(Strategy::Binpack);
    }),
    mix("affinity hostname", |app, number| app.placement.affinity = neighbour(number, "hostname", None)),
    mix("affinity rack, weight 5", |app, number| app.placement.affinity = neighbour(number, "rack", Some(5))),
    mix("antiAffinity hostname", |app, number| app.placement.anti_affinity = neighbour(number, "hostname", None)),
    mix("antiAffinity rack, weight 5", |app, number| app.placement.anti_affinity = neighbour(number, "rack", Some(5))),
    mix("onePerNode", |app, _| app.placement.one_per_node = true),
    mix("a resource with a name", |app, _| {
        app.resources = [("licences".to_owned(), orrery_core::Scalar::ONE)].into();
    }),
    mix("priorities -10 to 10", |app, number| app.placement.priority = number.cast_signed() % 21 - 10),
    Mix { has_quotas: true, ..mix("100 roles with quotas", |app, number| app.role = Some(format!("team{}", number % 100))) },
    Mix { is_reserved: true, ..mix("reservations of others", |_, _| {}) },
    Mix {
        is_reserved: true,
        ..mix("reservations, half of the apps use them", |app, number| {
            app.role = number.is_multiple_of(2).then(|| ROLE.to_owned());
        })
    },
];

/// Instances one by one, as replacements of what died.
pub(super) const SINGLES: &[Mix] = &[
    single(Mix { name: "basic, one by one", ..BASIC }),
    single(Mix { name: "binpack, one by one", ..BINPACK }),
    single(Mix { name: "UNIQUE hostname, one by one", ..UNIQUE_HOST }),
    single(Mix { name: "GROUP_BY rack, one by one", ..GROUP_BY }),
    single(Mix { name: "spread rack, weight 5, one by one", ..SPREAD_RACK_WISH }),
];

const fn single(mix: Mix) -> Mix {
    Mix { kind: Kind::Single, batch: 1, ..mix }
}
