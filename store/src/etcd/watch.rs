//! Watches on etcd: one task each, that reopens its stream whenever it breaks,
//! lags or grows old, and passes on nothing that does not rise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse};
use futures::StreamExt;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::{About, Clients, Etcd, FIRST_PAUSE, LONGEST_PAUSE, entry, fault::fault, wire};
use crate::prefix::prefix_end;
use crate::{Error, Event, Result, Revision, Store, WatchEvents, WatchStream};

/// What a watcher may leave unread, in KiB, counting at least 1 for each
/// revision. A watcher past it is taken off etcd and replayed when it has read on.
const MAX_UNREAD_KIB: u32 = 16 << 10;

/// How old a stream may become. etcd 3.4 may lose an event of a starved
/// stream; a new stream replays whatever the old one did not deliver.
const STREAM_AGE: Duration = Duration::from_secs(60);

/// A batch, and the room it takes until it is read.
type Delivery = (Result<WatchEvents>, Option<OwnedSemaphorePermit>);

/// Starts a watch from `from` on.
pub(super) fn watch(etcd: Etcd, prefix: &str, from: Revision) -> WatchStream {
    // Each batch takes at least 1 KiB of the room, so the channel is never full; its last place is for an error.
    let (deliveries, unread) = channel(MAX_UNREAD_KIB as usize + 1);
    let room = Arc::new(Semaphore::new(MAX_UNREAD_KIB as usize));
    let last = WatchEvents { revision: Revision::NONE, events: Vec::new() };
    let follower = Follower { etcd, prefix: prefix.to_owned(), next: from, last, certain: [Revision::NONE; 2], deliveries, room };
    tokio::spawn(follower.run());
    Box::pin(ReceiverStream::new(unread).map(|(events, _room): Delivery| events))
}

struct Follower {
    etcd: Etcd,
    prefix: String,
    /// The first revision not yet passed on.
    next: Revision,
    /// What was passed on last.
    last: WatchEvents,
    /// Revisions that existed when the present stream and the one before it were opened.
    certain: [Revision; 2],
    deliveries: Sender<Delivery>,
    room: Arc<Semaphore>,
}

/// Why a stream is over.
enum End {
    /// Nobody reads any more.
    Unwanted,
    /// The watcher must list again, or may not watch.
    Fatal(Error),
    /// The stream broke, or sent what can't be trusted.
    Broken(Error),
    /// The reader lags; the batch is passed on when there is room for it.
    Lagging(WatchEvents),
    /// The stream is [`STREAM_AGE`] old.
    Old,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut opened = false;
            let end = self.stream(&mut opened).await;
            if opened {
                pause = FIRST_PAUSE;
            }
            match end {
                End::Unwanted => return,
                End::Fatal(error) => {
                    // Nobody reads it when the receiver is gone.
                    let _ = self.deliveries.try_send((Err(error), None));
                    return;
                }
                End::Broken(error) => {
                    tracing::warn!(prefix = self.prefix, next = self.next.0, %error, "watch interrupted; resuming");
                    tokio::select! {
                        () = self.deliveries.closed() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                End::Lagging(batch) => {
                    tracing::debug!(prefix = self.prefix, next = self.next.0, "watch lags; waiting for its reader");
                    let room = tokio::select! {
                        () = self.deliveries.closed() => return,
                        room = Arc::clone(&self.room).acquire_many_owned(size_kib(&batch)) => room.ok(),
                    };
                    if !self.pass_on(batch, room) {
                        return;
                    }
                }
                End::Old => {}
            }
        }
    }

    /// Opens a stream and passes on what it brings until it ends.
    async fn stream(&mut self, opened: &mut bool) -> End {
        let current = match self.etcd.revision().await {
            Ok(current) => current,
            Err(error @ Error::Unauthorized { .. }) => return End::Fatal(error),
            Err(error) => return End::Broken(error),
        };
        if current < self.last.revision {
            return End::Fatal(Error::Regressed { seen: self.last.revision, received: current });
        }
        // Two streams in a row, each as old as they get, had to deliver everything up to here.
        let [before, present] = self.certain;
        self.next = self.next.max(before.next());
        let options = WatchOptions::new()
            .with_range(prefix_end(self.prefix.as_bytes()).unwrap_or_else(|| vec![0]))
            .with_start_revision(wire(self.next))
            .with_progress_notify();
        let first = if self.prefix.is_empty() { vec![0] } else { self.prefix.clone().into_bytes() };
        let members = Arc::clone(&self.etcd.members);
        let index = members.present();
        let open = move |mut clients: Clients| {
            let (first, options) = (first.clone(), options.clone());
            async move { clients.watch.watch(first, Some(options)).await }
        };
        let opening = tokio::time::timeout(self.etcd.timeout, members.send(index, self.etcd.about(), open)).await;
        let mut stream = match opening.map(|(_, stream)| stream.map_err(|failure| failure.error)) {
            Ok(Ok(stream)) => stream,
            Ok(Err(error @ Error::Unauthorized { .. })) => return End::Fatal(error),
            Ok(Err(error)) => return self.leave(index, error),
            Err(_) => return self.leave(index, self.etcd.late()),
        };
        let age = tokio::time::sleep_until(Instant::now() + STREAM_AGE);
        tokio::pin!(age);
        loop {
            let message = tokio::select! {
                () = self.deliveries.closed() => return End::Unwanted,
                () = &mut age => {
                    self.certain = [present, current];
                    return End::Old;
                }
                silent = members.silence_of(index) => return self.leave(index, silent),
                message = stream.message() => message,
            };
            match message {
                Ok(Some(message)) => {
                    if let Some(end) = self.take(&message) {
                        return end;
                    }
                    *opened = true;
                }
                Ok(None) => return self.leave(index, Error::unavailable("etcd ended the watch stream")),
                Err(error) => {
                    let error = fault(error, About::default());
                    return if error.needs_relist() { End::Fatal(error) } else { self.leave(index, error) };
                }
            }
        }
    }

    /// The next stream is opened at another member.
    fn leave(&self, index: usize, error: Error) -> End {
        self.etcd.members.leave(index);
        End::Broken(error)
    }

    /// Passes on what a message brings; the end of the stream if there is one.
    fn take(&mut self, message: &WatchResponse) -> Option<End> {
        if message.canceled() {
            let compacted = message.compact_revision();
            let reason = message.cancel_reason().to_owned();
            return Some(if compacted > 0 {
                End::Fatal(Error::Compacted { revision: Revision(compacted.cast_unsigned()) })
            } else if reason.contains("permission denied") {
                End::Fatal(Error::Unauthorized { reason })
            } else {
                End::Broken(Error::unavailable(format!("etcd cancelled the watch: {reason}")))
            });
        }
        let mut revisions: BTreeMap<Revision, Vec<Event>> = BTreeMap::new();
        for event in message.events() {
            match decode(event) {
                Ok(event) => revisions.entry(event.revision()).or_default().push(event),
                Err(error) => return Some(End::Fatal(error)),
            }
        }
        for (revision, events) in revisions {
            let batch = WatchEvents { revision, events };
            if let Some(error) = disorder(self.next, &self.last, &batch) {
                return Some(if error.needs_relist() { End::Fatal(error) } else { End::Broken(error) });
            }
            let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size_kib(&batch)) else {
                return Some(End::Lagging(batch));
            };
            if !self.pass_on(batch, Some(room)) {
                return Some(End::Unwanted);
            }
        }
        None
    }

    fn pass_on(&mut self, batch: WatchEvents, room: Option<OwnedSemaphorePermit>) -> bool {
        self.etcd.seen.fetch_max(batch.revision.0, std::sync::atomic::Ordering::SeqCst);
        self.next = batch.revision.next();
        self.last = batch.clone();
        self.deliveries.try_send((Ok(batch), room)).is_ok()
    }
}

/// Whether a batch comes out of order after `last`, when `next` is the first
/// revision owed. A revision repeated whole does no harm, and a new stream goes
/// on behind it; but the rest of a revision torn in two can't be passed on.
fn disorder(next: Revision, last: &WatchEvents, batch: &WatchEvents) -> Option<Error> {
    if batch.revision >= next {
        return None;
    }
    let known = |event: &Event| last.events.iter().any(|passed| passed.key() == event.key());
    if batch.revision == last.revision && !batch.events.iter().all(known) {
        return Some(Error::Regressed { seen: last.revision, received: batch.revision });
    }
    Some(Error::unavailable(format!("etcd sent revision {} again", batch.revision)))
}

fn decode(event: &etcd_client::Event) -> Result<Event> {
    let stored = event.kv().ok_or_else(|| Error::corrupt("etcd sent an event without a key"))?;
    let entry = entry(stored.clone())?;
    Ok(match event.event_type() {
        EventType::Put => Event::Put(entry),
        EventType::Delete => Event::Delete { key: entry.key, revision: entry.mod_revision },
    })
}

/// The room a batch takes. Never more than there is, or it could not pass at all.
fn size_kib(batch: &WatchEvents) -> u32 {
    let bytes = |event: &Event| event.key().len() + if let Event::Put(entry) = event { entry.value.len() } else { 0 };
    let kib = batch.events.iter().map(bytes).sum::<usize>() / 1024 + 1;
    u32::try_from(kib).unwrap_or(u32::MAX).min(MAX_UNREAD_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(revision: u64, keys: &[&str]) -> WatchEvents {
        let revision = Revision(revision);
        let events = keys.iter().map(|key| Event::Delete { key: (*key).into(), revision }).collect();
        WatchEvents { revision, events }
    }

    #[test]
    fn what_does_not_rise_is_not_passed_on() {
        let last = batch(9, &["/a", "/b"]);
        let cases = [
            ("the next", batch(10, &["/c"]), None),
            ("a later one", batch(50, &["/c"]), None),
            ("the last again", batch(9, &["/b"]), Some(false)),
            ("an older one", batch(4, &["/x"]), Some(false)),
            ("the rest of the last", batch(9, &["/c"]), Some(true)),
        ];
        for (name, batch, relist) in cases {
            assert_eq!(disorder(Revision(10), &last, &batch).map(|error| error.needs_relist()), relist, "{name}");
        }
    }

    #[test]
    fn no_batch_is_too_large_to_pass() {
        assert_eq!(size_kib(&batch(1, &["/a"])), 1);
        let value = bytes::Bytes::from(vec![0; 64 << 20]);
        let revision = Revision(1);
        let put = crate::Entry { key: "/a".into(), value, create_revision: revision, mod_revision: revision, version: 1 };
        assert_eq!(size_kib(&WatchEvents { revision, events: vec![Event::Put(put)] }), MAX_UNREAD_KIB);
    }
}
