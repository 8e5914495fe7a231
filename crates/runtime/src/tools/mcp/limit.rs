//! A bound on single events of a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use freehold_types::BodyError;
use futures_util::Stream;

/// Passes bytes on until an event is larger than it may be.
pub(super) struct Limited<S> {
    inner: S,
    max: usize,
    /// Bytes since the last empty line.
    since: usize,
    /// Whether the last line has nothing in it yet.
    empty: bool,
}

impl<S> Limited<S> {
    pub(super) fn new(inner: S, max: usize) -> Self {
        Self { inner, max, since: 0, empty: true }
    }

    /// Counts some bytes; false once there are too many.
    fn count(&mut self, chunk: &[u8]) -> bool {
        for byte in chunk {
            match byte {
                b'\n' if self.empty => self.since = 0,
                b'\n' => self.empty = true,
                b'\r' => {}
                _ => self.empty = false,
            }
            self.since += 1;
            if self.since > self.max {
                return false;
            }
        }
        true
    }
}

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> Stream for Limited<S> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.since > self.max {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.inner).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) if !self.count(chunk) => {
                let message = format!("an event has more than {} bytes", self.max);
                Poll::Ready(Some(Err(BodyError::Broken(message))))
            }
            _ => polled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_one_by_one() {
        let mut limited = Limited::new((), 16);
        for _ in 0..100 {
            assert!(limited.count(b"data: 12345\n\n"));
            assert!(limited.count(b"data: 12345\r\n\r\n"));
        }
        assert!(!limited.count(b"data: 1\ndata: 2\ndata: 3\n"));
    }
}
