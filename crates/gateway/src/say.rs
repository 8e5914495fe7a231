//! An answer on its way to somebody in this process.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Event};
use freehold_llm::{Dialect, StreamDecoder};
use freehold_types::{BoxBody, BoxFuture, Money};
use futures_util::Stream;

use crate::ask::Said;
use crate::attempt::Failed;
use crate::book::Book;
use crate::engine::EngineStream;
use crate::metrics::Outcome;
use crate::relay::seen::Seen;
use crate::relay::used;

/// How many turns of its worker a complete answer gives its connection to end
/// too, so that the next exchange finds it.
const LAST_TURNS: u8 = 2;

/// The events of one answer, and what it cost before the last of them. Ends
/// with `End` or `Error`, never with silence. Dropping it cancels the upstream
/// and settles the exchange.
pub struct Saying {
    source: Source,
    book: Option<Box<Book>>,
    seen: Seen,
    out: VecDeque<Said>,
    /// The answer's last event, which waits for the books.
    last: Option<Event>,
    turns: u8,
    /// The books being made durable.
    closing: Option<BoxFuture<'static, ()>>,
}

enum Source {
    Stream {
        decoder: Box<dyn StreamDecoder>,
        body: BoxBody,
    },
    Engine(EngineStream),
    /// All has come.
    Over,
}

impl fmt::Debug for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saying").field("ended", &self.seen.ended).finish_non_exhaustive()
    }
}

impl Saying {
    /// A provider's stream, of which the first bytes have come.
    pub(crate) fn stream(book: Box<Book>, dialect: Dialect, first: &[u8], body: BoxBody) -> Self {
        let decoder = codec(dialect).stream_decoder();
        let mut saying = Self::new(Some(book), Source::Stream { decoder, body });
        saying.feed(first);
        saying
    }

    /// An engine's events, of which the first has come.
    pub(crate) fn events(book: Box<Book>, first: Event, rest: EngineStream) -> Self {
        let mut saying = Self::new(Some(book), Source::Engine(rest));
        saying.event(first);
        saying
    }

    /// A whole answer, whose usage its book has.
    pub(crate) fn whole(book: Box<Book>, events: Vec<Event>) -> Self {
        let mut saying = Self::new(Some(book), Source::Over);
        for event in events {
            saying.event(event);
        }
        saying.complete();
        saying
    }

    /// Nobody answered, and yet it cost something.
    pub(crate) fn failed(spent: Money, error: ApiError) -> Self {
        let mut saying = Self::new(None, Source::Over);
        saying.out.extend([Said::Cost(spent), Said::Event(Event::Error(error))]);
        saying
    }

    fn new(book: Option<Box<Book>>, source: Source) -> Self {
        Self {
            source,
            book,
            seen: Seen::default(),
            out: VecDeque::new(),
            last: None,
            turns: LAST_TURNS,
            closing: None,
        }
    }

    /// Takes the next bytes of a provider's stream.
    fn feed(&mut self, data: &[u8]) {
        let Source::Stream { decoder, .. } = &mut self.source else { return };
        let mut events = Vec::new();
        let fed = decoder.feed(data, &mut events);
        self.take(events, fed);
    }

    /// Takes events, and how reading them ended.
    fn take(&mut self, events: Vec<Event>, read: Result<(), freehold_llm::DecodeError>) {
        for event in events {
            self.event(event);
        }
        if let Err(error) = read {
            self.fail(&Failed::decode(error));
        }
    }

    fn event(&mut self, event: Event) {
        if self.book.is_none() || self.last.is_some() {
            return;
        }
        self.seen.event(&event);
        match event {
            Event::Error(error) => self.fail(&Failed::in_stream(error)),
            Event::End { .. } => self.last = Some(event),
            event => self.out.push_back(Said::Event(event)),
        }
    }

    /// The answer is complete: its end waits for the books.
    fn complete(&mut self) {
        self.source = Source::Over;
        let Some(mut book) = self.book.take() else { return };
        if !book.has_usage() {
            let usage = used(self.seen.usage.clone(), self.seen.ended, self.seen.bytes, &book);
            book.usage(usage);
        }
        let spent = book.settle(200, Outcome::Ok, None);
        self.out.push_back(Said::Cost(spent.cost));
        if let Some(flush) = spent.flush {
            self.closing = Some(Box::pin(async move {
                flush.done().await.ok();
            }));
        }
    }

    /// The answer broke off.
    fn fail(&mut self, failed: &Failed) {
        self.source = Source::Over;
        let Some(mut book) = self.book.take() else { return };
        self.last = None;
        let usage = used(self.seen.usage.clone(), self.seen.ended, self.seen.bytes, &book);
        book.usage(usage);
        book.broke(failed.fault);
        let spent = book.settle(200, Outcome::Broken, Some(&failed.error));
        let error = Event::Error((*failed.error).clone());
        self.out.extend([Said::Cost(spent.cost), Said::Event(error)]);
    }

    /// The source has ended.
    fn end(&mut self) {
        if let Source::Stream { decoder, .. } = &mut self.source
            && self.last.is_none()
        {
            let mut events = Vec::new();
            let finished = decoder.finish(&mut events);
            self.take(events, finished);
        }
        if self.last.is_some() {
            self.complete();
        } else {
            self.fail(&Failed::truncated());
        }
    }

    /// Takes one step of the source in.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.source {
            Source::Stream { body, .. } => match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.end(),
                // The answer is there; how its connection ended is of no interest.
                Poll::Ready(Some(Err(_))) if self.last.is_some() => self.end(),
                Poll::Ready(Some(Err(error))) => self.fail(&Failed::body(&error)),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.feed(&data);
                    }
                }
            },
            Source::Engine(events) => match events.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.end(),
                Poll::Ready(Some(event)) => self.event(event),
            },
            Source::Over => {}
        }
        Poll::Ready(())
    }
}

impl Stream for Saying {
    type Item = Said;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        let this = self.get_mut();
        loop {
            if let Some(said) = this.out.pop_front() {
                return Poll::Ready(Some(said));
            }
            if let Some(closing) = &mut this.closing {
                if closing.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.closing = None;
            }
            if matches!(this.source, Source::Over) {
                return Poll::Ready(this.last.take().map(Said::Event));
            }
            if this.poll_source(cx).is_ready() {
                continue;
            }
            if this.last.is_none() {
                return Poll::Pending;
            }
            if this.turns == 0 {
                this.complete();
                continue;
            }
            this.turns -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        // Some hang up on the last event and do not wait for the end.
        if self.last.is_some() {
            self.complete();
        }
        if let Some(mut book) = self.book.take() {
            let usage = used(self.seen.usage.clone(), self.seen.ended, self.seen.bytes, &book);
            book.usage(usage);
            book.settle(499, Outcome::Gone, None);
        }
    }
}
