//! Pages: where the store keeps the instances that have a seat, a few dozen of one app at a time.
//!
//! An instance stays on the page its id names for life, so that a change writes what changed and
//! nothing else, however much runs on the nodes it touches, and no two entries can disagree on an
//! instance. The last 32 bits of an instance's UUID are the number of its page.
//!
//! `{"nodes":"c-S","at":1767225600000,"versions":[[1767225500000,[["<uuid without the page>",3,123,"17",[31005],0],…]],…]}`:
//! what the ids of the nodes begin with, a time, then for each version of the app the instances that
//! run it: UUID, incarnation, milliseconds from `at` to the launch, rest of the node's id, host ports
//! and goal (0 run, 1 restart, 2 stop for good).

use super::Entropy;
use super::instances::Instances;
use crate::instance::{Condition, Goal, HostPorts, Instance, Seat};
use crate::{App, AppId, InstanceId, NodeId, Timestamp};
use serde::Deserialize;
use std::io::Write as _;
use std::sync::Arc;
use uuid::Uuid;

/// Most instances that are put on one page.
pub(super) const PAGE_INSTANCES_MAX: usize = 64;
/// Room for one instance, bytes.
const LINE_BYTES: usize = 64;
/// Length of a UUID's text without the number of the page.
const REST_BYTES: usize = 28;

/// The page an instance is on.
pub(super) const fn page_of(uuid: Uuid) -> u32 {
    uuid.as_u128() as u32
}

/// A new UUID on a page.
fn uuid_on(page: u32, entropy: &mut Entropy) -> Uuid {
    let number = entropy.next_uuid().as_u128() & !u128::from(u32::MAX) | u128::from(page);
    Uuid::from_u128(number)
}

/// Ids for new instances of one app: the last page is filled first.
pub(super) struct NewIds {
    page: u32,
    taken: usize,
}

impl NewIds {
    pub(super) fn of(instances: &Instances, app: &AppId) -> Self {
        let page = instances.last_page(app).unwrap_or_default();
        Self { page, taken: instances.page(app, page).count() }
    }

    pub(super) fn next(&mut self, instances: &Instances, app: &AppId, entropy: &mut Entropy) -> InstanceId {
        while self.taken >= PAGE_INSTANCES_MAX {
            self.page = self.page.wrapping_add(1);
            self.taken = instances.page(app, self.page).count();
        }
        self.taken += 1;
        InstanceId::new(app, uuid_on(self.page, entropy))
    }
}

/// One instance as a page tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) instance: InstanceId,
    pub(super) version: Timestamp,
    pub(super) incarnation: u32,
    pub(super) goal: Goal,
    pub(super) node: NodeId,
    pub(super) ports: HostPorts,
    pub(super) staged_at: Timestamp,
}

impl Line {
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        let seat = instance.seat.as_ref()?;
        Some(Self {
            instance: instance.id.clone(),
            version: instance.app.version,
            incarnation: instance.incarnation,
            goal: instance.goal,
            node: seat.node.clone(),
            ports: seat.host_ports.clone(),
            staged_at: instance.staged_at,
        })
    }

    /// The instance as it is known without a report: staging, since it was given to the node, or
    /// unreachable since the node was lost.
    pub(super) fn seated(self, app: Arc<App>, lost_since: Option<Timestamp>) -> Instance {
        // The path is shared with the definition.
        let id = InstanceId::new(&app.id, self.instance.uuid());
        Instance {
            incarnation: self.incarnation,
            goal: self.goal,
            seat: Some(Seat { node: self.node, host_ports: self.ports }),
            condition: if lost_since.is_some() { Condition::Unreachable } else { Condition::Staging },
            since: lost_since.unwrap_or(self.staged_at),
            unreachable_since: lost_since,
            ..Instance::scheduled(id, app, self.staged_at)
        }
    }
}

/// Writes a page; nothing when none of the instances has a seat.
pub(super) fn encode<'a>(instances: &(impl Iterator<Item = &'a Arc<Instance>> + Clone)) -> Option<Vec<u8>> {
    let seated = || instances.clone().filter_map(|instance| instance.seat.as_ref().map(|seat| (instance, seat)));
    let (first, seat) = seated().next()?;
    let (mut shared, mut at, mut count) = (seat.node.as_str(), first.staged_at, 0);
    for (instance, seat) in seated() {
        let same = shared.bytes().zip(seat.node.as_str().bytes()).take_while(|(one, other)| one == other).count();
        shared = &shared[..same];
        at = at.min(instance.staged_at);
        count += 1;
    }
    let mut text = Vec::with_capacity(count * LINE_BYTES + 2 * LINE_BYTES);
    // Ids hold nothing that JSON would escape. Writing to memory cannot fail.
    let _ = write!(text, "{{\"nodes\":\"{shared}\",\"at\":{},\"versions\":[", at.as_millis());
    let mut before: Option<Timestamp> = None;
    let mut uuid = Uuid::encode_buffer();
    for (instance, seat) in seated() {
        if before == Some(instance.app.version) {
            text.push(b',');
        } else {
            if before.is_some() {
                text.extend_from_slice(b"]],");
            }
            before = Some(instance.app.version);
            let _ = write!(text, "[{},[", instance.app.version.as_millis());
        }
        text.extend_from_slice(b"[\"");
        text.extend_from_slice(&instance.id.uuid().hyphenated().encode_lower(&mut uuid).as_bytes()[..REST_BYTES]);
        let (staged, rest) = (instance.staged_at.millis_since(at), &seat.node.as_str()[shared.len()..]);
        let _ = write!(text, "\",{},{staged},\"{rest}\",[", instance.incarnation);
        for (number, port) in seat.host_ports.iter().enumerate() {
            let _ = write!(text, "{}{port}", if number > 0 { "," } else { "" });
        }
        let _ = write!(text, "],{}]", goal_number(instance.goal));
    }
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

const fn goal_of(number: u8) -> Option<Goal> {
    match number {
        0 => Some(Goal::Running),
        1 => Some(Goal::Restarted),
        2 => Some(Goal::Decommissioned),
        _ => None,
    }
}

/// UUID, incarnation, time of the launch, node, ports, goal.
type Written<'a> = (&'a str, u32, i64, &'a str, HostPorts, u8);

#[derive(Deserialize)]
struct Document<'a> {
    nodes: &'a str,
    at: i64,
    #[serde(borrow)]
    versions: Vec<(i64, Vec<Written<'a>>)>,
}

/// Reads page `number` of `app`. `node` finds the id of a known node by its text, so that it is
/// shared.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn decode(
    text: &[u8],
    app: &AppId,
    number: u32,
    mut node: impl FnMut(&str) -> Option<NodeId>,
) -> Result<Vec<Line>, String> {
    let document: Document<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    let (page, mut uuid_text, mut node_text) = (format!("{number:08x}"), String::new(), String::new());
    for (version, written) in document.versions {
        lines.reserve(written.len());
        for (rest, incarnation, staged, tail, ports, goal) in written {
            uuid_text.clear();
            uuid_text.extend([rest, &page]);
            node_text.clear();
            node_text.extend([document.nodes, tail]);
            let uuid = Uuid::try_parse(&uuid_text).map_err(|error| format!("\"{rest}\": {error}"))?;
            let node = match node(&node_text) {
                Some(node) => node,
                None => NodeId::parse(&node_text).map_err(|error| error.to_string())?,
            };
            lines.push(Line {
                instance: InstanceId::new(app, uuid),
                version: Timestamp::from_millis(version),
                incarnation,
                goal: goal_of(goal).ok_or_else(|| format!("{goal} is no goal of an instance"))?,
                node,
                ports,
                staged_at: Timestamp::from_millis(document.at.saturating_add(staged)),
            });
        }
    }
    Ok(lines)
}

#[cfg(test)]
#[path = "page_test.rs"]
mod tests;
