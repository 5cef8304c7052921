//! What goes wrong, when, and how long.

use super::World;
use super::plan::Fault;
use crate::chance::Chance;
use crate::network::Place;
use crate::store::Weather;
use std::time::Duration;

/// Lets one kind of fault happen until the storm is over.
pub(crate) async fn run(world: World, fault: Fault, a_minute: u32) {
    let mut chance = world.chance.split(&format!("{fault:?}"));
    let mean = 60_000 / u64::from(a_minute.max(1));
    loop {
        tokio::time::sleep(chance.millis(mean / 4, mean * 7 / 4)).await;
        if !world.is_stormy() {
            return;
        }
        strike(&world, fault, &mut chance).await;
    }
}

async fn strike(world: &World, fault: Fault, chance: &mut Chance) {
    let controller = chance.below(world.plan.controllers as u64) as usize;
    let machine = chance.below(world.plan.machines as u64) as usize;
    let (here, there) = (Place::Machine(machine), Place::Controller(controller));
    let short = chance.millis(200, 6_000);
    let long = if chance.hits(300) { chance.millis(6_000, 25_000) } else { short };
    world.trace.note("faults", format_args!("{fault:?} {there} {here} {} ms", long.as_millis()));
    match fault {
        Fault::ControllerCrash => {
            world.kill_controller(controller);
            tokio::time::sleep(short).await;
            world.start_controller(controller);
        }
        Fault::ControllerPause => {
            let process = world.controllers()[controller].process.clone();
            if let Some(process) = process {
                process.stop();
                let length = if chance.hits(150) { chance.millis(25_000, 60_000) } else { chance.millis(1_000, 12_000) };
                world.sleep_in_storm(length).await;
                process.resume();
                world.trace.note(&there.to_string(), format_args!("runs again"));
            }
        }
        Fault::StorePartition => {
            let kind = chance.below(3);
            with_weather(world, &[controller], long, |weather| {
                weather.requests_cut = kind != 1;
                weather.answers_cut = kind != 0;
            })
            .await;
        }
        Fault::StoreFlaky => {
            let [requests, answers, slow, stale, refuses] =
                [(); 5].map(|()| if chance.hits(500) { chance.between(10, 300) as u32 } else { 0 });
            let all: Vec<usize> = (0..world.plan.controllers).collect();
            with_weather(world, &all, long, |weather| {
                weather.loses_request = requests;
                weather.loses_answer = answers;
                weather.slow = slow;
                weather.stale = stale;
                weather.refuses = refuses;
            })
            .await;
        }
        Fault::QuorumLoss => {
            let all: Vec<usize> = (0..world.plan.controllers).collect();
            with_weather(world, &all, short, |weather| weather.quorum_lost = true).await;
            world.cell.extend_leases();
        }
        Fault::WatchFaults => {
            let [loses, repeats, breaks] = [(); 3].map(|()| if chance.hits(500) { chance.between(10, 200) as u32 } else { 0 });
            let all: Vec<usize> = (0..world.plan.controllers).collect();
            with_weather(world, &all, long, |weather| {
                weather.watch_loses = loses;
                weather.watch_repeats = repeats;
                weather.watch_breaks = breaks;
            })
            .await;
        }
        Fault::Compaction => world.cell.compact_now(),
        Fault::AgentCrash => {
            world.kill_agent(machine);
            tokio::time::sleep(short).await;
            world.start_agent(machine);
        }
        Fault::Reboot => {
            world.kill_agent(machine);
            let slot = world.machines()[machine].machine.clone();
            slot.reboot();
            tokio::time::sleep(short).await;
            world.start_agent(machine);
        }
        Fault::MachineCut => {
            let all = (0..world.plan.controllers).map(Place::Controller);
            let pairs: Vec<(Place, Place)> = all.flat_map(|there| [(here, there), (there, here)]).collect();
            cut(world, &pairs, long).await;
        }
        Fault::OneWay => {
            let pair = if chance.hits(500) { (here, there) } else { (there, here) };
            cut(world, &[pair], long).await;
        }
        Fault::Reset => world.network.reset(here, there),
        Fault::Flapping => {
            for _ in 0..chance.between(2, 6) {
                cut(world, &[(here, there), (there, here)], chance.millis(50, 1_500)).await;
                tokio::time::sleep(chance.millis(50, 1_500)).await;
            }
        }
        Fault::SlowNetwork => {
            world.network.set_slow(chance.between(20, 300) as u32);
            world.sleep_in_storm(long).await;
            world.network.set_slow(0);
        }
        Fault::ControllersCut => {
            let others = (0..world.plan.controllers).filter(|other| *other != controller).map(Place::Controller);
            let pairs: Vec<(Place, Place)> = others.flat_map(|other| [(there, other), (other, there)]).collect();
            cut(world, &pairs, long).await;
        }
        Fault::ControllersRejected => {
            let others: Vec<usize> = (0..world.plan.controllers).filter(|other| *other != controller).collect();
            if others.is_empty() {
                return;
            }
            let other = Place::Controller(others[chance.below(others.len() as u64) as usize]);
            for _ in 0..chance.between(1, 4) {
                world.network.reject(there, other);
                world.sleep_in_storm(chance.millis(200, 4_000)).await;
                world.network.accept(there, other);
                world.sleep_in_storm(chance.millis(200, 4_000)).await;
            }
        }
    }
}

async fn cut(world: &World, pairs: &[(Place, Place)], time: Duration) {
    for (from, to) in pairs {
        world.network.block(*from, *to);
    }
    world.sleep_in_storm(time).await;
    for (from, to) in pairs {
        world.network.unblock(*from, *to);
    }
}

/// Changes the way to the store for a while. The last change of a field decides.
async fn with_weather(world: &World, controllers: &[usize], time: Duration, change: impl Fn(&mut Weather)) {
    for number in controllers {
        world.controllers()[*number].set_weather(&change);
    }
    world.sleep_in_storm(time).await;
    let mut good = Weather::default();
    change(&mut good);
    for number in controllers {
        world.controllers()[*number].set_weather(|weather| weather.calm(&good));
    }
}
