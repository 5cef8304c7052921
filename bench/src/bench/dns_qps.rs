//! Queries per second of our DNS server and of Knot: same records, one worker each on the same core,
//! the load on another, by turns.

use crate::dns::{Kind, Load, Question, wait_ready};
use crate::figure::{Figure, Goal, Peer};
use crate::peer::{Knot, Peers};
use crate::process::{Killed, pinned};
use crate::report::Report;
use crate::samples::Samples;
use anyhow::Context as _;
use orrery_core::app::PortDefinition;
use orrery_core::cluster::Cluster;
use orrery_core::dns::{ClusterZone, Record};
use orrery_core::instance::{Condition, Seat};
use orrery_core::node::{Node, NodeFacts};
use orrery_core::{App, AppId, Instance, InstanceId, NodeId, Timestamp};
use orrery_net::{DnsConfig, ZoneHandle};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

const APPS: usize = 10_000;
const NODES: usize = 1_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const SERVER_CORE: usize = 0;
const READY: Duration = Duration::from_secs(20);

/// Apps with one task each, one port a task.
fn cluster(apps: usize) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::default();
    for number in 0..NODES {
        let facts = NodeFacts::new(
            NodeId::parse(&format!("bench-S{number}"))?,
            format!("n{number}"),
            Ipv4Addr::from(0x0a00_0000 + number as u32).into(),
        );
        cluster.nodes.insert(facts.id.clone(), Arc::new(Node::joined(facts, Timestamp::EPOCH)));
    }
    for number in 0..apps {
        let mut app = App::new(AppId::parse(&format!("/app-{number}"))?);
        app.port_definitions = vec![PortDefinition::default()];
        let node = NodeId::parse(&format!("bench-S{}", number % NODES))?;
        let seat = Seat { node, host_ports: vec![20_000 + (number % 10_000) as u16].into() };
        let id = InstanceId::new(&app.id, uuid::Uuid::from_u128(number as u128));
        cluster.loads.entry(seat.node.clone()).or_default().take(&id, &app, &seat);
        cluster.instances.insert(Arc::new(Instance {
            incarnation: 1,
            seat: Some(seat),
            condition: Condition::Running,
            ..Instance::scheduled(id, Arc::new(app), Timestamp::EPOCH)
        }));
    }
    Ok(cluster)
}

/// The records that the questions ask for, and what the services point to.
fn records(cluster: &Cluster) -> Vec<Record> {
    let mut zone = ClusterZone::new();
    zone.publish_anew(cluster);
    let records = zone.tasks().flat_map(|(_, records)| records);
    records.filter(|record| record.name.ends_with(".marathon.mesos")).collect()
}

fn questions() -> Vec<Question> {
    let of = |number: usize| {
        [(format!("app-{number}.marathon.mesos"), Kind::A), (format!("_app-{number}._tcp.marathon.mesos"), Kind::Srv)]
    };
    // A stride that meets every app, out of the order in which they were made.
    (0..APPS).flat_map(|number| of(number * 7 % APPS)).collect()
}

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("orrery-bench-").tempdir()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        report.note("one core only: server and load share it");
    }
    let questions = questions();
    let load = Load::new(&questions, directory.path(), cores.min(2) - 1)?;
    let (_server, address) = start()?;
    wait_ready(address, &questions[0], READY)?;
    let knot = match Knot::start(directory.path(), records(&cluster(APPS)?).into_iter(), SERVER_CORE) {
        Ok(Some(knot)) => {
            wait_ready(knot.address, &questions[0], READY)?;
            Some(knot)
        }
        Ok(None) => {
            report.note("Knot is not installed (apt-get install knot): no peer");
            None
        }
        Err(error) => {
            report.note(&format!("Knot failed: {error:#}"));
            None
        }
    };
    let (mut ours, mut theirs, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let rate = load.rate(address, ROUND)?;
        ours.push(rate);
        if let Some(knot) = &knot {
            let peer_rate = load.rate(knot.address, ROUND)?;
            theirs.push(peer_rate);
            ratios.push(rate / peer_rate);
        }
    }
    let scale = format!("{APPS} apps A+SRV, one worker on one core, {} on another, {ROUNDS} rounds by turns", load.name());
    let figure = Figure::new("dns-qps", "answered, median", ours.median(), "queries/s").scale(scale);
    report.add(match &knot {
        Some(knot) => figure
            .peer(Some(Peer::measured(&knot.version, theirs.median())))
            .ratio(ratios.median())
            .goal_of_ratio(Goal::AtLeast(1.0)),
        None => figure.peer(Some(Peer::recorded("Knot 3.2.6", 136_056.0))),
    });
    Ok(())
}

/// Our server, as a process of its own.
fn start() -> anyhow::Result<(Killed, SocketAddr)> {
    let mut child = pinned(SERVER_CORE, &std::env::current_exe()?)
        .args(["--dns-server", &APPS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start our DNS server")?;
    let stdout = child.stdout.take().context("no output")?;
    let child = Killed(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().parse().with_context(|| format!("our DNS server said {line:?}"))?;
    Ok((child, address))
}

/// Serves the records of `apps` apps with one worker until standard input ends.
#[expect(clippy::print_stdout, reason = "tells its parent where it listens")]
pub(crate) fn serve_dns(apps: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let zone = ZoneHandle::new();
        zone.publish_anew(&cluster(apps)?);
        let mut config = DnsConfig::new((Ipv4Addr::LOCALHOST, 0).into());
        config.upstreams = Some(Vec::new());
        let cancel = tokio_util::sync::CancellationToken::new();
        let server = orrery_net::serve(config, zone, &cancel).await?;
        println!("{}", server.local_addr);
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
        cancel.cancel();
        server.closed().await;
        Ok(())
    })
}
