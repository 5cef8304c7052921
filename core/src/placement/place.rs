//! Choosing seats for new instances of one app: slow and obviously right, to judge the engine by.

use super::constraint::{Constraints, Seated, accepts_role};
use super::ledger::{Rating, Supply, aspect};
use super::refusal::{proviso, reserved_words};
use super::{NODE_TASKS_MAX, NodeLoad, Reason, Refusals, Strategy};
use crate::InstanceId;
use crate::Scalar;
use crate::app::{App, ContainerKind};
use crate::instance::Seat;
use crate::node::{Bundle, Node, accepts_reserved, may_use};
use crate::role::ANY_ROLE;
use std::collections::BTreeMap;

/// A node with its load.
#[derive(Clone)]
pub(crate) struct Candidate<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// What is taken there; updated while placing.
    pub(crate) load: NodeLoad,
    /// Instances of the app that are already there.
    pub(crate) same_app: u32,
    /// What tasks of apps that name a role take there, by role.
    pub(crate) by_role: BTreeMap<String, Bundle>,
    /// Reserved for others and unused; worked out while placing.
    pub(crate) kept: Bundle,
    /// Reserved for anybody and unused.
    pub(crate) reserved: Bundle,
    /// Nothing but what is reserved for the app counts; worked out while placing.
    pub(crate) only_reserved: bool,
}

/// Finds up to `count` seats for `app`.
///
/// `placed` are the nodes of instances of the same configuration, in order of their ids. Equal
/// tasks are placed in one go; the first refusal ends it, since what refused one refuses the rest.
/// By [`Strategy::Spread`] the node with the fewest instances of the app wins, then the least loaded,
/// then the lowest id; by [`Strategy::Binpack`] the one whose free resources are shaped most like the
/// task, empty ones last. What the app likes goes before.
pub(crate) fn place<'a>(
    app: &'a App,
    count: usize,
    mut candidates: Vec<Candidate<'a>>,
    placed: &[&'a Node],
    seated: &[Seated<'a>],
    strategy: Strategy,
    salt: u64,
) -> (Vec<Seat>, Option<Refusals>) {
    for candidate in &mut candidates {
        candidate.set_aside(app);
    }
    let usable: Vec<&Node> = candidates.iter().map(|candidate| candidate.node).filter(|node| node.accepts_tasks()).collect();
    let need = (app.cpus.thousandths(), app.mem.thousandths());
    let rating = Rating::new(need, count, &supply(&candidates));
    let mut constraints = Constraints::new(app, placed, &usable, seated);
    let mut seats = Vec::new();
    while seats.len() < count {
        let mut refusals = Refusals { nodes: candidates.len() as u64, ..Refusals::default() };
        let mut nearest: Option<(Lack, String)> = None;
        let mut helped: Vec<(usize, String, u64)> = Vec::new();
        let mut fewest: Option<((bool, usize, Scalar), String)> = None;
        let mut best: Option<(Score, usize, Vec<u16>)> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            match fit(app, candidate, &constraints, salt.wrapping_add(seats.len() as u64)) {
                Ok(host_ports) => {
                    let score = score(&rating, candidate, &constraints, strategy, index);
                    if best.as_ref().is_none_or(|(best, ..)| score < *best) {
                        best = Some((score, index, host_ports));
                    }
                }
                Err(mut all) => {
                    let alone = all.len() == 1;
                    let room =
                        all.iter().find(|refusal| (5..=8).contains(&refusal.order)).and_then(|refusal| refusal.lack.as_ref());
                    let count =
                        (!candidate.node.accepts_tasks(), all.len(), room.map_or(Scalar::ZERO, |((_, lack, _), _)| *lack));
                    if fewest.as_ref().is_none_or(|(least, _)| count < *least) {
                        let mut words: Vec<&str> = all.iter().map(|refusal| refusal.here.as_str()).collect();
                        let last = words.pop().unwrap_or_default();
                        let first = if words.is_empty() { String::new() } else { format!("{} and ", words.join(", ")) };
                        fewest = Some((count, format!("it would fit on node {} {first}{last}", candidate.node.facts.id)));
                    }
                    let first = all.remove(0);
                    if let Some((lack, words)) = first.lack.filter(|_| alone) {
                        if nearest.as_ref().is_none_or(|(least, _)| lack < *least) {
                            nearest = Some((lack, format!("it would fit {words} on node {}", candidate.node.facts.id)));
                        }
                    } else if alone {
                        match helped.iter_mut().find(|(_, words, _)| *words == first.change) {
                            Some((.., count)) => *count += 1,
                            None => helped.push((first.order, first.change, 1)),
                        }
                    }
                    refusals.count(first.reason, first.detail);
                }
            }
        }
        let Some((_, index, host_ports)) = best else {
            helped.sort_by_key(|(order, _, count)| (std::cmp::Reverse(*count), *order));
            let helped = helped.first().map(|(_, words, count)| {
                let nodes = if *count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
                format!("it would fit on {nodes} {words}")
            });
            let fewest = fewest.map(|(_, words)| words);
            refusals.hint = nearest.map(|(_, words)| words).or(helped).or(fewest);
            return (seats, Some(refusals));
        };
        let candidate = &mut candidates[index];
        let seat = Seat { node: candidate.node.facts.id.clone(), host_ports: host_ports.into() };
        // The id only has to differ from others within this call; the cluster takes the real one.
        let id = InstanceId::new(&app.id, uuid::Uuid::from_u128(u128::MAX - seats.len() as u128));
        candidate.load.take(&id, app, &seat);
        if app.is_resident() {
            candidate.load.hold(Bundle::of(app));
        }
        candidate.same_app += 1;
        constraints.note(candidate.node);
        seats.push(seat);
    }
    (seats, None)
}

impl NodeLoad {
    /// Counts as taken what an instance with data holds.
    fn hold(&mut self, held: Bundle) {
        self.cpus += held.cpus;
        self.mem += held.mem;
        self.disk += held.disk;
        self.gpus += held.gpus;
        for (name, amount) in held.custom {
            *self.custom.entry(name).or_default() += amount;
        }
    }
}

impl Candidate<'_> {
    /// Cpus and memory that are free beside what is kept, in thousandths.
    fn free(&self, kept: &Bundle) -> (i64, i64) {
        let (total, load) = (&self.node.facts.resources, &self.load);
        let free = (total.cpus.minus_or_zero(load.cpus + kept.cpus), total.mem.minus_or_zero(load.mem + kept.mem));
        (free.0.thousandths(), free.1.thousandths())
    }

    /// Counts what is set aside on the node for others than `app`.
    fn set_aside(&mut self, app: &App) {
        let claims = &self.node.claims;
        self.load.hold(claims.held());
        let role = app.role.as_deref().filter(|_| accepts_reserved(app));
        let accepted = &app.accepted_resource_roles;
        let is_usable = claims.reservations.keys().any(|reserved| may_use(role, reserved));
        let everyones = |role: &String| role == ANY_ROLE;
        let only_reserved =
            is_usable && everyones(&self.node.facts.role) && !accepted.is_empty() && !accepted.iter().any(everyones);
        let mut usable = Bundle::default();
        // Who may use several uses up those for the lowest role first, which come behind those above it.
        let mut absorbed: Vec<(&str, Bundle)> = Vec::new();
        for (reserved, reservation) in claims.reservations.iter().rev() {
            let tasks = self.by_role.iter().filter(|(user, _)| may_use(Some(user), reserved)).map(|(_, used)| used);
            let holds = claims.holds.values().filter(|hold| may_use(hold.role.as_deref(), reserved));
            let used = tasks.chain(holds.map(|hold| &hold.resources)).fold(Bundle::default(), |sum, used| sum.plus(used));
            let below = absorbed.iter().filter(|(role, _)| may_use(Some(role), reserved));
            let used = below.fold(used, |used, (_, taken)| used.minus(taken));
            let unused = reservation.total().minus(&used);
            absorbed.push((reserved, reservation.total().minus(&unused)));
            if may_use(role, reserved) {
                usable = usable.plus(&unused);
            } else {
                self.kept = self.kept.plus(&unused);
            }
            self.reserved = self.reserved.plus(&unused);
        }
        self.only_reserved = only_reserved;
        if only_reserved {
            // All that is not reserved is kept from it.
            let (total, load) = (&self.node.facts.resources, &self.load);
            let all = Bundle { cpus: total.cpus, mem: total.mem, disk: total.disk, gpus: total.gpus, custom: BTreeMap::new() };
            let used = Bundle { cpus: load.cpus, mem: load.mem, disk: load.disk, gpus: load.gpus, custom: BTreeMap::new() };
            let free = all.minus(&used).minus(&self.kept);
            self.kept = self.kept.plus(&free.minus(&usable));
        }
    }
}

/// What there is and what is left on nodes that accept tasks, beside what is reserved.
fn supply(candidates: &[Candidate<'_>]) -> Supply {
    let mut sum = Supply::default();
    for candidate in candidates.iter().filter(|candidate| candidate.node.accepts_tasks()) {
        let (total, free) = (&candidate.node.facts.resources, candidate.free(&candidate.reserved));
        sum.nodes += 1;
        for (column, (total, free)) in [(total.cpus, free.0), (total.mem, free.1)].into_iter().enumerate() {
            sum.total[column] += i128::from(total.thousandths().max(0));
            sum.free[column] += i128::from(free);
        }
    }
    sum
}

fn score(rating: &Rating, candidate: &Candidate<'_>, constraints: &Constraints<'_>, strategy: Strategy, index: usize) -> Score {
    let (total, load) = (&candidate.node.facts.resources, &candidate.load);
    let dislike = constraints.dislike(candidate.node);
    match strategy {
        Strategy::Spread => (dislike, u64::from(candidate.same_app), load.share(total) as u64, index),
        Strategy::Binpack => {
            let free = candidate.free(&candidate.kept);
            let unlike = rating.mismatch(free);
            let penalty = if load.instances.is_empty() { rating.empty } else { 0 };
            (dislike, u64::from(unlike + penalty), aspect(free), index)
        }
    }
}

/// Lower is better.
type Score = (i64, u64, u64, usize);
/// How many resources are short, how much of the first, which that is.
type Lack = (usize, Scalar, usize);

struct Refusal {
    reason: Reason,
    detail: Option<String>,
    /// How much of what is missing, and in words.
    lack: Option<(Lack, String)>,
    /// What would help, in words.
    change: String,
    /// What would help on this node among other things.
    here: String,
    /// Place among reasons that would help equally many nodes.
    order: usize,
}

impl Refusal {
    fn new(reason: Reason, order: usize, change: impl Into<String>) -> Self {
        let change = change.into();
        Self { reason, detail: None, lack: None, here: change.clone(), change, order }
    }

    fn lacking(reason: Reason, order: usize, lack: (usize, Scalar), words: String) -> Self {
        Self { lack: Some(((lack.0, lack.1, order), words.clone())), ..Self::new(reason, order, words) }
    }

    fn about(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    fn here(self, words: impl Into<String>) -> Self {
        Self { here: words.into(), ..self }
    }
}

/// Host ports for one more instance on the candidate, or everything against it.
fn fit(app: &App, candidate: &Candidate<'_>, constraints: &Constraints<'_>, salt: u64) -> Result<Vec<u16>, Vec<Refusal>> {
    let (node, load) = (candidate.node, &candidate.load);
    let mut all = Vec::new();
    if !accepts_role(app, node) {
        let change = format!("if it accepted their resource roles{}", proviso(app, None));
        let refusal = Refusal::new(Reason::UnfulfilledRole, 2, change);
        all.push(refusal.here("if it accepted its resource role"));
    }
    for (place, words) in constraints.refusing(node) {
        let change = format!("without {words}{}", proviso(app, Some(place)));
        let refusal = Refusal::new(Reason::UnfulfilledConstraint, 1_000 + place, change);
        all.push(refusal.here(format!("without {words}")).about(words));
    }
    if !node.accepts_tasks() {
        let change = "that are lost, closed or draining, once they take tasks again";
        all.push(Refusal::new(Reason::AgentMaintenance, 3, change).here("once it takes tasks again"));
    }
    if let Some(executor) = executor(app).filter(|name| !node.facts.executors.iter().any(|have| have == name)) {
        let refusal = Refusal::new(Reason::MissingExecutor, 4, "with the docker executor");
        all.push(refusal.about(format!("missing executor {executor}")));
    }
    let (total, kept) = (&node.facts.resources, &candidate.kept);
    let columns = [
        (Reason::InsufficientCpus, "cpus", total.cpus, load.cpus + kept.cpus, app.cpus),
        (Reason::InsufficientMemory, "MiB of memory", total.mem, load.mem + kept.mem, app.mem),
        (Reason::InsufficientDisk, "MiB of disk", total.disk, load.disk + kept.disk, app.disk_needed()),
        (Reason::InsufficientGpus, "gpus", whole(total.gpus), whole(load.gpus + kept.gpus), whole(app.gpus)),
    ];
    // A node may have less than its tasks take.
    let is_short =
        |(_, (.., all, used, need)): &(usize, (Reason, &str, Scalar, Scalar, Scalar))| *need > all.minus_or_zero(*used);
    let short = columns.into_iter().enumerate().filter(is_short);
    let short = short.map(|(place, (reason, name, all, used, need))| (place, reason, name, need - (all - used)));
    let short: Vec<_> = short.collect();
    if let Some((place, reason, _, lack)) = short.first() {
        let parts: Vec<String> = short.iter().map(|(_, _, name, lack)| format!("{lack} more {name}")).collect();
        let reserved = if candidate.only_reserved { reserved_words(app) } else { String::new() };
        let words = format!("with {}{reserved}", parts.join(" and "));
        all.push(Refusal::lacking(*reason, 5 + place, (short.len(), *lack), words));
    }
    for (place, (name, need)) in app.resources.iter().filter(|(_, need)| need.is_positive()).enumerate() {
        let none = Scalar::ZERO;
        let (offered, used) = (*total.custom.get(name).unwrap_or(&none), *load.custom.get(name).unwrap_or(&none));
        if *need > offered.minus_or_zero(used) {
            let lack = *need - (offered - used);
            let words = format!("with {lack} more {name}");
            all.push(Refusal::lacking(Reason::InsufficientResources, 300_000 + place, (1, lack), words).about(name));
        }
    }
    let ports = host_ports(app, candidate, salt);
    let ports = ports.map_err(|refusals| all.extend(refusals)).unwrap_or_default();
    if candidate.load.instances.len().max(node.claims.holds.len()) >= NODE_TASKS_MAX {
        all.push(Refusal::new(Reason::TooManyTasks, 10, "with fewer tasks"));
    }
    if all.is_empty() { Ok(ports) } else { Err(all) }
}

/// GPUs as other amounts are.
fn whole(gpus: u32) -> Scalar {
    Scalar::from_thousandths(i64::from(gpus) * 1_000)
}

/// Executor the app needs beyond plain processes.
fn executor(app: &App) -> Option<&'static str> {
    let container = app.container.as_ref()?;
    let image = container.docker.as_ref().is_some_and(|docker| !docker.image.is_empty());
    (image || container.kind == ContainerKind::Docker).then_some("docker")
}

fn host_ports(app: &App, candidate: &Candidate<'_>, salt: u64) -> Result<Vec<u16>, Vec<Refusal>> {
    let offered = &candidate.node.facts.resources.ports;
    let is_free = |port: u16| offered.contains(port) && !candidate.load.ports.contains(&port);
    let requests = app.ports();
    let mut fixed: Vec<u16> = requests.iter().filter_map(|request| request.host_port).filter(|port| *port != 0).collect();
    fixed.sort_unstable();
    fixed.dedup();
    let mut dynamic = Dynamic::new(candidate, salt);
    let (mut ports, mut lack) = (Vec::with_capacity(requests.len()), 0);
    for request in &requests {
        ports.push(match request.host_port {
            Some(0) => dynamic.find(|port| !fixed.contains(port)).unwrap_or_else(|| {
                lack += 1;
                0
            }),
            other => other.unwrap_or(0),
        });
    }
    let taken = fixed.iter().filter(|port| !is_free(**port)).map(|port| taken_port(*port, offered.contains(*port)));
    let mut refusals: Vec<Refusal> = taken.collect();
    if lack > 0 {
        let words = format!("with {lack} more free host ports");
        let refusal = Refusal::lacking(Reason::InsufficientPorts, 9, (1, Scalar::from_units(lack)), words);
        refusals.push(refusal.about("no free host port"));
    }
    if refusals.is_empty() { Ok(ports) } else { Err(refusals) }
}

fn taken_port(port: u16, offered: bool) -> Refusal {
    let refusal = if offered {
        let change = format!("once port {port} is free there, or with another port");
        Refusal::new(Reason::InsufficientPorts, 100_000 + usize::from(port), change)
            .here(format!("once port {port} is free there"))
    } else {
        let change = format!("with another port than {port}, which they do not offer");
        Refusal::new(Reason::InsufficientPorts, 170_000 + usize::from(port), change)
            .here(format!("with another port than {port}, which it does not offer"))
    };
    refusal.about(format!("required port {port}"))
}

/// Free dynamic ports of a node, starting at a place that depends on the salt, so that a port that
/// was just given back is not handed out again at once.
struct Dynamic<'a> {
    ports: Box<dyn Iterator<Item = u16> + 'a>,
}

impl<'a> Dynamic<'a> {
    fn new(candidate: &'a Candidate<'_>, salt: u64) -> Self {
        let offered = &candidate.node.facts.resources.ports;
        let count = offered.len().max(1);
        let start = (salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as u32 % count;
        let free = offered.iter().skip(start as usize).chain(offered.iter().take(start as usize));
        Self { ports: Box::new(free.filter(|port| !candidate.load.ports.contains(port))) }
    }

    fn find(&mut self, accept: impl Fn(&u16) -> bool) -> Option<u16> {
        self.ports.find(accept)
    }
}
