//! What operators set aside on nodes: reservations for roles, and the volumes of stopped instances
//! (Mesos' operator interface, platform.md 2.9).

use super::Event;
use super::draft::{Draft, EditError};
use crate::node::{Bundle, Hold, Marks, Node, NodeId, RESERVATION_PARTS_MAX, RESERVATIONS_MAX, Reservation};
use crate::placement::Ledger;
use crate::role::{ANY_ROLE, name_fault};
use crate::{Fault, InstanceId, Scalar};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Amounts for roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReservationEdit {
    /// By role, labels and principal.
    pub amounts: BTreeMap<(String, Marks), Bundle>,
}

impl ReservationEdit {
    /// By role alone.
    fn by_role(&self) -> BTreeMap<&str, Bundle> {
        let mut sums: BTreeMap<&str, Bundle> = BTreeMap::new();
        for ((role, _), bundle) in &self.amounts {
            let sum = sums.entry(role).or_default();
            *sum = sum.plus(bundle);
        }
        sums
    }
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
        let roles = edit.by_role();
        let new = roles.keys().filter(|role| !record.claims.reservations.contains_key(**role)).count();
        if record.claims.reservations.len() + new > RESERVATIONS_MAX {
            faults.push(format!("a node has reservations for at most {RESERVATIONS_MAX} roles"));
        }
        for role in roles.keys() {
            let before = record.claims.reservations.get(*role).map_or(0, |reservation| reservation.made.len());
            if before + edit.amounts.keys().filter(|(of, _)| of == role).count() > RESERVATION_PARTS_MAX {
                faults.push(format!("a node has at most {RESERVATION_PARTS_MAX} reservations with other labels for a role"));
            }
        }
        refuse(node, "reserved", &faults)?;
        self.edit_claims(node, |claims| {
            for ((role, marks), bundle) in &edit.amounts {
                let mut next = claims.reservations.get(role.as_str()).map(|before| (**before).clone()).unwrap_or_default();
                next.set_made(marks, next.made_as(marks).plus(bundle));
                claims.put_reservation(role, next);
            }
        });
        // For those whose they are.
        self.capacity_freed = true;
        self.note_node(node, "resources were reserved on it");
        Ok(())
    }

    /// Gives back what was reserved through the operator interface with the same labels and principal, as far as
    /// no task needs it: what those of the role use could as well be taken from what nobody has reserved. All or
    /// nothing.
    ///
    /// # Errors
    /// [`EditError::NoNode`], [`EditError::Claim`] with everything that is wrong.
    pub fn unreserve(&mut self, node: &NodeId, edit: &ReservationEdit) -> Result<(), EditError> {
        let record = self.claimed_node(node)?;
        let mut faults = amount_faults(edit);
        let told = |role: &str, what: &str, lacks: Vec<Fault>| {
            lacks.into_iter().map(|fault| format!("{} of role {role}: {} {what}", fault.path, fault.message)).collect::<Vec<_>>()
        };
        for ((role, marks), bundle) in &edit.amounts {
            let made = record.claims.reservations.get(role.as_str()).map(|have| have.made_as(marks)).unwrap_or_default();
            faults.extend(told(role, "than was reserved with these labels and this principal", made.lacks(bundle)));
        }
        if faults.is_empty() {
            for (role, bundle) in edit.by_role() {
                let spare = self.ledger().unused_reservation(node, role).plus(&self.ledger().free_on(node));
                faults.extend(told(role, "than is unused; stop its tasks first", spare.lacks(&bundle)));
            }
        }
        refuse(node, "given back", &faults)?;
        self.edit_claims(node, |claims| {
            for ((role, marks), bundle) in &edit.amounts {
                if let Some(before) = claims.reservations.get(role.as_str()) {
                    let mut next = Reservation::clone(before);
                    next.set_made(marks, next.made_as(marks).minus(bundle));
                    claims.put_reservation(role, next);
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
    for ((role, _), bundle) in &edit.amounts {
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
