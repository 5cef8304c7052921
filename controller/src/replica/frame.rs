//! Frames of the replica's stream: four bytes of length, big endian, then JSON.

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use orrery_core::Timestamp;
use orrery_core::cluster::Delta;
use serde::{Deserialize, Serialize};
use std::pin::Pin;

/// Largest frame: one part of a snapshot, or one step of the leader.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// A stream of encoded frames, in pieces of any size. It ends when the leader cannot go on.
pub type ReplicaStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// One message of the leader.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Frame {
    /// A step, or a part of a snapshot.
    Step {
        /// What changed.
        delta: Box<Delta>,
        /// Index of its first event in the event stream.
        first_event: u64,
        /// When it was published.
        at: Timestamp,
    },
    /// Nothing has happened; the leader is there.
    Alive,
}

/// Why a stream of frames cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection has ended or failed.
    #[error("the stream has ended: {0}")]
    Ended(String),
    /// What came is no frame.
    #[error("what the leader sent cannot be read: {0}")]
    Malformed(String),
}

impl Frame {
    /// The frame as it goes over the wire.
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![0; 4];
        // Our own types have string keys only and write to memory, so that this never fails.
        let _ = serde_json::to_writer(&mut bytes, self);
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes.into()
    }
}

/// Puts frames together from pieces.
pub struct FrameReader {
    stream: ReplicaStream,
    buffer: BytesMut,
}

impl FrameReader {
    /// Reads `stream`.
    pub fn new(stream: ReplicaStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`FrameError`]: nothing more comes.
    pub async fn next(&mut self) -> Result<Frame, FrameError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            match self.stream.next().await {
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                Some(Err(error)) => return Err(FrameError::Ended(error.to_string())),
                None => return Err(FrameError::Ended("the leader closed it".into())),
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::Malformed(format!("a frame of {length} bytes")));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        let body = self.buffer.split_to(length);
        serde_json::from_slice(&body).map(Some).map_err(|error| FrameError::Malformed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_in_any_pieces() {
        let frame = Frame::Step { delta: Box::default(), first_event: 7, at: Timestamp::from_millis(5) };
        let whole = [frame.encode(), Frame::Alive.encode()].concat();
        let pieces: Vec<std::io::Result<Bytes>> = whole.chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut reader = FrameReader::new(Box::pin(futures::stream::iter(pieces)));
        assert!(matches!(reader.next().await.unwrap(), Frame::Step { first_event: 7, .. }));
        assert!(matches!(reader.next().await.unwrap(), Frame::Alive));
        assert!(matches!(reader.next().await.unwrap_err(), FrameError::Ended(_)));
        let nonsense = Bytes::from_static(b"\xff\xff\xff\xffno frame");
        let mut reader = FrameReader::new(Box::pin(futures::stream::iter([Ok(nonsense)])));
        assert!(matches!(reader.next().await.unwrap_err(), FrameError::Malformed(_)));
    }
}
