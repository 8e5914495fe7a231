//! Reads a request's body under three limits: its own size, the memory of all
//! bodies together, and the time between two reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use freehold_types::Code;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Larger than one may be.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// All bodies together take the memory that they may.
    #[error("the server holds as many request bodies as it can; send the request again")]
    Full,
    /// The client stopped sending.
    #[error("the request body did not arrive: nothing came for {0:?}")]
    Stalled(Duration),
    /// The client sends a little now and then.
    #[error("the request body comes too slowly: fewer than {BYTES_A_SECOND_MIN} bytes a second")]
    Slow,
    /// The connection broke.
    #[error("the request body did not arrive: {0}")]
    Broken(String),
}

impl BodyError {
    /// Its stable word.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::BodyTooLarge,
            Self::Full => Code::OverloadShed,
            Self::Stalled(_) | Self::Slow | Self::Broken(_) => Code::BodyIncomplete,
        }
    }
}

/// The memory of all bodies together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BodyBudget(Arc<AtomicUsize>);

impl BodyBudget {
    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// An empty share; it grows with what is read.
    pub fn share(&self) -> BodyShare {
        BodyShare { held: Arc::clone(&self.0), bytes: 0 }
    }
}

/// What one body takes of the budget, until dropped.
#[derive(Debug)]
pub struct BodyShare {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl BodyShare {
    /// Takes `bytes` more, unless all together would then hold more than
    /// `limit`.
    pub fn grow(&mut self, bytes: usize, limit: usize) -> Result<(), BodyError> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limit {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(BodyError::Full);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The limits of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Its own size, in bytes.
    pub bytes_max: usize,
    /// All bodies together, in bytes.
    pub in_flight_max: usize,
    /// Between two reads.
    pub stall: Duration,
}

/// The largest body that is read into one allocation of its declared length
/// before its first byte has come.
const TRUSTED_LENGTH: usize = 1 << 20;

/// A body that comes more slowly than this on the whole is given up. A modem's
/// is faster.
const BYTES_A_SECOND_MIN: u64 = 1_000;

/// Reads the whole body. `share` holds its part of the budget; keep it for as
/// long as the bytes are kept.
pub async fn read<B>(
    mut body: B,
    limits: BodyLimits,
    share: &mut BodyShare,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let hint = body.size_hint();
    let declared = usize::try_from(hint.exact().unwrap_or(hint.lower())).unwrap_or(usize::MAX);
    if declared > limits.bytes_max {
        return Err(BodyError::TooLarge { limit: limits.bytes_max });
    }
    let mut whole = BytesMut::new();
    let mut began = None;
    while let Some(part) = next(&mut body, limits.stall).await? {
        share.grow(part.len(), limits.in_flight_max)?;
        if whole.is_empty() && body.is_end_stream() {
            // Most bodies come in one piece: it is not copied.
            return Ok(part);
        }
        let length = whole.len() + part.len();
        if length > limits.bytes_max {
            return Err(BodyError::TooLarge { limit: limits.bytes_max });
        }
        let since = *began.get_or_insert_with(now);
        let fair = Duration::from_millis(length as u64 * 1_000 / BYTES_A_SECOND_MIN);
        if now().saturating_duration_since(since) > limits.stall + fair {
            return Err(BodyError::Slow);
        }
        if whole.capacity() < length {
            // One allocation for the rest, where the client said how much it
            // is and has shown that it sends it.
            let known = if declared <= TRUSTED_LENGTH || whole.len() >= TRUSTED_LENGTH / 16 {
                declared
            } else {
                TRUSTED_LENGTH
            };
            whole.reserve(known.max(length) - whole.len());
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

#[expect(clippy::disallowed_methods, reason = "what it is compared with is tokio's timer")]
fn now() -> Instant {
    Instant::now()
}

async fn next<B>(body: &mut B, stall: Duration) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    loop {
        let frame = tokio::time::timeout(stall, body.frame());
        match frame.await {
            Err(_) => return Err(BodyError::Stalled(stall)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.to_string())),
            Ok(Some(Ok(frame))) => {
                if let Ok(part) = frame.into_data() {
                    return Ok(Some(part));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use futures_util::StreamExt as _;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const LIMITS: BodyLimits =
        BodyLimits { bytes_max: 100, in_flight_max: 150, stall: Duration::from_millis(20) };

    /// A body in parts, of unknown length.
    fn parts(
        parts: &[&'static [u8]],
    ) -> StreamBody<impl futures_core::Stream<Item = Result<Frame<Bytes>, Infallible>> + use<>>
    {
        let mut parts: VecDeque<_> = parts.iter().map(|part| Bytes::from_static(part)).collect();
        StreamBody::new(futures_util::stream::poll_fn(move |_| {
            std::task::Poll::Ready(parts.pop_front().map(|part| Ok(Frame::data(part))))
        }))
    }

    #[tokio::test]
    async fn parts_are_put_together_and_paid_for_until_dropped() {
        let budget = BodyBudget::default();
        let mut share = budget.share();
        let body = read(parts(&[b"one ", b"two ", b"three"]), LIMITS, &mut share).await;
        assert_eq!(body.unwrap(), "one two three");
        assert_eq!(budget.held(), 13);
        drop(share);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn a_body_that_says_it_is_too_large_is_not_read() {
        let budget = BodyBudget::default();
        let error = read(Full::from(vec![0; 101]), LIMITS, &mut budget.share()).await;
        assert_eq!(error, Err(BodyError::TooLarge { limit: 100 }));
        let error = read(parts(&[&[0; 60], &[0; 60]]), LIMITS, &mut budget.share()).await;
        assert_eq!(error, Err(BodyError::TooLarge { limit: 100 }));
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn bodies_beyond_the_budget_are_shed() {
        let budget = BodyBudget::default();
        let mut first = budget.share();
        read(Full::from(vec![0; 100]), LIMITS, &mut first).await.unwrap();
        let second = read(Full::from(vec![0; 51]), LIMITS, &mut budget.share()).await;
        assert_eq!(second, Err(BodyError::Full));
        drop(first);
        assert!(read(Full::from(vec![0; 51]), LIMITS, &mut budget.share()).await.is_ok());
    }

    #[tokio::test]
    async fn a_client_that_trickles_is_given_up() {
        let trickle = futures_util::stream::repeat(()).then(|()| async {
            tokio::time::sleep(LIMITS.stall / 2).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        let body = StreamBody::new(Box::pin(trickle));
        let error = read(body, LIMITS, &mut BodyBudget::default().share()).await;
        assert_eq!(error, Err(BodyError::Slow));
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_is_given_up() {
        let never =
            StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let error = read(never, LIMITS, &mut BodyBudget::default().share()).await;
        assert!(matches!(error, Err(BodyError::Stalled(_))));
    }
}
