//! The mass-loss brake: when a large part of the cluster vanishes at once it is likelier that the
//! cluster's own network failed than that the machines did, so that nothing is replaced until some
//! return or an operator decides.

use super::{Node, NodeId, NodeStatus};
use crate::Timestamp;
use imbl::OrdSet;
use serde::{Deserialize, Serialize};

/// Losses within this many milliseconds count as one event.
pub const WINDOW_MS: i64 = 60_000;
/// Fewer lost nodes than this never hold anything.
pub const LOST_MIN: usize = 2;
/// When a network heals, nodes do not all come back in the same moment: the brake goes on for so many
/// milliseconds after enough are back.
pub const SETTLE_MS: i64 = 5_000;
/// Share of the nodes that may vanish when nobody chose otherwise, percent.
pub const SHARE_DEFAULT: u8 = 50;

/// What operators have decided about the brake. Durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrakeSettings {
    /// The brake holds when more than this share of the nodes vanishes within [`WINDOW_MS`];
    /// percent, 0 = never.
    #[serde(default = "share")]
    pub share: u8,
    /// Lost nodes for which an operator released the brake; they count again once they returned.
    #[serde(default, skip_serializing_if = "OrdSet::is_empty")]
    pub released: OrdSet<NodeId>,
    /// That it holds: controllers that all start anew must not replace what their predecessors held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holding: Option<Holding>,
}

/// What is stored of the brake while it holds; the nodes that are missing follow from their losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Since when.
    pub since: Timestamp,
    /// When the first of the nodes that made it hold vanished.
    pub from: Timestamp,
}

const fn share() -> u8 {
    SHARE_DEFAULT
}

impl Default for BrakeSettings {
    fn default() -> Self {
        Self { share: SHARE_DEFAULT, released: OrdSet::new(), holding: None }
    }
}

/// The brake while it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub since: Timestamp,
    /// Nodes that are missing.
    pub missing: OrdSet<NodeId>,
    /// Nodes there were.
    pub of: usize,
    /// Since when enough have returned; the rest have [`SETTLE_MS`] to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning: Option<Timestamp>,
}

impl Held {
    /// The brake as a leader finds it that has only what is stored: all that vanished since then and has not
    /// been heard again is missing.
    pub fn resumed<'a>(holding: &Holding, away: impl Iterator<Item = &'a Node>, of: usize) -> Self {
        let missing = away.filter(|node| node.status == NodeStatus::Unreachable && node.since >= holding.from);
        Self { since: holding.since, missing: missing.map(|node| node.facts.id.clone()).collect(), of, returning: None }
    }

    /// What is to be stored of it, given the nodes that are away.
    pub fn holding<'a>(&self, away: impl Iterator<Item = &'a Node>) -> Holding {
        let missing = away.filter(|node| self.missing.contains(&node.facts.id)).map(|node| node.since);
        Holding { since: self.since, from: missing.min().unwrap_or(self.since) }
    }

    /// When it lets go by itself, if no more nodes vanish.
    pub fn ends(&self) -> Option<Timestamp> {
        self.returning.map(|since| since.plus_millis(SETTLE_MS))
    }

    /// For people.
    pub fn sentence(&self) -> String {
        format!(
            "replacements are held since {}: {} of {} nodes vanished at once, which looks like a failure of the network; they go on when enough nodes return, or release them: dcos node brake release",
            self.since,
            self.missing.len(),
            self.of
        )
    }
}

/// Decides whether replacements are held now, given the brake so far, how many nodes are connected and
/// those that are not.
///
/// It engages when at least one node is lost and the nodes that vanished within the window (lost, or
/// disconnected and perhaps about to be) are at least [`LOST_MIN`] and more than the share of all that
/// were there before. It then holds, whatever the time, until all are back, or the missing have been no
/// more than the share for [`SETTLE_MS`].
///
/// After a change of leaders no node is connected at first. Those that the leader has not heard since it
/// began (`led_since`) say nothing before it has lost one itself, and so had waited for all of them as long.
pub fn brake<'a>(
    settings: &BrakeSettings,
    held: Option<&Held>,
    led_since: Timestamp,
    present: usize,
    away: impl Iterator<Item = &'a Node>,
    now: Timestamp,
) -> Option<Held> {
    if settings.share == 0 {
        return None;
    }
    let (mut lost, mut waited) = (0, held.is_some());
    let (mut missing, mut unheard) = (OrdSet::new(), OrdSet::new());
    for node in away {
        let id = &node.facts.id;
        let recent = now.millis_since(node.since) < WINDOW_MS
            || held.is_some_and(|held| held.missing.contains(id) || node.since >= held.since);
        match node.status {
            NodeStatus::Active => {}
            _ if settings.released.contains(id) => {}
            NodeStatus::Disconnected if recent && node.since <= led_since => drop(unheard.insert(id.clone())),
            NodeStatus::Disconnected if recent => drop(missing.insert(id.clone())),
            NodeStatus::Unreachable if recent => {
                lost += 1;
                waited |= node.since > led_since;
                missing.insert(id.clone());
            }
            NodeStatus::Disconnected | NodeStatus::Unreachable => {}
        }
    }
    let of = present + missing.len() + unheard.len();
    if waited {
        missing = missing.union(unheard);
    }
    let over = lost > 0 && missing.len() >= LOST_MIN && missing.len() * 100 > of * usize::from(settings.share);
    if over {
        return Some(Held { since: held.map_or(now, |held| held.since), missing, of, returning: None });
    }
    let held = held.filter(|_| !missing.is_empty())?;
    let returning = held.returning.unwrap_or(now);
    (now.millis_since(returning) < SETTLE_MS).then(|| Held { since: held.since, missing, of, returning: Some(returning) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeFacts;
    use proptest::prelude::*;

    fn node(number: usize, status: NodeStatus, since: i64) -> Node {
        let facts = NodeFacts::new(NodeId::parse(&format!("c-S{number}")).unwrap(), "h".into(), "127.0.0.1".parse().unwrap());
        let mut node = Node::joined(facts, Timestamp::from_millis(since));
        node.status = status;
        node
    }

    /// `text`: one letter a node: a(ctive), d(isconnected), l(ost), o = lost long ago.
    fn decide(text: &str, settings: &BrakeSettings, held: Option<&Held>) -> Option<Held> {
        decide_under(Timestamp::EPOCH, text, settings, held)
    }

    fn decide_under(led_since: Timestamp, text: &str, settings: &BrakeSettings, held: Option<&Held>) -> Option<Held> {
        let now = Timestamp::from_millis(1_000_000);
        let nodes: Vec<Node> = text
            .chars()
            .enumerate()
            .map(|(number, letter)| match letter {
                'a' => node(number, NodeStatus::Active, 0),
                'd' => node(number, NodeStatus::Disconnected, 999_000),
                'l' => node(number, NodeStatus::Unreachable, 999_000),
                _ => node(number, NodeStatus::Unreachable, 100_000),
            })
            .collect();
        let present = text.matches('a').count();
        brake(settings, held, led_since, present, nodes.iter(), now)
    }

    #[test]
    fn holds_when_more_than_the_share_and_two_vanish() {
        let with = |share| BrakeSettings { share, ..BrakeSettings::default() };
        for (text, share, expected) in [
            ("aaaa", 50, None),
            ("laaa", 50, None),
            ("llaa", 50, None),
            ("llla", 50, Some(3)),
            ("l", 50, None),
            ("la", 50, None),
            ("ll", 50, Some(2)),
            ("lla", 50, Some(2)),
            // The others are on their way out, though their time has not come.
            ("lddda", 50, Some(4)),
            // A restart of the controllers: nobody is lost yet.
            ("ddddd", 50, None),
            // Those lost long ago are no part of it.
            ("ooooolaaa", 50, None),
            ("ooooollla", 50, Some(3)),
            ("llla", 0, None),
            ("laaa", 10, None),
            ("llaaaaaaaa", 10, Some(2)),
            ("llll", 100, None),
        ] {
            assert_eq!(decide(text, &with(share), None).map(|held| held.missing.len()), expected, "{text} {share}");
        }
    }

    #[test]
    fn whom_a_new_leader_has_not_heard_does_not_count_before_it_has_lost_one() {
        let settings = BrakeSettings::default();
        let count = |led_since, text| {
            decide_under(Timestamp::from_millis(led_since), text, &settings, None).map(|held| (held.missing.len(), held.of))
        };
        // One was lost under the leader before, and the others have yet to find the new one.
        for text in ["lddda", "ldddd", "llddd"] {
            assert_eq!(count(999_000, text), None, "{text}");
        }
        assert_eq!(count(999_000, "llldd"), Some((3, 5)), "more than half were lost, whoever led");
        assert_eq!(count(998_999, "ldddd"), Some((5, 5)), "lost by this leader: it had waited for all as long");
    }

    #[test]
    fn holds_on_until_enough_return_or_an_operator_releases_it() {
        let settings = BrakeSettings::default();
        let held = decide("lllla", &settings, None).unwrap();
        let later = decide("ooooa", &settings, Some(&held)).unwrap();
        assert_eq!((later.since, later.missing.len()), (held.since, 4), "time alone changes nothing");
        let settling = decide("ooaaa", &settings, Some(&held)).unwrap();
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!((settling.missing.len(), settling.ends()), (2, Some(now.plus_millis(SETTLE_MS))), "the rest may follow");
        let over = Held { returning: Some(now.plus_millis(-SETTLE_MS)), ..settling.clone() };
        assert_eq!(decide("ooaaa", &settings, Some(&over)), None, "they had their time");
        assert_eq!(decide("aaaaa", &settings, Some(&settling)), None, "all are back");
        assert_eq!(decide("oolaa", &settings, Some(&over)).map(|held| held.returning), Some(None), "more have vanished");
        let released = BrakeSettings { released: held.missing.clone(), ..settings };
        assert_eq!(decide("oooo", &released, Some(&held)), None);
        assert_eq!(decide("llllaal", &released, None), None, "another single loss is an ordinary one");
        assert_eq!(decide("llllall", &released, None).map(|held| (held.missing.len(), held.of)), Some((2, 3)));
    }

    proptest! {
        #[test]
        fn one_node_and_small_shares_never_hold(text in "[adlo]{0,12}", share in 0u8..=100) {
            let settings = BrakeSettings { share, ..BrakeSettings::default() };
            if let Some(held) = decide(&text, &settings, None) {
                prop_assert!(held.missing.len() >= LOST_MIN && share > 0);
                prop_assert!(held.missing.len() * 100 > held.of * usize::from(share));
                let again = decide(&text, &settings, Some(&held));
                prop_assert_eq!(again, Some(held), "it does not flutter");
            }
        }
    }
}
