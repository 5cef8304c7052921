//! Processes started per second, and what the kernel allows.

use crate::cluster::{Cluster, PATIENCE, app};
use crate::figure::{Figure, Peer};
use crate::marks::Marks;
use crate::peer::Peers;
use crate::process::Killed;
use crate::report::Report;
use crate::samples::Samples;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const INSTANCES: usize = 200;
const ROUNDS: usize = 3;

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    let (mut ours, mut bare, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        let (id, word) = (format!("/bench/many-{round}"), format!("m{round}"));
        let start = Instant::now();
        cluster.http.post("/v2/apps", &app(&id, &marks.command(&word, "1000000"), INSTANCES))?;
        let rate = rate(start, &marks.wait_many(&word, INSTANCES, PATIENCE)?);
        cluster.remove(&id)?;
        let floor = without_cluster(&marks, round)?;
        ours.push(rate);
        bare.push(floor);
        ratios.push(rate / floor);
    }
    let scale = format!("{INSTANCES} instances of a shell that marks and sleeps, {ROUNDS} rounds, process executor");
    let peer = Peer::measured("the same shells by posix_spawn, no isolation", bare.median());
    let figure = Figure::new("spawn-rate", "spec sent → all running", ours.median(), "processes/s");
    report.add(figure.scale(scale).peer(Some(peer)).ratio(ratios.median()));
    Ok(())
}

fn without_cluster(marks: &Marks, round: usize) -> anyhow::Result<f64> {
    let word = format!("b{round}");
    let command = marks.command(&word, "1000000");
    let start = Instant::now();
    let mut children = Vec::with_capacity(INSTANCES);
    for _ in 0..INSTANCES {
        let child = Command::new("/bin/sh").args(["-c", &command]).stdin(Stdio::null()).spawn()?;
        children.push(Killed(child));
    }
    Ok(rate(start, &marks.wait_many(&word, INSTANCES, PATIENCE)?))
}

fn rate(start: Instant, marked: &[Instant]) -> f64 {
    let whole = marked.last().map_or(Duration::MAX, |last| last.duration_since(start));
    marked.len() as f64 / whole.as_secs_f64()
}
