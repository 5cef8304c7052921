//! Who reaches a leader: agents by their links, followers by their streams.
//!
//! A leader that keeps its lease but cannot be reached (its port is behind a firewall, its certificate is of
//! another hour) would lead for ever and decide nothing. When nobody is there although other controllers
//! live, it gives way to them.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long nobody reaches a leader before it gives way. Longer than a controller that has died is listed:
/// who is alone leads on.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(20);
const _: () = assert!(GIVES_WAY_AFTER.as_secs() > crate::members::MEMBER_TTL.as_secs());

/// Counts who is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audience(Arc<watch::Sender<usize>>);

/// One that is there; leaves with this value.
#[derive(Debug)]
pub(crate) struct Listener(Audience);

impl Audience {
    /// One more is there.
    pub(crate) fn admit(&self) -> Listener {
        self.0.send_modify(|count| *count += 1);
        Listener(self.clone())
    }

    /// How many are there.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// Since when a leader has been without an audience that it could have.
#[derive(Debug, Default)]
struct Solitude(Option<Instant>);

impl Solitude {
    /// Takes in how many are there and how many other controllers live; says when to give way if it stays
    /// like that.
    fn look(&mut self, audience: usize, others: usize, now: Instant) -> Option<Instant> {
        if audience > 0 || others == 0 {
            self.0 = None;
            return None;
        }
        Some(*self.0.get_or_insert(now) + GIVES_WAY_AFTER)
    }
}

/// Ends when nobody has reached this leader for a while although `others` are there.
pub(crate) async fn is_gone<T>(
    mut audience: watch::Receiver<usize>,
    mut others: watch::Receiver<T>,
    count: impl Fn(&T) -> usize,
) {
    let mut solitude = Solitude::default();
    loop {
        let (present, living) = (*audience.borrow_and_update(), count(&others.borrow_and_update()));
        let end = solitude.look(present, living, Instant::now());
        let gives_way = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        // Both last as long as the controller.
        tokio::select! {
            biased;
            Ok(()) = audience.changed() => {}
            Ok(()) = others.changed() => {}
            () = gives_way => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_nobody_reaches_gives_way_to_others_only() {
        let (audience, others) = (Audience::default(), watch::Sender::new(0_usize));
        let gone = is_gone(audience.count(), others.subscribe(), |others| *others);
        tokio::pin!(gone);
        let long = Duration::from_secs(3600);
        assert!(tokio::time::timeout(long, gone.as_mut()).await.is_err(), "it is alone");
        let listener = audience.admit();
        others.send_replace(2);
        assert!(tokio::time::timeout(long, gone.as_mut()).await.is_err(), "somebody is there");
        let left = Instant::now();
        drop(listener);
        // Who comes and goes begins the time anew; who lives or dies elsewhere does not.
        assert!(tokio::time::timeout(GIVES_WAY_AFTER / 2, gone.as_mut()).await.is_err());
        drop(audience.admit());
        others.send_replace(1);
        gone.await;
        assert_eq!(left.elapsed(), GIVES_WAY_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_visit_begins_the_time_anew() {
        let (audience, others) = (Audience::default(), watch::Sender::new(1_usize));
        let gone = is_gone(audience.count(), others.subscribe(), |others| *others);
        tokio::pin!(gone);
        assert!(tokio::time::timeout(GIVES_WAY_AFTER / 2, gone.as_mut()).await.is_err());
        let visit = audience.admit();
        assert!(tokio::time::timeout(Duration::from_millis(1), gone.as_mut()).await.is_err());
        let left = Instant::now();
        drop(visit);
        gone.await;
        assert_eq!(left.elapsed(), GIVES_WAY_AFTER);
    }
}
