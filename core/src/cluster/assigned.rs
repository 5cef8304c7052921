//! The assignment document of a node: every instance that has a seat there.
//!
//! `{"apps":[["/shop/web",1767225600000,[["<uuid>",3,1767225600123,[31005],0],…]],…]}`: path and
//! version of an app, then for each instance its UUID, incarnation, time of the launch, host ports
//! and goal (0 run, 1 restart, 2 stop for good). The earlier form, a list of objects, is read too.

use crate::instance::{Condition, Goal, HostPorts, Instance, Observed, Seat};
use crate::{App, AppId, InstanceId, NodeId, Timestamp};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use uuid::Uuid;

/// Room for one instance, bytes.
const LINE_BYTES: usize = 96;

/// One instance of a node's assignment document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct AssignedInstance {
    #[serde(rename = "i")]
    pub(super) instance: InstanceId,
    #[serde(rename = "a")]
    pub(super) app: AppId,
    #[serde(rename = "v")]
    pub(super) version: Timestamp,
    #[serde(rename = "n")]
    pub(super) incarnation: u32,
    #[serde(rename = "g", default)]
    pub(super) goal: Goal,
    #[serde(rename = "p", default)]
    pub(super) ports: HostPorts,
    #[serde(rename = "s")]
    pub(super) staged_at: Timestamp,
}

impl AssignedInstance {
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        let seat = instance.seat.as_ref()?;
        Some(Self {
            instance: instance.id.clone(),
            app: instance.app.id.clone(),
            version: instance.app.version,
            incarnation: instance.incarnation,
            goal: instance.goal,
            ports: seat.host_ports.clone(),
            staged_at: instance.staged_at,
        })
    }

    /// The instance as it is known without a report: staging, since it was given to the node, or
    /// unreachable since the node was lost.
    pub(super) fn seated(self, node: NodeId, app: Arc<App>, lost_since: Option<Timestamp>) -> Instance {
        Instance {
            // The path is shared with the definition.
            id: InstanceId::new(&app.id, self.instance.uuid()),
            app,
            incarnation: self.incarnation,
            goal: self.goal,
            seat: Some(Seat { node, host_ports: self.ports }),
            condition: if lost_since.is_some() { Condition::Unreachable } else { Condition::Staging },
            since: lost_since.unwrap_or(self.staged_at),
            staged_at: self.staged_at,
            unreachable_since: lost_since,
            inactive: false,
            free_relaunch_at: None,
            excused: false,
            observed: Observed::default(),
        }
    }
}

/// All instances of a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AssignedInstances(pub(super) Vec<AssignedInstance>);

/// Writes the document of a node; nothing when no instance has a seat.
pub(super) fn encode(instances: &[Arc<Instance>]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(instances.len() * LINE_BYTES + LINE_BYTES);
    text.extend_from_slice(b"{\"apps\":[");
    let mut before: Option<(&AppId, Timestamp)> = None;
    let mut uuid = Uuid::encode_buffer();
    for instance in instances {
        let Some(seat) = &instance.seat else { continue };
        let of = (&instance.app.id, instance.app.version);
        if before == Some(of) {
            text.push(b',');
        } else {
            if before.is_some() {
                text.extend_from_slice(b"]],");
            }
            before = Some(of);
            // Ids of apps hold nothing that JSON would escape. Writing to memory cannot fail.
            let _ = write!(text, "[\"{}\",{},[", of.0, of.1.as_millis());
        }
        text.extend_from_slice(b"[\"");
        text.extend_from_slice(instance.id.uuid().hyphenated().encode_lower(&mut uuid).as_bytes());
        let _ = write!(text, "\",{},{},[", instance.incarnation, instance.staged_at.as_millis());
        for (number, port) in seat.host_ports.iter().enumerate() {
            let _ = write!(text, "{}{port}", if number > 0 { "," } else { "" });
        }
        let _ = write!(text, "],{}]", goal_number(instance.goal));
    }
    before?;
    text.extend_from_slice(b"]]]}");
    Some(text)
}

const fn goal_number(goal: Goal) -> u8 {
    match goal {
        Goal::Running => 0,
        Goal::Restarted => 1,
        Goal::Decommissioned => 2,
    }
}

fn goal_of<E: de::Error>(number: u8) -> Result<Goal, E> {
    match number {
        0 => Ok(Goal::Running),
        1 => Ok(Goal::Restarted),
        2 => Ok(Goal::Decommissioned),
        other => Err(E::custom(format_args!("{other} is no goal of an instance"))),
    }
}

impl<'de> Deserialize<'de> for AssignedInstances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Document).map(Self)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Vec<AssignedInstance>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an assignment document")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut lines = Vec::new();
        while let Some(line) = seq.next_element()? {
            lines.push(line);
        }
        Ok(lines)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut lines = Vec::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == "apps" {
                map.next_value_seed(Apps(&mut lines))?;
            } else {
                map.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(lines)
    }
}

/// The list of apps.
struct Apps<'a>(&'a mut Vec<AssignedInstance>);

impl<'de> DeserializeSeed<'de> for Apps<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Apps<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of apps with their instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some((app, version, lines)) = seq.next_element::<(AppId, i64, Vec<(Uuid, u32, i64, HostPorts, u8)>)>()? {
            for (uuid, incarnation, staged_at, ports, goal) in lines {
                self.0.push(AssignedInstance {
                    instance: InstanceId::new(&app, uuid),
                    app: app.clone(),
                    version: Timestamp::from_millis(version),
                    incarnation,
                    goal: goal_of(goal)?,
                    ports,
                    staged_at: Timestamp::from_millis(staged_at),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "assigned_test.rs"]
mod tests;
