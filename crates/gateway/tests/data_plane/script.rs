//! The doors to time and to other machines, played from a script.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use freehold_types::{
    BodyError, BoxFuture, Env, Target, Transport, TransportError, TransportFault, WireRequest,
    WireResponse,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body, Frame};
use jiff::{SignedDuration, Timestamp};

/// Time that stands still until it is told to move.
#[derive(Clone)]
pub(crate) struct Clock(Arc<State>);

struct State {
    now: Mutex<(Timestamp, Duration)>,
    sleepers: Mutex<Vec<(Duration, Waker)>>,
    random: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let start = ("2026-05-05T12:00:00Z".parse().unwrap(), Duration::from_secs(1_000));
        Self(Arc::new(State {
            now: Mutex::new(start),
            sleepers: Mutex::default(),
            random: AtomicU64::new(0),
        }))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let now = {
            let mut now = self.0.now.lock().unwrap();
            now.0 += SignedDuration::try_from(by).unwrap();
            now.1 += by;
            now.1
        };
        let mut sleepers = self.0.sleepers.lock().unwrap();
        for (at, waker) in sleepers.iter() {
            if *at <= now {
                waker.wake_by_ref();
            }
        }
        sleepers.retain(|(at, _)| *at > now);
    }

    /// Moves to the next moment that somebody waits for.
    pub(crate) fn skip(&self) -> bool {
        let now = self.monotonic();
        let next = self.0.sleepers.lock().unwrap().iter().map(|(at, _)| *at).min();
        if let Some(at) = next {
            self.advance(at.saturating_sub(now));
        }
        next.is_some()
    }
}

impl Env for Clock {
    fn now(&self) -> Timestamp {
        self.0.now.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.0.now.lock().unwrap().1
    }

    fn fill_random(&self, out: &mut [u8]) {
        // SplitMix64 over a counter: distinct and well mixed.
        for chunk in out.chunks_mut(8) {
            let n = self.0.random.fetch_add(1, Ordering::Relaxed) + 1;
            let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let at = self.monotonic() + duration;
        let clock = self.clone();
        Box::pin(std::future::poll_fn(move |cx| {
            if clock.monotonic() >= at {
                return Poll::Ready(());
            }
            clock.0.sleepers.lock().unwrap().push((at, cx.waker().clone()));
            Poll::Pending
        }))
    }
}

/// One piece of a response's body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The next one comes a turn later, as from a connection that hands over
    /// one chunk at a time.
    Turn,
    Stalled,
    Broken,
    /// Nothing more comes.
    Hang,
}

/// What another machine does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Fail(TransportFault),
    /// No head comes.
    Hang,
    /// The head comes after this time.
    After(Duration, Box<Act>),
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<Piece>,
    },
}

impl Act {
    /// A JSON answer.
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        let kind = ("content-type", "application/json".to_owned());
        let body = vec![Piece::Data(body.into().into())];
        Self::Answer { status, headers: vec![kind], body }
    }

    /// A stream, piece by piece.
    pub(crate) fn sse<S: AsRef<str>>(events: impl IntoIterator<Item = S>) -> Self {
        let kind = ("content-type", "text/event-stream".to_owned());
        let piece = |e: S| Piece::Data(Bytes::copy_from_slice(e.as_ref().as_bytes()));
        let body = events.into_iter().map(piece).collect();
        Self::Answer { status: 200, headers: vec![kind], body }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    /// With one more piece at its end.
    pub(crate) fn then(mut self, piece: Piece) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            body.push(piece);
        }
        self
    }

    pub(crate) fn after(self, ms: u64) -> Self {
        Self::After(Duration::from_millis(ms), Box::new(self))
    }
}

/// A request as another machine saw it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) pool: String,
    pub(crate) uri: String,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Sent {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }
}

/// Other machines, by pool. A machine without a further act refuses to
/// connect.
#[derive(Clone)]
pub(crate) struct Wire {
    clock: Clock,
    acts: Arc<Mutex<HashMap<String, VecDeque<Act>>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    live: Arc<AtomicUsize>,
}

impl Wire {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, acts: Arc::default(), sent: Arc::default(), live: Arc::default() }
    }

    pub(crate) fn add(&self, pool: &str, act: Act) {
        self.acts.lock().unwrap().entry(pool.to_owned()).or_default().push_back(act);
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Requests and bodies that somebody still holds.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }
}

struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Played {
    pieces: VecDeque<Piece>,
    _live: Live,
}

impl Body for Played {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if matches!(self.pieces.front(), Some(Piece::Turn)) {
            self.pieces.pop_front();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if matches!(self.pieces.front(), Some(Piece::Hang)) {
            return Poll::Pending;
        }
        Poll::Ready(match self.pieces.pop_front() {
            None => None,
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::Stalled) => Some(Err(BodyError::Stalled(Duration::from_secs(120)))),
            Some(Piece::Broken | Piece::Hang | Piece::Turn) => {
                Some(Err(BodyError::Broken("reset".to_owned())))
            }
        })
    }
}

impl Transport for Wire {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, TransportError>> {
        let pool = request.pool.as_deref().unwrap_or_default().to_owned();
        let next = self.acts.lock().unwrap().get_mut(&pool).and_then(VecDeque::pop_front);
        let mut act = next.unwrap_or(Act::Fail(TransportFault::Connect));
        self.sent.lock().unwrap().push(Sent {
            pool,
            uri: request.uri.to_string(),
            target: request.target,
            headers: request.headers,
            body: request.body.to_bytes(),
        });
        let live = Live::new(&self.live);
        Box::pin(async move {
            loop {
                match act {
                    Act::Hang => std::future::pending().await,
                    Act::After(wait, then) => {
                        self.clock.sleep(wait).await;
                        act = *then;
                    }
                    Act::Fail(fault) => {
                        let message = format!("scripted: {fault:?}");
                        return Err(TransportError { fault, message });
                    }
                    Act::Answer { status, headers, body } => {
                        let mut map = HeaderMap::new();
                        for (name, value) in headers {
                            let value = HeaderValue::from_str(&value).unwrap();
                            map.append(HeaderName::from_static(name), value);
                        }
                        return Ok(WireResponse {
                            status: StatusCode::from_u16(status).unwrap(),
                            headers: map,
                            body: Box::pin(Played { pieces: body.into(), _live: live }),
                        });
                    }
                }
            }
        })
    }
}
