//! The judge sees the truth: every revision of the store, every process of every machine, every
//! request of every client. It notes what must never be.

use crate::trace::Trace;
use orrery_core::app::SINGLE_INSTANCE_LABEL;
use orrery_core::assignment::Assignment;
use orrery_core::cluster::{CONTROLLERS, Cluster, EPOCH_KEY, LEADER_KEY, Mirror, ROOT};
use orrery_core::instance::{Condition, Goal};
use orrery_core::{AppId, NodeId, TaskId, Timestamp};
use orrery_store::{Event, Operation, Revision, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Label that tells which request wrote an app.
pub const REQUEST_LABEL: &str = "sim.request";

/// What a request wants of its app, as far as the app's document shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// A document with this mark and number of instances.
    Put(String, u32),
    /// The same document with this number of instances.
    Scale(u32),
    /// The same document, a newer version.
    Restart,
    /// No document.
    Remove,
    /// Nothing that the document shows.
    Other,
}

/// A request of a client.
#[derive(Debug)]
struct Request {
    app: AppId,
    wish: Wish,
    /// The revision that shows it.
    applied: Option<u64>,
    /// The store's revision when it was submitted.
    since: u64,
    /// Neither acknowledged nor refused.
    open: bool,
}

/// What an app's document shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    mark: String,
    instances: u32,
    version: Timestamp,
}

#[derive(Debug, Default)]
struct Inner {
    violations: Vec<String>,
    /// The store's state, read as a controller would.
    mirror: Mirror,
    truth: Cluster,
    /// The last revision that changed more than who is there.
    decided: u64,
    apps: BTreeMap<AppId, Shown>,
    requests: BTreeMap<u64, Request>,
    /// Tasks that were ever assigned to a node, in the store.
    assigned: BTreeSet<(NodeId, TaskId)>,
    living: BTreeMap<TaskId, Process>,
    /// Tasks that ever had a process.
    ever: BTreeSet<TaskId>,
    revision: u64,
    /// Who wrote the epoch last: nobody else may decide anything.
    ruler: String,
}

/// A living process.
#[derive(Debug, Clone)]
struct Process {
    node: NodeId,
    app: AppId,
    ports: Vec<u16>,
    /// Of an app that has one holder at a time.
    single: bool,
}

/// The judge. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Judge {
    inner: Arc<Mutex<Inner>>,
    trace: Trace,
}

impl Judge {
    /// A judge that has seen nothing yet.
    pub fn new(trace: Trace) -> Self {
        Self { inner: Arc::default(), trace }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something happened that must not.
    pub fn object(&self, what: String) {
        self.trace.note("judge", format_args!("VIOLATION: {what}"));
        self.lock().violations.push(what);
    }

    /// What happened that must not.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// The cluster as the store has it.
    pub fn truth(&self) -> Cluster {
        self.lock().truth.clone()
    }

    /// The last revision that changed anything but which controllers are there.
    pub fn decided(&self) -> u64 {
        self.lock().decided
    }

    /// Whether what was read change by change equals what is read at once.
    pub fn check_reading(&self, state: &crate::store::State) {
        let entries = state.entries.values().map(|entry| (entry.key.as_str(), entry.value.as_ref()));
        let (loaded, faults) = Cluster::load(entries, Timestamp::from_millis(0));
        let text = |cluster: &Cluster| {
            format!("{:?} {:?} {:?} {:?}", cluster.apps, cluster.instances, cluster.deployments, cluster.loads)
        };
        let truth = self.truth();
        if text(&loaded) != text(&truth) {
            self.object(format!("the store reads as {}, change by change as {}", text(&loaded), text(&truth)));
        }
        for fault in faults {
            self.object(format!("the store does not load: {fault}"));
        }
    }

    /// Living processes and where they live.
    pub fn living(&self) -> BTreeMap<TaskId, NodeId> {
        self.lock().living.iter().map(|(task, process)| (task.clone(), process.node.clone())).collect()
    }

    /// A new revision of the store.
    pub fn revision(&self, revision: Revision, state: &crate::store::State) {
        let mut objections = Vec::new();
        {
            let mut inner = self.lock();
            let inner = &mut *inner;
            inner.revision = revision.0;
            if state.events.iter().any(|event| !event.key().starts_with(CONTROLLERS)) {
                inner.decided = revision.0;
            }
            let below = |event: &Event, what: &str| event.key().strip_prefix(ROOT).is_some_and(|key| key.starts_with(what));
            let concerns = |what: &[&str]| state.events.iter().any(|event| what.iter().any(|what| below(event, what)));
            let changes = state.events.iter().map(|event| match event {
                Event::Put(entry) => (entry.key.as_str(), Some(entry.value.as_ref())),
                Event::Delete { key, .. } => (key.as_str(), None),
            });
            inner.mirror.apply(changes, Timestamp::from_millis(0));
            objections.extend(inner.mirror.faults().iter().map(|fault| format!("revision {revision} does not load: {fault}")));
            inner.truth = inner.mirror.cluster().clone();
            if concerns(&["instances", "nodes"]) {
                inner.check_nodes(&mut objections);
            }
            if concerns(&["apps"]) {
                inner.check_apps(&mut objections);
            }
        }
        for what in objections {
            self.object(what);
        }
    }

    /// A transaction of `by` has happened.
    pub fn wrote(&self, by: &str, transaction: &Transaction) {
        let keys: Vec<&str> = transaction
            .operations
            .iter()
            .map(|operation| match operation {
                Operation::Put { key, .. } | Operation::Delete { key } => key.as_str(),
                Operation::DeletePrefix { prefix } => prefix.as_str(),
            })
            .collect();
        let decides = keys.iter().any(|key| *key != LEADER_KEY && !key.starts_with(CONTROLLERS));
        let ruler = {
            let mut inner = self.lock();
            if keys.contains(&EPOCH_KEY) {
                by.clone_into(&mut inner.ruler);
            }
            inner.ruler.clone()
        };
        if decides && ruler != by {
            self.object(format!("{by} wrote {keys:?} although {ruler} had raised the epoch"));
        }
    }

    /// A process started.
    pub fn started(&self, node: &NodeId, assignment: &Assignment) {
        let task = assignment.task_id();
        let container = &assignment.containers[0];
        let new = Process {
            node: node.clone(),
            app: assignment.run_spec.clone(),
            ports: assignment.host_ports().collect(),
            single: container.labels.get(SINGLE_INSTANCE_LABEL).is_some_and(|value| value == "true"),
        };
        let mut objections = Vec::new();
        {
            let mut inner = self.lock();
            if !inner.assigned.contains(&(node.clone(), task.clone())) {
                objections.push(format!("{task} started on {node}, which was never assigned there"));
            }
            for (other, process) in &inner.living {
                let clash = if task.instance() == other.instance() {
                    Some("two of one identity".to_owned())
                } else if new.single && process.app == new.app {
                    Some(format!("two holders of {}", new.app))
                } else if process.node == *node {
                    let port = new.ports.iter().find(|port| process.ports.contains(port));
                    port.map(|port| format!("both hold port {port}"))
                } else {
                    None
                };
                objections.extend(
                    clash.map(|clash| format!("{task} started on {node} while {other} lives on {}: {clash}", process.node)),
                );
            }
            inner.ever.insert(task.clone());
            inner.living.insert(task, new);
        }
        for what in objections {
            self.object(what);
        }
    }

    /// A process ended.
    pub fn ended(&self, _node: &NodeId, task: &TaskId) {
        self.lock().living.remove(task);
    }

    /// An agent obeys an order to stop a task.
    pub fn told_to_stop(&self, node: &NodeId, task: &TaskId, because: &str) {
        let wanted = {
            let inner = self.lock();
            let of = inner.truth.instances.get(task.instance());
            let of = of.filter(|instance| instance.incarnation == task.incarnation()).cloned();
            of.is_some_and(|instance| instance.node() == Some(node) && instance.goal == Goal::Running)
        };
        if wanted {
            self.object(format!("{node} was told to stop {task} ({because}), which the store still wants to run there"));
        }
    }

    /// A controller shows a snapshot to readers.
    pub fn published(&self, by: &str, cluster: &Cluster) {
        let never = {
            let inner = self.lock();
            let running = cluster.instances.values().filter(|instance| instance.condition == Condition::Running);
            running.map(|instance| instance.task_id()).find(|task| !inner.ever.contains(task))
        };
        if let Some(task) = never {
            self.object(format!("{by} shows {task} as running, which has never run"));
        }
    }

    /// A client sends a request.
    pub fn submitted(&self, number: u64, app: &AppId, wish: Wish) {
        self.trace.note("client", format_args!("request {number}: {app} {wish:?}"));
        let mut inner = self.lock();
        let since = inner.revision;
        inner.requests.insert(number, Request { app: app.clone(), wish, applied: None, since, open: true });
    }

    /// The request was acknowledged. `changed`: the answer said that something changed.
    pub fn acknowledged(&self, number: u64, changed: bool) {
        self.trace.note("client", format_args!("request {number} acknowledged"));
        let objection = {
            let mut inner = self.lock();
            let Some(request) = inner.requests.get_mut(&number) else { return };
            request.open = false;
            let (app, wish, since) = (request.app.clone(), request.wish.clone(), request.since);
            let shown = request.applied.is_some() || wish == Wish::Other || !changed;
            // A later request may have come into the same step and hidden it.
            let hidden = inner.requests.values().any(|other| other.app == app && other.applied.is_some_and(|at| at > since));
            (!shown && !hidden).then(|| format!("request {number} ({app} {wish:?}) was acknowledged but is not in the store"))
        };
        if let Some(what) = objection {
            self.object(what);
        }
    }

    /// The request was refused for good.
    pub fn refused(&self, number: u64, why: &str) {
        self.trace.note("client", format_args!("request {number} refused: {why}"));
        let objection = {
            let mut inner = self.lock();
            let Some(request) = inner.requests.get_mut(&number) else { return };
            request.open = false;
            request.applied.is_some().then(|| format!("request {number} was refused ({why}) but is in the store"))
        };
        if let Some(what) = objection {
            self.object(what);
        }
    }

    /// Nobody knows what became of the request; it may still happen.
    pub fn unknown(&self, number: u64, why: &str) {
        self.trace.note("client", format_args!("request {number} has no answer: {why}"));
    }
}

impl Inner {
    /// Loads within capacity, ports once, and what was ever assigned.
    fn check_nodes(&mut self, objections: &mut Vec<String>) {
        let revision = self.revision;
        for (node, load) in &self.truth.loads {
            let Some(offered) = self.truth.nodes.get(node).map(|node| &node.facts.resources) else {
                if !load.instances.is_empty() {
                    objections.push(format!("revision {revision}: {node} has tasks and is not known"));
                }
                continue;
            };
            let held = self.truth.nodes.get(node).map(|node| node.claims.held()).unwrap_or_default();
            let (cpus, mem, disk) = (load.cpus + held.cpus, load.mem + held.mem, load.disk + held.disk);
            if cpus > offered.cpus || mem > offered.mem || disk > offered.disk {
                objections.push(format!("revision {revision}: {node} is overcommitted: {load:?}"));
            }
        }
        let mut ports: BTreeSet<(&NodeId, u16)> = BTreeSet::new();
        for instance in self.truth.instances.values() {
            let Some(seat) = &instance.seat else { continue };
            for port in seat.host_ports.iter().filter(|port| **port != 0) {
                if !ports.insert((&seat.node, *port)) {
                    objections.push(format!("revision {revision}: port {port} of {} is given twice", seat.node));
                }
            }
            self.assigned.insert((seat.node.clone(), instance.task_id()));
        }
    }

    /// Every change of an app's document is the work of one open request, once.
    fn check_apps(&mut self, objections: &mut Vec<String>) {
        let show = |app: &orrery_core::App| Shown {
            mark: app.labels.get(REQUEST_LABEL).cloned().unwrap_or_default(),
            instances: app.instances,
            version: app.version,
        };
        let after: BTreeMap<AppId, Shown> = self.truth.apps.iter().map(|(id, record)| (id.clone(), show(&record.app))).collect();
        let ids: BTreeSet<AppId> = self.apps.keys().chain(after.keys()).cloned().collect();
        for id in ids {
            let (old, new) = (self.apps.get(&id), after.get(&id));
            if old == new {
                continue;
            }
            let open: Vec<(u64, Wish)> = self
                .requests
                .iter()
                .filter(|(_, request)| request.app == id && request.open && request.applied.is_none())
                .map(|(number, request)| (*number, request.wish.clone()))
                .collect();
            let at = self.revision;
            match (1..=open.len().min(STEP_REQUESTS_MAX)).find_map(|depth| explain(old, new, &open, depth)) {
                Some(causes) => {
                    for number in causes {
                        if let Some(request) = self.requests.get_mut(&number) {
                            request.applied = Some(at);
                        }
                    }
                }
                None => {
                    objections.push(format!("revision {at}: {id} went from {old:?} to {new:?}, which no open request asked for"));
                }
            }
            if let (Some(old), Some(new)) = (old, new)
                && new.version <= old.version
            {
                objections.push(format!("revision {}: {id} went back from {old:?} to {new:?}", self.revision));
            }
        }
        self.apps = after;
    }
}

/// Requests of one client that may come into one step.
const STEP_REQUESTS_MAX: usize = 3;

/// The requests that, one after another, turn `old` into `new`.
fn explain(old: Option<&Shown>, new: Option<&Shown>, open: &[(u64, Wish)], depth: usize) -> Option<Vec<u64>> {
    let version = new.map(|new| new.version);
    for (place, (number, wish)) in open.iter().enumerate() {
        let next = match (wish, old) {
            (Wish::Put(mark, instances), _) => {
                Some(Shown { mark: mark.clone(), instances: *instances, version: Timestamp::from_millis(0) })
            }
            (Wish::Scale(instances), Some(old)) => Some(Shown { instances: *instances, ..old.clone() }),
            (Wish::Restart, Some(old)) => Some(old.clone()),
            (Wish::Remove, Some(_)) => None,
            _ => continue,
        };
        let same = match (&next, new) {
            (Some(next), Some(new)) => (&next.mark, next.instances) == (&new.mark, new.instances),
            (None, None) => true,
            _ => false,
        };
        if depth == 1 && same {
            return Some(vec![*number]);
        }
        if depth > 1 {
            let mut rest = open.to_vec();
            rest.remove(place);
            let next = next.map(|next| Shown { version: version.unwrap_or(next.version), ..next });
            if let Some(mut causes) = explain(next.as_ref(), new, &rest, depth - 1) {
                causes.push(*number);
                return Some(causes);
            }
        }
    }
    None
}
