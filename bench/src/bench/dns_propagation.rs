//! From a task that runs to its name being answered. The task tells by itself that it runs; the name
//! is asked for over and over from the moment the app is posted.

use crate::cluster::{Cluster, PATIENCE, app};
use crate::dns::{Kind, connect, is_answered, query};
use crate::figure::{Figure, Goal, Peer};
use crate::marks::Marks;
use crate::peer::Peers;
use crate::report::Report;
use crate::samples::Samples;
use anyhow::bail;
use std::time::{Duration, Instant};

const WARM_UP: usize = 3;
const SAMPLES: usize = 100;
/// Pause between questions: what a figure may be too high by.
const PAUSE: Duration = Duration::from_micros(300);

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let marks = Marks::new(cluster.scratch())?;
    let socket = connect(cluster.dns)?;
    let (mut appears, mut goes) = (Samples::default(), Samples::default());
    for sample in 0..WARM_UP + SAMPLES {
        let (id, word) = (format!("/prop-{sample}"), format!("p{sample}"));
        let packet = query(sample as u16, &(format!("prop-{sample}.marathon.mesos"), Kind::A));
        let ask_until = |wanted: bool| {
            let start = Instant::now();
            while is_answered(&socket, &packet)? != wanted {
                if start.elapsed() > PATIENCE {
                    bail!("the name did not {} within {} s", if wanted { "appear" } else { "go" }, PATIENCE.as_secs());
                }
                std::thread::sleep(PAUSE);
            }
            Ok(Instant::now())
        };
        cluster.http.post("/v2/apps", &app(&id, &marks.command(&word, "1000000"), 1))?;
        let answered = ask_until(true)?;
        let running = marks.wait(&word, PATIENCE)?;
        let start = Instant::now();
        cluster.http.delete(&format!("/v2/apps{id}?force=true"))?;
        let gone = ask_until(false)?;
        if sample >= WARM_UP {
            // The task may be known to run before its shell has said so.
            appears.push_millis(answered.saturating_duration_since(running));
            goes.push_millis(gone - start);
        }
        cluster.settled()?;
    }
    let scale = format!("{SAMPLES} apps, one after the other, asked each {} µs", PAUSE.as_micros());
    let figure = |metric: &str, value: f64| Figure::new("dns-propagation", metric, value, "ms").scale(&scale);
    let peer = Peer::recorded("Mesos-DNS, mean of its 30 s poll", 15_000.0);
    report.add(figure("process running → name answered p50", appears.median()).peer(Some(peer)));
    report.add(figure("process running → name answered p99", appears.p99()).goal(Goal::AtMost(30.0)));
    report.add(figure("app deleted → name gone p50", goes.median()));
    report.add(figure("app deleted → name gone p99", goes.p99()));
    Ok(())
}
