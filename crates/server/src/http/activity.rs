//! Counts the exchanges of a connection, so that its socket knows when it is
//! idle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;

/// How many exchanges are under way.
#[derive(Debug, Default)]
pub struct Activity {
    exchanges: AtomicUsize,
    /// Exchanges that began at any time.
    begun: AtomicUsize,
    /// It is no connection of HTTP any more, and may be silent.
    upgraded: AtomicBool,
}

impl Activity {
    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) == 0 && !self.upgraded.load(Ordering::Relaxed)
    }

    /// How many have begun.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn begin(self: &Arc<Self>) -> Exchange {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Exchange(Arc::clone(self))
    }
}

/// One exchange; over when dropped.
#[derive(Debug)]
struct Exchange(Arc<Activity>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A service whose exchanges are counted, from the request's head to the end
/// of the answer's body.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    activity: Arc<Activity>,
}

impl<S> Counted<S> {
    /// Counts the exchanges of `inner` in `activity`.
    pub fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<S, B> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Counting<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Counting { exchange: Some(self.activity.begin()), inner: self.inner.call(request) }
    }
}

pin_project_lite::pin_project! {
    /// Waits for the answer's head.
    pub struct Counting<F> {
        exchange: Option<Exchange>,
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for Counting<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        let exchange = this.exchange.take();
        if let (Ok(answer), Some(Exchange(activity))) = (&answer, &exchange)
            && answer.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            activity.upgraded.store(true, Ordering::Relaxed);
        }
        Poll::Ready(answer.map(|answer| answer.map(|inner| CountedBody { inner, exchange })))
    }
}

pin_project_lite::pin_project! {
    /// An answer's body, whose end is the exchange's end.
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        exchange: Option<Exchange>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
