//! Connections that have not shaken hands yet: a bounded number, in which nobody who says nothing
//! keeps others out.
//!
//! When there are too many the oldest goes, first of all of an address that has more than its share,
//! and one that has said nothing before one that has. A handshake that is young is left alone: when a
//! thousand honest machines come at once, they wait a moment in the listener's queue instead of
//! throwing each other out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Age from which a connection that has said nothing may be dropped for another one.
const SILENT_PATIENCE: Duration = Duration::from_millis(300);
/// Age from which a handshake that is under way may be dropped for another one: longer than any takes
/// whose two ends have the time for it.
const SPEAKING_PATIENCE: Duration = Duration::from_secs(1);
/// Bits of an IPv6 address that tell networks apart: who has one address there has all of them.
const NETWORK_BITS: u32 = 64;

/// How many handshakes a door holds at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of all; at least one.
    pub(crate) total: usize,
    /// Of one address: who has more gives way first when there are too many of all.
    pub(crate) per_peer: usize,
}

/// One that has not ended.
#[derive(Debug, Clone)]
struct Unfinished {
    peer: IpAddr,
    since: Instant,
    /// Whether its first byte has come.
    speaks: bool,
    dropped: CancellationToken,
}

impl Unfinished {
    fn droppable_at(&self) -> Instant {
        self.since + if self.speaks { SPEAKING_PATIENCE } else { SILENT_PATIENCE }
    }
}

/// What one more handshake would cost.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    /// Nothing.
    Free,
    /// This one, which gives way.
    InsteadOf(u64),
    /// A wait until one ends, or at the latest until then.
    From(Instant),
}

/// Decides about one more handshake. Numbers rise with time.
fn room(limits: Limits, unfinished: &BTreeMap<u64, Unfinished>, now: Instant) -> Room {
    if unfinished.len() < limits.total {
        return Room::Free;
    }
    let mut of_peer: HashMap<IpAddr, usize> = HashMap::new();
    for handshake in unfinished.values() {
        *of_peer.entry(handshake.peer).or_default() += 1;
    }
    let is_modest = |handshake: &Unfinished| of_peer.get(&handshake.peer).is_none_or(|number| *number <= limits.per_peer);
    let droppable = unfinished.iter().filter(|(_, handshake)| handshake.droppable_at() <= now);
    match droppable.min_by_key(|(number, handshake)| (is_modest(handshake), handshake.speaks, **number)) {
        Some((number, _)) => Room::InsteadOf(*number),
        None => Room::From(unfinished.values().map(Unfinished::droppable_at).min().unwrap_or(now)),
    }
}

/// Who counts as one.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
        four @ IpAddr::V4(_) => four,
    }
}

/// The handshakes of a door. One task lets them begin.
#[derive(Debug)]
pub(crate) struct Handshakes {
    limits: Limits,
    table: Mutex<Table>,
    /// One has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    unfinished: BTreeMap<u64, Unfinished>,
}

impl Handshakes {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default(), ended: Notify::new() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a handshake with `address`, as soon as there is room or another one has to give way.
    pub(crate) async fn begin(self: &Arc<Self>, address: IpAddr) -> Handshake {
        loop {
            match self.try_begin(address, Instant::now()) {
                Ok(begun) => return begun,
                Err(until) => tokio::select! {
                    () = self.ended.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
            }
        }
    }

    fn try_begin(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Handshake, Instant> {
        let mut table = self.table();
        match room(self.limits, &table.unfinished, now) {
            Room::Free => {}
            Room::InsteadOf(number) => {
                if let Some(other) = table.unfinished.remove(&number) {
                    other.dropped.cancel();
                }
            }
            Room::From(at) => return Err(at),
        }
        let (number, dropped) = (table.next, CancellationToken::new());
        table.next += 1;
        table
            .unfinished
            .insert(number, Unfinished { peer: peer_of(address), since: now, speaks: false, dropped: dropped.clone() });
        Ok(Handshake { all: Arc::clone(self), number, dropped })
    }
}

/// A handshake that is under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Arc<Handshakes>,
    number: u64,
    dropped: CancellationToken,
}

impl Handshake {
    /// Notes that the other end has said something.
    pub(crate) fn speaks(&self) {
        if let Some(own) = self.all.table().unfinished.get_mut(&self.number) {
            own.speaks = true;
        }
    }

    /// Waits until it has to give way to another one.
    pub(crate) async fn dropped(&self) {
        self.dropped.cancelled().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.table().unfinished.remove(&self.number);
        self.all.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { total: 4, per_peer: 2 };

    /// What happens among four handshakes.
    #[derive(Debug, PartialEq, Eq)]
    enum Outcome {
        Free,
        Drops(u64),
        WaitsMillis(u128),
    }

    /// Handshakes by the last number of their address, their age in milliseconds and whether they speak.
    fn outcome(all: &[(u8, u64, bool)]) -> Outcome {
        let now = Instant::now() + Duration::from_secs(60);
        let unfinished = all.iter().map(|(peer, age, speaks)| Unfinished {
            peer: IpAddr::from([10, 0, 0, *peer]),
            since: now - Duration::from_millis(*age),
            speaks: *speaks,
            dropped: CancellationToken::new(),
        });
        match room(LIMITS, &(0..).zip(unfinished).collect(), now) {
            Room::Free => Outcome::Free,
            Room::InsteadOf(number) => Outcome::Drops(number),
            Room::From(at) => Outcome::WaitsMillis((at - now).as_millis()),
        }
    }

    #[test]
    fn the_oldest_gives_way_but_first_who_has_more_than_its_share_and_who_is_silent() {
        type Case<'a> = (&'a [(u8, u64, bool)], Outcome, &'a str);
        let cases: [Case<'_>; 8] = [
            (&[(1, 900, false), (1, 900, false), (1, 900, false)], Outcome::Free, "there is room"),
            (&[(1, 900, false), (2, 800, false), (3, 700, false), (4, 600, false)], Outcome::Drops(0), "the oldest"),
            (&[(1, 900, false), (2, 800, false), (2, 700, false), (2, 600, false)], Outcome::Drops(1), "of the greedy"),
            (&[(1, 9_000, true), (2, 800, false), (3, 700, false), (4, 9, false)], Outcome::Drops(1), "the silent"),
            (&[(1, 900, false), (2, 1_500, true), (2, 1_400, true), (2, 1_300, true)], Outcome::Drops(1), "greed counts more"),
            (&[(1, 900, true), (2, 200, false), (3, 400, false), (4, 1, false)], Outcome::Drops(2), "who is young is left alone"),
            (&[(1, 100, false), (1, 90, false), (1, 80, false), (1, 70, false)], Outcome::WaitsMillis(200), "a burst waits"),
            (&[(1, 990, true), (2, 90, false), (3, 80, false), (4, 70, false)], Outcome::WaitsMillis(10), "for the first of all"),
        ];
        for (all, expected, why) in cases {
            assert_eq!(outcome(all), expected, "{why}");
        }
    }

    #[test]
    fn who_has_a_network_is_one_peer() {
        let peer = |text: &str| peer_of(text.parse().unwrap());
        assert_eq!(peer("2001:db8:0:1::7"), peer("2001:db8:0:1:ffff::"));
        assert_ne!(peer("2001:db8:0:1::7"), peer("2001:db8:0:2::7"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_makes_room_at_once() {
        let all = Handshakes::new(Limits { total: 1, per_peer: 1 });
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = all.begin(address).await;
        first.speaks();
        let since = Instant::now();
        let (second, ()) = tokio::join!(all.begin(address), async {
            tokio::time::sleep(SILENT_PATIENCE).await;
            drop(first);
        });
        assert_eq!(since.elapsed(), SILENT_PATIENCE, "it waited for the patience with who speaks");
        let third = all.begin(address).await;
        second.dropped().await;
        assert_eq!(since.elapsed(), SILENT_PATIENCE * 2);
        assert_eq!(all.table().unfinished.len(), 1);
        drop((second, third));
        assert!(all.table().unfinished.is_empty());
    }
}
