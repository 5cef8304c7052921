//! Two bodies of one request as a pair of bounded channels of messages.

use crate::frame::{self, Decoder, SIGN_OF_LIFE};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The body that one end sends.
pub type LinkBody = UnsyncBoxBody<Bytes, Infallible>;

/// Messages are put together into pieces of about this size, bytes, when several wait.
const PIECE_BYTES: usize = 64 << 10;

/// Bounds of one link.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// Messages received and not yet taken.
    pub incoming: usize,
    /// Messages given and not yet sent.
    pub outgoing: usize,
    /// A sign of life is sent when nothing else was for so long.
    pub keep_alive: Duration,
    /// The link ends when nothing was heard for so long.
    pub silence: Duration,
}

/// Messages received and not yet taken; more wait in the network.
const INCOMING_MAX: usize = 256;
/// Messages given and not yet sent.
const OUTGOING_MAX: usize = 8_192;
/// An agent that hears nothing for so long turns to another controller.
const AGENT_SILENCE: Duration = Duration::from_secs(3);
/// A controller drops the connection of an agent it does not hear. The node counts as lost earlier.
const CONTROLLER_SILENCE: Duration = Duration::from_secs(5);

impl StreamOptions {
    /// The agent's end: it says something at least every 500 ms.
    pub const AGENT: Self =
        Self { incoming: INCOMING_MAX, outgoing: OUTGOING_MAX, keep_alive: Duration::from_millis(500), silence: AGENT_SILENCE };
    /// The controller's end: it says something often enough for agents to suspect early.
    pub const CONTROLLER: Self = Self {
        incoming: INCOMING_MAX,
        outgoing: OUTGOING_MAX,
        keep_alive: Duration::from_millis(400),
        silence: CONTROLLER_SILENCE,
    };
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkEnd {
    /// The other end closed it.
    #[error("the other end closed the link")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing was heard.
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    /// The other end sent something that is no message, or a message was too large to send.
    #[error("{0}")]
    Frame(#[from] frame::FrameError),
    /// This end closed it.
    #[error("this end closed the link")]
    Left,
}

/// Whether and why a link has ended. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LinkState {
    ended: CancellationToken,
    why: Arc<OnceLock<LinkEnd>>,
    /// One direction has ended as it should.
    half: Arc<AtomicBool>,
    opened: Instant,
    /// Milliseconds after `opened` when something was heard last.
    heard: Arc<AtomicU64>,
}

impl LinkState {
    fn new() -> Self {
        Self {
            ended: CancellationToken::new(),
            why: Arc::default(),
            half: Arc::default(),
            opened: Instant::now(),
            heard: Arc::default(),
        }
    }

    /// Something was heard of the other end.
    fn note(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.fetch_max(millis, Ordering::Relaxed);
    }

    /// Waits until nothing has been heard for `silence`: no proof that the link is dead, but reason
    /// to look for another way.
    pub async fn quiet_for(&self, silence: Duration) {
        loop {
            let at = self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed)) + silence;
            if at <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }

    /// Ends the link. The first reason stays.
    pub fn end(&self, why: LinkEnd) {
        // The first one counts.
        let _ = self.why.set(why);
        self.ended.cancel();
    }

    /// One direction has ended as it should; the link ends with the other one.
    fn end_half(&self, why: LinkEnd) {
        if self.half.swap(true, Ordering::SeqCst) {
            self.end(why);
        } else {
            // The first one counts.
            let _ = self.why.set(why);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits for the end.
    pub async fn ended(&self) -> LinkEnd {
        self.ended.cancelled().await;
        self.why.get().cloned().unwrap_or(LinkEnd::Left)
    }
}

/// One end of a link.
#[derive(Debug)]
pub struct LinkChannels<In, Out> {
    /// What the other end says; ends with the link.
    pub incoming: mpsc::Receiver<In>,
    /// What this end says. Dropping it tells the other end, after what was given, that no more comes.
    pub outgoing: mpsc::Sender<Out>,
    /// Its end.
    pub state: LinkState,
}

/// Makes the sending half of a link before the receiving body is there: give the body to the
/// request or response, then [`Opening::receive`].
#[must_use]
pub struct Opening<Out> {
    outgoing: mpsc::Sender<Out>,
    options: StreamOptions,
    state: LinkState,
}

/// The body that carries what is given to the channel, and the rest of the link to come.
pub fn open<Out: Serialize + Send + 'static>(options: StreamOptions) -> (LinkBody, Opening<Out>) {
    let (sender, receiver) = mpsc::channel(options.outgoing);
    let state = LinkState::new();
    let body = StreamBody::new(pieces(receiver, options.keep_alive, state.clone()));
    (LinkBody::new(body), Opening { outgoing: sender, options, state })
}

/// What becomes of a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It goes to whoever takes the messages.
    Message,
    /// It has told all by arriving and wakes nobody.
    Noted,
}

impl<Out> Opening<Out> {
    /// The whole link, once the other end's body is there.
    pub fn receive<In, B>(self, body: B) -> LinkChannels<In, Out>
    where
        In: DeserializeOwned + Send + Sync + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        self.receive_if(body, |_| Ok(Accepted::Message))
    }

    /// The same, with `accept` looking at each message first. One that it refuses ends the link.
    pub fn receive_if<In, B>(
        self,
        body: B,
        accept: impl Fn(&In) -> Result<Accepted, String> + Send + Sync + 'static,
    ) -> LinkChannels<In, Out>
    where
        In: DeserializeOwned + Send + Sync + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let (sender, incoming) = mpsc::channel(self.options.incoming);
        let (state, silence) = (self.state.clone(), self.options.silence);
        tokio::spawn(async move {
            let why = tokio::select! {
                () = state.ended.cancelled() => return,
                why = receive(body, sender, silence, accept, &state) => why,
            };
            match why {
                LinkEnd::Closed => state.end_half(why),
                _ => state.end(why),
            }
        });
        LinkChannels { incoming, outgoing: self.outgoing, state: self.state }
    }
}

async fn receive<In, B>(
    mut body: B,
    sender: mpsc::Sender<In>,
    silence: Duration,
    accept: impl Fn(&In) -> Result<Accepted, String>,
    state: &LinkState,
) -> LinkEnd
where
    In: DeserializeOwned,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut decoder = Decoder::default();
    loop {
        // Only waiting for the other end counts, not the time that our own side takes.
        let piece = match tokio::time::timeout(silence, body.frame()).await {
            Err(_) => return LinkEnd::Silent(silence),
            Ok(None) => return LinkEnd::Closed,
            Ok(Some(Err(error))) => return LinkEnd::Broken(error.to_string()),
            Ok(Some(Ok(piece))) => piece,
        };
        state.note();
        let Ok(piece) = piece.into_data() else { continue };
        decoder.push(&piece);
        loop {
            let frame = match decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return error.into(),
            };
            if frame.is_empty() {
                continue;
            }
            let message = serde_json::from_slice(&frame).map_err(|error| error.to_string());
            let message = match message.and_then(|message| Ok((accept(&message)?, message))) {
                Ok((Accepted::Message, message)) => message,
                Ok((Accepted::Noted, _)) => continue,
                Err(error) => return frame::FrameError::Message(error).into(),
            };
            if sender.send(message).await.is_err() {
                return LinkEnd::Left;
            }
        }
    }
}

/// Ends the link when the transport drops the body, as it does when the connection ends.
struct Sending<Out> {
    receiver: mpsc::Receiver<Out>,
    state: LinkState,
    /// All was sent and nothing more comes: the other end may still say something.
    finished: bool,
}

impl<Out> Sending<Out> {
    fn finish(&mut self) {
        self.finished = true;
        self.state.end_half(LinkEnd::Left);
    }
}

impl<Out> Drop for Sending<Out> {
    fn drop(&mut self) {
        if !self.finished {
            self.state.end(LinkEnd::Broken("the connection ended".into()));
        }
    }
}

fn pieces<Out: Serialize + Send + 'static>(
    receiver: mpsc::Receiver<Out>,
    keep_alive: Duration,
    state: LinkState,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let sending = Sending { receiver, state, finished: false };
    stream::unfold(sending, move |mut sending| async move {
        let next = tokio::select! {
            biased;
            () = sending.state.ended.cancelled() => return None,
            next = sending.receiver.recv() => next,
            () = tokio::time::sleep_until(Instant::now() + keep_alive) => return Some((Ok(Frame::data(SIGN_OF_LIFE)), sending)),
        };
        if next.is_none() {
            sending.finish();
            return None;
        }
        let mut piece = BytesMut::new();
        let mut next = next;
        while let Some(message) = next {
            if let Err(error) = frame::encode_into(&mut piece, &message) {
                // A message left out would be a gap: better to begin anew with a snapshot.
                sending.state.end(error.into());
                return None;
            }
            next = if piece.len() < PIECE_BYTES { sending.receiver.try_recv().ok() } else { None };
        }
        Some((Ok(Frame::data(piece.freeze())), sending))
    })
}

/// A body of bytes at hand.
pub fn whole_body(bytes: impl Into<Bytes>) -> LinkBody {
    LinkBody::new(http_body_util::Full::new(bytes.into()))
}

/// Reads a small body.
///
/// # Errors
/// A sentence when it is larger than `limit` bytes or breaks off.
pub async fn read_body<B>(body: B, limit: usize) -> Result<Bytes, String>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = http_body_util::Limited::new(body, limit).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_reaches_nobody_else() {
        let mut pieces = BytesMut::new();
        for word in ["sign", "first", "sign", "sign", "last"] {
            frame::encode_into(&mut pieces, &word).unwrap();
        }
        let (_sent, opening) = open::<String>(StreamOptions::CONTROLLER);
        let noted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&noted);
        let mut link = opening.receive_if(whole_body(pieces.freeze()), move |word: &String| {
            if word == "sign" {
                count.fetch_add(1, Ordering::Relaxed);
                return Ok(Accepted::Noted);
            }
            Ok(Accepted::Message)
        });
        assert_eq!(link.incoming.recv().await.as_deref(), Some("first"));
        assert_eq!(link.incoming.recv().await.as_deref(), Some("last"));
        assert_eq!((link.incoming.recv().await, noted.load(Ordering::Relaxed)), (None, 3));
    }
}
