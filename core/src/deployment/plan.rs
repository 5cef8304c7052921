//! What to launch and what to stop for one app, now.

use crate::app::KillSelection;
use crate::instance::{Condition, Goal};
use crate::{App, Instance, InstanceId, Scalar};
use std::cmp::Reverse;

/// Why an instance is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// The app was removed.
    Removed,
    /// There are more instances than wanted.
    Surplus,
    /// It runs an older configuration.
    Outdated,
}

impl KillReason {
    /// For people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Removed => "the app was removed",
            Self::Surplus => "the app was scaled down",
            Self::Outdated => "the app was changed and a newer instance takes over",
        }
    }
}

/// The decision for one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Instances to stop.
    pub kill: Vec<(InstanceId, KillReason)>,
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
/// one more is started, or for resident apps one more is stopped. `blocked` = an earlier step of its
/// deployment is not finished.
pub fn plan(app: Option<&App>, instances: &[&Instance], blocked: bool) -> Plan {
    let alive: Vec<&Instance> = instances.iter().copied().filter(|instance| instance.goal != Goal::Decommissioned).collect();
    let dying = instances.len() - alive.len();
    let Some(app) = app else {
        return Plan {
            kill: alive.iter().map(|instance| (instance.id.clone(), KillReason::Removed)).collect(),
            done: instances.is_empty(),
            because: waiting(dying, "instances to stop"),
            launch: 0,
        };
    };
    if blocked {
        return Plan { because: vec!["waiting for an earlier step of the deployment".into()], ..Plan::default() };
    }
    let wanted = app.instances as usize;
    let (current, old): (Vec<&Instance>, Vec<&Instance>) = alive
        .iter()
        .partition(|instance| instance.app.version_info.last_config_change_at == app.version_info.last_config_change_at);
    let serving = current.iter().filter(|instance| instance.is_serving()).count();
    let mut plan = Plan::default();
    if current.len() > wanted {
        let surplus = current.len() - wanted;
        plan.kill = victims(app, current.clone()).into_iter().take(surplus).map(|id| (id, KillReason::Surplus)).collect();
    }
    let missing = wanted.saturating_sub(current.len());
    if old.is_empty() {
        let room = if app.is_single_instance() { wanted.saturating_sub(current.len() + dying) } else { missing };
        plan.launch = missing.min(room) as u32;
    } else {
        let bounds = Bounds::of(app);
        let keep = bounds.minimum.saturating_sub(serving).saturating_sub(usize::from(bounds.tight && app.is_resident()));
        let stop = old.len().saturating_sub(keep);
        plan.kill.extend(victims(app, old.clone()).into_iter().take(stop).map(|id| (id, KillReason::Outdated)));
        let most = bounds.maximum + usize::from(bounds.tight && !app.is_resident() && !app.is_single_instance());
        plan.launch = missing.min(most.saturating_sub(instances.len())) as u32;
    }
    plan.done = old.is_empty() && dying == 0 && current.len() == wanted && serving == wanted;
    plan.because = [
        waiting(wanted.saturating_sub(serving), "instances to run and pass their checks"),
        waiting(old.len(), "instances of the previous version to be replaced"),
        waiting(dying, "instances to stop"),
    ]
    .concat();
    plan
}

fn waiting(count: usize, what: &str) -> Vec<String> {
    if count == 0 { Vec::new() } else { vec![format!("waiting for {count} {what}")] }
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
