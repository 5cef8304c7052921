//! What operators set aside on nodes: reservations for roles, and the volumes of stopped instances
//! (Mesos' operator interface, platform.md 2.9).

use super::Event;
use super::draft::{Draft, EditError};
use crate::node::{Bundle, Hold, Node, NodeId, RESERVATIONS_MAX, Reservation};
use crate::placement::Ledger;
use crate::role::{ANY_ROLE, name_fault};
use crate::{Fault, InstanceId, Scalar};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Amounts for roles, and who asks for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReservationEdit {
    /// By role.
    pub amounts: BTreeMap<String, Bundle>,
    /// Labels of the reservation.
    pub labels: BTreeMap<String, String>,
    /// Who asks.
    pub principal: Option<String>,
}

/// A volume of an instance, by the path in its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeName {
    /// Whose.
    pub instance: InstanceId,
    /// `container_path`.
    pub path: String,
}

impl VolumeName {
    /// Reads a persistence id, `<instance>#<path>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (instance, path) = text.split_once('#')?;
        Some(Self { instance: InstanceId::parse(instance).ok()?, path: path.to_owned() })
    }
}

impl Draft {
    /// Sets resources of a node aside for roles; only what nobody uses and nobody has reserved. All or
    /// nothing.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::Claim`] with everything that is wrong.
    pub fn reserve(&mut self, node: &NodeId, edit: &ReservationEdit) -> Result<(), EditError> {
        let record = self.claimed_node(node)?;
        let sum = edit.amounts.values().fold(Bundle::default(), |sum, bundle| sum.plus(bundle));
        let mut faults = amount_faults(edit);
        faults.extend(
            self.ledger().free_on(node).lacks(&sum).into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)),
        );
        let new = edit.amounts.keys().filter(|role| !record.claims.reservations.contains_key(role.as_str())).count();
        if record.claims.reservations.len() + new > RESERVATIONS_MAX {
            faults.push(format!("a node has reservations for at most {RESERVATIONS_MAX} roles"));
        }
        refuse(node, "reserved", &faults)?;
        self.edit_claims(node, |claims| {
            for (role, bundle) in &edit.amounts {
                let before = claims.reservations.get(role.as_str()).map(|before| (**before).clone()).unwrap_or_default();
                let next = Reservation {
                    made: before.made.plus(bundle),
                    fixed: before.fixed,
                    labels: edit.labels.clone(),
                    principal: edit.principal.clone(),
                };
                claims.put_reservation(role, next);
            }
        });
        self.note_node(node, "resources were reserved on it");
        Ok(())
    }

    /// Gives back what was reserved through the operator interface, as far as no task uses it. All or
    /// nothing.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::Claim`] with everything that is wrong.
    pub fn unreserve(&mut self, node: &NodeId, edit: &ReservationEdit) -> Result<(), EditError> {
        let record = self.claimed_node(node)?;
        let mut faults = amount_faults(edit);
        for (role, bundle) in &edit.amounts {
            let made = record.claims.reservations.get(role.as_str()).map(|have| have.made.clone()).unwrap_or_default();
            let unused = self.ledger().unused_reservation(node, role);
            let told = |what: &str, lacks: Vec<Fault>| {
                lacks
                    .into_iter()
                    .map(|fault| format!("{} of role {role}: {} {what}", fault.path, fault.message))
                    .collect::<Vec<_>>()
            };
            faults.extend(told("than was reserved", made.lacks(bundle)));
            faults.extend(told("than is unused; stop its tasks first", unused.lacks(bundle)));
        }
        refuse(node, "given back", &faults)?;
        self.edit_claims(node, |claims| {
            for (role, bundle) in &edit.amounts {
                if let Some(before) = claims.reservations.get(role.as_str()).cloned() {
                    claims.put_reservation(role, Reservation { made: before.made.minus(bundle), ..(*before).clone() });
                }
            }
        });
        self.capacity_freed = true;
        self.note_node(node, "a reservation on it was given back");
        Ok(())
    }

    /// Deletes the data of instances that do not run; all volumes of an instance go together. All or
    /// nothing.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::Claim`] with everything that is wrong.
    pub fn destroy_volumes(&mut self, node: &NodeId, volumes: &[VolumeName]) -> Result<(), EditError> {
        self.claimed_node(node)?;
        let faults = volumes.iter().filter_map(|volume| {
            let id = &volume.instance;
            if self.hold_on(node, volume).is_none() {
                return Some(format!("there is no volume {id}#{}", volume.path));
            }
            let used = self.cluster.instances.get(id).is_some_and(|instance| instance.seat.is_some());
            used.then(|| format!("volume {id}#{} is in use; wipe its task instead", volume.path))
        });
        refuse(node, "destroyed", &faults.collect::<Vec<_>>())?;
        for volume in volumes {
            self.destroy_hold(&volume.instance);
            self.dirty_apps.insert(volume.instance.app().clone());
        }
        Ok(())
    }

    /// Makes a volume larger, where the node has room, or smaller; the size is counted, not enforced.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::Claim`] with everything that is wrong.
    pub fn resize_volume(&mut self, node: &NodeId, volume: &VolumeName, by: Scalar) -> Result<(), EditError> {
        self.claimed_node(node)?;
        let Some(hold) = self.hold_on(node, volume) else {
            return refuse(node, "resized", &[format!("there is no volume {}#{}", volume.instance, volume.path)]);
        };
        let size = hold.volumes.get(&volume.path).copied().unwrap_or_default() + by;
        let mut faults = Vec::new();
        if !size.is_positive() {
            faults.push(format!("its size would be {size} MiB"));
        }
        let more = Bundle { disk: by.max(Scalar::ZERO), ..Bundle::default() };
        faults.extend(self.ledger().free_on(node).lacks(&more).into_iter().map(|fault| format!("disk: {}", fault.message)));
        refuse(node, "resized", &faults)?;
        let mut next = Hold::clone(&hold);
        next.resources.disk += by;
        next.volumes.insert(volume.path.clone(), size);
        self.edit_claims(node, |claims| drop(claims.holds.insert(volume.instance.clone(), Arc::new(next))));
        self.capacity_freed = true;
        Ok(())
    }

    fn hold_on(&self, node: &NodeId, volume: &VolumeName) -> Option<Arc<Hold>> {
        let (at, hold) = self.hold_of(&volume.instance)?;
        (at == *node && hold.volumes.contains_key(&volume.path)).then_some(hold)
    }

    fn claimed_node(&self, id: &NodeId) -> Result<Arc<Node>, EditError> {
        self.cluster.nodes.get(id).cloned().ok_or_else(|| EditError::NoNode(id.to_string()))
    }

    pub(super) fn ledger(&mut self) -> &mut Ledger {
        let cluster = &self.cluster;
        self.ledger.get_or_insert_with(|| Ledger::of(cluster).untraced())
    }

    fn note_node(&mut self, id: &NodeId, message: &str) {
        if let Some(node) = self.cluster.nodes.get(id).cloned() {
            self.events.push(Event::NodeChanged { node, message: message.into() });
        }
    }
}

fn amount_faults(edit: &ReservationEdit) -> Vec<String> {
    let mut faults = Vec::new();
    if edit.amounts.is_empty() {
        faults.push("no resource is named".to_owned());
    }
    for (role, bundle) in &edit.amounts {
        if role == ANY_ROLE {
            faults.push("resources are reserved for a role, and * is everyone".to_owned());
        }
        faults.extend(name_fault(role));
        if let Some(name) = bundle.custom.keys().next() {
            faults.push(format!("{name} cannot be reserved; cpus, mem, disk and gpus can"));
        }
        let wrong = bundle.amounts().filter(|(_, amount)| !amount.is_positive());
        faults.extend(wrong.map(|(name, amount)| format!("{amount} is no amount of {name}")));
    }
    faults
}

fn refuse(node: &NodeId, what: &str, faults: &[String]) -> Result<(), EditError> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(EditError::Claim(format!("nothing was {what} on node {node}: {}", faults.join("; "))))
}
