//! What operators decide about roles: weights and quotas.

use super::draft::{Draft, EditError};
use super::keys;
use crate::Scalar;
use crate::placement::{Ledger, Reason, Refusals};
use crate::role::{Amounts, Exceeded, HeldBack, QuotaReached, ROLES_MAX, Role, name_fault};
use crate::{App, AppId, Fault, Timestamp};
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most seats an app of one role gets in a turn while other roles wait as well.
pub(super) const TURN_SEATS: usize = 64;
/// By so much, in millionths of the cluster, a role may come ahead of the next one in a turn, or by one task: in
/// a large cluster many seats at a time are found much faster, and in a small one 64 may be all there are.
const AHEAD_MAX: i128 = 1_000;

/// Who is next: least share of the role at the top by its weight, then of the roles below it, then highest
/// priority, ageing included, then who has waited longest, then the id.
pub(super) type Turn = (Vec<i128>, i64, Timestamp, AppId);

/// The quota that a role is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaEdit {
    /// The role.
    pub role: String,
    /// Most its tasks may take, by resource.
    pub limits: BTreeMap<String, Scalar>,
    /// What is held back for them, by resource.
    pub guarantees: BTreeMap<String, Scalar>,
}

impl Draft {
    /// Whether new apps of a top-level group are charged to the role of its name.
    ///
    /// # Errors
    /// [`EditError::Role`] when it is no name of a top-level group, or there are too many roles.
    pub fn enforce_role(&mut self, group: &str, enforced: bool) -> Result<(), EditError> {
        let name = group.trim_matches('/');
        if name.is_empty() || name.contains('/') {
            return Err(EditError::Role(format!("enforceRole is for top-level groups, and {group} is none")));
        }
        check_role(name, &self.cluster.roles)?;
        let role = self.cluster.roles.get(name).map_or_else(|| Role::new(name.to_owned()), |role| (**role).clone());
        if role.enforced != enforced {
            self.put_role(Role { enforced, ..role });
        }
        Ok(())
    }

    /// The role an app of an enforcing group gets, and what is wrong when it names another one. What it
    /// had before it may keep (marathon.md 1.4, `role`).
    pub(super) fn group_role(&self, app: &App, current: Option<&App>) -> Result<Option<String>, Fault> {
        let group = crate::role::top_group(&app.id);
        if !self.cluster.roles.get(group).is_some_and(|role| role.enforced) {
            return Ok(app.role.clone());
        }
        match &app.role {
            None => Ok(Some(group.to_owned())),
            Some(role) if role == group || current.is_some_and(|current| current.role.as_ref() == Some(role)) => {
                Ok(app.role.clone())
            }
            Some(role) => {
                let message = format!("must be {group}: the group enforces its role");
                Err(Fault::new("/role", message).with_value(role))
            }
        }
    }

    /// Sets the limits and guarantees of roles, replacing those they had; empty ones remove the quota. All or nothing.
    ///
    /// # Errors
    /// [`EditError::Role`] for a wrong name or limit, for too many roles and, without `force`, for a
    /// limit below what the role takes now, and for guarantees of more than nodes have (Mesos' capacity
    /// heuristic): they would keep everything from everybody else.
    pub fn update_quota(&mut self, quotas: Vec<QuotaEdit>, force: bool) -> Result<(), EditError> {
        let mut changed = self.cluster.roles.clone();
        for QuotaEdit { role: name, limits, guarantees } in &quotas {
            check_role(name, &changed)?;
            if name == crate::role::ANY_ROLE {
                return Err(EditError::Role("the default role * cannot have a quota; give one to a role or group".into()));
            }
            if let Some((resource, _)) = limits.iter().find(|(_, limit)| **limit < Scalar::ZERO) {
                return Err(EditError::Role(format!("the limit of {resource} of role {name} is below 0")));
            }
            let mut role = changed.get(name.as_str()).map_or_else(|| Role::new(name.clone()), |role| (**role).clone());
            if let Some((resource, guarantee)) = guarantees
                .iter()
                .find(|(name, guarantee)| limits.get(*name).is_some_and(|limit| limit < guarantee) || **guarantee < Scalar::ZERO)
            {
                return Err(EditError::Role(format!(
                    "the guarantee of {guarantee} {resource} of role {name} is below 0 or above the limit"
                )));
            }
            role.limits.clone_from(limits);
            role.guarantees.clone_from(guarantees);
            changed.insert(name.as_str().into(), Arc::new(role));
        }
        let cluster = &self.cluster;
        let ledger = self.ledger.get_or_insert_with(|| Ledger::of(cluster).untraced());
        for QuotaEdit { role: name, limits, .. } in quotas.iter().filter(|_| !force) {
            let used = ledger.usage().of_role(name, &changed);
            if let Some((resource, limit)) = limits.iter().find(|(name, limit)| used.get(name) > i128::from(limit.thousandths()))
            {
                let used = Scalar::from_thousandths(i64::try_from(used.get(resource)).unwrap_or(i64::MAX));
                let message = format!("role {name} takes {used} {resource}, more than the limit of {limit}; lower it by force");
                return Err(EditError::Role(message));
            }
        }
        if !force {
            self.check_guarantees(&quotas, &changed)?;
        }
        for quota in quotas {
            if let Some(role) = changed.get(quota.role.as_str()) {
                self.put_role((**role).clone());
            }
        }
        Ok(())
    }

    /// Sets the weights of roles. All or nothing.
    ///
    /// # Errors
    /// [`EditError::Role`] for a wrong name or weight.
    pub fn update_weights(&mut self, weights: Vec<(String, Scalar)>) -> Result<(), EditError> {
        let mut changed = self.cluster.roles.clone();
        for (name, weight) in &weights {
            check_role(name, &changed)?;
            if !weight.is_positive() {
                return Err(EditError::Role(format!("the weight of role {name} must be above 0")));
            }
            let role = changed.get(name.as_str()).map_or_else(|| Role::new(name.clone()), |role| (**role).clone());
            changed.insert(name.as_str().into(), Arc::new(Role { weight: *weight, ..role }));
        }
        for (name, _) in weights {
            if let Some(role) = changed.get(name.as_str()) {
                self.put_role((**role).clone());
            }
        }
        Ok(())
    }

    /// Whether nodes have what `changed` guarantees in all, as far as `quotas` are about it. Without any node
    /// nobody can tell yet.
    fn check_guarantees(&self, quotas: &[QuotaEdit], changed: &OrdMap<Arc<str>, Arc<Role>>) -> Result<(), EditError> {
        if self.cluster.nodes.is_empty() {
            return Ok(());
        }
        let mut total = Amounts::default();
        self.cluster.nodes.values().for_each(|node| total.add_node(&node.facts.resources));
        let is_asked = |resource: &str| quotas.iter().any(|quota| quota.guarantees.contains_key(resource));
        let all = crate::role::guaranteed_in_all(changed);
        let Some((resource, guaranteed)) =
            all.into_iter().find(|(resource, all)| is_asked(resource) && *all > total.get(resource))
        else {
            return Ok(());
        };
        let [guaranteed, have] =
            [guaranteed, total.get(resource)].map(|amount| Scalar::from_thousandths(i64::try_from(amount).unwrap_or(i64::MAX)));
        Err(EditError::Role(format!(
            "{guaranteed} {resource} would be guaranteed to roles in all, but nodes have {have}: guarantee less, or do it by force"
        )))
    }

    fn put_role(&mut self, role: Role) {
        let key = keys::role(&role.name);
        if role.is_default() {
            self.cluster.roles.remove(role.name.as_str());
            self.delete(key);
        } else {
            self.write(key, &role);
            self.cluster.roles.insert(role.name.as_str().into(), Arc::new(role));
        }
        // Who waited for room in a quota may go on.
        self.capacity_freed = true;
    }

    /// How many of `count` tasks of `app` quotas allow, and why not all.
    pub(super) fn within_quota(&mut self, app: &App, count: usize) -> (usize, Option<Refusals>) {
        if self.cluster.roles.is_empty() {
            return (count, None);
        }
        let cluster = &self.cluster;
        let ledger = self.ledger.get_or_insert_with(|| Ledger::of(cluster).untraced());
        let nodes = cluster.nodes.len() as u64;
        let (usage, mut free) = (ledger.usage(), ledger.open_free());
        // What is kept for the app itself is no less there.
        for promise in cluster.promises.values().filter(|promise| promise.app == app.id) {
            free.add_bundle(&promise.each, promise.count);
        }
        let held = usage.guaranteed(app, count, &free, &cluster.roles);
        let reached = usage.quota(app, count, &cluster.roles);
        if let Some(HeldBack { allowed, resource, amount, roles }) =
            held.filter(|held| reached.as_ref().is_none_or(|reached| held.allowed <= reached.allowed))
        {
            let detail = format!("guarantees of {}: {amount} {resource} held back", roles.join(", "));
            let refusals = Refusals {
                nodes,
                by_reason: BTreeMap::from([(Reason::QuotaReached, nodes)]),
                details: BTreeMap::from([(detail, nodes)]),
                hint: Some(format!("it would fit with more {resource} in the cluster or a lower guarantee of others")),
            };
            return (allowed, Some(refusals));
        }
        let Some(QuotaReached { allowed, exceeded }) = reached else { return (count, None) };
        let mut changes: Vec<String> = Vec::new();
        for role in exceeded.chunk_by(|one, next| one.role == next.role) {
            let more: Vec<String> = role.iter().map(|over| format!("{} more {}", over.lack, over.resource)).collect();
            changes.extend(role.first().map(|first| format!("{} in the quota of role {}", more.join(" and "), first.role)));
        }
        let words = |Exceeded { role, resource, limit, .. }: &Exceeded| format!("quota of role {role}: {limit} {resource}");
        let refusals = Refusals {
            nodes,
            by_reason: BTreeMap::from([(Reason::QuotaReached, nodes)]),
            details: exceeded.iter().map(|over| (words(over), nodes)).collect(),
            hint: Some(format!("it would fit with {}", changes.join(", and "))),
        };
        (allowed, Some(refusals))
    }

    /// When it is an app's turn.
    pub(super) fn turn(&self, id: &AppId, total: Option<&Amounts>) -> Turn {
        let since = self.cluster.pending.get(id).map_or(self.now, |pending| pending.since);
        let aged = self.age(id);
        let Some(app) = self.cluster.app(id) else { return (Vec::new(), i64::MIN, since, id.clone()) };
        let usage = self.ledger.as_ref().map(Ledger::usage).zip(total);
        let shares = usage.map_or_else(Vec::new, |(usage, total)| usage.weighted_shares(app, total, &self.cluster.roles));
        (shares, -(i64::from(app.placement.priority) + aged), since, id.clone())
    }

    /// Whether the turn of another app that waits for room comes before that of `app`.
    pub(super) fn waits_behind(&mut self, app: &AppId) -> bool {
        if self.first_waiting.is_none() {
            let about_room = |refusals: &Refusals| !refusals.by_reason.contains_key(&Reason::QuotaReached);
            let waiting = self.cluster.pending.iter().filter(|(id, pending)| {
                pending.refusals.as_ref().is_some_and(about_room)
                    && self.cluster.delays.get(*id).is_none_or(|delay| delay.until <= self.now)
            });
            let waiting: std::collections::BTreeSet<AppId> = waiting.map(|(id, _)| id.clone()).chain([app.clone()]).collect();
            let total = self.contended(&waiting);
            let first = waiting.iter().map(|id| self.turn(id, total.as_ref())).min();
            self.first_waiting = Some((total, first));
        }
        let Some((total, Some(first))) = &self.first_waiting else { return false };
        first.3 != *app && *first < self.turn(app, total.as_ref())
    }

    /// How many seats an app gets now that it is its turn and `next` follows: until its role has as much as that
    /// of the next.
    pub(super) fn turn_seats(&self, turn: &Turn, next: &Turn, total: &Amounts) -> usize {
        let Some(app) = self.cluster.app(&turn.3) else { return TURN_SEATS };
        let steps = crate::role::Usage::weighted_step(app, total, &self.cluster.roles);
        let apart = turn.0.iter().zip(&next.0).position(|(mine, theirs)| mine != theirs);
        let lack = apart.map_or(0, |level| next.0[level] - turn.0[level]);
        let step = steps.get(apart.unwrap_or(0)).copied().unwrap_or(1);
        usize::try_from(lack / step + (AHEAD_MAX / step).max(1)).map_or(TURN_SEATS, |seats| seats.clamp(1, TURN_SEATS))
    }

    /// What the cluster has to share out, when more than one role wants some of it.
    pub(super) fn contended(&mut self, apps: &std::collections::BTreeSet<AppId>) -> Option<Amounts> {
        let roles = &self.cluster.roles;
        let wanting = apps.iter().filter_map(|id| self.cluster.app(id));
        let wanting = wanting.filter(|app| self.cluster.instances.calm(app).is_none());
        let mut wanted = wanting.map(|app| crate::role::role_of(app, roles));
        let first = wanted.next()?;
        if wanted.all(|role| role == first) {
            return None;
        }
        let mut total = Amounts::default();
        self.cluster.nodes.values().for_each(|node| total.add_node(&node.facts.resources));
        let cluster = &self.cluster;
        self.ledger.get_or_insert_with(|| Ledger::of(cluster).untraced());
        Some(total)
    }
}

fn check_role(name: &str, roles: &OrdMap<Arc<str>, Arc<Role>>) -> Result<(), EditError> {
    if let Some(fault) = name_fault(name) {
        return Err(EditError::Role(fault));
    }
    if roles.len() >= ROLES_MAX && !roles.contains_key(name) {
        return Err(EditError::Role(format!(
            "there would be more than {ROLES_MAX} roles with weights or quotas, the most there may be"
        )));
    }
    Ok(())
}
