//! From specs to a fleet that runs them, then the figures of that cluster.

use super::agents::Fleet;
use super::controllers::{self, Controller, Doors};
use crate::figure::{Figure, Goal, Peer};
use crate::memory;
use crate::peer::{Etcd, Peers};
use crate::report::Report;
use crate::samples::Samples;
use anyhow::Context as _;
use orrery_controller::Handle;
use orrery_core::cluster::{AppEdit, Cluster};
use orrery_core::instance::Condition;
use orrery_core::node::NodeStatus;
use orrery_core::{App, AppId, Scalar};
use orrery_store::{Store, Transaction};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Instances of each app.
const INSTANCES: u32 = 1_000;
/// Idle time measured.
const IDLE: Duration = Duration::from_secs(10);
/// Pause between steps that only show that the leader goes on.
const STEP_PAUSE: Duration = Duration::from_millis(20);
/// Writers and time of etcd's own rate.
const ETCD_WRITERS: usize = 256;
const ETCD_TIME: Duration = Duration::from_secs(3);

/// 1,000 agents, 100,000 tasks.
pub(crate) fn small(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    run(report, "scale-1k", 1_000, 100_000)
}

/// 10,000 agents, 1,000,000 tasks.
pub(crate) fn large(report: &mut Report, _: &mut Peers) -> anyhow::Result<()> {
    run(report, "scale-10k", 10_000, 1_000_000)
}

fn run(report: &mut Report, bench: &'static str, agents: u32, tasks: u32) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("orrery-bench-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let Some(etcd) = Etcd::start(directory.path())? else {
        report.note("etcd is not installed (apt-get install etcd-server): not measured");
        return Ok(());
    };
    runtime.block_on(measure(report, bench, &etcd, agents, tasks))
}

fn app(number: u32, instances: u32) -> anyhow::Result<App> {
    let mut app = App::new(AppId::parse(&format!("/bench/app-{number}"))?);
    app.cmd = Some("exec sleep 1000000".into());
    app.cpus = Scalar::from_thousandths(10);
    app.mem = Scalar::from_units(16);
    app.instances = instances;
    app.env.insert("MODE".into(), orrery_core::app::EnvValue::Literal("bench".into()));
    Ok(app)
}

async fn measure(report: &mut Report, bench: &'static str, etcd: &Etcd, agents: u32, tasks: u32) -> anyhow::Result<()> {
    let scale = format!("{agents} simulated agents, {tasks} tasks, {INSTANCES} an app, etcd with fsync on the same cores");
    let figure = |metric: &str, value: f64, unit: &'static str| Figure::new(bench, metric, value, unit).scale(&scale);
    let store: Arc<dyn Store> = Arc::new(etcd.store().await?);
    let single = single_puts(&store).await?;
    report.add(figure("etcd alone: single puts", single, "commits/s"));

    let doors = Doors::default();
    let before_all = memory::living();
    let leading = Controller::start(0, &doors, etcd).await?;
    let clock = Instant::now();
    let fleet = Fleet::connect(&doors, agents)?;
    leading.until("all agents are connected", |cluster| active(cluster) == agents as usize).await?;
    let joined = clock.elapsed().as_secs_f64();
    report.add(figure("agents connected", f64::from(agents) / joined, "agents/s"));
    let after_join = memory::living();

    let revision = store.revision().await?;
    let (clock, cpu) = (Instant::now(), cpu_seconds());
    let mut posts = tokio::task::JoinSet::new();
    for number in 0..tasks / INSTANCES {
        let (handle, app) = (leading.handle.clone(), app(number, INSTANCES)?);
        posts.spawn(async move { handle.edit(|draft| draft.edit(vec![AppEdit::Create(app)], false, "")).await });
    }
    while let Some(posted) = posts.join_next().await {
        posted??;
    }
    let accepted = clock.elapsed();
    leading.until("all tasks run", |cluster| cluster.deployments.is_empty()).await?;
    let elapsed = clock.elapsed();
    let cluster = leading.handle.cluster();
    let running = cluster.instances.values().filter(|instance| instance.condition == Condition::Running).count();
    anyhow::ensure!(running == tasks as usize, "{running} of {tasks} tasks run");
    let rate = f64::from(tasks) / elapsed.as_secs_f64();
    report.add(figure("all specs durably accepted", accepted.as_secs_f64(), "s"));
    let spec = figure("spec accepted → acknowledged running", rate, "tasks/s").goal(Goal::AtLeast(50_000.0));
    report.add(spec);
    let against = Peer::measured("etcd, single puts", single);
    report.add(figure("… beside etcd's single puts", rate, "tasks/s").peer(Some(against)).goal_of_ratio(Goal::AtLeast(3.0)));
    let cpu = (cpu_seconds() - cpu) / f64::from(tasks) * 1e6;
    report.add(figure("CPU of leader and agents for it, without etcd", cpu, "µs/task"));
    let steps = store.revision().await?.0 - revision.0;
    report.add(figure("etcd transactions for it", steps as f64, "transactions"));
    drop(cluster);
    let cut = fleet.seen.connections.load(Ordering::Relaxed);
    if cut > 0 {
        report.note(&format!("the leader cut {cut} connections while the tasks started; the agents came back"));
    }
    eprintln!("running after {elapsed:?}, {cpu:.1} µs CPU a task");

    // Idle.
    let revision = store.revision().await?;
    let (cpu, of_leader) = (cpu_seconds(), controllers::cpu_seconds());
    tokio::time::sleep(IDLE).await;
    let share = |spent: f64| spent / IDLE.as_secs_f64() * 100.0;
    let (of_leader, of_all) = (share(controllers::cpu_seconds() - of_leader), share(cpu_seconds() - cpu));
    let writes = store.revision().await?.0 - revision.0;
    report.add(figure("steady: CPU of the leader, a sign of life each 500 ms", of_leader, "% of a core").goal(Goal::AtMost(1.0)));
    report.add(figure("steady: CPU of leader and simulated agents together", of_all, "% of a core"));
    report.add(figure("steady: changes in the store", writes as f64, "changes").goal(Goal::AtMost(0.0)));

    // A follower, of which nothing is here yet, would be counted too.
    let own = own_state(&leading.handle.cluster());
    let per_task = (memory::living() - after_join) as f64 / f64::from(tasks) - own;
    let per_agent = (after_join - before_all) as f64 / f64::from(agents);
    report.add(
        figure("memory: all that grew with the tasks, channels to agents included", per_task, "B/task").goal(Goal::AtMost(400.0)),
    );
    report.add(figure("memory: all that grew with the agents, their own state included", per_agent, "B/agent"));

    // Changes that touch few or many agents.
    for touched in [1, 100, 1_000, 10_000].into_iter().filter(|touched| *touched <= agents) {
        fan_out(report, &figure, &leading, &fleet, touched).await?;
    }
    lose(report, &figure, &leading, &fleet).await?;
    let successor = fail_over(report, &figure, leading, &fleet, (&doors, etcd)).await?;

    // A new controller on the same store.
    let all_tasks = successor.handle.cluster().instances.len();
    fleet.end().await;
    successor.end().await?;
    let clock = Instant::now();
    let leading = Controller::start(2, &doors, etcd).await?;
    report.add(figure("cold start: store read, first step done", clock.elapsed().as_secs_f64(), "s").goal(Goal::AtMost(3.0)));
    anyhow::ensure!(leading.handle.cluster().instances.len() == all_tasks, "tasks are missing after the restart");
    leading.end().await
}

/// Bytes a task that the simulated agents take for themselves, measured on one of them.
fn own_state(cluster: &Cluster) -> f64 {
    let Some(load) = cluster.loads.values().next() else { return 0.0 };
    let ids = load.instances.iter().filter_map(|id| cluster.instances.get(id));
    let before = memory::living();
    let mut held = std::collections::BTreeMap::new();
    // One by one, as they arrive.
    for instance in ids {
        held.insert(instance.task_id(), instance.since);
    }
    (memory::living() - before) as f64 / held.len().max(1) as f64
}

/// Kills the leader while a follower is there, and measures what clients and agents see.
async fn fail_over(
    report: &mut Report,
    figure: &impl Fn(&str, f64, &'static str) -> Figure,
    leading: Controller,
    fleet: &Fleet,
    (doors, etcd): (&Doors, &Etcd),
) -> anyhow::Result<Controller> {
    let clock = Instant::now();
    let follower = Controller::start(1, doors, etcd).await?;
    report.add(figure("a new follower has read the store", clock.elapsed().as_secs_f64(), "s"));
    let wanted = leading.handle.cluster();
    let arrived = follower.until("the follower has everything", |cluster| {
        cluster.generation >= wanted.generation && cluster.instances.len() == wanted.instances.len()
    });
    let mut longest = Duration::ZERO;
    tokio::select! {
        arrived = arrived => arrived?,
        failed = step_on(&leading.handle, &mut longest) => failed?,
    }
    report.add(figure("a new follower has everything", clock.elapsed().as_secs_f64(), "s"));
    report.add(figure("… longest step of the leader meanwhile", longest.as_secs_f64() * 1e3, "ms"));
    let agents = active(&wanted);
    drop(wanted);
    let runs = fleet.seen.runs.load(Ordering::SeqCst);
    let clock = Instant::now();
    leading.kill();
    let mut role = follower.handle.role();
    while !follower.handle.leads() {
        role.changed().await?;
    }
    let took_over = clock.elapsed();
    let mut small = app(0, 0)?;
    small.id = AppId::parse("/after/failover")?;
    follower.handle.edit(|draft| draft.edit(vec![AppEdit::Create(small)], false, "")).await?;
    let written = clock.elapsed();
    follower.until("all agents are back", |cluster| active(cluster) >= agents).await?;
    let rejoined = clock.elapsed();
    anyhow::ensure!(fleet.seen.runs.load(Ordering::SeqCst) == runs, "tasks were started again");
    report.add(figure("leader killed → another leads", took_over.as_secs_f64(), "s"));
    let peer = Peer::recorded("Swarm, documented (Mesos 75 s, Kubernetes 340 s)", 15.0);
    let next = figure("leader killed → next acknowledged write", written.as_secs_f64(), "s").goal(Goal::AtMost(3.0));
    report.add(next.peer(Some(peer)));
    report.add(
        figure("leader killed → all agents are back, no task restarted", rejoined.as_secs_f64(), "s").goal(Goal::AtMost(10.0)),
    );
    Ok(follower)
}

/// Has the leader take steps that change nothing, until one fails; notes how long the longest took.
async fn step_on(leader: &Handle, longest: &mut Duration) -> anyhow::Result<()> {
    loop {
        let asked = Instant::now();
        leader.edit(|_| Ok(())).await?;
        *longest = (*longest).max(asked.elapsed());
        tokio::time::sleep(STEP_PAUSE).await;
    }
}

/// Posts apps with one instance for each of `touched` agents.
async fn fan_out(
    report: &mut Report,
    figure: &impl Fn(&str, f64, &'static str) -> Figure,
    leading: &Controller,
    fleet: &Fleet,
    touched: u32,
) -> anyhow::Result<()> {
    let seen = &fleet.seen;
    let (mut durable, mut received) = (Samples::default(), Samples::default());
    let rounds = if touched >= 10_000 { 5 } else { 20 };
    // In the last round messages are weighed instead.
    for round in 0..=rounds {
        let weighs = round == rounds;
        seen.weighs.store(weighs, Ordering::SeqCst);
        let mut app = app(0, touched)?;
        app.id = AppId::parse(&format!("/fan/of-{touched}-{round}"))?;
        let wanted = seen.runs.load(Ordering::SeqCst) + u64::from(touched);
        let clock = fleet.began.elapsed();
        leading.handle.edit(|draft| draft.edit(vec![AppEdit::Create(app)], false, "")).await?;
        if !weighs {
            durable.push_millis(fleet.began.elapsed().saturating_sub(clock));
        }
        leading.until("the change has been carried out", |cluster| cluster.deployments.is_empty()).await?;
        anyhow::ensure!(seen.runs.load(Ordering::SeqCst) == wanted, "other tasks were started meanwhile");
        if !weighs {
            received.push_millis(Duration::from_nanos(seen.last_run.load(Ordering::SeqCst)).saturating_sub(clock));
        }
    }
    seen.weighs.store(false, Ordering::SeqCst);
    let bytes = seen.bytes.swap(0, Ordering::SeqCst) as f64 / f64::from(touched);
    let title = |what: &str| format!("change that touches {touched} agents: {what}");
    report.add(figure(&title("asked → durable, median"), durable.median(), "ms"));
    report.add(figure(&title("asked → last agent told, p50"), received.median(), "ms"));
    let slowest = figure(&title("asked → last agent told, p99"), received.p99(), "ms");
    report.add(slowest.goal(Goal::AtMost(50.0)));
    report.add(figure(&title("JSON to agents"), bytes, "B/agent"));
    Ok(())
}

/// Cuts one agent off and waits until its tasks run elsewhere.
async fn lose(
    report: &mut Report,
    figure: &impl Fn(&str, f64, &'static str) -> Figure,
    leading: &Controller,
    fleet: &Fleet,
) -> anyhow::Result<()> {
    let cluster = leading.handle.cluster();
    let (node, load) = cluster.loads.iter().next().context("no node has tasks")?;
    let number = node.as_str().rsplit('S').next().and_then(|number| number.parse().ok()).context("an odd node id")?;
    let wanted = fleet.seen.runs.load(Ordering::SeqCst) + load.instances.len() as u64;
    let clock = fleet.began.elapsed();
    fleet.cut(number);
    leading.until("replacements run", |_| fleet.seen.runs.load(Ordering::SeqCst) >= wanted).await?;
    let replaced = Duration::from_nanos(fleet.seen.last_run.load(Ordering::SeqCst)).saturating_sub(clock);
    let peer = Peer::recorded("Swarm, documented (Mesos 75 s, Kubernetes 340 s)", 15.0);
    let figure = figure("agent lost → its last task started elsewhere", replaced.as_secs_f64(), "s").peer(Some(peer));
    report.add(figure.goal(Goal::AtMost(3.0)));
    Ok(())
}

fn active(cluster: &Cluster) -> usize {
    cluster.nodes.values().filter(|node| node.status == NodeStatus::Active).count()
}

/// CPU time of this process so far, seconds.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

/// etcd's own rate: one put a transaction, many writers.
async fn single_puts(store: &Arc<dyn Store>) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..ETCD_WRITERS {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let mut count = 0_u64;
            while start.elapsed() < ETCD_TIME {
                store.transact(Transaction::new().put(format!("/bench/{writer}"), vec![b'x'; 256])).await?;
                count += 1;
            }
            Ok::<_, orrery_store::Error>(count)
        });
    }
    let mut total = 0;
    while let Some(count) = writers.join_next().await {
        total += count??;
    }
    Ok(total as f64 / start.elapsed().as_secs_f64())
}
