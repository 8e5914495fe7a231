//! A response as it is told: the events of a stream, and the body that carries
//! them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use freehold_runtime::decide::Cue;
use freehold_runtime::sessions::{By, Error};
use freehold_types::{Env, TurnId};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use serde_json::json;

use super::reading::{Following, Reading};
use crate::http::drain::Drain;

/// How often a silent stream shows that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// The turn of a response whose client waits for it: if the client goes away
/// before the end, the turn is cancelled. A server that stops is no client
/// that goes away.
pub(super) struct Waits {
    pub(super) reading: Reading,
    pub(super) by: By,
    pub(super) turn: Option<TurnId>,
    pub(super) drain: Drain,
}

impl Waits {
    /// It is over, or the client need not wait any more.
    pub(super) fn over(mut self) {
        self.turn = None;
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let Some(turn) = self.turn.filter(|_| !self.drain.has_begun()) else { return };
        let Reading { sessions, tenant, session } = self.reading.clone();
        let by = std::mem::take(&mut self.by);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        drop(runtime.spawn(async move {
            let cues = vec![Cue::Cancel { turn: Some(turn) }];
            match sessions.give(&tenant, session, by, cues, None).await {
                Ok(_) => tracing::info!(%session, %turn, "cancelled: the client went away"),
                // It ended by itself just then.
                Err(Error::Refused(_)) => {}
                Err(error) => tracing::warn!(%session, %error, "not cancelled"),
            }
        }));
    }
}

/// The events of one response, as they are due.
pub(super) struct Telling {
    following: Following,
    /// Frames that are not out yet.
    ready: VecDeque<Bytes>,
    /// Numbers up to here are left out.
    after: Option<u64>,
    next: u64,
    waits: Option<Waits>,
    stopped: bool,
    env: Arc<dyn Env>,
}

impl Telling {
    /// Tells what is in `told` and then what comes; `after` leaves out the
    /// events up to that number.
    pub(super) fn new(
        following: Following,
        told: &[u8],
        after: Option<u64>,
        waits: Option<Waits>,
        env: Arc<dyn Env>,
    ) -> Self {
        let ready = VecDeque::new();
        let mut telling = Self { following, ready, after, next: 0, waits, stopped: false, env };
        telling.take(told);
        telling
    }

    /// The next frame, with its event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if self.stopped || self.following.follower.is_over() {
                self.let_go();
                return Ok(None);
            }
            if self.following.follower.is_paused() && self.waits.is_some() {
                self.let_go();
                self.stopped = true;
                return Ok(Some(paused(self.next, &self.following)));
            }
            let mut told = Vec::new();
            let alive = self.env.sleep(ALIVE);
            tokio::select! {
                biased;
                step = self.following.step(&mut told) => if let Err(error) = step {
                    // It breaks off here, and not because the client went away.
                    self.let_go();
                    return Err(error);
                },
                () = alive => return Ok(Some(Bytes::from_static(b": ping\n\n"))),
            }
            if let Some(waits) = &mut self.waits
                && waits.turn.is_none()
            {
                waits.turn = self.following.follower.turn();
            }
            self.take(&told);
        }
    }

    /// All frames that came together, in one piece.
    pub(super) async fn batch(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(first) = self.next().await? else { return Ok(None) };
        if self.ready.is_empty() {
            return Ok(Some(first));
        }
        let mut all = first.to_vec();
        while let Some(frame) = self.ready.pop_front() {
            all.extend_from_slice(&frame);
        }
        Ok(Some(all.into()))
    }

    fn take(&mut self, told: &[u8]) {
        for frame in frames(told) {
            let number = self.next;
            self.next += 1;
            if self.after.is_none_or(|after| number > after) {
                self.ready.push_back(Bytes::copy_from_slice(frame));
            }
        }
    }

    fn let_go(&mut self) {
        if let Some(waits) = self.waits.take() {
            waits.over();
        }
    }
}

/// The frames of a stream, each with the empty line at its end.
pub(super) fn frames(told: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = told;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|pair| pair == b"\n\n")? + 2;
        let (frame, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(frame)
    })
}

/// The data of a frame; `None` for a comment.
pub(super) fn data(frame: &[u8]) -> Option<&[u8]> {
    let lines = frame.split(|byte| *byte == b'\n');
    lines.into_iter().find_map(|line| line.strip_prefix(b"data: "))
}

/// A response as a stream of events. What breaks it off breaks the connection,
/// so that no client takes it for the end.
pub(super) fn body(telling: Telling) -> Response<Body> {
    let stream = futures_util::stream::unfold(Some(telling), |state| async move {
        let mut telling = state?;
        match telling.batch().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(telling))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// What a client that waits is told of a turn that used what it may: it goes
/// on once the limit is raised, which may be never. Not an event of the
/// response.
fn paused(number: u64, following: &Following) -> Bytes {
    let error = json!({
        "type": "insufficient_quota",
        "code": freehold_types::Code::BudgetExhausted.word(),
        "message": super::paused_message(&following.follower),
        "param": null,
    });
    let event = json!({
        "type": "error", "sequence_number": number, "error": error,
        "code": error["code"], "message": error["message"], "param": null,
    });
    format!("event: error\ndata: {event}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_and_read() {
        let told = b"event: a\ndata: {\"x\":1}\n\n: ping\n\nevent: b\ndata: {}\n\n";
        let found: Vec<_> = frames(told).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(data(found[0]), Some(&b"{\"x\":1}"[..]));
        assert_eq!(data(found[1]), None);
        assert_eq!(found.concat(), told);
        assert_eq!(frames(b"event: a\ndata: ").count(), 0);
    }
}
