//! Chunks of a stream that wait to go out together.

use bytes::{Bytes, BytesMut};

use super::JOINED_MOST;

/// Chunks that go out together.
pub(super) enum Held {
    One(Bytes),
    Joined(BytesMut),
}

impl Held {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Joined(bytes) => bytes.len(),
        }
    }

    pub(super) fn and(self, more: &[u8]) -> Self {
        let mut joined = match self {
            Self::Joined(joined) => joined,
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(JOINED_MOST);
                joined.extend_from_slice(&first);
                joined
            }
        };
        joined.extend_from_slice(more);
        Self::Joined(joined)
    }

    pub(super) fn bytes(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}
