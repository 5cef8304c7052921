//! Which nodes are connected, and since when the others are silent.

use crate::arrivals::Arrivals;
use crate::liveness::{Signs, Wakefulness};
use imbl::OrdMap;
use orrery_core::NodeId;
use orrery_core::assignment::Down;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Looks that fall into so short a time are taken together: most nodes have been heard since, and cost no
/// wake of the leader of their own.
const LOOK_AHEAD: Duration = Duration::from_millis(50);
/// When a node whose registration waits is looked at again.
const ARRIVAL_LOOK: Duration = Duration::from_millis(500);
/// A leader that was busy for so long may not have heard what was said meanwhile.
const BUSY_MIN: Duration = Duration::from_millis(200);
/// Longest time that silent nodes get on top after the leader was busy.
const SECOND_LOOK_MAX: Duration = Duration::from_secs(1);

/// Attendance of all nodes. Cloning costs a pointer, so that a dropped step is undone by the clone.
#[derive(Clone)]
pub(crate) struct Attendance {
    /// Silence after which the tasks of a node count as lost.
    limit: Duration,
    awake: Arc<Mutex<Wakefulness>>,
    arrivals: Arrivals,
    nodes: OrdMap<NodeId, Presence>,
    /// When to look at which node, earliest first. One that has connected anew leaves its earlier look
    /// behind, which is dropped in its time.
    looks: OrdMap<(Instant, u64), Look>,
    /// Numbers the looks.
    next_look: u64,
    /// Nodes whose connection has ended since the last step.
    disconnected: BTreeSet<NodeId>,
}

#[derive(Clone)]
struct Presence {
    link: Option<Link>,
    /// When something was heard last, while there is no link.
    heard: Instant,
    /// Its present look; others of this node are over.
    look: u64,
}

/// A node that must be heard until then. It holds all that tells whether it was: thousands of nodes are
/// looked at each second, and hardly one of them is silent.
#[derive(Clone)]
struct Look {
    node: NodeId,
    signs: Option<Arc<Signs>>,
    /// It was silent for too long while the leader was busy: it is looked at once more.
    doubted: bool,
}

#[derive(Clone)]
struct Link {
    id: u64,
    down: mpsc::Sender<Down>,
    signs: Arc<Signs>,
}

impl Presence {
    fn heard(&self) -> Instant {
        self.link.as_ref().map_or(self.heard, |link| link.signs.heard().max(self.heard))
    }
}

impl Attendance {
    /// All of these are `expected`. They have twice their time from now on: they must first notice that
    /// the leader before is gone, which a silent end takes them as long to see as it takes us.
    pub(crate) fn new<'a>(
        limit: Duration,
        awake: Arc<Mutex<Wakefulness>>,
        arrivals: Arrivals,
        expected: impl Iterator<Item = &'a NodeId>,
    ) -> Self {
        let (nodes, looks) = (OrdMap::new(), OrdMap::new());
        let mut all = Self { limit, awake, arrivals, nodes, looks, next_look: 0, disconnected: BTreeSet::new() };
        let begin = Instant::now() + limit;
        for node in expected {
            all.expect(node, None, begin);
        }
        all
    }

    fn expect(&mut self, node: &NodeId, link: Option<Link>, heard: Instant) {
        let signs = link.as_ref().map(|link| Arc::clone(&link.signs));
        let look = self.next_look;
        self.next_look += 1;
        self.nodes.insert(node.clone(), Presence { link, heard, look });
        self.looks.insert((heard + self.limit, look), Look { node: node.clone(), signs, doubted: false });
    }

    /// A node has registered on a new connection.
    pub(crate) fn connect(&mut self, node: &NodeId, id: u64, down: mpsc::Sender<Down>, signs: Arc<Signs>) {
        self.disconnected.remove(node);
        self.expect(node, Some(Link { id, down, signs }), Instant::now());
    }

    /// The connection of a node has ended, or is ended by this. Its silence counts from the last sign.
    pub(crate) fn disconnect(&mut self, node: &NodeId) {
        let Some(presence) = self.nodes.get(node).filter(|presence| presence.link.is_some()) else { return };
        let heard = presence.heard();
        self.expect(node, None, heard);
        self.disconnected.insert(node.clone());
    }

    /// Every connection is ended, and all `nodes` get their whole time from now on.
    pub(crate) fn disconnect_all<'a>(&mut self, nodes: impl Iterator<Item = &'a NodeId>) {
        let connected = self.nodes.iter().filter(|(_, presence)| presence.link.is_some()).map(|(node, _)| node.clone());
        self.disconnected = connected.collect();
        let now = Instant::now();
        for node in nodes {
            self.expect(node, None, now);
        }
        let stray: Vec<NodeId> =
            self.nodes.iter().filter(|(_, presence)| presence.link.is_some()).map(|(node, _)| node.clone()).collect();
        for node in stray {
            // Registered in a step that never was.
            self.nodes.remove(&node);
        }
    }

    /// Whether `link` is the present connection of the node.
    pub(crate) fn is_current(&self, node: &NodeId, link: u64) -> bool {
        self.nodes.get(node).and_then(|presence| presence.link.as_ref()).is_some_and(|current| current.id == link)
    }

    /// The way to a connected node.
    pub(crate) fn down(&self, node: &NodeId) -> Option<&mpsc::Sender<Down>> {
        self.nodes.get(node)?.link.as_ref().map(|link| &link.down)
    }

    /// When to look next.
    pub(crate) fn next(&self) -> Option<Instant> {
        if !self.disconnected.is_empty() {
            return Some(Instant::now());
        }
        self.looks.get_min().map(|((due, _), _)| *due)
    }

    /// Puts off the next looks at nodes that have been heard meanwhile: who was heard needs no step.
    pub(crate) fn put_off(&mut self) {
        let soon = Instant::now() + LOOK_AHEAD;
        let heard = |look: &Look| look.signs.as_ref().map(|signs| signs.heard() + self.limit);
        let later = |(at, look): (&(Instant, u64), &Look)| Some((*at, heard(look).filter(|until| *until > at.0)?));
        let moves: Vec<((Instant, u64), Instant)> = self.looks.range(..=(soon, u64::MAX)).filter_map(later).collect();
        for (at, until) in moves {
            if let Some(look) = self.looks.remove(&at) {
                self.looks.insert((until, at.1), Look { doubted: false, ..look });
            }
        }
    }

    /// Nodes whose connection has ended.
    pub(crate) fn take_disconnected(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.disconnected)
    }

    /// Nodes that have been silent for too long, given how long the leader was `busy` before. They are
    /// not looked at again until they register.
    pub(crate) fn take_silent(&mut self, busy: Duration) -> Vec<NodeId> {
        let now = Instant::now();
        let since = {
            let mut awake = self.awake.lock().unwrap_or_else(PoisonError::into_inner);
            if awake.pulse() {
                tracing::warn!("this controller stood still; every node gets its whole time again");
            }
            awake.since()
        };
        let mut silent = Vec::new();
        while let Some((at, mut look)) = self.looks.get_min().filter(|((due, _), _)| *due <= now).cloned() {
            self.looks.remove(&at);
            let Some(presence) = self.nodes.get(&look.node).filter(|presence| presence.look == at.1) else { continue };
            let until = presence.heard().max(since) + self.limit;
            let again = if until > now {
                look.doubted = false;
                until
            } else if self.arrivals.expects(&look.node) {
                // Its registration waits for us.
                now + ARRIVAL_LOOK
            } else if busy >= BUSY_MIN && !look.doubted {
                look.doubted = true;
                now + busy.min(SECOND_LOOK_MAX)
            } else {
                self.nodes.remove(&look.node);
                silent.push(look.node);
                continue;
            };
            self.looks.insert((again, at.1), look);
        }
        if !silent.is_empty() {
            self.suspect(now, since);
        }
        silent
    }
}

impl Attendance {
    /// When one node is lost, those that have been silent for half as long are cut off: what hit the
    /// one may have hit them too, and the brake must know before anything is replaced. Whoever is
    /// only slow comes back at once.
    fn suspect(&mut self, now: Instant, since: Instant) {
        let half = self.limit / 2;
        let quiet = |presence: &Presence| presence.link.is_some() && presence.heard().max(since) + half < now;
        let suspects: Vec<NodeId> =
            self.nodes.iter().filter(|(_, presence)| quiet(presence)).map(|(node, _)| node.clone()).collect();
        for node in suspects {
            self.disconnect(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(2_500);

    fn node(number: u32) -> NodeId {
        NodeId::parse(&format!("c-S{number}")).unwrap()
    }

    fn attendance(nodes: &[NodeId]) -> (Attendance, Arc<Mutex<Wakefulness>>) {
        let awake = Arc::new(Mutex::new(Wakefulness::new()));
        (Attendance::new(LIMIT, Arc::clone(&awake), Arrivals::default(), nodes.iter()), awake)
    }

    async fn pass(awake: &Mutex<Wakefulness>, millis: u64) {
        for _ in 0..millis / 50 {
            tokio::time::advance(Duration::from_millis(50)).await;
            awake.lock().unwrap().pulse();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_is_lost_once() {
        let (mut all, awake) = attendance(&[node(0), node(1)]);
        let signs = Arc::new(Signs::new());
        all.connect(&node(1), 1, mpsc::channel(1).0, Arc::clone(&signs));
        pass(&awake, 2_000).await;
        assert!(all.take_silent(Duration::ZERO).is_empty());
        signs.note();
        pass(&awake, 2_450).await;
        assert!(all.take_silent(Duration::ZERO).is_empty(), "one was heard, and the other has twice its time at first");
        pass(&awake, 50).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(1)]);
        pass(&awake, 500).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(0)]);
        assert_eq!((all.next(), all.down(&node(1)).is_some()), (None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_heard_is_put_off_a_few_at_a_time_and_the_silent_one_is_found_in_time() {
        let (mut all, awake) = attendance(&[]);
        let signs: Vec<Arc<Signs>> = (0..200).map(|_| Arc::new(Signs::new())).collect();
        for (number, signs) in signs.iter().enumerate() {
            all.connect(&node(number as u32), number as u64, mpsc::channel(1).0, Arc::clone(signs));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let (begun, mut wakes) = (Instant::now(), 0);
        let mut now_due = false;
        for tick in 0_u64..10_000 {
            // Each gives a sign every half second, and the last one falls silent.
            let silent_from = if tick < 5_000 { 200 } else { 199 };
            signs.iter().take(silent_from).skip(tick as usize % 500).step_by(500).for_each(|signs| signs.note());
            if tick.is_multiple_of(50) {
                awake.lock().unwrap().pulse();
            }
            if all.next().is_some_and(|due| due <= Instant::now()) {
                wakes += 1;
                all.put_off();
                now_due = all.next().is_some_and(|due| due <= Instant::now());
                if now_due {
                    break;
                }
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(now_due, "nobody was missed");
        let silence = signs[199].heard().elapsed();
        assert_eq!((all.take_silent(Duration::ZERO), silence), (vec![node(199)], LIMIT));
        let looks = (begun.elapsed().as_millis() / LOOK_AHEAD.as_millis()) as usize + 1;
        assert!(wakes <= looks, "{wakes} wakes for 200 nodes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_at_an_earlier_connection_tells_nothing_of_the_present_one() {
        let (mut all, awake) = attendance(&[]);
        let (earlier, present) = (Arc::new(Signs::new()), Arc::new(Signs::new()));
        all.connect(&node(0), 1, mpsc::channel(1).0, Arc::clone(&earlier));
        pass(&awake, 500).await;
        all.connect(&node(0), 2, mpsc::channel(1).0, present);
        for _ in 0..5 {
            pass(&awake, 450).await;
            earlier.note();
            all.put_off();
        }
        assert!(all.take_silent(Duration::ZERO).is_empty());
        pass(&awake, 250).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_last_sign_not_from_the_end_of_the_connection() {
        let (mut all, awake) = attendance(&[]);
        all.connect(&node(0), 7, mpsc::channel(1).0, Arc::new(Signs::new()));
        pass(&awake, 1_000).await;
        all.disconnect(&node(0));
        assert_eq!(all.take_disconnected(), BTreeSet::from([node(0)]));
        assert!(!all.is_current(&node(0), 7));
        pass(&awake, 1_500).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_stood_still_gives_the_whole_time_again() {
        let (mut all, awake) = attendance(&[node(0)]);
        pass(&awake, 1_000).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(all.take_silent(Duration::ZERO).is_empty());
        pass(&awake, LIMIT.as_millis() as u64 - 50).await;
        assert!(all.take_silent(Duration::ZERO).is_empty());
        pass(&awake, 50).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_step_who_seems_silent_is_looked_at_once_more() {
        let (mut all, awake) = attendance(&[]);
        let signs: Vec<Arc<Signs>> = (0..2).map(|_| Arc::new(Signs::new())).collect();
        for (number, signs) in signs.iter().enumerate() {
            all.connect(&node(number as u32), number as u64, mpsc::channel(1).0, Arc::clone(signs));
        }
        pass(&awake, 2_500).await;
        let busy = Duration::from_millis(400);
        assert!(all.take_silent(busy).is_empty());
        // What was said meanwhile is heard now.
        signs[0].note();
        pass(&awake, 350).await;
        assert!(all.take_silent(Duration::ZERO).is_empty());
        pass(&awake, 50).await;
        assert_eq!(all.take_silent(busy), [node(1)], "once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_registration_waits_is_not_silent() {
        let (mut all, awake) = attendance(&[node(0)]);
        let arrival = all.arrivals.announce(&node(0));
        pass(&awake, 5_000).await;
        assert!(all.take_silent(Duration::ZERO).is_empty());
        drop(arrival);
        pass(&awake, 500).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_beside_a_lost_one_is_suspected() {
        let (mut all, awake) = attendance(&[]);
        let signs: Vec<Arc<Signs>> = (0..3).map(|_| Arc::new(Signs::new())).collect();
        for (number, signs) in signs.iter().enumerate() {
            all.connect(&node(number as u32), number as u64, mpsc::channel(1).0, Arc::clone(signs));
        }
        pass(&awake, 500).await;
        signs[1].note();
        pass(&awake, 1_900).await;
        signs[2].note();
        assert!(all.take_silent(Duration::ZERO).is_empty() && all.take_disconnected().is_empty());
        pass(&awake, 100).await;
        assert_eq!(all.take_silent(Duration::ZERO), [node(0)]);
        assert_eq!(all.take_disconnected(), BTreeSet::from([node(1)]), "the third was heard just now");
    }
}
