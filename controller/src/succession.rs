//! When a follower may stand for election although the lease of the one who leads has not ended.
//!
//! A lease says that a leader is gone after seconds. A process that was killed is known to be gone at
//! once: its connections end, and its address refuses new ones. One that stands still, or is cut off,
//! is not heard, and has not kept its lease alive for half of its time: both together are enough.
//! A firewall can look like the first, so this only makes elections come sooner: what protects the cluster from two leaders is the epoch that every
//! change compares. A leader that was deposed this way although it lived says so in its later tenures,
//! and is believed to be alive until its lease ends: two controllers that are kept from each other
//! exchange the lead once, and not for ever.

use crate::election::{ControllerRecord, LeaderRecord};
use orrery_store::{Error, LeaseId, LeaseTime, Store};
use std::time::Duration;
use tokio::time::Instant;

/// Refused dials in a row after which the leader's process is gone.
const REFUSALS: u32 = 3;
/// Pause before the leader is dialled again when its stream has just ended.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Pause before a leader is dialled again that has refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(40);
/// Pause before a leader is dialled again for any other reason.
const OPEN_PAUSE: Duration = Duration::from_millis(100);
/// Followers stand one after another, so that the first need not contend with the others.
const TURN: Duration = Duration::from_millis(30);
/// More followers than these share the last turn.
const TURNS_MAX: usize = 8;
/// How long the store may take to say what is left of a lease.
const LEASE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a controller that was deposed although it lived asks to be believed alive.
const STEADFAST_FOR: Duration = Duration::from_secs(10 * 60);

/// How a stream of the leader's ended, or that it could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was whole, and ended.
    Broke,
    /// Nothing listens at the leader's address.
    Refused,
    /// Anything else: silence, an answer that is none.
    Unclear,
}

/// What a follower knows of whether one tenure's process still lives.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// It was heard in this tenure: it can be reached when it lives.
    heard: bool,
    refusals: u32,
    pause: Option<Duration>,
}

impl Evidence {
    /// Takes in how the last attempt ended.
    pub(crate) fn note(&mut self, ending: Ending) {
        match ending {
            Ending::Broke => {
                self.heard = true;
                self.refusals = 0;
                self.pause = Some(FIRST_PAUSE);
            }
            Ending::Refused => {
                self.refusals = self.refusals.saturating_add(1);
                // Who has proven enough is in no hurry any more.
                self.pause = Some(if self.heard && self.refusals < REFUSALS { REFUSED_PAUSE } else { OPEN_PAUSE });
            }
            Ending::Unclear => {
                self.refusals = 0;
                self.pause = Some(OPEN_PAUSE);
            }
        }
    }

    /// Pause before the next attempt.
    pub(crate) fn pause(&self) -> Duration {
        self.pause.unwrap_or(OPEN_PAUSE)
    }

    /// Whether the tenure of `leader` may be ended by an election.
    pub(crate) const fn is_vacant(&self, leader: &LeaderRecord) -> bool {
        self.heard && self.refusals >= REFUSALS && !leader.steadfast
    }
}

/// Whether a leader that is not heard has not kept its lease alive for half of its time: it does so after
/// each third. When the store does not answer, nobody can be elected anyway.
pub(crate) async fn is_running_out(store: &dyn Store, leader: &LeaderRecord) -> bool {
    let Some(lease) = leader.lease.map(LeaseId) else { return false };
    match tokio::time::timeout(LEASE_TIMEOUT, store.remaining(lease)).await {
        Ok(Ok(time)) => is_short(time),
        Ok(Err(Error::LeaseNotFound { .. })) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

fn is_short(LeaseTime { left, granted }: LeaseTime) -> bool {
    left < granted / 2
}

/// How long `me` leaves the field to others when `gone` has left it.
pub(crate) fn turn(me: &str, controllers: &[ControllerRecord], gone: &str) -> Duration {
    let before = controllers.iter().filter(|other| other.id != gone && other.id.as_str() < me).count();
    TURN * u32::try_from(before.min(TURNS_MAX)).unwrap_or_default()
}

/// Whether a controller that was deposed alive at that time is still to be believed alive.
pub(crate) fn is_steadfast(deposed_alive: Option<Instant>, now: Instant) -> bool {
    deposed_alive.is_some_and(|at| now.duration_since(at) < STEADFAST_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(id: &str) -> ControllerRecord {
        let protocol = orrery_link::protocol::Versions::spoken();
        ControllerRecord { id: id.into(), url: format!("https://{id}"), address: ([127, 0, 0, 1], 1).into(), protocol }
    }

    fn vacant_after(endings: &[Ending], steadfast: bool) -> bool {
        let leader = LeaderRecord { controller: controller("a"), epoch: 1, steadfast, lease: None };
        let mut evidence = Evidence::default();
        for ending in endings {
            evidence.note(*ending);
        }
        evidence.is_vacant(&leader)
    }

    #[test]
    fn only_a_leader_that_was_heard_and_refuses_again_and_again_is_gone() {
        use Ending::{Broke, Refused, Unclear};
        for (endings, gone) in [
            (&[Broke, Refused, Refused, Refused][..], true),
            (&[Broke, Unclear, Refused, Refused, Refused], true),
            (&[Broke, Refused, Refused], false),
            // Never reached: its address may be wrong.
            (&[Refused, Refused, Refused, Refused, Refused], false),
            (&[Broke, Refused, Refused, Unclear, Refused], false),
            (&[Broke, Refused, Refused, Broke, Refused], false),
            (&[Broke, Unclear, Unclear, Unclear, Unclear], false),
            (&[Broke, Refused, Refused, Refused, Unclear], false),
        ] {
            assert_eq!(vacant_after(endings, false), gone, "{endings:?}");
            assert!(!vacant_after(endings, true), "it has asked to be believed alive");
        }
    }

    #[test]
    fn a_lease_is_short_when_a_whole_renewal_was_missed() {
        // What stores say in whole seconds of a lease that is kept alive after each third of its time.
        for (granted, alive, silent) in [(2, &[2, 1][..], &[0][..]), (3, &[3, 2], &[1, 0]), (5, &[5, 4, 3], &[2, 1, 0])] {
            let short =
                |left: &u64| is_short(LeaseTime { left: Duration::from_secs(*left), granted: Duration::from_secs(granted) });
            assert!(!alive.iter().any(short) && silent.iter().all(short), "{granted}");
        }
    }

    #[tokio::test]
    async fn only_a_lease_that_is_short_or_gone_runs_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = orrery_store::Embedded::open(directory.path().join("store")).unwrap();
        let lease = store.grant(Duration::from_secs(600)).await.unwrap();
        let mut leader = LeaderRecord { controller: controller("a"), epoch: 1, steadfast: true, lease: Some(lease.0) };
        assert!(!is_running_out(&store, &leader).await);
        store.revoke(lease).await.unwrap();
        assert!(is_running_out(&store, &leader).await);
        leader.lease = None;
        assert!(!is_running_out(&store, &leader).await, "a leader of before leases were told");
    }

    #[test]
    fn proof_takes_a_tenth_of_a_second() {
        let mut evidence = Evidence::default();
        let mut whole = Duration::ZERO;
        evidence.note(Ending::Broke);
        for _ in 0..REFUSALS {
            whole += evidence.pause();
            evidence.note(Ending::Refused);
        }
        assert!(whole <= Duration::from_millis(100), "{whole:?}");
        assert_eq!(evidence.pause(), OPEN_PAUSE);
    }

    #[test]
    fn followers_take_turns() {
        let all = ["a", "b", "c"].map(controller);
        assert_eq!(turn("b", &all, "a"), Duration::ZERO);
        assert_eq!(turn("c", &all, "a"), TURN);
        assert_eq!(turn("c", &all, "b"), TURN);
        let many: Vec<ControllerRecord> = (10..99).map(|number| controller(&number.to_string())).collect();
        assert_eq!(turn("99", &many, "98"), TURN * 8);
    }

    #[tokio::test(start_paused = true)]
    async fn belief_ends() {
        let deposed = Some(Instant::now());
        assert!(!is_steadfast(None, Instant::now()));
        assert!(is_steadfast(deposed, Instant::now()));
        tokio::time::advance(STEADFAST_FOR).await;
        assert!(!is_steadfast(deposed, Instant::now()));
    }
}
