//! A response body that does not wait for ever.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use freehold_types::BodyError;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// Wraps a body with a limit to its first byte and one between reads.
///
/// Setting a timer for each chunk would cost more than reading it. So one timer
/// runs on while chunks come, and is set anew only when it rings: to the limit
/// after the last chunk.
pub(super) struct TimedBody {
    inner: Incoming,
    limit: Duration,
    idle: Duration,
    timer: Option<Timer>,
    /// A chunk came since the timer was looked at.
    came: bool,
}

struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When the wait began.
    since: Instant,
    /// Who is woken when it rings.
    waker: Option<Waker>,
}

impl TimedBody {
    pub(super) fn new(inner: Incoming, first_byte: Duration, idle: Duration) -> Self {
        Self { inner, limit: first_byte, idle, timer: None, came: false }
    }

    /// Whether the wait has been too long; if not, the task is woken when it
    /// is.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Timer {
            sleep: Box::pin(tokio::time::sleep(limit)),
            since: now(),
            waker: None,
        });
        if std::mem::take(&mut self.came) {
            timer.since = now();
        }
        let known = timer.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if known && !timer.sleep.is_elapsed() {
            return Poll::Pending;
        }
        while timer.sleep.as_mut().poll(cx).is_ready() {
            let until = timer.since + limit;
            if until <= now() {
                return Poll::Ready(());
            }
            timer.sleep.as_mut().reset(until);
        }
        timer.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // The wait for the first byte may have a longer limit: its
                // timer would ring too late for the next.
                if this.limit != this.idle {
                    this.limit = this.idle;
                    this.timer = None;
                }
                this.came = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(BodyError::Broken(innermost(&error)))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                this.poll_stalled(cx).map(|()| Some(Err(BodyError::Stalled(this.limit))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The timers' own clock.
#[expect(clippy::disallowed_methods, reason = "a timer of the runtime is set by its clock")]
fn now() -> Instant {
    Instant::now()
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
