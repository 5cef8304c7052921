//! Durable commits of the embedded store, beside etcd and the bare disk.

use crate::figure::{Figure, Peer};
use crate::peer::{Etcd, Peers};
use crate::report::Report;
use crate::samples::Samples;
use orrery_store::{Embedded, Store, Transaction};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const VALUE_BYTES: usize = 256;
const WRITERS: usize = 64;
const KEYS: usize = 1_000;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(1_200);
/// Writes of the bare disk.
const DISK_WRITES: u64 = 1_000;

#[derive(Default)]
struct Measured {
    rate: Samples,
    latency: Samples,
}

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("orrery-bench-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let embedded: Arc<dyn Store> = Arc::new(Embedded::open(directory.path().join("bench.redb"))?);
    let (etcd, _process) = match Etcd::start(directory.path()) {
        Ok(Some(process)) => match runtime.block_on(process.store()) {
            Ok(store) => (Some(Arc::new(store) as Arc<dyn Store>), Some(process)),
            Err(error) => {
                report.note(&format!("etcd failed: {error:#}"));
                (None, None)
            }
        },
        Ok(None) => {
            report.note("etcd is not installed (apt-get install etcd-server): no peer");
            (None, None)
        }
        Err(error) => {
            report.note(&format!("etcd failed: {error:#}"));
            (None, None)
        }
    };
    let disk = disk(directory.path())?;
    for (name, writers) in [("1 writer", 1), ("64 writers", WRITERS)] {
        let (mut ours, mut theirs, mut ratios) = (Measured::default(), Measured::default(), Samples::default());
        // One round to warm up, then by turns.
        for round in 0..=ROUNDS {
            let rate = runtime.block_on(write(&embedded, writers, round > 0, &mut ours))?;
            if let Some(etcd) = &etcd {
                let peer_rate = runtime.block_on(write(etcd, writers, round > 0, &mut theirs))?;
                if round > 0 {
                    ratios.push(rate / peer_rate);
                }
            }
        }
        let scale = format!("{VALUE_BYTES} B values, {writers} in flight, fsync, {ROUNDS} rounds of 1.2 s by turns");
        let peer = |value: f64| etcd.as_ref().map(|_| Peer::measured("etcd, same client side", value));
        let figure = |metric: String, value: f64, unit: &'static str| Figure::new("store", metric, value, unit).scale(&scale);
        let rate = figure(format!("{name}: commits"), ours.rate.median(), "commits/s").peer(peer(theirs.rate.median()));
        report.add(if ratios.len() > 0 { rate.ratio(ratios.median()) } else { rate });
        for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = ours.latency.quantile(share);
            report.add(figure(format!("{name}: commit {what}"), value, "ms").peer(peer(theirs.latency.quantile(share))));
        }
    }
    let scale = format!("4 KiB pwrite + fdatasync, preallocated, {DISK_WRITES} times");
    report.add(Figure::new("store", "bare disk p50", disk.median(), "ms").scale(&scale));
    report.add(Figure::new("store", "bare disk p99", disk.p99(), "ms").scale(&scale));
    Ok(())
}

/// Commits per second of one round; every writer waits for its own commits.
async fn write(store: &Arc<dyn Store>, writers: usize, counts: bool, measured: &mut Measured) -> anyhow::Result<f64> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < ROUND {
                    let key = format!("/bench/{writer}/{}", times.len() % KEYS);
                    let before = Instant::now();
                    store.transact(Transaction::new().put(key, vec![b'x'; VALUE_BYTES])).await?;
                    times.push(before.elapsed());
                }
                Ok::<_, orrery_store::Error>(times)
            })
        })
        .collect();
    let mut commits = 0;
    for task in tasks {
        let times = task.await??;
        commits += times.len();
        if counts {
            for time in times {
                measured.latency.push_millis(time);
            }
        }
    }
    let rate = commits as f64 / start.elapsed().as_secs_f64();
    if counts {
        measured.rate.push(rate);
    }
    Ok(rate)
}

/// The floor: what one durable write costs without any store.
fn disk(directory: &Path) -> anyhow::Result<Samples> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(directory.join("disk"))?;
    let page = [0_u8; 4096];
    for number in 0..DISK_WRITES {
        file.write_all_at(&page, number * 4096)?;
    }
    file.sync_all()?;
    let mut samples = Samples::default();
    for number in 0..DISK_WRITES {
        let start = Instant::now();
        file.write_all_at(&page, number * 4096)?;
        file.sync_data()?;
        samples.push_millis(start.elapsed());
    }
    Ok(samples)
}
