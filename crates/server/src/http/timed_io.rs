//! A socket that gives up on a client that is too slow.
//!
//! Three clients hold a connection for nothing: one that sends a request's
//! head a byte at a time, one that keeps an idle connection forever, and one
//! that does not take its answer. HTTP libraries know at most the first.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// How slow a client may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the first byte of a request's head to its last.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two bytes that the client takes.
    pub write: Duration,
}

/// A socket under [`Patience`].
pub struct TimedIo<T> {
    inner: T,
    patience: Patience,
    activity: Arc<Activity>,
    /// One timer for all three; it fires no later than the next deadline, and
    /// is only set anew when it does.
    timer: Pin<Box<Sleep>>,
    /// Whether pauses between requests are idle ones even when bytes have
    /// come: HTTP/2 sends frames that belong to no request.
    multiplexed: bool,
    reading: Reading,
    write_since: Option<Instant>,
}

/// What the last read waits for.
#[derive(Clone, Copy)]
enum Reading {
    /// The rest of a head that began at this time.
    Head { since: Instant, begun: usize },
    /// The next request, since this time.
    Next { since: Instant, begun: usize },
}

impl<T> TimedIo<T> {
    /// Puts `inner` under `patience`; `activity` tells when it is idle.
    pub fn new(inner: T, patience: Patience, activity: Arc<Activity>, multiplexed: bool) -> Self {
        let now = now();
        let timer = Box::pin(tokio::time::sleep_until(now + patience.shortest()));
        // A new connection is there to send a request: its head counts at once.
        let reading = Reading::Head { since: now, begun: 0 };
        Self { inner, patience, activity, timer, multiplexed, reading, write_since: None }
    }

    /// Notes that bytes came.
    fn received(&mut self) {
        if let Reading::Next { begun, .. } = self.reading
            && !self.multiplexed
            && self.activity.is_idle()
        {
            self.reading = Reading::Head { since: now(), begun };
        }
    }

    /// Notes that a read waits.
    fn waits(&mut self) {
        let begun = self.activity.begun();
        let (Reading::Head { begun: before, .. } | Reading::Next { begun: before, .. }) =
            self.reading;
        if before != begun || !self.activity.is_idle() {
            self.reading = Reading::Next { since: now(), begun };
        }
    }

    /// When patience ends, as things are; `None` while it does not run.
    fn deadline(&self) -> Option<Instant> {
        let write = self.write_since.map(|since| since + self.patience.write);
        let read = self.activity.is_idle().then(|| match self.reading {
            Reading::Head { since, .. } => since + self.patience.header,
            Reading::Next { since, .. } => since + self.patience.idle,
        });
        read.into_iter().chain(write).min()
    }

    /// Makes sure the task wakes when patience ends; an error if it has.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = now();
            if !self.activity.is_idle() {
                // What is read after an exchange is timed from its end; this
                // is as near to it as is needed.
                let begun = self.activity.begun();
                self.reading = Reading::Next { since: now, begun };
            }
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client is too slow"));
            }
            let look_again = now + self.patience.shortest();
            self.timer.as_mut().reset(deadline.map_or(look_again, |d| d.min(look_again)));
        }
        Ok(())
    }
}

impl Patience {
    fn shortest(self) -> Duration {
        self.header.min(self.idle).min(self.write)
    }
}

#[expect(clippy::disallowed_methods, reason = "the timer that it is compared with is tokio's")]
fn now() -> Instant {
    Instant::now()
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(read) => {
                this.received();
                Poll::Ready(read)
            }
            Poll::Pending => {
                this.waits();
                this.poll_patience(cx)?;
                Poll::Pending
            }
        }
    }
}

impl<T: Unpin> TimedIo<T> {
    fn wrote<R>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.write_since = None;
        } else {
            if self.write_since.is_none() {
                self.write_since = Some(now());
            }
            self.poll_patience(cx)?;
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush that is ready says nothing about what the client took, so it
        // does not end a stall that a write began.
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        if result.is_pending() { self.wrote(cx, result) } else { result }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(cx, result)
    }
}
