//! A streamed answer on its way to the client.

mod held;
pub(crate) mod seen;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Event, Fold, Usage};
use freehold_llm::scan::{self, UsageTap};
use freehold_llm::{Dialect, StreamDecoder, StreamEncoder, estimate};
use freehold_types::{BodyError, BoxBody, BoxFuture, Code};
use http_body::{Body, Frame};

use self::held::Held;
use self::seen::Seen;
use crate::attempt::Failed;
use crate::book::Book;
use crate::engine::EngineStream;
use crate::metrics::Outcome;
use crate::retry::Fault;

/// Up to how many bytes chunks that came together are joined.
const JOINED_MOST: usize = 8 << 10;

/// How many polls a chunk waits for more: the server polls a body that has
/// nothing a second time before it gives the connection behind its turn (hyper
/// 1.12, `poll_loop` of `proto/h1/dispatch.rs`).
const HELD_POLLS: u8 = 2;

/// How often a silent stream of another dialect sends a sign of life.
const PING_EVERY: Duration = Duration::from_secs(15);

/// A streamed answer. It ends as its dialect ends a stream, or with the
/// dialect's error event; never with silence. Its own error is for bodies of
/// no dialect only. Dropping it cancels the
/// upstream and settles the exchange.
pub struct Relay {
    first: Option<Bytes>,
    source: Source,
    book: Option<Box<Book>>,
    done: bool,
    out: Vec<u8>,
    /// What waits a turn for more to go out with it, and for how many polls.
    held: Option<Held>,
    polls: u8,
    ping: Option<Ping>,
    /// The books being made durable; the stream's end waits for them.
    closing: Option<BoxFuture<'static, ()>>,
    /// A body of no dialect broke off: the connection must break too, as
    /// there is no other way to tell.
    torn: Option<BodyError>,
}

enum Source {
    Bytes {
        dialect: Dialect,
        tap: Box<UsageTap>,
        body: BoxBody,
    },
    Cross {
        decoder: Box<dyn StreamDecoder>,
        encoder: Box<dyn StreamEncoder>,
        body: BoxBody,
        seen: Seen,
    },
    Engine {
        encoder: Box<dyn StreamEncoder>,
        events: EngineStream,
        seen: Seen,
    },
    /// Bytes of no dialect.
    Opaque {
        body: BoxBody,
    },
}

struct Ping {
    timer: BoxFuture<'static, ()>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Relay {
    /// The same dialect in and out.
    pub(crate) fn bytes(
        book: Box<Book>,
        dialect: Dialect,
        cut_usage: bool,
        first: Bytes,
        body: BoxBody,
    ) -> Self {
        let tap = if cut_usage { UsageTap::cutting_usage(dialect) } else { UsageTap::new(dialect) };
        Self::new(book, Some(first), Source::Bytes { dialect, tap: Box::new(tap), body })
    }

    /// From one dialect into another.
    pub(crate) fn cross(
        book: Box<Book>,
        from: Dialect,
        encoder: Box<dyn StreamEncoder>,
        first: Bytes,
        body: BoxBody,
    ) -> Self {
        let decoder = codec(from).stream_decoder();
        let seen = Seen::default();
        Self::new(book, Some(first), Source::Cross { decoder, encoder, body, seen })
    }

    /// From an engine.
    pub(crate) fn engine(
        book: Box<Book>,
        mut encoder: Box<dyn StreamEncoder>,
        first: &Event,
        events: EngineStream,
    ) -> Self {
        let mut seen = Seen::default();
        let mut out = Vec::new();
        seen.event(first);
        encoder.event(first, &mut out);
        let mut relay = Self::new(book, None, Source::Engine { encoder, events, seen });
        relay.out = out;
        relay
    }

    /// Bytes that are no model's answer.
    pub(crate) fn opaque(book: Box<Book>, body: BoxBody) -> Self {
        Self::new(book, None, Source::Opaque { body })
    }

    fn new(book: Box<Book>, first: Option<Bytes>, source: Source) -> Self {
        Self {
            first,
            source,
            book: Some(book),
            done: false,
            out: Vec::new(),
            held: None,
            polls: 0,
            ping: None,
            closing: None,
            torn: None,
        }
    }

    /// The stream has ended well.
    fn complete(&mut self) {
        self.done = true;
        let Some(mut book) = self.book.take() else { return };
        let usage = self.source.usage(&book);
        book.usage(usage);
        if let Some(flush) = book.finish(200, Outcome::Ok, None) {
            self.closing = Some(Box::pin(async move {
                flush.done().await.ok();
            }));
        }
    }

    /// The stream has failed: the client hears it in its dialect.
    fn fail(&mut self, failed: &Failed) -> Option<Bytes> {
        self.done = true;
        let mut book = self.book.take()?;
        let mut out = std::mem::take(&mut self.out);
        match &mut self.source {
            // The provider's own error event has gone through already.
            Source::Bytes { tap, .. } if tap.fault().is_some() => {}
            Source::Bytes { dialect, .. } => {
                let dialect = *dialect;
                let mut encoder = book.stream_encoder(dialect);
                encoder.event(&Event::Error((*failed.error).clone()), &mut out);
            }
            Source::Cross { encoder, .. } | Source::Engine { encoder, .. } => {
                encoder.event(&Event::Error((*failed.error).clone()), &mut out);
            }
            Source::Opaque { .. } => {
                self.torn = Some(BodyError::Broken(failed.error.message.clone()));
            }
        }
        let usage = self.source.usage(&book);
        book.usage(usage);
        book.broke(failed.fault);
        book.finish(200, Outcome::Broken, Some(&failed.error));
        (!out.is_empty()).then(|| out.into())
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Step::Bytes(first));
        }
        match &mut self.source {
            Source::Bytes { body, .. } | Source::Cross { body, .. } | Source::Opaque { body } => {
                loop {
                    return match body.as_mut().poll_frame(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(None) => Poll::Ready(Step::End),
                        Poll::Ready(Some(Err(error))) => {
                            Poll::Ready(Step::Failed(Failed::body(&error)))
                        }
                        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                            Ok(data) => Poll::Ready(Step::Bytes(data)),
                            Err(_) => continue, // trailers
                        },
                    };
                }
            }
            Source::Engine { events, .. } => match events.as_mut().poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(Step::End),
                Poll::Ready(Some(event)) => Poll::Ready(Step::Event(Box::new(event))),
            },
        }
    }

    /// Takes one step's bytes in; gives what to send for them.
    fn take_bytes(&mut self, data: Bytes) -> Result<Option<Bytes>, Failed> {
        match &mut self.source {
            Source::Bytes { tap, .. } => Ok(match tap.feed(&data) {
                scan::Relay::Pass => Some(data),
                scan::Relay::Instead(other) => (!other.is_empty()).then(|| other.into()),
            }),
            Source::Cross { decoder, encoder, seen, .. } => {
                let mut events = Vec::new();
                let fed = decoder.feed(&data, &mut events);
                tell_time(&events, self.book.as_deref(), encoder.as_mut());
                let error = seen.encode(&events, encoder.as_mut(), &mut self.out);
                match (error, fed) {
                    (Some(error), _) => Err(Failed::in_stream(error)),
                    (None, Err(error)) => Err(Failed::decode(error)),
                    (None, Ok(())) => Ok(self.flush()),
                }
            }
            Source::Engine { .. } | Source::Opaque { .. } => Ok(Some(data)),
        }
    }

    fn flush(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }

    /// The source has ended: well or not.
    fn end(&mut self) -> Option<Bytes> {
        let mut rest = None;
        let failed = match &mut self.source {
            Source::Bytes { tap, .. } => {
                let held = tap.finish();
                // An event that was cut off is of no use to the client.
                if tap.is_complete() || tap.is_blind() || tap.fault().is_some() {
                    rest = (!held.is_empty()).then(|| Bytes::from(held));
                }
                match tap.fault() {
                    // The provider's own error event went through as it was.
                    Some(fault) => {
                        let message = fault.message.clone();
                        self.done = true;
                        if let Some(mut book) = self.book.take() {
                            let usage = self.source.usage(&book);
                            book.usage(usage);
                            book.broke(Fault::Server);
                            let error = ApiError::new(Code::UpstreamError, message);
                            book.finish(200, Outcome::Broken, Some(&error));
                        }
                        return rest;
                    }
                    None if tap.is_complete() || tap.is_blind() => None,
                    None => Some(Failed::truncated()),
                }
            }
            Source::Cross { decoder, encoder, seen, .. } => {
                let mut events = Vec::new();
                let finished = decoder.finish(&mut events);
                tell_time(&events, self.book.as_deref(), encoder.as_mut());
                let error = seen.encode(&events, encoder.as_mut(), &mut self.out);
                match (error, finished) {
                    (Some(error), _) => Some(Failed::in_stream(error)),
                    (None, Err(error)) => Some(Failed::decode(error)),
                    (None, Ok(())) => None,
                }
            }
            Source::Engine { seen, .. } => (!seen.ended).then(Failed::truncated),
            Source::Opaque { .. } => None,
        };
        match failed {
            Some(failed) => {
                let error = self.fail(&failed);
                join(rest, error)
            }
            None => {
                let last = self.flush();
                self.complete();
                join(rest, last)
            }
        }
    }

    /// A sign of life while the upstream is silent; only where the stream is
    /// ours to write.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let encoder = match &mut self.source {
            Source::Bytes { .. } | Source::Opaque { .. } => return None,
            Source::Cross { encoder, .. } | Source::Engine { encoder, .. } => encoder,
        };
        let book = self.book.as_ref()?;
        let ping = self.ping.get_or_insert_with(|| Ping { timer: book.sleep(PING_EVERY) });
        if ping.timer.as_mut().poll(cx).is_pending() {
            return None;
        }
        let mut next = book.sleep(PING_EVERY);
        // Registers the new timer with this task.
        if next.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.ping = Some(Ping { timer: next });
        encoder.event(&Event::Ping, &mut self.out);
        self.flush()
    }
}

enum Step {
    Bytes(Bytes),
    Event(Box<Event>),
    End,
    Failed(Failed),
}

fn join(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    match (a, b) {
        (Some(a), Some(b)) => Some([a, b].concat().into()),
        (a, b) => a.or(b),
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(out) = this.poll_out(cx) {
            return out.map(|out| Some(Ok(Frame::data(out))));
        }
        if let Some(closing) = &mut this.closing {
            if closing.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.closing = None;
        }
        match this.torn.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }
}

impl Relay {
    /// Takes one step of the source in; gives what to send for it.
    fn take(&mut self, step: Step) -> Option<Bytes> {
        self.ping = None;
        match step {
            Step::Bytes(data) => match self.take_bytes(data) {
                Ok(out) => out,
                Err(failed) => self.fail(&failed),
            },
            Step::Event(event) => self.take_event(&event),
            Step::End => self.end(),
            // The answer is there; how its connection ended is of no interest.
            Step::Failed(_) if self.source.is_complete() => self.end(),
            Step::Failed(failed) => self.fail(&failed),
        }
    }

    /// The next bytes for the client, `None` at the end.
    ///
    /// The connection behind hands over one chunk at a time, though many may
    /// have come in one packet, and a write for each costs more than all else
    /// that is done for it. So a chunk lets that connection have one more turn
    /// of the worker; what comes of it goes out in the same write. No timer is
    /// waited for, so a chunk that came alone is as good as not held.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Option<Poll<Bytes>> {
        if let Some(out) = self.flush() {
            return Some(Poll::Ready(out));
        }
        while !self.done && self.held.as_ref().is_none_or(|held| held.len() < JOINED_MOST) {
            let out = match self.poll_source(cx) {
                Poll::Ready(step) => {
                    self.polls = HELD_POLLS;
                    self.take(step)
                }
                Poll::Pending if self.held.is_some() && self.polls > 0 => {
                    self.polls -= 1;
                    cx.waker().wake_by_ref();
                    return Some(Poll::Pending);
                }
                Poll::Pending if self.held.is_some() => break,
                Poll::Pending => match self.poll_ping(cx) {
                    Some(ping) => return Some(Poll::Ready(ping)),
                    None => return Some(Poll::Pending),
                },
            };
            if let Some(out) = out {
                self.held = Some(match self.held.take() {
                    None => Held::One(out),
                    Some(held) => held.and(&out),
                });
            }
        }
        self.held.take().map(|held| Poll::Ready(held.bytes()))
    }

    fn take_event(&mut self, event: &Event) -> Option<Bytes> {
        let Source::Engine { encoder, seen, .. } = &mut self.source else { return None };
        if let Event::Error(error) = event {
            return self.fail(&Failed::in_stream(error.clone()));
        }
        tell_time(std::slice::from_ref(event), self.book.as_deref(), encoder.as_mut());
        seen.event(event);
        encoder.event(event, &mut self.out);
        self.flush()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Many clients hang up on the last event and do not wait for the end.
        if self.first.is_none() && self.source.is_complete() {
            self.complete();
        }
        if let Some(mut book) = self.book.take() {
            let usage = self.source.usage(&book);
            book.usage(usage);
            book.finish(499, Outcome::Gone, None);
        }
    }
}

impl Source {
    /// Whether the dialect's last event has come.
    fn is_complete(&self) -> bool {
        match self {
            Self::Bytes { tap, .. } => tap.is_complete() && tap.fault().is_none(),
            Self::Cross { seen, .. } | Self::Engine { seen, .. } => seen.ended,
            Self::Opaque { .. } => false,
        }
    }

    /// The usage as far as it is known: the provider's word, else an estimate
    /// from what was relayed.
    fn usage(&self, book: &Book) -> Usage {
        let (told, complete, bytes) = match self {
            Self::Bytes { tap, .. } => (tap.usage().cloned(), tap.is_complete(), tap.text_bytes()),
            Self::Opaque { .. } => return Usage::default(),
            Self::Cross { seen, .. } | Self::Engine { seen, .. } => {
                (seen.usage.clone(), seen.ended, seen.bytes)
            }
        };
        used(told, complete, bytes, book)
    }
}

/// The usage of an answer of which so many bytes came: the provider's word,
/// else an estimate.
pub(crate) fn used(told: Option<Usage>, complete: bool, bytes: u64, book: &Book) -> Usage {
    let estimated = Usage {
        input: told.as_ref().map_or(book.input_estimate(), |u| u.input),
        output: estimate::estimate_tokens_of_len(bytes),
        estimated: true,
        ..Usage::default()
    };
    match told {
        Some(usage) if complete => usage,
        // Cut off: what was said last of the output may be from its start.
        Some(usage) => {
            Usage { output: usage.output.max(estimated.output), estimated: true, ..usage }
        }
        None => estimated,
    }
}

/// Tells an encoder the time if the answer's end is among the events.
fn tell_time(events: &[Event], book: Option<&Book>, encoder: &mut dyn StreamEncoder) {
    if let Some(book) = book
        && events.iter().any(|e| matches!(e, Event::Stop { .. } | Event::End { .. }))
    {
        encoder.tell_time(book.now_seconds());
    }
}

impl Failed {
    pub(crate) fn in_stream(error: ApiError) -> Self {
        let fault = Fault::of_status(error.status, error.code.as_deref());
        // A client's fault cannot show itself in the middle of an answer.
        let fault = if fault == Fault::Client { Fault::Server } else { fault };
        Self { fault, error: Box::new(error), raw: None, wait: None, billed: None }
    }

    pub(crate) fn decode(error: freehold_llm::DecodeError) -> Self {
        match error {
            freehold_llm::DecodeError::Api(error) => Self::in_stream(*error),
            freehold_llm::DecodeError::Truncated => Self::truncated(),
            other => Self::in_stream(ApiError::new(
                Code::UpstreamGarbage,
                format!("the provider's stream cannot be read: {other}"),
            )),
        }
    }

    pub(crate) fn truncated() -> Self {
        Self {
            fault: Fault::Connection,
            error: Box::new(ApiError::new(
                Code::UpstreamTruncated,
                "the provider's stream ended before the answer was complete",
            )),
            raw: None,
            wait: None,
            billed: None,
        }
    }
}

/// Folds an engine's events into an answer, for a client that asked for no
/// stream.
pub(crate) async fn fold_engine(
    dialect: Dialect,
    first: Event,
    mut rest: EngineStream,
) -> Result<freehold_llm::model::Answer, Box<ApiError>> {
    use futures_util::StreamExt as _;
    let mut fold = Fold::new(dialect);
    fold.event(&first);
    while let Some(event) = rest.next().await {
        fold.event(&event);
    }
    if !fold.ended() {
        return Err(fold.finish().err().unwrap_or_else(|| Failed::truncated().error));
    }
    fold.finish()
}
