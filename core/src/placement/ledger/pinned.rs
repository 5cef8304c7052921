//! Instances that keep data on a node: what they hold, and whether they can start there again.

use super::demand::Demand;
use super::{Ledger, NODE_TASKS_MAX};
use crate::app::App;
use crate::instance::Seat;
use crate::node::{Bundle, Hold, Node, NodeId, accepts_reserved};
use crate::placement::{Reason, Refusals};
use crate::role::ANY_ROLE;
use crate::{AppId, InstanceId, Scalar};
use imbl::ordmap::DiffItem;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Ledger {
    /// Charges roles for what instances hold, task or not (platform.md 2.9).
    pub(super) fn charge_holds(&mut self, before: Option<&Node>, after: Option<&Node>) {
        let none = imbl::OrdMap::new();
        let old = before.map_or(&none, |node| &node.claims.holds);
        let new = after.map_or(&none, |node| &node.claims.holds);
        let mut charge = |id: &InstanceId, hold: &Arc<Hold>, more: bool| {
            self.usage.charge(hold.role.as_deref(), id.app(), &hold.resources, more);
        };
        for item in old.diff(new) {
            match item {
                DiffItem::Add(id, hold) => charge(id, hold, true),
                DiffItem::Remove(id, hold) => charge(id, hold, false),
                DiffItem::Update { old: (id, before), new: (_, after) } => {
                    charge(id, before, false);
                    charge(id, after, true);
                }
            }
        }
    }

    /// What is free on a node for tasks without a role, or for whom it was lifted; nothing when the node is not known.
    pub fn free_on(&self, node: &NodeId) -> Bundle {
        let Some(free) = self.rows.slot(node).map(|slot| self.rows.free(slot)) else { return Bundle::default() };
        Bundle {
            cpus: Scalar::from_thousandths(free.cpus),
            mem: Scalar::from_thousandths(free.mem),
            disk: Scalar::from_thousandths(free.disk),
            gpus: free.gpus,
            custom: BTreeMap::new(),
        }
    }

    /// Whether an open node has tasks, and its load: the larger of the shares of cpus and memory taken, in
    /// thousandths. Nothing for nodes that are closed or not known.
    pub fn load_of(&self, node: &NodeId) -> Option<(bool, u64)> {
        let slot = self.rows.slot(node)?;
        let hot = &self.rows.hot[slot as usize];
        hot.open.then(|| (!self.rows.is_empty(slot), hot.key >> super::rows::RANK_BITS))
    }

    /// What of the reservation for a role nobody uses on a node.
    pub fn unused_reservation(&self, node: &NodeId, role: &str) -> Bundle {
        let unused = self.rows.slot(node).map_or([0; 4], |slot| self.rows.cold[slot as usize].claimed().unused_of(role));
        let [cpus, mem, disk, gpus] = unused.map(|amount| i64::try_from(amount).unwrap_or(i64::MAX));
        let [cpus, mem, disk] = [cpus, mem, disk].map(Scalar::from_thousandths);
        Bundle { cpus, mem, disk, gpus: u32::try_from(gpus).unwrap_or(u32::MAX), custom: BTreeMap::new() }
    }

    /// A seat for an instance of `app` where it keeps its data; what `hold` has is its own already.
    /// Constraints are not asked: the data are where they are.
    ///
    /// # Errors
    /// Why the node cannot take it now; all other nodes count as without its reservation.
    pub fn place_pinned(&mut self, app: &App, hold: &Hold, node: &NodeId, salt: u64) -> Result<Seat, Box<Refusals>> {
        self.lift(app);
        let found = self.ports_on(app, hold, node, salt);
        self.drop_lift();
        let host_ports = found.map_err(|refused| Box::new(self.refused_pinned(node, refused)))?;
        Ok(Seat { node: node.clone(), host_ports: host_ports.into() })
    }

    /// Whether a running instance could start again where it keeps its data, now as one of `app`; its ports are
    /// its own.
    ///
    /// # Errors
    /// Why the node could not take it now.
    pub fn check_pinned(&mut self, app: &App, hold: &Hold, node: &NodeId) -> Result<(), Box<Refusals>> {
        self.lift(app);
        let found = self.room_on(app, hold, node);
        self.drop_lift();
        found.map(drop).map_err(|refused| Box::new(self.refused_pinned(node, refused)))
    }

    fn refused_pinned(&self, node: &NodeId, (reason, change): (Reason, String)) -> Refusals {
        let mut refusals = Refusals { nodes: self.rows.known, ..Refusals::default() };
        if self.rows.known > 1 {
            refusals.by_reason.insert(Reason::NoCorrespondingReservationFound, self.rows.known - 1);
        }
        refusals.count(reason, None);
        refusals.hint = Some(format!("its data are on node {node}: it starts there {change}"));
        refusals
    }

    fn ports_on(&self, app: &App, hold: &Hold, node: &NodeId, salt: u64) -> Result<Vec<u16>, (Reason, String)> {
        let (slot, demand) = self.room_on(app, hold, node)?;
        if self.rows.cold[slot as usize].tasks as usize >= NODE_TASKS_MAX {
            return Err((Reason::TooManyTasks, "with fewer tasks on the node".into()));
        }
        self.rows.choose_ports(slot, &demand, salt).map_err(|refused| match demand.requests.get(refused) {
            Some(Some(port)) if *port != 0 => (Reason::InsufficientPorts, format!("once port {port} is free there")),
            _ => (Reason::InsufficientPorts, "once a host port is free there".to_owned()),
        })
    }

    /// Whether a node is open and has the resources, and what is asked of it.
    fn room_on(&self, app: &App, hold: &Hold, node: &NodeId) -> Result<(u32, Demand), (Reason, String)> {
        let away = || {
            let words = "once the node is back and open; when the machine is dead for good: dcos node decommission --gone";
            (Reason::AgentMaintenance, format!("{words} {node}"))
        };
        let slot = self.rows.slot(node).ok_or_else(away)?;
        let hot = &self.rows.hot[slot as usize];
        if !hot.open {
            return Err(away());
        }
        let demand = Demand::of(app);
        if demand.docker && !hot.docker {
            return Err((Reason::MissingExecutor, "once the node has the docker executor".into()));
        }
        let need = hold.renewed(app).resources;
        let mut free = self.free_on(node);
        for name in need.custom.keys() {
            free.custom.insert(name.clone(), Scalar::from_thousandths(self.rows.custom_free(slot, name)));
        }
        let lacks = free.plus(&hold.resources).lacks(&need);
        if let Some(first) = lacks.first() {
            let reason = match first.path.as_str() {
                "cpus" => Reason::InsufficientCpus,
                "mem" => Reason::InsufficientMemory,
                "disk" => Reason::InsufficientDisk,
                "gpus" => Reason::InsufficientGpus,
                _ => Reason::InsufficientResources,
            };
            let parts: Vec<String> =
                need.minus(&free.plus(&hold.resources)).amounts().map(|(name, amount)| format!("{amount} more {name}")).collect();
            return Err((reason, format!("with {}", parts.join(" and "))));
        }
        Ok((slot, demand))
    }

    /// Counts reservations for the role of `app` as free when it accepts them, and nothing else where it does not
    /// accept what is everyone's (marathon.md 1.4: `acceptedResourceRoles` is a subset of `*` and its role).
    pub(super) fn lift(&mut self, app: &App) {
        let accepted = &app.accepted_resource_roles;
        let everyone = accepted.is_empty() || accepted.iter().any(|role| role == ANY_ROLE);
        self.rows.lift(app, app.role.as_deref().filter(|_| accepts_reserved(app)), !everyone);
        self.note_promised(&app.id);
    }

    /// Ends what [`Ledger::lift`] began.
    pub(super) fn drop_lift(&mut self) {
        let app = self.rows.lifted.as_ref().map(|lifted| lifted.app.clone());
        self.rows.drop_lift();
        if let Some(app) = app {
            self.note_promised(&app);
        }
    }

    /// What is promised to an app is free to it alone, in trees that others use too.
    fn note_promised(&mut self, app: &AppId) {
        for slot in self.rows.promised.get(app).into_iter().flatten() {
            self.changes.note(*slot, self.rows.hot.len());
        }
    }
}
