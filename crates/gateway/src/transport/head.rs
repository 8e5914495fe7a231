//! How long a response's head is waited for: from the moment that the request
//! is written, since the connection before it has a limit of its own.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use freehold_types::{Timeouts, WireBody};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

/// When a request was handed to its connection to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(Arc<OnceLock<Instant>>);

impl Sent {
    fn note(&self) {
        self.0.get_or_init(now);
    }
}

/// A request's whole body, which notes when the connection takes its
/// last part.
#[derive(Debug)]
pub(super) struct Outgoing {
    body: WireBody,
    sent: Sent,
}

impl Outgoing {
    pub(super) fn new(body: WireBody) -> (Self, Sent) {
        let sent = Sent::default();
        (Self { body, sent: sent.clone() }, sent)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.body.pop();
        if self.body.is_empty() {
            self.sent.note();
        }
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() as u64)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // An empty body is never asked for; it goes when the head is written.
        self.sent.note();
    }
}

/// Waits for a response's head; `None` if it does not come in time.
pub(super) async fn in_time<F: Future>(
    head: F,
    sent: &Sent,
    timeouts: &Timeouts,
) -> Option<F::Output> {
    let mut head = pin!(head);
    let begun = now();
    // A request that no connection ever takes: the opening of one is cut off
    // by itself, but a shared one may have no room.
    let never = begun + timeouts.connect + timeouts.headers;
    let mut until = begun + timeouts.headers;
    loop {
        if let Ok(head) = timeout_at(until, head.as_mut()).await {
            return Some(head);
        }
        let at = now();
        let end = sent.0.get().map_or(never, |sent| *sent + timeouts.headers);
        if end <= at {
            return None;
        }
        // What is sent from now on has its whole time before it.
        until = end.min(at + timeouts.headers);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is a real door: its limits are timers of the real clock, like those of bodies"
)]
fn now() -> Instant {
    Instant::now()
}
