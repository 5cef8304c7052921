//! Losing nodes, and what becomes of the instances on them.

use super::Event;
use super::draft::Draft;
use super::keys;
use crate::app::UnreachableStrategy;
use crate::assignment::TaskReport;
use crate::instance::{Condition, Goal, Instance};
use crate::node::brake::{self, BrakeSettings, Held};
use crate::node::{Node, NodeId, NodeStatus};
use crate::{App, AppId, Timestamp};
use std::sync::Arc;

/// What a task is told whose node was away while another took its place.
pub(super) const REPLACED: &str = "its node was lost and another instance has taken its place, which stays";

impl Draft {
    /// The connection of a node's agent ended. It is shown as unreachable at once and gets nothing
    /// new; its tasks count as before.
    pub fn disconnect_node(&mut self, id: &NodeId) {
        let Some(node) = self.cluster.nodes.get(id).filter(|node| node.status == NodeStatus::Active).cloned() else { return };
        let node = self.put_node(Node { status: NodeStatus::Disconnected, since: self.now, ..(*node).clone() });
        self.events.push(Event::NodeChanged { node, message: "the connection to its agent ended".into() });
    }

    /// A node's agent is lost. Its tasks may run on; what becomes of the instances is the choice of
    /// `unreachableStrategy`.
    pub fn lose_node(&mut self, id: &NodeId) {
        let Some(node) = self.cluster.nodes.get(id).filter(|node| node.status != NodeStatus::Unreachable).cloned() else {
            return;
        };
        let node = self.put_node(Node { status: NodeStatus::Unreachable, since: self.now, ..(*node).clone() });
        self.write(keys::node(id), &node.record());
        self.events.push(Event::NodeChanged { node, message: "its agent is lost; its tasks count as unreachable".into() });
        for instance in self.instances_on(id) {
            let lost = self.put_instance(Instance {
                condition: Condition::Unreachable,
                since: self.now,
                unreachable_since: Some(self.now),
                ..(*instance).clone()
            });
            self.events.push(Event::TaskChanged { instance: lost, message: "the agent of its node is lost".into() });
        }
    }

    /// Gives up the instances of one app that have been lost for `inactiveAfterSeconds`, so that they
    /// are replaced, and forgets those that nobody wants any more; returns when the next is due.
    /// Exclusive apps wait: nobody can promise that a silent node has stopped them. So does everything
    /// while the brake holds.
    pub(super) fn expire_unreachable(&mut self, app: &AppId) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let unreachable = self.cluster.instances.of(app).filter(|instance| instance.condition == Condition::Unreachable);
        for instance in unreachable.cloned().collect::<Vec<_>>() {
            let (Some(since), Condition::Unreachable) = (instance.unreachable_since, instance.condition) else { continue };
            if instance.app.is_exclusive() {
                continue;
            }
            if instance.goal == Goal::Decommissioned {
                self.complete(&instance, None, None);
                self.remove_instance(&instance.id);
                continue;
            }
            let UnreachableStrategy::Replace { inactive_after_seconds, .. } = instance.app.unreachable_strategy else { continue };
            let due = after(since, inactive_after_seconds);
            if instance.inactive || due > self.now {
                next = earlier(next, Some(due).filter(|_| !instance.inactive));
            } else if self.cluster.brake.is_none() {
                self.put_instance(Instance { inactive: true, ..(*instance).clone() });
            }
        }
        next
    }

    /// Forgets given up instances after `expungeAfterSeconds`, as far as others have taken their
    /// places; returns when the next is due. Those that nobody has replaced yet are taken back should
    /// their nodes return.
    pub(super) fn forget_replaced(&mut self, id: &AppId, app: Option<&Arc<App>>) -> Option<Timestamp> {
        let mut next = None;
        let lost = self.cluster.instances.of(id).filter(|instance| instance.inactive);
        let mut lost: Vec<Arc<Instance>> =
            lost.filter(|instance| instance.condition == Condition::Unreachable).cloned().collect();
        if lost.is_empty() {
            return None;
        }
        lost.sort_by_key(|instance| (instance.unreachable_since, instance.id.clone()));
        let wanted = app.map_or(0, |app| app.instances as usize);
        let mut spare = app.map_or(0, |app| self.holders(&app.id)).saturating_add(lost.len()).saturating_sub(wanted);
        for instance in lost {
            let (Some(since), UnreachableStrategy::Replace { expunge_after_seconds, .. }) =
                (instance.unreachable_since, instance.app.unreachable_strategy)
            else {
                continue;
            };
            let due = after(since, expunge_after_seconds);
            if due > self.now {
                next = earlier(next, Some(due));
            } else if spare > 0 {
                spare -= 1;
                self.complete(&instance, None, None);
                self.remove_instance(&instance.id);
            }
        }
        next
    }

    /// Instances of an app that have a seat and are not lost: those that hold the places.
    fn holders(&self, app: &AppId) -> usize {
        let holds = |instance: &&Arc<Instance>| {
            instance.goal != Goal::Decommissioned
                && instance.seat.is_some()
                && !instance.inactive
                && instance.condition != Condition::Unreachable
        };
        self.cluster.instances_of(app).filter(holds).count()
    }

    /// A node is back with what is `here`, and tells of `tasks`, in order. What was replaced while it was away
    /// is stopped, the replacement stays; what nobody has replaced yet is taken back.
    pub(super) fn choose_returned(&mut self, here: &[Arc<Instance>], tasks: &[TaskReport]) {
        for instance in here {
            let known = tasks.binary_search_by(|report| report.task.cmp(&instance.task_id())).is_ok();
            if instance.inactive {
                let wanted = self.cluster.app(instance.app_id()).map_or(0, |app| app.instances as usize);
                if self.holders(instance.app_id()) >= wanted {
                    self.events.push(Event::TaskChanged { instance: Arc::clone(instance), message: REPLACED.into() });
                    if known {
                        self.put_instance(Instance { inactive: false, ..(**instance).clone() });
                        self.stop_instance(&instance.id, Goal::Decommissioned, REPLACED);
                    } else {
                        self.complete(instance, None, None);
                        self.remove_instance(&instance.id);
                    }
                    continue;
                }
            }
            // What the node ran before it was lost and does not know any more starts anew there.
            let restarts = instance.condition == Condition::Unreachable && !known;
            if restarts || instance.inactive {
                let (condition, since, observed) = if restarts {
                    (Condition::Staging, self.now, crate::instance::Observed::default())
                } else {
                    (instance.condition, instance.since, instance.observed.clone())
                };
                let unreachable_since = instance.unreachable_since.filter(|_| !restarts);
                self.put_instance(Instance {
                    condition,
                    since,
                    observed,
                    unreachable_since,
                    inactive: false,
                    ..(**instance).clone()
                });
            }
        }
    }

    /// Looks at the brake after nodes were lost or found.
    pub(super) fn settle_brake(&mut self) {
        let over = self.cluster.brake.as_ref().and_then(|held| held.ends()).is_some_and(|ends| ends <= self.now);
        if !std::mem::take(&mut self.nodes_moved) && !over {
            return;
        }
        let cluster = &self.cluster;
        let away = || cluster.away.iter().filter_map(|id| cluster.nodes.get(id)).map(AsRef::as_ref);
        let settings = &cluster.brake_settings;
        let resumed = || settings.holding.map(|holding| Arc::new(Held::resumed(&holding, away(), cluster.nodes.len())));
        let before = cluster.brake.clone().or_else(resumed);
        let present = cluster.nodes.len() - cluster.away.len();
        let held = brake::brake(settings, before.as_deref(), cluster.led_since, present, away(), self.now).map(Arc::new);
        let stored = match (&settings.holding, &held) {
            (None, Some(held)) => Some(Some(held.holding(away()))),
            (Some(_), None) => Some(None),
            _ => None,
        };
        if let Some(holding) = stored {
            self.put_brake_settings(BrakeSettings { holding, ..self.cluster.brake_settings.clone() });
        }
        match (&before, &held) {
            (None, Some(held)) => self.events.push(Event::BrakeEngaged { held: Arc::clone(held) }),
            (Some(before), None) => {
                self.events.push(Event::BrakeReleased { held: Arc::clone(before) });
                self.wake_lost();
            }
            _ => {}
        }
        self.cluster.brake = held;
    }

    /// Looks again at the apps with instances on nodes that are away.
    fn wake_lost(&mut self) {
        let away: Vec<NodeId> = self.cluster.away.iter().cloned().collect();
        for node in away {
            let apps: Vec<_> = self.instances_on(&node).iter().map(|instance| instance.app.id.clone()).collect();
            self.dirty_apps.extend(apps);
        }
    }

    /// Lets replacements go on although a large part of the nodes is missing; these count as lost for
    /// good until they return. Returns what held them.
    pub fn release_brake(&mut self) -> Option<Arc<Held>> {
        let held = self.cluster.brake.clone()?;
        let mut settings = self.cluster.brake_settings.clone();
        settings.released.extend(held.missing.iter().cloned());
        self.put_brake_settings(settings);
        Some(held)
    }

    /// Sets the share of nodes, in percent (0 = never), beyond which replacements are held.
    pub fn set_brake_share(&mut self, share: u8) {
        let share = share.min(100);
        if self.cluster.brake_settings.share != share {
            self.put_brake_settings(BrakeSettings { share, ..self.cluster.brake_settings.clone() });
        }
    }

    /// A node that is back counts for the brake again.
    pub(super) fn count_again(&mut self, id: &NodeId) {
        if self.cluster.brake_settings.released.contains(id) {
            let mut settings = self.cluster.brake_settings.clone();
            settings.released.remove(id);
            self.put_brake_settings(settings);
        }
    }

    fn put_brake_settings(&mut self, settings: BrakeSettings) {
        self.write(keys::BRAKE.into(), &settings);
        self.cluster.brake_settings = settings;
        self.nodes_moved = true;
    }
}

fn after(since: Timestamp, seconds: u32) -> Timestamp {
    since.plus_millis(i64::from(seconds) * 1000)
}

pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
