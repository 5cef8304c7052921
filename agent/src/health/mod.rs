//! Health and readiness checks of one running task. `orrery_core::health` decides what a result
//! means; this asks.

mod probe;
mod schedule;

use crate::checkpoint::Run;
use crate::lifecycle::Running;
use crate::spawner::{HelperResult, Identity};
use crate::state::{Shared, now};
use orrery_core::Timestamp;
use orrery_core::app::{HealthProtocol, IpProtocol, NetworkMode};
use orrery_core::assignment::{Assignment, ContainerSpec, HealthTarget};
use orrery_core::health::Probe;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Results waiting for their task's attention.
const EVENTS_MAX: usize = 16;

/// What the checks of a task found.
#[derive(Debug)]
pub(crate) enum Event {
    /// A result of check number `.0`.
    Health(usize, Probe),
    /// All readiness checks have passed.
    Ready,
}

/// Sends probes, a bounded number at once.
#[derive(Debug)]
pub(crate) struct Prober {
    /// Made for the first check that needs it, like all that only some nodes need.
    client: LazyLock<Result<reqwest::Client, String>>,
    permits: Semaphore,
}

impl Prober {
    /// A prober with at most `limit` probes under way.
    pub(crate) fn new(limit: usize) -> Self {
        Self { client: LazyLock::new(probe::client), permits: Semaphore::new(limit) }
    }

    fn client(&self) -> Result<&reqwest::Client, String> {
        self.client.as_ref().map_err(Clone::clone)
    }
}

/// The task that is checked.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) shared: Arc<Shared>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) run: Arc<Run>,
    pub(crate) running: Running,
    pub(crate) identity: Option<Identity>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) started_at: Timestamp,
    pub(crate) ever_healthy: Vec<bool>,
}

impl Subject {
    /// What is checked; an app has exactly one container.
    fn container(&self) -> Option<&ContainerSpec> {
        self.assignment.containers.first()
    }
}

/// The checks of a task that are under way. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Checks {
    events: mpsc::Receiver<Event>,
    /// Readiness checks that have not passed.
    unready: usize,
    _tasks: JoinSet<()>,
}

impl Checks {
    /// Starts all checks of a task; those of readiness only while it is not `ready`.
    pub(crate) fn start(subject: Subject, ready: bool) -> Option<Self> {
        let container = subject.container()?;
        let (health, unready) = (container.health_checks.len(), if ready { 0 } else { container.readiness_checks.len() });
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let subject = Arc::new(subject);
        let mut tasks = JoinSet::new();
        for index in 0..health {
            tasks.spawn(check_health(subject.clone(), index, sender.clone()));
        }
        for index in 0..unready {
            tasks.spawn(check_readiness(subject.clone(), index, sender.clone()));
        }
        Some(Self { events, unready, _tasks: tasks })
    }

    /// The next result; `None` when no check is under way any more. Loses nothing when it is dropped.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.events.recv().await?;
            if matches!(event, Event::Ready) {
                // Each says so once.
                self.unready = self.unready.saturating_sub(1);
                if self.unready > 0 {
                    continue;
                }
            }
            return Some(event);
        }
    }
}

fn running_for(subject: &Subject) -> Duration {
    Duration::from_millis(u64::try_from(now().millis_since(subject.started_at)).unwrap_or(0))
}

async fn check_health(subject: Arc<Subject>, index: usize, events: mpsc::Sender<Event>) {
    let Some(target) = subject.container().and_then(|container| container.health_checks.get(index)) else { return };
    let check = &target.check;
    let mut ever_healthy = subject.ever_healthy.get(index).copied().unwrap_or(false);
    // A task that was taken over has been running for a while.
    tokio::time::sleep(schedule::first_wait(check).saturating_sub(running_for(&subject))).await;
    for done in 1u32.. {
        let result = {
            let Ok(_permit) = subject.shared.prober.permits.acquire().await else { return };
            run(&subject, target).await
        };
        ever_healthy |= result == Probe::Success;
        if events.send(Event::Health(index, result)).await.is_err() {
            return;
        }
        tokio::time::sleep(schedule::next_wait(check, ever_healthy, running_for(&subject), done)).await;
    }
}

/// Address and port of a target: inside the task's own network, or at the node.
fn place(subject: &Subject, target: &HealthTarget) -> Option<(IpAddr, u16)> {
    let spec = subject.container()?;
    let own = subject.addresses.first().copied();
    let port = target.check.port;
    if target.check.protocol.is_local() {
        let loopback = match target.check.ip_protocol {
            IpProtocol::IPv4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpProtocol::IPv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        return match (spec.network, own) {
            (NetworkMode::Host, _) | (_, None) => Some((loopback, target.host_port.or(target.container_port).or(port)?)),
            (_, Some(own)) => Some((own, target.container_port.or(port)?)),
        };
    }
    match (target.host_port, own) {
        (Some(host_port), _) => Some((subject.shared.config.facts.address, host_port)),
        (None, Some(own)) => Some((own, target.container_port.or(port)?)),
        (None, None) => Some((subject.shared.config.facts.address, target.container_port.or(port)?)),
    }
}

async fn run(subject: &Subject, target: &HealthTarget) -> Probe {
    if target.check.protocol == HealthProtocol::Command {
        let Some(command) = &target.check.command else {
            return Probe::Failure("the check has no command".into());
        };
        let timeout = Duration::from_secs(u64::from(target.check.timeout_seconds.max(1)));
        return match execute(subject, &command.value, timeout).await {
            Ok(Some(result)) => judge(&result, timeout),
            Ok(None) => Probe::Ignored,
            Err(message) => Probe::Failure(message),
        };
    }
    match place(subject, target) {
        Some((address, port)) => probe::probe(&subject.shared.prober, &target.check, address, port).await,
        None => Probe::Failure("the check has no port: give \"portIndex\" or \"port\"".into()),
    }
}

async fn execute(subject: &Subject, command: &str, timeout: Duration) -> Result<Option<HelperResult>, String> {
    match &subject.running {
        Running::Process(process) => {
            let identity = subject.identity.clone();
            let container = subject.container().ok_or("the assignment has no container")?;
            subject.shared.process.probe(process, container, &subject.run, identity, command, timeout).await.map(Some)
        }
        Running::Docker(container) => container.execute(command, timeout).await,
    }
}

fn judge(result: &HelperResult, timeout: Duration) -> Probe {
    let told = if result.output.is_empty() { String::new() } else { format!(": {}", result.output) };
    match (result.timed_out, result.code, result.signal) {
        (true, ..) => Probe::Failure(format!("the command did not end within {} s{told}", timeout.as_secs())),
        (_, Some(0), _) => Probe::Success,
        (_, Some(code), _) => Probe::Failure(format!("the command exited with status {code}{told}")),
        (_, None, Some(signal)) => {
            Probe::Failure(format!("the command was ended by {}{told}", orrery_core::task::signal_name(signal)))
        }
        (_, None, None) => Probe::Failure("the end of the command is not known".into()),
    }
}

async fn check_readiness(subject: Arc<Subject>, index: usize, events: mpsc::Sender<Event>) {
    let Some(container) = subject.container() else { return };
    let Some((check, port)) = container.readiness_checks.get(index) else { return };
    let address = match (container.network, subject.addresses.first()) {
        (NetworkMode::Container, Some(own)) => *own,
        _ => subject.shared.config.facts.address,
    };
    let at = std::net::SocketAddr::new(address, *port);
    let secure = matches!(check.protocol, HealthProtocol::Https | HealthProtocol::MesosHttps);
    let timeout = Duration::from_secs(u64::from(check.timeout_seconds.max(1)));
    // A service is ready soon or late: ask often at first, then at the interval the user chose.
    let interval = Duration::from_secs(u64::from(check.interval_seconds.max(1)));
    let mut wait = Duration::from_millis(100);
    loop {
        tokio::time::sleep(wait.min(interval)).await;
        let answer = {
            let Ok(_permit) = subject.shared.prober.permits.acquire().await else { return };
            probe::ask(&subject.shared.prober, secure, at, &check.path, timeout).await
        };
        if answer.is_ok_and(|status| check.http_status_codes_for_ready.contains(&status)) {
            let _ = events.send(Event::Ready).await;
            return;
        }
        wait = wait.saturating_mul(2);
    }
}
