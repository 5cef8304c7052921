//! Looking ahead changes nothing and comes true.

use super::*;
use crate::cluster::AppEdit;
use crate::node::{AfterDrain, NodeFacts, PortRanges, Resources};
use crate::{AppId, Scalar};

fn facts(number: u32) -> NodeFacts {
    NodeFacts {
        resources: Resources {
            cpus: Scalar::from_units(4),
            mem: Scalar::from_units(4096),
            ports: PortRanges::new([(31_000, 31_100)]),
            ..Resources::default()
        },
        executors: vec!["process".into()],
        ..NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), format!("h{number}"), "127.0.0.1".parse().unwrap())
    }
}

fn app(id: &str, instances: u32) -> App {
    let mut app = App::new(AppId::parse(id).unwrap());
    app.cmd = Some("sleep 1".into());
    app.instances = instances;
    app.health_checks = vec![crate::app::HealthCheck::default()];
    app
}

fn outlook(cluster: Cluster) -> Outlook {
    Outlook {
        cluster,
        now: Timestamp::from_millis(1_000_000),
        seed: 1,
        wake_at: None,
        starts: BTreeMap::new(),
        stops: BTreeMap::new(),
        least: BTreeMap::new(),
        ledger: None,
    }
}

/// A cluster at rest with so many instances on three nodes of four cpus.
fn cluster(instances: u32) -> Cluster {
    let mut outlook = outlook(Cluster::default());
    let mut orders = outlook.step(|draft| {
        (0..3).for_each(|number| draft.register(facts(number), Vec::new()));
        draft.edit(vec![AppEdit::Create(app("/web", instances))], false, "").unwrap();
    });
    for _ in 0..5 {
        let reports = outlook.obey(orders, Vec::new());
        orders = outlook.step(|draft| reports.into_iter().for_each(|(node, report)| draft.observe(&node, report)));
    }
    outlook.cluster
}

#[test]
fn of_an_app_to_which_nothing_happens_as_many_serve_as_before() {
    let mut outlook = outlook(cluster(6));
    let web = AppId::parse("/web").unwrap();
    // It is told of because it waits to leave a node.
    outlook.step(|draft| {
        let nodes = [0, 1, 2].map(|number| facts(number).id);
        nodes[1..].iter().for_each(|node| drop(draft.deactivate_node(node).unwrap()));
        draft.drain_node(&nodes[0], None, AfterDrain::Deactivate).unwrap();
    });
    let before = outlook.cluster;
    assert!(before.stranded.contains_key(&web) || before.pending.contains_key(&web));
    let create = |draft: &mut Draft| draft.edit(vec![AppEdit::Create(app("/other", 1))], false, "").map(drop);
    let seen = before.forecast(Timestamp::from_millis(2_000_000), 7, create).unwrap();
    let web = seen.apps.iter().find(|one| one.app == web).unwrap();
    assert_eq!((web.before, web.after, web.stops, web.least_serving), (5, 5, 0, 5), "one stopped, and has no seat elsewhere");
}

#[test]
fn a_drain_is_looked_through_to_its_end() {
    let before = cluster(6);
    let node = facts(0).id;
    let now = Timestamp::from_millis(2_000_000);
    let seen = before.forecast(now, 7, |draft| draft.drain_node(&node, None, AfterDrain::Deactivate).map(drop)).unwrap();
    assert_eq!((seen.emptied.as_slice(), seen.cut_short, seen.apps.len()), (std::slice::from_ref(&node), false, 1));
    let web = &seen.apps[0];
    assert_eq!((web.before, web.after, web.nodes[&node], web.stops, web.starts), (6, 6, -2, 2, 2));
    assert_eq!((web.least_serving, &web.waits), (6, &None), "replacements first");
    assert!(before.draining.is_empty() && before.instances.len() == 6);
}

#[test]
fn what_would_wait_says_why_and_faults_are_told() {
    let before = cluster(6);
    let now = Timestamp::from_millis(2_000_000);
    let id = AppId::parse("/web").unwrap();
    let seen = before.forecast(now, 7, |draft| draft.edit(vec![AppEdit::Scale(id.clone(), 15)], false, "").map(drop)).unwrap();
    assert_eq!((seen.apps[0].after, seen.apps[0].starts), (12, 6));
    let waits = seen.apps[0].waits.clone().unwrap();
    assert!(waits.starts_with("3 would wait: none of 3 nodes fits: InsufficientCpus on 3"), "{waits}");
    let missing = AppId::parse("/none").unwrap();
    let refused = before.forecast(now, 7, |draft| draft.edit(vec![AppEdit::Scale(missing, 1)], false, "").map(drop));
    assert!(matches!(refused, Err(EditError::NoApp(_))));
    assert_eq!(before.forecast(now, 7, |_| Ok(())).unwrap(), Forecast::default());
}

#[test]
fn what_is_being_stopped_ends_and_what_begins_runs() {
    let mut before = cluster(12);
    let (now, web, other) = (Timestamp::from_millis(2_000_000), AppId::parse("/web").unwrap(), AppId::parse("/other").unwrap());
    let step = |cluster: &Cluster, edit: AppEdit| {
        let mut draft = Draft::new(cluster, now, 0, Entropy::new(3));
        draft.edit(vec![edit], true, "").unwrap();
        draft.settle().cluster
    };
    // Six of them have been told to stop, and no agent has answered yet.
    before = step(&before, AppEdit::Scale(web.clone(), 6));
    let create = |draft: &mut Draft| draft.edit(vec![AppEdit::Create(app("/other", 6))], false, "").map(drop);
    let seen = before.forecast(now, 7, create).unwrap();
    let made = seen.apps.iter().find(|one| one.app == other).unwrap();
    assert_eq!((made.after, made.starts, &made.waits), (6, 6, &None), "there is room once they have ended");
    let stopped = seen.apps.iter().find(|one| one.app == web);
    assert!(stopped.is_none_or(|web| (web.starts, web.stops) == (0, 0)), "what was ordered before is no news: {stopped:?}");
    // What was told to start a moment ago runs before the change comes to it.
    before = step(&cluster(2), AppEdit::Create(app("/other", 2)));
    let seen = before.forecast(now, 7, |draft| draft.edit(vec![AppEdit::Scale(other.clone(), 3)], true, "").map(drop)).unwrap();
    let scaled = seen.apps.iter().find(|one| one.app == other).unwrap();
    assert_eq!((scaled.after, scaled.starts, scaled.stops), (3, 1, 0));
}
