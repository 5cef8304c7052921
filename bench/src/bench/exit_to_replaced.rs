//! From the kill of a process to its replacement.

use crate::cluster::{Cluster, PATIENCE, app};
use crate::figure::{Figure, Goal, Peer};
use crate::marks::Marks;
use crate::peer::Peers;
use crate::process;
use crate::report::Report;
use crate::samples::Samples;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Each app is killed once: a second failure soon after would rightly be paused.
const APPS: usize = 40;
const PEER_SAMPLES: usize = 2;
/// Longer than the run after which an instance counts as stable.
const STABLE: Duration = Duration::from_secs(3);

pub(crate) fn run(report: &mut Report, peers: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    for number in 0..APPS {
        let command = marks.command(&format!("k{number}"), &seconds(number));
        cluster.http.post("/v2/apps", &app(&format!("/bench/kill-{number}"), &command, 1))?;
        marks.wait(&format!("k{number}"), PATIENCE)?;
    }
    cluster.settled()?;
    std::thread::sleep(STABLE);
    let mut times = Samples::default();
    for number in 0..APPS {
        let pid = process::with_last_argument(&seconds(number))?;
        let start = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        times.push_millis(marks.wait(&format!("k{number}"), PATIENCE)? - start);
    }
    let peer = match swarm_times(report, peers) {
        Some(times) => Peer::measured(format!("Docker Swarm ({PEER_SAMPLES} kills)"), times.median()),
        None => Peer::recorded("Docker Swarm", 5300.0),
    };
    let scale = format!("{APPS} stable apps of 1 instance, kill -9 each, process executor");
    let figure = |metric: &str, value: f64| Figure::new("exit-to-replaced", metric, value, "ms").scale(&scale);
    report.add(figure("killed → replacement running p50", times.median()).goal(Goal::AtMost(100.0)).peer(Some(peer)));
    report.add(figure("killed → replacement running p99", times.p99()).goal(Goal::AtMost(100.0)));
    Ok(())
}

/// An argument that tells the process from all others.
fn seconds(number: usize) -> String {
    format!("{}", 40_000_000 + u64::from(std::process::id()) * 100 + number as u64)
}

fn swarm_times(report: &Report, peers: &mut Peers) -> Option<Samples> {
    let swarm = peers.swarm(report)?;
    let mut times = Samples::default();
    for sample in 0..PEER_SAMPLES {
        match swarm.kill_and_wait(&format!("kill-{sample}"), STABLE) {
            Ok(time) => times.push_millis(time),
            Err(error) => {
                report.note(&format!("Docker Swarm failed: {error:#}; its recorded figure is quoted"));
                return None;
            }
        }
    }
    Some(times)
}
