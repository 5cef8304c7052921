//! What a cluster costs that has nothing to do.

use crate::cluster::{Cluster, PATIENCE, app};
use crate::figure::{Figure, Goal};
use crate::marks::Marks;
use crate::peer::Peers;
use crate::process;
use crate::report::Report;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::{Duration, Instant};

const APPS: usize = 20;
/// What the last deployment left to do is done by then.
const SETTLE: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(20);
/// Clock ticks of `/proc` per second.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    for number in 0..APPS {
        let word = format!("i{number}");
        cluster.http.post("/v2/apps", &app(&format!("/bench/idle-{number}"), &marks.command(&word, "1000000"), 1))?;
        marks.wait(&word, PATIENCE)?;
    }
    cluster.settled()?;
    std::thread::sleep(SETTLE);

    let store = cluster.store_path();
    let (content, written) = (content(&store)?, modified(&store)?);
    let bytes = written_bytes(&cluster);
    let ticks = ticks(&cluster);
    let start = Instant::now();
    std::thread::sleep(WATCHED);
    let seconds = start.elapsed().as_secs_f64();
    let used = ticks_since(&cluster, ticks);
    let is_same = modified(&store)? == written && self::content(&store)? == content;
    let tree = process::own_tree(cluster.pid());
    let (daemon, _) = i32::try_from(cluster.pid()).map(process::resident_megabytes)?;
    let (resident, shared): (Vec<f64>, Vec<f64>) = tree.iter().map(|pid| process::resident_megabytes(*pid)).unzip();

    let scale = format!("{APPS} apps running, {:.0} s, {} processes of ours", seconds, tree.len());
    let figure = |metric: &str, value: f64, unit: &'static str| Figure::new("idle", metric, value, unit).scale(&scale);
    report.add(figure("store file changed", f64::from(u8::from(!is_same)), "times").goal(Goal::AtMost(0.0)));
    report.add(figure("bytes written by our processes", written_bytes(&cluster).saturating_sub(bytes) as f64, "bytes"));
    report.add(figure("CPU of one core", used as f64 / TICKS_PER_SECOND / seconds * 100.0, "%").goal(Goal::AtMost(1.0)));
    report.add(figure("resident, the daemon alone (RSS)", daemon, "MB").goal(Goal::AtMost(60.0)));
    report
        .add(figure("resident, whole tree, shared pages counted once (PSS)", shared.iter().sum(), "MB").goal(Goal::AtMost(60.0)));
    report.add(
        figure("resident, whole tree, shared pages counted in each (RSS)", resident.iter().sum(), "MB").goal(Goal::AtMost(60.0)),
    );
    Ok(())
}

fn modified(path: &Path) -> anyhow::Result<std::time::SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}

fn content(path: &Path) -> anyhow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(path)?.hash(&mut hasher);
    Ok(hasher.finish())
}

fn ticks(cluster: &Cluster) -> u64 {
    process::own_tree(cluster.pid()).into_iter().map(process::cpu_ticks).sum()
}

fn ticks_since(cluster: &Cluster, before: u64) -> u64 {
    ticks(cluster).saturating_sub(before)
}

/// Bytes that our processes have caused to be written to disks.
fn written_bytes(cluster: &Cluster) -> u64 {
    let of = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok()).unwrap_or(0)
    };
    process::own_tree(cluster.pid()).into_iter().map(of).sum()
}
