//! What is set aside on a node: for instances that keep data there, and for roles.
//!
//! Part of the node's document, so that it survives restarts, reaches followers and backups, and goes
//! when the node leaves for ever.

use super::Bundle;
use crate::app::App;
use crate::role::lineage;
use crate::{InstanceId, Scalar, Timestamp};
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most roles with a reservation on one node.
pub const RESERVATIONS_MAX: usize = 64;
/// Most parts of the reservation for one role on one node: sets of labels and principals.
pub const RESERVATION_PARTS_MAX: usize = 64;

/// What one instance with data holds, whether its task runs or not (Marathon: a resident instance;
/// Mesos: a dynamic reservation with persistent volumes). Its seat takes host ports and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Amounts, the volumes included in the disk.
    pub resources: Bundle,
    /// Role that is charged; without one the top-level group of the app is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Sizes of the volumes in MiB, by their path in the container.
    pub volumes: BTreeMap<String, Scalar>,
    /// Launches of the instance so far.
    pub incarnation: u32,
    /// Since when it is held.
    pub since: Timestamp,
    /// The data go as soon as the task has ended: a user asked for it or the app is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wiped: bool,
    /// The instance was not wanted any more when it stopped: others start again before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
}

impl Hold {
    /// What a first instance of `app` holds from `now` on.
    pub fn of(app: &App, now: Timestamp) -> Self {
        Self {
            resources: Bundle::of(app),
            role: app.role.clone(),
            volumes: app.persistent_volumes().map(|(path, volume)| (path.to_owned(), volume.size)).collect(),
            incarnation: 0,
            since: now,
            wiped: false,
            spare: false,
        }
    }

    /// The same data with what `app` needs by now. Volumes that were grown by an operator stay large.
    #[must_use]
    pub fn renewed(&self, app: &App) -> Self {
        let mut next = Self { incarnation: self.incarnation, ..Self::of(app, self.since) };
        for (path, size) in &mut next.volumes {
            let grown = self.volumes.get(path).copied().unwrap_or_default().minus_or_zero(*size);
            *size += grown;
            next.resources.disk += grown;
        }
        next
    }
}

/// What tells reservations for one role apart (Mesos: `ReservationInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Marks {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who reserved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// Part of what was reserved through the operator interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    /// How much.
    pub resources: Bundle,
    /// Its labels and principal; no two parts have the same.
    #[serde(flatten)]
    pub marks: Marks,
}

/// What is set aside for one role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reservation {
    /// Said by the agent's operator when it started (Mesos: static); does not go while it runs.
    #[serde(skip_serializing_if = "Bundle::is_empty")]
    pub fixed: Bundle,
    /// Made through the operator interface (Mesos: dynamic).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub made: Vec<Made>,
}

/// Parts, or the one sum that earlier versions stored.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Made>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Parts(Vec<Made>),
        Sum(Bundle),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Parts(parts) => parts,
        Stored::Sum(resources) => vec![Made { resources, marks: Marks::default() }],
    })
}

impl Reservation {
    /// Nothing but what was made with these marks.
    pub fn of(resources: Bundle, marks: Marks) -> Self {
        Self { fixed: Bundle::default(), made: vec![Made { resources, marks }] }
    }

    /// All of it.
    pub fn total(&self) -> Bundle {
        self.made.iter().fold(self.fixed.clone(), |sum, made| sum.plus(&made.resources))
    }

    /// What was made with these marks.
    pub fn made_as(&self, marks: &Marks) -> Bundle {
        self.made.iter().find(|made| made.marks == *marks).map(|made| made.resources.clone()).unwrap_or_default()
    }

    /// Replaces what was made with these marks.
    pub fn set_made(&mut self, marks: &Marks, resources: Bundle) {
        self.made.retain(|made| made.marks != *marks);
        if !resources.is_empty() {
            self.made.push(Made { resources, marks: marks.clone() });
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.made.is_empty()
    }
}

/// All that is set aside on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// By instance.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub holds: OrdMap<InstanceId, Arc<Hold>>,
    /// Instances whose data the agent has been told to delete and has not yet said to have deleted.
    #[serde(skip_serializing_if = "OrdSet::is_empty")]
    pub doomed: OrdSet<InstanceId>,
    /// By role.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub reservations: OrdMap<Arc<str>, Arc<Reservation>>,
}

impl Claims {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty() && self.doomed.is_empty() && self.reservations.is_empty()
    }

    /// Sum of all holds.
    pub fn held(&self) -> Bundle {
        self.holds.values().fold(Bundle::default(), |sum, hold| sum.plus(&hold.resources))
    }

    /// Takes what the agent says is reserved by role; what operators made stays.
    #[must_use]
    pub fn with_fixed(&self, fixed: &BTreeMap<String, Bundle>) -> Self {
        let mut next = self.clone();
        for (role, reservation) in &self.reservations {
            if !fixed.contains_key(&**role) && !reservation.fixed.is_empty() {
                next.put_reservation(role, Reservation { fixed: Bundle::default(), ..(**reservation).clone() });
            }
        }
        for (role, bundle) in fixed {
            let before = self.reservations.get(role.as_str()).map(|before| (**before).clone()).unwrap_or_default();
            next.put_reservation(role, Reservation { fixed: bundle.clone(), ..before });
        }
        next
    }

    /// Replaces what is reserved for a role; an empty reservation goes.
    pub fn put_reservation(&mut self, role: &str, reservation: Reservation) {
        if reservation.is_empty() {
            self.reservations.remove(role);
        } else {
            self.reservations.insert(role.into(), Arc::new(reservation));
        }
    }
}

/// Whether tasks charged to `role` may use what is reserved for `reserved`: the role itself and
/// those below it (Mesos: hierarchical roles).
pub fn may_use(role: Option<&str>, reserved: &str) -> bool {
    role.is_some_and(|role| lineage(role).any(|above| above == reserved))
}

/// Whether an app takes what is reserved for its role or one above it.
pub fn accepts_reserved(app: &App) -> bool {
    let accepted = &app.accepted_resource_roles;
    accepted.is_empty() || accepted.iter().any(|accepted| may_use(app.role.as_deref(), accepted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AppId;

    #[test]
    fn claims_survive_the_store_and_follow_what_the_agent_says() {
        let app = App::new(AppId::parse("/db").unwrap());
        let id = InstanceId::new(&app.id, uuid::Uuid::from_u128(7));
        let mut claims = Claims::default();
        claims.holds.insert(id.clone(), Arc::new(Hold::of(&app, Timestamp::EPOCH)));
        claims.doomed.insert(id);
        let two = Bundle { cpus: Scalar::from_units(2), ..Bundle::default() };
        claims.put_reservation("eng", Reservation::of(two.clone(), Marks { principal: Some("ops".into()), ..Marks::default() }));
        let claims = claims.with_fixed(&BTreeMap::from([("eng".into(), two.clone()), ("web".into(), two.clone())]));
        assert_eq!(claims.reservations["eng"].total().cpus, Scalar::from_units(4));
        let text = serde_json::to_string(&claims).unwrap();
        assert_eq!(serde_json::from_str::<Claims>(&text).unwrap(), claims);
        let earlier: Reservation = serde_json::from_str(r#"{"made":{"cpus":2},"labels":{"a":"b"}}"#).unwrap();
        assert_eq!(earlier, Reservation::of(two.clone(), Marks::default()), "what an earlier version stored");
        let claims = claims.with_fixed(&BTreeMap::new());
        assert_eq!(claims.reservations["eng"].total(), two);
        assert!(!claims.reservations.contains_key("web"));
        assert!(may_use(Some("eng/prod"), "eng") && !may_use(Some("engine"), "eng") && !may_use(None, "eng"));
    }
}
