//! Memory of an agent that has joined a cluster, of its spawner and of the inits of its tasks.

use crate::cluster::{Cluster, RESOURCES, app, binary};
use crate::figure::{Figure, Goal};
use crate::peer::Peers;
use crate::process::{anonymous_megabytes, children, resident_megabytes};
use crate::report::Report;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Running tasks at which memory is read.
const TASKS: [usize; 4] = [0, 100, 500, 1000];
/// What a burst of launches leaves to do is done by then.
const SETTLE: Duration = Duration::from_secs(3);
const INTERCEPT_MEGABYTES: f64 = 15.0;
const KILOBYTES_A_TASK: f64 = 20.0;

/// `orrery agent` as a process of its own; dropping it stops it and its tasks.
struct Agent {
    child: Child,
    data: PathBuf,
}

impl Agent {
    fn join(cluster: &Cluster) -> anyhow::Result<Self> {
        let token = Command::new(binary()?).args(["token", "create", "--data-dir"]).arg(cluster.data()).output()?;
        let token = String::from_utf8(token.stdout)?.lines().next().context("there is no join token")?.to_owned();
        let data = cluster.scratch().join("agent");
        let mut child = Command::new(binary()?)
            .args(["agent", "--join", cluster.url(), "--token", &token, "--attributes", "measured:yes"])
            .args(["--resources", RESOURCES, "--data-dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(cluster.scratch().join("agent.log"))?)
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let agent = Self { child, data };
        if !line.starts_with("ready ") {
            bail!("the agent did not join; it said {line:?}");
        }
        Ok(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let stopped = binary().ok().and_then(|binary| {
            let mut down = Command::new(binary);
            down.args(["down", "--stop-tasks", "--data-dir"]).arg(&self.data).stdout(Stdio::null()).status().ok()
        });
        if !stopped.is_some_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Megabytes.
struct Reading {
    tasks: usize,
    resident: f64,
    anonymous: f64,
    spawner: f64,
    inits: f64,
}

pub(crate) fn run(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    let mut cluster = Cluster::start()?;
    let agent = Agent::join(&cluster)?;
    let pid = i32::try_from(agent.child.id())?;
    let spawner = *children(pid).first().context("the agent has no spawner")?;
    let mut readings: Vec<Reading> = Vec::new();
    for tasks in TASKS {
        let more = tasks - readings.last().map_or(0, |reading| reading.tasks);
        if more > 0 {
            let mut spec = app(&format!("/bench/memory-{tasks}"), "exec sleep 1000000", more);
            spec["constraints"] = json!([["measured", "CLUSTER", "yes"]]);
            cluster.http.post("/v2/apps", &spec)?;
            cluster.settled()?;
        }
        std::thread::sleep(SETTLE); // Memory given back is no event: the figure is that of a settled agent.
        let inits = children(spawner);
        if inits.len() != tasks {
            bail!("{} tasks run instead of {tasks}", inits.len());
        }
        readings.push(Reading {
            tasks,
            resident: resident_megabytes(pid).0,
            anonymous: anonymous_megabytes(pid),
            spawner: resident_megabytes(spawner).1,
            inits: inits.iter().map(|init| resident_megabytes(*init).1).sum(),
        });
    }
    let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return Ok(()) };
    let each = |of: fn(&Reading) -> f64| (of(last) - of(first)) * 1000.0 / last.tasks as f64;
    let list = |of: fn(&Reading) -> f64| {
        let parts: Vec<String> = readings.iter().map(|reading| format!("{}: {:.1}", reading.tasks, of(reading))).collect();
        parts.join(", ")
    };
    let mut add = |metric: &str, value: f64, unit: &'static str, scale: String, goal: Option<f64>| {
        let figure = Figure::new("agent-memory", metric, value, unit).scale(scale);
        report.add(match goal {
            Some(goal) => figure.goal(Goal::AtMost(goal)),
            None => figure,
        });
    };
    let sleeps = "tasks of sleep: MB";
    let (resident, anonymous) = (list(|reading| reading.resident), list(|reading| reading.anonymous));
    add("agent without tasks (RSS)", first.resident, "MB", format!("{sleeps}, {resident}"), Some(INTERCEPT_MEGABYTES));
    add("… of no file", first.anonymous, "MB", format!("{sleeps}, {anonymous}"), None);
    let scale = format!("from 0 to {} tasks", last.tasks);
    add("agent, each task (RSS)", each(|reading| reading.resident), "KB", scale.clone(), Some(KILOBYTES_A_TASK));
    add("… of no file", each(|reading| reading.anonymous), "KB", scale, None);
    add("spawner (PSS)", last.spawner, "MB", format!("{} tasks", last.tasks), None);
    add("init of a task (PSS)", last.inits * 1000.0 / last.tasks as f64, "KB", format!("mean of {}", last.tasks), None);
    Ok(())
}
