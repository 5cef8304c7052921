//! Stopping less important tasks for more important ones that fit nowhere.
//!
//! Only tasks of a strictly lower `placement.priority` go, within the budget of their app
//! (`upgradeStrategy.minimumHealthCapacity`), as few and as unimportant ones as make room on one node.
//! The room is promised to the app until its instance has it, so that nobody else, and not the stopped
//! task either, takes it meanwhile; and nothing more is stopped for it.

use super::draft::Draft;
use crate::app::App;
use crate::deployment::minimum_serving;
use crate::instance::{Condition, Goal, Instance};
use crate::node::{Bundle, NodeId};
use crate::placement::victims::{Price, Tenant, Want, choose};
use crate::placement::{HOST_PORTS, Promise, Refusals, TASK_PLACES};
use crate::{AppId, InstanceId, Scalar};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ends what a task is told that is stopped for another one.
pub const PREEMPTED: &str = "needs its place";
/// Most tasks that one step stops for others; who needs more goes on in later steps.
pub(super) const PREEMPTED_MAX: usize = 256;
/// Nodes that are looked at closely for each instance: those where the least important tasks suffice.
const NODES_MAX: usize = 32;

/// How many more serving instances of each app may stop: counted once, then kept in step.
type Budgets = BTreeMap<AppId, usize>;

/// Room to be had on one node.
struct Offer {
    node: NodeId,
    price: Price,
    victims: Vec<InstanceId>,
}

/// What is done about one more instance.
enum Room {
    /// It is promised a place.
    Promised,
    /// Tasks are stopping on this node anyway, and it is another app's turn.
    Comes(NodeId),
    /// There is no way.
    None,
}

impl Draft {
    /// Makes room for `missing` instances of `app` that fit nowhere, and says so in `refusals`.
    pub(super) fn preempt(&mut self, app: &Arc<App>, missing: usize, mut refusals: Refusals) -> Refusals {
        self.check_promises(&app.id);
        let promised = self.cluster.promises.values().filter(|promise| promise.app == app.id && !promise.moves);
        let promised: usize = promised.map(|promise| promise.count as usize).sum();
        let mut found = promised.min(missing);
        let mut budgets = Budgets::new();
        while found < missing && self.preempted < PREEMPTED_MAX {
            match self.make_room(app, &mut budgets) {
                Room::Promised => found += 1,
                Room::Comes(node) if found == 0 => {
                    refusals.hint = Some(format!(
                        "tasks are stopping on {node}: whose turn is first gets their room, and others wait that come before {}",
                        app.id
                    ));
                    return refusals;
                }
                Room::Comes(_) | Room::None => break,
            }
        }
        if found > 0 {
            let nodes = self.promised_on(&app.id, |_, promise| !promise.moves);
            let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).take(3).collect();
            refusals.hint = Some(format!(
                "room for {found} is being made on {} by stopping tasks of lower priority than {}",
                nodes.join(", "),
                app.placement.priority
            ));
        }
        refusals
    }

    /// Makes room for one more instance.
    fn make_room(&mut self, app: &Arc<App>, budgets: &mut Budgets) -> Room {
        let nodes = self.ledger().preemptible(app, NODES_MAX);
        let offers = nodes.into_iter().filter_map(|node| self.offer(app, node, budgets));
        let best =
            offers.collect::<Vec<_>>().into_iter().min_by(|one, other| (one.price, &one.node).cmp(&(other.price, &other.node)));
        let Some(Offer { node, victims, .. }) = best else { return Room::None };
        if victims.is_empty() && self.waits_behind(&app.id) {
            return Room::Comes(node);
        }
        let because = format!("{} of priority {} {PREEMPTED}", app.id, app.placement.priority);
        for victim in &victims {
            let serving = self.cluster.instances.get(victim).filter(|instance| instance.is_serving());
            if let Some(budget) = serving.and_then(|instance| budgets.get_mut(instance.app_id())) {
                *budget = budget.saturating_sub(1);
            }
            self.stop_instance(victim, Goal::Restarted, &because);
        }
        self.preempted += victims.len();
        self.put_promise(&node, &app.id, Some(Promise::of(app)));
        Room::Promised
    }

    /// Keeps room on a node for one more instance of `app` whose predecessor stops elsewhere.
    pub(super) fn keep_room(&mut self, app: &App, node: &NodeId) {
        let before = self.cluster.promises.get(&(node.clone(), app.id.clone())).filter(|promise| promise.moves);
        let count = before.map_or(0, |promise| promise.count) + 1;
        self.put_promise(node, &app.id, Some(Promise { count, moves: true, ..Promise::of(app) }));
    }

    /// Nodes on which room is kept for those whose predecessors stop elsewhere.
    pub(super) fn kept_on(&self, app: &AppId) -> Vec<NodeId> {
        self.promised_on(app, |_, promise| promise.moves)
    }

    /// Instances of an app for which room is kept until their predecessors have stopped elsewhere.
    pub(super) fn moving_in(&self, app: &AppId) -> usize {
        let promises = self.cluster.promises.values().filter(|promise| promise.app == *app && promise.moves);
        promises.map(|promise| promise.count as usize).sum()
    }

    /// What it would take to make room on a node.
    fn offer(&mut self, app: &Arc<App>, node: NodeId, budgets: &mut Budgets) -> Option<Offer> {
        let room = self.ledger_for(app).free_for(app, &node);
        let here = self.instances_on(&node);
        let wanted = Promise::of(app);
        if !self.ledger_for(app).offers(&node, &wanted.ports) {
            return None;
        }
        let fixed: BTreeSet<u16> = wanted.ports.iter().copied().collect();
        let mut want = Want { need: counted(wanted.each, wanted.requests), room, ports: BTreeSet::new() };
        let (mut tenants, mut is_leaving) = (Vec::new(), false);
        let rank = i64::from(app.placement.priority) + self.age(&app.id);
        for instance in &here {
            let ports = instance.seat.as_ref().map(|seat| seat.host_ports.to_vec()).unwrap_or_default();
            let taken = ports.iter().filter(|port| **port != 0).count() as u32;
            let dying = instance.goal != Goal::Running;
            is_leaving |= dying;
            if !dying {
                want.ports.extend(ports.iter().filter(|port| fixed.contains(port)));
            }
            if instance.app.is_resident() {
                continue;
            }
            if dying {
                want.room = want.room.plus(&counted(Bundle::of(&instance.app), taken));
            } else if is_victim(instance, app) && !is_company(&instance.app, app) {
                // What has waited for its seat has it for a while.
                if self.weight(instance) >= rank {
                    self.spared = true;
                    continue;
                }
                if !budgets.contains_key(instance.app_id()) {
                    budgets.insert(instance.app_id().clone(), self.spare(instance.app_id()));
                }
                tenants.push(Tenant {
                    id: instance.id.clone(),
                    priority: instance.app.placement.priority,
                    serving: instance.is_serving(),
                    staged_at: instance.staged_at,
                    takes: counted(Bundle::of(&instance.app), taken),
                    ports,
                });
            }
        }
        let (price, victims) = choose(&want, &tenants, budgets)?;
        // Without anybody to stop or to wait for, it is something else that the node refuses.
        let comes = is_leaving || !victims.is_empty();
        (comes && victims.len() <= PREEMPTED_MAX - self.preempted).then_some(Offer { node, price, victims })
    }

    /// How many more serving instances of an app may stop.
    fn spare(&self, app: &AppId) -> usize {
        let serving = self.cluster.instances_of(app).filter(|instance| instance.is_serving()).count();
        self.cluster.app(app).map_or(serving, |app| serving.saturating_sub(minimum_serving(app)))
    }

    /// Keeps room on a node for an app, or no more.
    fn put_promise(&mut self, node: &NodeId, app: &AppId, promise: Option<Promise>) {
        if let Some(ledger) = &mut self.ledger {
            ledger.promise(node, app, promise.as_ref());
        }
        let place = (node.clone(), app.clone());
        if let Some(promise) = promise {
            self.cluster.promises.insert(place, promise);
        } else if self.cluster.promises.remove(&place).is_some() {
            self.capacity_freed = true;
        }
    }

    /// The nodes on which room is kept for an app.
    fn promised_on(&self, app: &AppId, meant: impl Fn(&NodeId, &Promise) -> bool) -> Vec<NodeId> {
        let promises = self.cluster.promises.iter();
        promises.filter(|((node, of), promise)| of == app && meant(node, promise)).map(|((node, _), _)| node.clone()).collect()
    }

    /// Ends promises of room that tasks of others make, beyond those for `most` instances.
    pub(super) fn limit_promises(&mut self, app: &AppId, most: usize) {
        if self.cluster.promises.is_empty() {
            return;
        }
        let mut left = most;
        for node in self.promised_on(app, |_, promise| !promise.moves) {
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => self.put_promise(&node, app, None),
            }
        }
    }

    /// Ends promises that cannot be kept: nothing is stopping there any more, or the node is away.
    fn check_promises(&mut self, app: &AppId) {
        for node in self.promised_on(app, |node, promise| !self.is_kept(node, promise)) {
            self.put_promise(&node, app, None);
        }
    }

    fn is_kept(&self, node: &NodeId, promise: &Promise) -> bool {
        self.cluster.nodes.get(node).is_some_and(|node| node.accepts_tasks())
            && (promise.moves || self.instances_on(node).iter().any(|instance| instance.goal != Goal::Running))
    }

    /// An instance of `app` got its seat.
    pub(super) fn keep_promise(&mut self, app: &AppId, node: &NodeId) {
        let Some(promise) = self.cluster.promises.get(&(node.clone(), app.clone())).cloned() else { return };
        let left = Promise { count: promise.count - 1, ..promise };
        self.put_promise(node, app, Some(left).filter(|promise| promise.count > 0));
    }

    /// Nothing of `app` waits any more. Those that are on their way to other nodes will.
    pub(super) fn forget_promises(&mut self, app: &AppId) {
        if self.cluster.promises.is_empty() {
            return;
        }
        let leaves = |instance: &Arc<Instance>| instance.seat.is_some() && instance.goal != Goal::Running;
        let leaving = self.cluster.instances_of(app).any(leaves);
        for node in self.promised_on(app, |_, promise| !(promise.moves && leaving)) {
            self.put_promise(&node, app, None);
        }
    }
}

/// Amounts with host ports and a place for a task among them.
fn counted(mut amounts: Bundle, ports: u32) -> Bundle {
    for (name, count) in [(HOST_PORTS, ports), (TASK_PLACES, 1)] {
        amounts.custom.insert(name.to_owned(), Scalar::from_units(i64::from(count)));
    }
    amounts
}

/// Whether an instance may be stopped for one of `app`.
fn is_victim(instance: &Instance, app: &App) -> bool {
    instance.app.placement.priority < app.placement.priority
        && matches!(instance.condition, Condition::Staging | Condition::Starting | Condition::Running)
}

/// Whether `app` demands to be near `other`: whose end would take from it what it is to be near to.
fn is_company(other: &App, app: &App) -> bool {
    app.placement.affinity.iter().any(|rule| rule.weight.is_none() && rule.selector.selects(other))
}
