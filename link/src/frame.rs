//! Frames: four bytes of length, big endian, then so many bytes of JSON. A frame of length zero is
//! a sign of life and carries nothing.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::Serialize;

/// Largest frame, bytes: a snapshot of 100,000 tasks fits.
pub const FRAME_BYTES_MAX: usize = 256 << 20;
/// Bytes of the length.
pub const HEADER_BYTES: usize = 4;
/// A sign of life.
pub const SIGN_OF_LIFE: Bytes = Bytes::from_static(&[0; HEADER_BYTES]);

/// What is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than the limit.
    #[error("a message of {bytes} bytes is larger than the {limit} bytes that a link carries")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not the message that was expected.
    #[error("a message cannot be read: {0}")]
    Message(String),
}

/// Encodes a message with its length. The result is cheap to clone: one encoding serves many peers.
///
/// # Errors
/// [`FrameError::TooLarge`], and [`FrameError::Message`] for what JSON cannot express.
pub fn encode(message: &impl Serialize) -> Result<Bytes, FrameError> {
    let mut buffer = BytesMut::new();
    encode_into(&mut buffer, message)?;
    Ok(buffer.freeze())
}

/// Encodes a message behind what `buffer` holds already; on errors `buffer` is as before.
///
/// # Errors
/// As [`encode`].
pub fn encode_into(buffer: &mut BytesMut, message: &impl Serialize) -> Result<(), FrameError> {
    let start = buffer.len();
    buffer.put_u32(0);
    if let Err(error) = serde_json::to_writer(buffer.writer(), message) {
        buffer.truncate(start);
        return Err(FrameError::Message(error.to_string()));
    }
    let bytes = buffer.len() - start - HEADER_BYTES;
    let Some(length) = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX) else {
        buffer.truncate(start);
        return Err(FrameError::TooLarge { bytes, limit: FRAME_BYTES_MAX });
    };
    buffer[start..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Puts frames together from pieces of any size. Holds no more than one frame and one piece.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_limit(FRAME_BYTES_MAX)
    }
}

impl Decoder {
    /// A decoder that refuses frames of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Takes a piece. Memory grows with what has arrived, never with what a header promises.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The content of the next whole frame; empty for a sign of life.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] as soon as the header says so.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((header, _)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let bytes = u32::from_be_bytes(*header) as usize;
        if bytes > self.limit {
            return Err(FrameError::TooLarge { bytes, limit: self.limit });
        }
        if self.buffer.len() < HEADER_BYTES + bytes {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }

    /// Whether a frame has begun that is not whole yet.
    pub fn is_within_frame(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_messages(
            messages in prop::collection::vec("[a-z\\\\\"é]{0,40}", 0..12),
            signs in prop::collection::vec(any::<bool>(), 12),
            cuts in prop::collection::vec(1_usize..17, 1..64),
        ) {
            let mut wire = BytesMut::new();
            for (message, sign) in messages.iter().zip(signs) {
                encode_into(&mut wire, message).unwrap();
                if sign {
                    wire.extend_from_slice(&SIGN_OF_LIFE);
                }
            }
            let mut decoder = Decoder::default();
            let (mut read, mut rest, mut cut) = (Vec::new(), &wire[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                rest = after;
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    if !frame.is_empty() {
                        read.push(serde_json::from_slice::<String>(&frame).unwrap());
                    }
                }
            }
            prop_assert_eq!(read, messages);
            prop_assert!(!decoder.is_within_frame());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::with_limit(64);
            decoder.push(&bytes);
            while let Ok(Some(frame)) = decoder.next_frame() {
                prop_assert!(frame.len() <= 64);
            }
        }
    }

    #[test]
    fn a_promise_too_large_is_refused_at_once() {
        let mut decoder = Decoder::with_limit(10);
        decoder.push(&11_u32.to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge { bytes: 11, limit: 10 }));
    }

    #[test]
    fn what_cannot_be_encoded_leaves_the_buffer_as_it_was() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let unnameable = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(encode_into(&mut buffer, &unnameable).is_err());
        assert_eq!(&buffer[..], b"before");
    }
}
