//! What is set aside in the table of nodes, for whom it counts as free, and what could be had by stopping
//! tasks.

use super::claimed::{Lens, Lifted};
use super::demand::Demand;
use super::free::Free;
use super::preempt::Promise;
use super::rows::Rows;
use super::tree::NONE;
use crate::AppId;
use crate::app::App;
use crate::node::Claims;
use crate::role::{ANY_ROLE, lineage};
use std::sync::Arc;

impl Rows {
    /// Notes what is set aside on a node.
    pub(super) fn claim(&mut self, slot: u32, claims: &Claims) {
        let cold = &mut self.cold[slot as usize];
        for block in &cold.claimed().blocks {
            if let Some(slots) = self.reserved.get_mut(&block.role) {
                slots.remove(&slot);
                if slots.is_empty() {
                    self.reserved.remove(&block.role);
                }
            }
        }
        cold.claim(|claimed| claimed.describe(claims));
        for block in &cold.claimed().blocks {
            self.reserved.entry(Arc::clone(&block.role)).or_default().insert(slot);
        }
    }

    /// Counts what is promised to `app`, and reserved for `role` and those above it, as free until
    /// [`Rows::drop_lift`]; with `only`, nothing else on nodes of everyone's role.
    pub(crate) fn lift(&mut self, app: &App, role: Option<&str>, only: bool) {
        let reserved = |role: &str| self.reserved.get_key_value(role).map(|(role, _)| Arc::clone(role));
        let role = role.into_iter().flat_map(lineage).find_map(reserved);
        let is_seen = role.is_some() || self.promised.contains_key(&app.id);
        let only_reserved_of = self.role(ANY_ROLE).filter(|_| only && role.is_some());
        self.lifted = is_seen.then(|| Lifted { role, app: app.id.clone(), only_reserved_of });
    }

    /// Ends what [`Rows::lift`] began.
    pub(crate) fn drop_lift(&mut self) {
        self.lifted = None;
    }

    /// What is free on a node for whom it was lifted last.
    pub(crate) fn free(&self, slot: u32) -> Free {
        let hot = &self.hot[slot as usize];
        match &self.lifted {
            Some(lifted) if hot.is_kept && self.is_only_reserved(slot, lifted) => self.reserved_for(slot, lifted),
            Some(lifted) if hot.is_kept => self.free_for(slot, Some(lifted)),
            _ => hot.free,
        }
    }

    /// By how much more than a node has is taken, or kept from whom it was lifted for last.
    pub(crate) fn overdraft(&self, slot: u32) -> [i64; 4] {
        let (hot, cold) = (&self.hot[slot as usize], &self.cold[slot as usize]);
        if !hot.may_lack {
            return [0; 4];
        }
        let claimed = cold.claimed();
        let kept = if hot.is_kept { claimed.kept_from(self.lifted.as_ref()) } else { [0; 4] };
        std::array::from_fn(|column| {
            let taken = (cold.used[column] + claimed.held[column]).saturating_add(kept[column]);
            i64::try_from((taken - i128::from(cold.total(column))).max(0)).unwrap_or(i64::MAX)
        })
    }

    /// What is free of that which is reserved for whom it was lifted last.
    fn reserved_for(&self, slot: u32, lifted: &Lifted) -> Free {
        let free = self.free_for(slot, Some(lifted));
        let unused = self.cold[slot as usize].claimed().unused_for(lifted.role.as_deref());
        let [cpus, mem, disk, gpus] = unused.map(|amount| i64::try_from(amount).unwrap_or(i64::MAX));
        let gpus = u32::try_from(gpus).unwrap_or(u32::MAX).min(free.gpus);
        Free { cpus: cpus.min(free.cpus), mem: mem.min(free.mem), disk: disk.min(free.disk), gpus, ..free }
    }

    /// Number of the resource role that a node has for whom it was lifted last; none when only what is reserved
    /// counts and nothing is.
    pub(crate) fn role_on(&self, slot: u32) -> u32 {
        let role = self.hot[slot as usize].role;
        let is_foreign = |lifted: &Lifted| lifted.only_reserved_of == Some(role) && !self.is_only_reserved(slot, lifted);
        if self.lifted.as_ref().is_some_and(is_foreign) { NONE } else { role }
    }

    /// Whether it counts with what is reserved there and no more, for whom it was lifted last.
    pub(crate) fn is_only_reserved_on(&self, slot: u32) -> bool {
        self.lifted.as_ref().is_some_and(|lifted| self.is_only_reserved(slot, lifted))
    }

    /// Whether the node counts with what is reserved there and no more.
    fn is_only_reserved(&self, slot: u32, lifted: &Lifted) -> bool {
        lifted.only_reserved_of == Some(self.hot[slot as usize].role)
            && self.cold[slot as usize].claimed().is_for(lifted.role.as_deref())
    }

    /// The role whose reservations count as free.
    pub(crate) fn lens(&self) -> Option<Lens> {
        self.lifted.as_ref().and_then(Lifted::lens)
    }

    /// Keeps room for an app, or no more; returns what was kept before.
    pub(crate) fn promise(&mut self, slot: u32, app: &AppId, promise: Option<Promise>) -> Option<Promise> {
        if promise.is_some() {
            self.promised.entry(app.clone()).or_default().insert(slot);
        } else if let Some(slots) = self.promised.get_mut(app) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.promised.remove(app);
            }
        }
        let before = self.cold[slot as usize].claim(|claimed| claimed.promise(app, promise));
        self.derive(slot);
        before
    }

    /// Whether a certain host port is there for whom the nodes were lifted last.
    pub(crate) fn has_port(&self, slot: u32, port: u16) -> bool {
        let cold = &self.cold[slot as usize];
        cold.ports.is_free(port) && !cold.claimed().kept_ports(self.lifted.as_ref()).any(|kept| kept == port)
    }

    /// Ports for a task as [`super::ports::Ports::choose`] says, none that is kept for somebody else.
    pub(crate) fn choose_ports(&self, slot: u32, demand: &Demand, salt: u64) -> Result<Vec<u16>, usize> {
        let cold = &self.cold[slot as usize];
        let kept: Vec<u16> = cold.claimed().kept_ports(self.lifted.as_ref()).collect();
        if kept.is_empty() {
            return cold.ports.choose(&demand.requests, &demand.fixed, salt);
        }
        let is_kept = |request: &Option<u16>| request.is_some_and(|port| port != 0 && kept.contains(&port));
        if let Some(refused) = demand.requests.iter().position(is_kept) {
            return Err(refused);
        }
        cold.ports.choose(&demand.requests, &[&demand.fixed[..], &kept].concat(), salt)
    }

    /// Whether any task has a priority below this one.
    pub(crate) fn has_below(&self, priority: i32) -> bool {
        let plain = self.tasks - self.priorities.values().sum::<u64>();
        priority > 0 && plain > 0 || self.priorities.range(..priority).next().is_some()
    }

    /// The lowest priority for which stopping everything up to it would make room, of those below
    /// `below`. Nothing when that is not enough.
    pub(crate) fn ceiling(&self, slot: u32, need: [i128; 4], below: i32) -> Option<i32> {
        let cold = &self.cold[slot as usize];
        if !cold.claimed().promises.is_empty() {
            return None;
        }
        let free = self.free(slot);
        let mut room = [i128::from(free.cpus), i128::from(free.mem), i128::from(free.disk), i128::from(free.gpus)];
        let ranked = &cold.claimed().by_priority;
        let mut plain = cold.used;
        for sums in ranked.values() {
            plain.iter_mut().zip(sums).for_each(|(plain, sum)| *plain -= sum);
        }
        let mut sums: Vec<(i32, [i128; 4])> = ranked.range(..below).map(|(priority, sums)| (*priority, *sums)).collect();
        if below > 0 {
            let at = sums.partition_point(|(priority, _)| *priority < 0);
            sums.insert(at, (0, plain));
        }
        for (priority, sum) in sums {
            room.iter_mut().zip(sum).for_each(|(room, sum)| *room += sum);
            if room.iter().zip(need).all(|(room, need)| *room >= need) {
                return Some(priority);
            }
        }
        None
    }

    /// Counts a task of a priority of its own.
    pub(super) fn rank_task(&mut self, slot: u32, app: &App, more: bool) {
        let priority = app.placement.priority;
        let count = self.priorities.entry(priority).or_default();
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.priorities.remove(&priority);
        }
        if !app.is_resident() {
            let amounts = [app.cpus.thousandths(), app.mem.thousandths(), app.disk.thousandths(), i64::from(app.gpus)];
            self.cold[slot as usize].claim(|claimed| claimed.use_priority(priority, amounts, more));
        }
    }
}
