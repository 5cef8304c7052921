//! What to launch and what to stop for one app, now.

use crate::app::{KillSelection, Operator, UnreachableStrategy};
use crate::cluster::Target;
use crate::instance::{Condition, Goal};
use crate::node::{Drain, Node, NodeId};
use crate::{App, Instance, InstanceId, Scalar, Timestamp};
use imbl::OrdMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Lost nodes that are named to people; the list of nodes has the others.
const NODES_NAMED: usize = 3;

/// Why an instance is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// The app was removed.
    Removed,
    /// There are more instances than wanted.
    Surplus,
    /// It runs an older configuration.
    Outdated,
    /// Its node is being drained.
    Drained,
    /// It moves to balance the cluster.
    Moved,
    /// Its node is being drained and the time for it has run out.
    Overdue,
}

impl KillReason {
    /// For people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Removed => "the app was removed",
            Self::Surplus => "the app was scaled down",
            Self::Outdated => "the app was changed and a newer instance takes over",
            Self::Drained => "its node is being drained and it moves to another one",
            Self::Moved => "it moves to another node to balance the cluster",
            Self::Overdue => "its node is being drained and the deadline has passed",
        }
    }
}

/// What surrounds the app.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// An earlier step of its deployment is not finished.
    pub blocked: bool,
    /// Some of its instances wait because of a quota, or because no node takes them.
    pub stuck: bool,
    /// Nodes that are being emptied.
    pub draining: &'a OrdMap<NodeId, Drain>,
    /// Instances that move to other nodes to balance the cluster.
    pub moving: &'a OrdMap<InstanceId, Target>,
    /// Who took a seat in the place of an instance that has to leave its node.
    pub successors: &'a OrdMap<InstanceId, InstanceId>,
    /// The nodes, by whose values apps may be spread.
    pub nodes: &'a OrdMap<NodeId, Arc<Node>>,
    /// The present.
    pub now: Timestamp,
}

impl Circumstances<'_> {
    /// The drain that `instance` has to make way for. Nobody can move an instance whose node is lost.
    pub fn drain_of(&self, instance: &Instance) -> Option<Drain> {
        if self.draining.is_empty() || instance.condition == Condition::Unreachable {
            return None;
        }
        instance.node().and_then(|node| self.draining.get(node)).copied()
    }

    /// Whether the instance must be stopped now, come what may.
    pub(crate) fn is_overdue(&self, instance: &Instance) -> bool {
        self.drain_of(instance).and_then(|drain| drain.deadline).is_some_and(|deadline| deadline <= self.now)
    }

    /// Whether the instance moves to another node. One with data on its node cannot, it stays to the
    /// deadline.
    pub(crate) fn is_leaving(&self, instance: &Instance) -> bool {
        let moves = !self.moving.is_empty() && self.moving.contains_key(&instance.id) && is_movable(instance);
        moves || self.drain_of(instance).is_some() && (!instance.app.is_resident() || self.is_overdue(instance))
    }
}

/// The decision for one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Instances to stop.
    pub kill: Vec<(InstanceId, KillReason)>,
    /// Instances to stop in this order, each only if a seat for one more instance is left elsewhere.
    pub kill_if_room: Vec<InstanceId>,
    /// New instances to create.
    pub launch: u32,
    /// The app is where it should be.
    pub done: bool,
    /// What is waited for, for people.
    pub because: Vec<String>,
}

/// Decides for `app` (`None` = removed) given all its instances.
///
/// Rolling arithmetic (marathon.md 1.11): at least `ceil(n × minimumHealthCapacity)` serving, at
/// most `floor(n × (1 + maximumOverCapacity))` running, stopping ones included. When these two meet,
/// one more is started, or for resident apps one more is stopped.
///
/// Instances on draining nodes are replaced within the same bounds, all drains counted together:
/// first the replacement, where the upper bound allows one; else, and for single-instance apps, stop
/// and start elsewhere, if there is room. Lost instances that have been given up (inactive) count for
/// nothing.
pub fn plan(app: Option<&App>, instances: &[&Instance], around: &Circumstances<'_>) -> Plan {
    let Some(app) = app else {
        let (dying, alive): (Vec<&Instance>, Vec<&Instance>) =
            instances.iter().partition(|instance| instance.goal == Goal::Decommissioned);
        return Plan {
            kill: alive.iter().map(|instance| (instance.id.clone(), KillReason::Removed)).collect(),
            // What nobody can reach to stop it does not hold the removal up, but keeps its place.
            done: alive.is_empty() && dying.iter().all(|instance| instance.condition == Condition::Unreachable),
            because: waiting(dying.len(), "instances to stop"),
            ..Plan::default()
        };
    };
    let world = World::of(app, instances, around);
    let overdue: Vec<(InstanceId, KillReason)> = world
        .leaving
        .iter()
        .chain(&world.outdated)
        .filter(|instance| around.is_overdue(instance))
        .map(|instance| (instance.id.clone(), KillReason::Overdue))
        .collect();
    if around.blocked {
        return Plan { kill: overdue, because: vec!["waiting for an earlier step of the deployment".into()], ..Plan::default() };
    }
    let mut plan = if world.is_rolling() {
        world.roll()
    } else if world.is_draining(around) {
        world.drain()
    } else {
        world.scale()
    };
    let sentenced: Vec<InstanceId> = plan.kill.iter().map(|(id, _)| id.clone()).collect();
    plan.kill.extend(overdue.into_iter().filter(|(id, _)| !sentenced.contains(id)));
    plan.kill_if_room.retain(|id| !plan.kill.iter().any(|(killed, _)| killed == id));
    plan.done = world.is_done();
    plan.because = world.because(around);
    plan
}

/// The instances of an app, sorted by what they are good for.
struct World<'a> {
    app: &'a App,
    wanted: usize,
    /// Of the wanted configuration, where they may stay.
    staying: Vec<&'a Instance>,
    /// Of the wanted configuration, on draining nodes.
    leaving: Vec<&'a Instance>,
    /// Those of them whose successors serve.
    succeeded: Vec<InstanceId>,
    /// Of an older configuration, on nodes.
    outdated: Vec<&'a Instance>,
    /// Of an older configuration, waiting for a node that nobody needs any more.
    superseded: Vec<&'a Instance>,
    /// Ordered to stop for good.
    dying: Vec<&'a Instance>,
    moving: &'a OrdMap<InstanceId, Target>,
    nodes: &'a OrdMap<NodeId, Arc<Node>>,
    stuck: bool,
    bounds: Bounds,
}

impl<'a> World<'a> {
    fn of(app: &'a App, instances: &[&'a Instance], around: &Circumstances<'a>) -> Self {
        let mut world = Self {
            app,
            wanted: app.instances as usize,
            staying: Vec::new(),
            leaving: Vec::new(),
            succeeded: Vec::new(),
            outdated: Vec::new(),
            superseded: Vec::new(),
            dying: Vec::new(),
            moving: around.moving,
            nodes: around.nodes,
            stuck: around.stuck,
            bounds: Bounds::of(app),
        };
        for instance in instances.iter().copied().filter(|instance| !instance.inactive) {
            let same = instance.app.version_info.last_config_change_at == app.version_info.last_config_change_at;
            let list = match instance.goal {
                Goal::Decommissioned => &mut world.dying,
                // Data that wait for their node are taken over by the new configuration.
                _ if !same && instance.condition == Condition::Scheduled && !instance.app.is_resident() => &mut world.superseded,
                _ if !same => &mut world.outdated,
                _ if around.is_leaving(instance) => &mut world.leaving,
                _ => &mut world.staying,
            };
            list.push(instance);
        }
        let serves = |id: &InstanceId| world.staying.iter().any(|instance| instance.id == *id && instance.is_serving());
        let succeeded = world.leaving.iter().filter(|instance| around.successors.get(&instance.id).is_some_and(serves));
        world.succeeded = succeeded.map(|instance| instance.id.clone()).collect();
        world
    }

    /// Why an instance leaves its node.
    fn leaves(&self, id: &InstanceId) -> KillReason {
        if self.moving.contains_key(id) { KillReason::Moved } else { KillReason::Drained }
    }

    /// Whether a new configuration takes the place of an older one: until the last of that has stopped, the
    /// upper bound holds.
    fn is_rolling(&self) -> bool {
        let config = self.app.version_info.last_config_change_at;
        if !self.superseded.is_empty() {
            return true;
        }
        let mut stopping = self.dying.iter().filter(|instance| instance.condition != Condition::Unreachable);
        !self.outdated.is_empty() || stopping.any(|instance| instance.app.version_info.last_config_change_at != config)
    }

    /// Whether instances leave draining nodes, also such that are stopping there already.
    fn is_draining(&self, around: &Circumstances<'_>) -> bool {
        self.leaving.iter().chain(&self.dying).any(|instance| around.is_leaving(instance))
    }

    const fn total(&self) -> usize {
        self.staying.len() + self.leaving.len() + self.outdated.len() + self.dying.len()
    }

    const fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.staying.len())
    }

    /// The upper bound, one more when there is no room to move.
    fn most(&self) -> usize {
        self.bounds.maximum + usize::from(self.bounds.tight && !self.app.is_exclusive())
    }

    /// What an exclusive app may start: each holder must have stopped before the next begins.
    const fn vacancies(&self) -> usize {
        self.wanted.saturating_sub(self.total())
    }

    fn surplus(&self) -> Vec<(InstanceId, KillReason)> {
        let surplus = self.staying.len().saturating_sub(self.wanted);
        let victims = victims(self.app, self.staying.clone());
        let victims = if surplus > 0 { self.fullest_values_first(victims) } else { victims };
        victims.into_iter().take(surplus).map(|id| (id, KillReason::Surplus)).collect()
    }

    /// The same victims, those of the fullest value first where the app is spread over values of a field
    /// (marathon.md 1.10); what waits for a node goes before all of them.
    fn fullest_values_first(&self, victims: Vec<InstanceId>) -> Vec<InstanceId> {
        let constraints = self.app.constraints.iter().filter(|constraint| constraint.operator == Operator::GroupBy);
        let mut fields = constraints.map(|constraint| &*constraint.field);
        let spread = || self.app.placement.spread.first().map(|spread| &*spread.field);
        let Some(field) = fields.next().or_else(spread) else { return victims };
        let seats: BTreeMap<&InstanceId, &NodeId> =
            self.staying.iter().filter_map(|instance| Some((&instance.id, instance.node()?))).collect();
        let mut first = Vec::new();
        let mut groups: BTreeMap<Option<&str>, Vec<(usize, InstanceId)>> = BTreeMap::new();
        for (number, id) in victims.into_iter().enumerate() {
            match seats.get(&id) {
                Some(node) => {
                    let value = self.nodes.get(*node).and_then(|node| node.field(field));
                    groups.entry(value).or_default().push((number, id));
                }
                None => first.push(id),
            }
        }
        // Of equally full ones that whose next victim is the least useful.
        let entry = |left: Vec<(usize, InstanceId)>| Some((left.len(), Reverse(left.last()?.0), left));
        let mut fullest: BinaryHeap<_> = groups
            .into_values()
            .filter_map(|mut left| {
                left.reverse();
                entry(left)
            })
            .collect();
        while let Some((_, _, mut left)) = fullest.pop() {
            first.extend(left.pop().map(|(_, id)| id));
            fullest.extend(entry(left));
        }
        first
    }

    fn scale(&self) -> Plan {
        let room = if self.app.is_exclusive() { self.vacancies() } else { self.missing() };
        Plan { kill: self.surplus(), launch: self.missing().min(room) as u32, ..Plan::default() }
    }

    /// To a new configuration; what has to leave its node is as old as what runs the previous one.
    fn roll(&self) -> Plan {
        let mut plan = Plan { kill: self.surplus(), ..Plan::default() };
        let old: Vec<&Instance> = self.outdated.iter().chain(&self.leaving).copied().collect();
        let slack = usize::from(self.bounds.tight && self.app.is_resident());
        let keep = self.bounds.minimum.saturating_sub(serving(&self.staying)).saturating_sub(slack);
        let stop = old.len().saturating_sub(keep);
        let reason = |id: &InstanceId| {
            if self.leaving.iter().any(|instance| &instance.id == id) { self.leaves(id) } else { KillReason::Outdated }
        };
        plan.kill.extend(self.superseded.iter().map(|instance| (instance.id.clone(), KillReason::Outdated)));
        plan.kill.extend(victims(self.app, old).into_iter().take(stop).map(|id| (id.clone(), reason(&id))));
        plan.launch = self.missing().min(self.most().saturating_sub(self.total())) as u32;
        plan
    }

    /// Off draining nodes.
    fn drain(&self) -> Plan {
        let mut plan = Plan { kill: self.surplus(), ..Plan::default() };
        let room = if self.app.is_exclusive() { self.vacancies() } else { self.most().saturating_sub(self.total()) };
        plan.launch = self.missing().min(room) as u32;
        let leaving_serving = serving(&self.leaving);
        let idle = self.leaving.len() - leaving_serving;
        let placed = self.staying.iter().filter(|instance| instance.condition != Condition::Scheduled).count();
        // One may go for each replacement that serves; one that serves nobody, for each that has a seat. Where not all
        // that are wanted can run, each may go whose successor serves.
        let replaced = (serving(&self.staying) + self.leaving.len()).saturating_sub(self.wanted);
        let stop = replaced.max(idle.min((placed + self.leaving.len()).saturating_sub(self.wanted)));
        let stop = if self.stuck { stop.max(self.succeeded.len()) } else { stop };
        let mut victims = victims(self.app, self.leaving.clone());
        victims.sort_by_key(|id| !self.succeeded.contains(id));
        plan.kill.extend(victims.iter().take(stop).map(|id| (id.clone(), self.leaves(id))));
        let waits = placed < self.staying.len() || !self.dying.is_empty();
        if stop == 0 && plan.launch == 0 && self.missing() > 0 && !waits {
            let spare = (serving(&self.staying) + leaving_serving).saturating_sub(self.bounds.minimum);
            plan.kill_if_room = victims.into_iter().take((spare + idle).min(self.missing())).collect();
        }
        plan
    }

    fn is_done(&self) -> bool {
        let current = self.staying.len() + self.leaving.len();
        // What leaves its node and what is lost is not what a deployment waits for.
        let stopping = self.dying.iter().any(|instance| instance.condition != Condition::Unreachable);
        self.outdated.is_empty()
            && self.superseded.is_empty()
            && (!stopping || !self.leaving.is_empty())
            && self.staying.len() <= self.wanted
            && current >= self.wanted
            && serving(&self.staying) + serving(&self.leaving) >= self.wanted
    }

    fn because(&self, around: &Circumstances<'_>) -> Vec<String> {
        let current_serving = serving(&self.staying) + serving(&self.leaving);
        let (lost, dying): (Vec<&Instance>, Vec<&Instance>) =
            self.dying.iter().partition(|instance| instance.condition == Condition::Unreachable);
        let unreachable =
            self.staying.iter().chain(&self.outdated).filter(|instance| instance.condition == Condition::Unreachable);
        let patient = self.app.is_exclusive() || self.app.unreachable_strategy == UnreachableStrategy::Disabled;
        let unreachable: Vec<&Instance> = lost.into_iter().chain(unreachable.filter(|_| patient).copied()).collect();
        let kept = self.staying.iter().chain(&self.outdated).filter(|instance| around.drain_of(instance).is_some());
        let kept = kept.filter(|instance| instance.app.is_resident()).count();
        [
            waiting(self.wanted.saturating_sub(current_serving), "instances to run and pass their checks"),
            waiting(self.outdated.len(), "instances of the previous version to be replaced"),
            waiting(self.leaving.len(), "instances to leave draining nodes or to move"),
            waiting(
                kept,
                "instances that keep data on a draining node: they stay until the deadline of the drain, if it has one",
            ),
            waiting_for_nodes(&unreachable),
            waiting(dying.len(), "instances to stop"),
        ]
        .concat()
    }
}

fn serving(instances: &[&Instance]) -> usize {
    instances.iter().filter(|instance| instance.is_serving()).count()
}

fn waiting(count: usize, what: &str) -> Vec<String> {
    if count == 0 { Vec::new() } else { vec![format!("waiting for {count} {what}")] }
}

/// Waiting for lost nodes, with the command for each of the first of them.
fn waiting_for_nodes(lost: &[&Instance]) -> Vec<String> {
    if lost.is_empty() {
        return Vec::new();
    }
    let nodes: BTreeSet<&NodeId> = lost.iter().filter_map(|instance| instance.node()).collect();
    let commands: Vec<String> =
        nodes.iter().take(NODES_NAMED).map(|node| format!("dcos node decommission --gone {node}")).collect();
    let more = match nodes.len().saturating_sub(NODES_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more, see `dcos node list`"),
    };
    let what = "instances on lost nodes, which may still run there, to come back; when the machine is dead for good, say so: ";
    waiting(lost.len(), &format!("{what}{}{more}", commands.join(", ")))
}

/// Whether an instance may move to another node only to balance the cluster: it runs, keeps no data and
/// is none that must have stopped before it starts again.
pub fn is_movable(instance: &Instance) -> bool {
    instance.condition == Condition::Running && instance.goal == Goal::Running && !instance.app.is_exclusive()
}

/// How many instances of `app` must go on serving while others are replaced.
pub fn minimum_serving(app: &App) -> usize {
    Bounds::of(app).minimum
}

struct Bounds {
    minimum: usize,
    maximum: usize,
    /// No room to move: every instance must serve and none may be added.
    tight: bool,
}

impl Bounds {
    fn of(app: &App) -> Self {
        let wanted = i64::from(app.instances);
        if app.is_single_instance() {
            return Self { minimum: 0, maximum: app.instances as usize, tight: false };
        }
        let share = |factor: Scalar| wanted * factor.thousandths();
        let minimum = (share(app.upgrade_strategy.minimum_health_capacity) + 999) / 1000;
        let maximum = wanted + share(app.upgrade_strategy.maximum_over_capacity) / 1000;
        Self { minimum: minimum.max(0) as usize, maximum: maximum.max(0) as usize, tight: minimum >= maximum && wanted > 0 }
    }
}

/// Instances in the order in which they may be stopped: least useful first (marathon.md 1.10, with
/// unhealthy before healthy), ties by `killSelection`.
fn victims(app: &App, mut instances: Vec<&Instance>) -> Vec<InstanceId> {
    let rank = |instance: &Instance| match instance.condition {
        Condition::Scheduled => 0,
        Condition::Unreachable => 1,
        Condition::Staging => 2,
        Condition::Starting => 3,
        _ if !instance.is_serving() => 4,
        _ => 5,
    };
    match app.kill_selection {
        KillSelection::YoungestFirst => {
            instances.sort_by_key(|instance| (rank(instance), Reverse(instance.staged_at), instance.id.clone()));
        }
        KillSelection::OldestFirst => {
            instances.sort_by_key(|instance| (rank(instance), instance.staged_at, instance.id.clone()));
        }
    }
    instances.into_iter().map(|instance| instance.id.clone()).collect()
}
