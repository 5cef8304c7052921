//! Processes started per second, and what the kernel allows.

use crate::cluster::{Cluster, PATIENCE, app};
use crate::figure::{Figure, Goal, Peer};
use crate::machine;
use crate::marks::Marks;
use crate::peer::Peers;
use crate::process::{self, Killed};
use crate::report::Report;
use crate::samples::Samples;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const INSTANCES: usize = 200;
const ROUNDS: usize = 3;
/// Tasks that run beside, for an agent that is large.
const CROWD: usize = 1000;
const GOAL: f64 = 500.0;

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    rounds(report, &mut cluster, &marks, "alone", "")?;
    cluster.http.post("/v2/apps", &app("/bench/crowd", "exec sleep 1000000", CROWD))?;
    cluster.settled()?;
    rounds(report, &mut cluster, &marks, "beside", &format!(", beside {CROWD} running tasks"))
}

fn rounds(report: &mut Report, cluster: &mut Cluster, marks: &Marks, name: &str, beside: &str) -> anyhow::Result<()> {
    let (mut ours, mut bare, mut ratios, mut costs) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    let mut quiet = true;
    for round in 0..ROUNDS {
        // Clearing away a thousand namespaces and cgroups takes the kernel a while.
        quiet &= machine::settle();
        let (id, word) = (format!("/bench/{name}-{round}"), format!("{name}{round}"));
        let before = cpu_nanoseconds(cluster);
        let start = Instant::now();
        cluster.http.post("/v2/apps", &app(&id, &marks.command(&word, "1000000"), INSTANCES))?;
        let rate = rate(start, &marks.wait_many(&word, INSTANCES, PATIENCE)?);
        cluster.settled()?;
        costs.push((cpu_nanoseconds(cluster).saturating_sub(before)) as f64 / 1e6 / INSTANCES as f64);
        cluster.remove(&id)?;
        quiet &= machine::settle();
        let floor = without_cluster(marks, &format!("bare-{word}"))?;
        ours.push(rate);
        bare.push(floor);
        ratios.push(rate / floor);
    }
    if !quiet {
        report.note("the machine was not quiet between the rounds");
    }
    let scale = format!("{INSTANCES} instances of a shell that marks and sleeps, {ROUNDS} rounds, process executor");
    let peer = Peer::measured("the same shells by posix_spawn, no isolation", bare.median());
    let figure = Figure::new("spawn-rate", format!("spec sent → all running{beside}"), ours.median(), "processes/s");
    report.add(figure.scale(&scale).peer(Some(peer)).ratio(ratios.median()).goal(Goal::AtLeast(GOAL)));
    let figure = Figure::new("spawn-rate", format!("CPU of all our processes, each start{beside}"), costs.median(), "ms");
    report.add(figure.scale(scale));
    Ok(())
}

/// CPU time of the daemon, the spawner and all inits so far.
fn cpu_nanoseconds(cluster: &Cluster) -> u64 {
    process::own_tree(cluster.pid()).into_iter().map(process::cpu_nanoseconds).sum()
}

fn without_cluster(marks: &Marks, word: &str) -> anyhow::Result<f64> {
    let command = marks.command(word, "1000000");
    let start = Instant::now();
    let mut children = Vec::with_capacity(INSTANCES);
    for _ in 0..INSTANCES {
        let child = Command::new("/bin/sh").args(["-c", &command]).stdin(Stdio::null()).spawn()?;
        children.push(Killed(child));
    }
    Ok(rate(start, &marks.wait_many(word, INSTANCES, PATIENCE)?))
}

fn rate(start: Instant, marked: &[Instant]) -> f64 {
    let whole = marked.last().map_or(Duration::MAX, |last| last.duration_since(start));
    marked.len() as f64 / whole.as_secs_f64()
}
