//! From a posted spec to a process that runs. The process tells by itself; the clock starts before
//! the request is sent. Executor: process, with all its isolation; the shell's own start is included.

use crate::cluster::{Cluster, PATIENCE, app};
use crate::figure::{Figure, Goal, Peer};
use crate::marks::Marks;
use crate::peer::Peers;
use crate::report::Report;
use crate::samples::Samples;
use std::time::Instant;

const WARM_UP: usize = 5;
const SAMPLES: usize = 100;
const PEER_SAMPLES: usize = 10;
const ROUNDS: usize = 5;
const INSTANCES: usize = 100;

pub(crate) fn one(report: &mut Report, peers: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    let (mut running, mut accepted) = (Samples::default(), Samples::default());
    for sample in 0..WARM_UP + SAMPLES {
        let id = format!("/bench/one-{sample}");
        let spec = app(&id, &marks.command(&format!("s{sample}"), "1000000"), 1);
        let start = Instant::now();
        cluster.http.post("/v2/apps", &spec)?;
        let answered = Instant::now();
        let at = marks.wait(&format!("s{sample}"), PATIENCE)?;
        if sample >= WARM_UP {
            running.push_millis(at - start);
            accepted.push_millis(answered - start);
        }
        cluster.remove(&id)?;
    }
    let swarm = swarm_times(report, peers, 1, PEER_SAMPLES);
    let scale = format!("{SAMPLES} apps of 1 instance, one after the other, process executor");
    let peer = |quantile: f64| match &swarm {
        Some(times) => Peer::measured(format!("Docker Swarm ({PEER_SAMPLES} services)"), times.quantile(quantile)),
        None => Peer::recorded("Docker Swarm", 320.0),
    };
    let figure = |metric: &str, value: f64| Figure::new("spec-to-running-1", metric, value, "ms").scale(&scale);
    report.add(figure("spec sent → process running p50", running.median()).goal(Goal::AtMost(12.0)).peer(Some(peer(0.5))));
    report.add(figure("spec sent → process running p99", running.p99()).goal(Goal::AtMost(40.0)).peer(Some(peer(0.99))));
    report.add(figure("spec sent → durably accepted p50", accepted.median()));
    report.add(figure("spec sent → durably accepted p99", accepted.p99()));
    Ok(())
}

pub(crate) fn hundred(report: &mut Report, peers: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    let mut all = Samples::default();
    for round in 0..=ROUNDS {
        let (id, word) = (format!("/bench/hundred-{round}"), format!("h{round}"));
        let spec = app(&id, &marks.command(&word, "1000000"), INSTANCES);
        let start = Instant::now();
        cluster.http.post("/v2/apps", &spec)?;
        let marked = marks.wait_many(&word, INSTANCES, PATIENCE)?;
        if let Some(last) = marked.last()
            && round > 0
        {
            all.push(last.duration_since(start).as_secs_f64());
        }
        cluster.remove(&id)?;
    }
    let peer = match swarm_times(report, peers, INSTANCES, 1) {
        Some(times) => Peer::measured("Docker Swarm (1 service)", times.median() / 1e3),
        None => Peer::recorded("Docker Swarm", 27.0),
    };
    let scale = format!("{INSTANCES} instances, {} rounds, process executor", all.len());
    let figure = |metric: &str, value: f64| Figure::new("spec-to-running-100", metric, value, "s").scale(&scale);
    report.add(figure("spec sent → all running, median", all.median()).goal(Goal::AtMost(0.9)).peer(Some(peer)));
    report.add(figure("spec sent → all running, worst", all.max()));
    Ok(())
}

/// The same of Docker Swarm, ms; `None` when it does not run here, which is said.
fn swarm_times(report: &Report, peers: &mut Peers, replicas: usize, count: usize) -> Option<Samples> {
    let swarm = peers.swarm(report)?;
    let mut times = Samples::default();
    for sample in 0..=count {
        // The first one warms up; where one takes long, there is none.
        if sample == 0 && count == 1 {
            continue;
        }
        match swarm.start_service(&format!("s{replicas}-{sample}"), replicas) {
            Ok(time) if sample > 0 => times.push_millis(time),
            Ok(_) => {}
            Err(error) => {
                report.note(&format!("Docker Swarm failed: {error:#}; its recorded figure is quoted"));
                return None;
            }
        }
    }
    Some(times)
}
