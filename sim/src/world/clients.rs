//! Clients: each owns one app and changes it, through any controller that answers.

use super::World;
use crate::chance::Chance;
use crate::judge::{REQUEST_LABEL, Wish};
use crate::network::Place;
use orrery_controller::ControlError;
use orrery_core::app::{HealthCheck, SINGLE_INSTANCE_LABEL, UnreachableStrategy};
use orrery_core::cluster::{AppEdit, Draft, EditError, KillRequest};
use orrery_core::{App, AppId, Scalar};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is peculiar to an app for its whole life.
#[derive(Debug, Clone, Copy)]
struct Traits {
    single: bool,
    waits_for_node: bool,
    checked: bool,
}

/// One client.
pub(crate) async fn run(world: World, number: usize, requests: Arc<AtomicU64>) {
    let mut chance = world.chance.split(&format!("client-{number}"));
    let id = AppId::parse(&format!("/app{number}")).unwrap_or_else(|error| unreachable!("{error}"));
    let traits = Traits { single: chance.hits(200), waits_for_node: chance.hits(200), checked: chance.hits(400) };
    let mut first = true;
    while world.is_stormy() {
        let (wish, edit) = act(&world, &mut chance, &id, traits, first, &requests);
        let Some((serial, edit)) = edit else {
            tokio::time::sleep(chance.millis(200, 2_000)).await;
            continue;
        };
        let controller = chance.below(world.plan.controllers as u64) as usize;
        let way = world.leader_through(controller);
        if let Some((leader, handle)) = way {
            world.judge.submitted(serial, &id, wish);
            let (here, there) = (Place::Controller(controller), Place::Controller(leader));
            let request = world.request(here, there, chance.millis(0, 8), handle.edit(edit));
            match tokio::time::timeout(PATIENCE, request).await {
                Ok(Ok(changed)) => {
                    world.judge.acknowledged(serial, changed);
                    first = false;
                }
                Ok(Err(error @ (ControlError::Edit(_) | ControlError::Store(_) | ControlError::NotLeading))) => {
                    world.judge.refused(serial, &error.to_string());
                }
                Ok(Err(error)) => world.judge.unknown(serial, &error.to_string()),
                Err(_) => world.judge.unknown(serial, "no answer in time"),
            }
        }
        tokio::time::sleep(chance.millis(200, 6_000)).await;
    }
}

impl World {
    /// A request that a controller hands on to another one, and its answer.
    async fn request<T>(&self, here: Place, there: Place, delay: Duration, request: impl Future<Output = T>) -> T {
        if here != there {
            self.network.arrive(here, there, delay).await;
        }
        let answer = request.await;
        if here != there {
            self.network.arrive(there, here, delay).await;
        }
        answer
    }
}

type Edit = Box<dyn FnOnce(&mut Draft) -> Result<bool, EditError> + Send>;

/// The next deed of a client.
fn act(
    world: &World,
    chance: &mut Chance,
    id: &AppId,
    traits: Traits,
    first: bool,
    requests: &AtomicU64,
) -> (Wish, Option<(u64, Edit)>) {
    let serial = requests.fetch_add(1, Ordering::SeqCst);
    let most = if traits.single { 1 } else { 6 };
    let instances = chance.between(u64::from(first), most) as u32;
    let force = chance.hits(600);
    let one = |edit: AppEdit| -> Option<(u64, Edit)> {
        Some((serial, Box::new(move |draft| draft.edit(vec![edit], force, "").map(|deployment| deployment.is_some()))))
    };
    match chance.below(if first { 1 } else { 10 }) {
        0..=3 => {
            let app = app(id, traits, chance, serial, instances);
            (Wish::Put(serial.to_string(), instances), one(AppEdit::Put(app)))
        }
        4 | 5 => (Wish::Scale(instances), one(AppEdit::Scale(id.clone(), instances))),
        6 => (Wish::Restart, one(AppEdit::Restart(id.clone()))),
        7 => (Wish::Remove, one(AppEdit::Remove(id.clone()))),
        _ => {
            let living: Vec<_> = world.judge.truth().instances_of(id).map(|instance| instance.task_id()).collect();
            let Some(task) = chance.pick(&living).cloned() else { return (Wish::Other, None) };
            let request = KillRequest { tasks: vec![task], scale: false, wipe: chance.hits(300), force };
            let edit: Edit = Box::new(move |draft| draft.kill(&request).map(|deployment| deployment.is_some()));
            (Wish::Other, Some((serial, edit)))
        }
    }
}

fn app(id: &AppId, traits: Traits, chance: &mut Chance, serial: u64, instances: u32) -> App {
    let mut app = App::new(id.clone());
    app.cmd = Some("serve".into());
    app.instances = instances;
    app.cpus = Scalar::from_thousandths(chance.between(50, 400) as i64);
    app.mem = Scalar::from_units(chance.between(16, 256) as i64);
    app.port_definitions = (0..chance.below(3)).map(|_| orrery_core::app::PortDefinition::default()).collect();
    app.labels.insert(REQUEST_LABEL.into(), serial.to_string());
    app.backoff_seconds = Scalar::from_thousandths(500);
    app.max_launch_delay_seconds = Scalar::from_units(5);
    if traits.single {
        app.labels.insert(SINGLE_INSTANCE_LABEL.into(), "true".into());
        app.upgrade_strategy.minimum_health_capacity = Scalar::ZERO;
        app.upgrade_strategy.maximum_over_capacity = Scalar::ZERO;
    }
    if traits.single || traits.waits_for_node {
        app.unreachable_strategy = UnreachableStrategy::Disabled;
    }
    if traits.checked {
        app.health_checks = vec![check()];
    }
    app
}

fn check() -> HealthCheck {
    HealthCheck {
        protocol: orrery_core::app::HealthProtocol::Command,
        path: None,
        port: None,
        port_index: None,
        command: None,
        grace_period_seconds: 5,
        interval_seconds: 1,
        timeout_seconds: 1,
        max_consecutive_failures: 3,
        delay_seconds: 0,
        ignore_http1xx: false,
        ip_protocol: orrery_core::app::IpProtocol::default(),
    }
}
