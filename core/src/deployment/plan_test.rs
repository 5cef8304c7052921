use super::*;
use crate::app::{App, HealthCheck, SINGLE_INSTANCE_LABEL, UpgradeStrategy};
use crate::instance::{Condition, Goal, Instance, Observed};
use crate::{AppId, InstanceId, Scalar, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

fn app(instances: u32, version: i64, minimum: i64, over: i64) -> App {
    let mut app = App::new(AppId::parse("/a").unwrap());
    app.instances = instances;
    app.version = Timestamp::from_millis(version);
    app.version_info.last_config_change_at = app.version;
    app.upgrade_strategy = UpgradeStrategy {
        minimum_health_capacity: Scalar::from_thousandths(minimum),
        maximum_over_capacity: Scalar::from_thousandths(over),
    };
    app
}

fn instance(app: &App, number: u128, condition: Condition, goal: Goal) -> Instance {
    Instance {
        id: InstanceId::new(&app.id, Uuid::from_u128(number)),
        app: Arc::new(app.clone()),
        incarnation: 1,
        goal,
        seat: None,
        condition,
        since: Timestamp::EPOCH,
        staged_at: Timestamp::from_millis(number as i64),
        unreachable_since: None,
        free_relaunch_at: None,
        excused: false,
        observed: Observed::default(),
    }
}

/// Drives the plan to its end, every launched instance starting to serve one round later, and
/// checks the bounds in each round. Returns the number of rounds.
fn roll(target: &App, mut world: Vec<Instance>, minimum: usize, maximum: usize) -> usize {
    let mut next = 1000;
    let serving_at_start = world.iter().filter(|instance| instance.is_serving()).count();
    for round in 0..200 {
        let refs: Vec<&Instance> = world.iter().collect();
        let plan = plan(Some(target), &refs, false);
        if plan.done {
            return round;
        }
        for (id, _) in &plan.kill {
            world.iter_mut().find(|instance| &instance.id == id).unwrap().goal = Goal::Decommissioned;
        }
        for _ in 0..plan.launch {
            next += 1;
            world.push(instance(target, next, Condition::Staging, Goal::Running));
        }
        assert!(world.len() <= maximum.max(serving_at_start), "round {round}: {} > {maximum}", world.len());
        let serving = world.iter().filter(|instance| instance.is_serving()).count();
        assert!(serving >= minimum.min(serving_at_start), "round {round}: {serving} serving < {minimum}");
        world.retain(|instance| instance.goal != Goal::Decommissioned || instance.condition == Condition::Killing);
        for instance in &mut world {
            instance.condition = Condition::Running;
        }
    }
    panic!("never done");
}

#[test]
fn scales_up_and_down() {
    let target = app(3, 1, 1000, 1000);
    assert_eq!(plan(Some(&target), &[], false).launch, 3);
    let running: Vec<Instance> = (0..5).map(|number| instance(&target, number, Condition::Running, Goal::Running)).collect();
    let plan = plan(Some(&target), &running.iter().collect::<Vec<_>>(), false);
    let killed: Vec<_> = plan.kill.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(killed, vec![running[4].id.clone(), running[3].id.clone()], "youngest first");
    assert!(!plan.done);
}

#[test]
fn removal_stops_everything_and_ends_when_all_are_gone() {
    let target = app(2, 1, 1000, 1000);
    let world =
        [instance(&target, 1, Condition::Running, Goal::Running), instance(&target, 2, Condition::Killing, Goal::Decommissioned)];
    let plan_with = plan(None, &world.iter().collect::<Vec<_>>(), false);
    assert_eq!(plan_with.kill.len(), 1);
    assert!(!plan_with.done);
    assert!(plan(None, &[], false).done);
}

#[test]
fn unhealthy_instances_do_not_serve() {
    let mut target = app(1, 1, 1000, 1000);
    target.health_checks.push(HealthCheck::default());
    let world = [instance(&target, 1, Condition::Running, Goal::Running)];
    assert!(!plan(Some(&target), &[&world[0]], false).done);
}

#[test]
fn a_single_instance_app_never_overlaps() {
    let mut old = app(1, 1, 1000, 1000);
    old.labels.insert(SINGLE_INSTANCE_LABEL.into(), "true".into());
    let mut new = old.clone();
    new.version_info.last_config_change_at = Timestamp::from_millis(2);
    let running = instance(&old, 1, Condition::Running, Goal::Running);
    let first = plan(Some(&new), &[&running], false);
    assert_eq!((first.kill.len(), first.launch), (1, 0));
    let dying = Instance { goal: Goal::Decommissioned, condition: Condition::Killing, ..running };
    assert_eq!(plan(Some(&new), &[&dying], false).launch, 0);
    assert_eq!(plan(Some(&new), &[], false).launch, 1);
}

proptest! {
    /// Any strategy gets from any number of old instances to the new version within its bounds.
    #[test]
    fn upgrades_stay_within_bounds_and_end(wanted in 1u32..12, before in 0usize..12, minimum in 0i64..=1000, over in 0i64..=1000) {
        let old = app(wanted, 1, minimum, over);
        let new = app(wanted, 2, minimum, over);
        let world = (0..before).map(|number| instance(&old, number as u128, Condition::Running, Goal::Running)).collect();
        let lowest = (i64::from(wanted) * minimum + 999) / 1000;
        let highest = i64::from(wanted) + i64::from(wanted) * over / 1000;
        let highest = if lowest >= highest { highest + 1 } else { highest };
        roll(&new, world, lowest as usize, highest as usize);
    }
}
