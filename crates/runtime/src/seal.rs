//! Content at rest: each session has a key of its own, with which its events,
//! its snapshots and its blobs are sealed. The key itself is sealed with its
//! tenant's and lies in the session's profile, so that with the profile all
//! of the content goes away, in backups too.
//!
//! What is sealed opens in its place only: an event at its offset, a blob
//! under its hash, a snapshot as of its offset; all of them in their session.

use std::sync::Arc;

use freehold_control::Error;
use freehold_control::vault::{KeyBytes, Keyring, SealKey, Sealed, Unsealable};
use freehold_types::{BoxFuture, Env, SessionId, TenantId};

use crate::event::Hash;

pub use freehold_control::vault::OVERHEAD;

/// A place of a session's where something sealed lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The event at this offset.
    Event(u64),
    /// The snapshot of all events up to this offset.
    Snapshot(u64),
    /// The blob whose plain content has this hash.
    Blob(Hash),
    /// What the session is said to be.
    About,
    /// The credential of the name with this hash.
    Secret(Hash),
}

/// A tag, the session's id, and what tells places of one kind apart.
type PlaceBytes = [u8; 1 + 16 + 32];

impl Place {
    fn bytes(self, session: SessionId) -> PlaceBytes {
        let mut bytes = [0; size_of::<PlaceBytes>()];
        let (head, rest) = bytes.split_at_mut(17);
        let tag = match self {
            Self::Event(offset) => {
                rest[..8].copy_from_slice(&offset.to_be_bytes());
                1
            }
            Self::Snapshot(offset) => {
                rest[..8].copy_from_slice(&offset.to_be_bytes());
                2
            }
            Self::Blob(hash) => {
                rest.copy_from_slice(hash.bytes());
                3
            }
            Self::About => 4,
            Self::Secret(hash) => {
                rest.copy_from_slice(hash.bytes());
                5
            }
        };
        head[0] = tag;
        head[1..].copy_from_slice(session.as_bytes());
        bytes
    }
}

/// The key of one session's content.
#[derive(Debug)]
pub struct ContentKey(SealKey);

impl ContentKey {
    /// A new one.
    pub fn random(env: &dyn Env) -> Self {
        Self(SealKey::random(env))
    }

    /// Seals something of this session's: [`OVERHEAD`] bytes more, in one
    /// allocation.
    pub fn seal(&self, env: &dyn Env, session: SessionId, place: Place, plain: &[u8]) -> Vec<u8> {
        self.0.seal(env, &place.bytes(session), plain)
    }

    /// Opens what was sealed for the same place.
    pub fn open(
        &self,
        session: SessionId,
        place: Place,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Unsealable> {
        self.0.open(&place.bytes(session), sealed)
    }

    /// The key as a session's profile keeps it. A fork that reads another
    /// session's events keeps that one's key, too, wrapped for itself.
    pub async fn wrap(
        &self,
        with: &dyn KeyWrap,
        tenant: &TenantId,
        session: SessionId,
    ) -> Result<Arc<[u8]>, Error> {
        with.wrap(tenant, session, self.0.bytes()).await
    }

    /// The key that a session's profile keeps.
    pub async fn unwrap(
        with: &dyn KeyWrap,
        tenant: &TenantId,
        session: SessionId,
        wrapped: &[u8],
    ) -> Result<Self, Error> {
        let bytes = with.unwrap(tenant, session, wrapped).await?;
        Ok(Self(SealKey::new(bytes)))
    }
}

/// Keeps keys of sessions under their tenants' keys. The real one is the
/// [`Keyring`].
pub trait KeyWrap: Send + Sync + 'static {
    /// Seals a session's key.
    fn wrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: SessionId,
        key: &'a KeyBytes,
    ) -> BoxFuture<'a, Result<Arc<[u8]>, Error>>;

    /// Opens what [`KeyWrap::wrap`] gave for the same session.
    fn unwrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: SessionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<KeyBytes, Error>>;
}

const SESSION: &str = "session";

impl KeyWrap for Keyring {
    fn wrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: SessionId,
        key: &'a KeyBytes,
    ) -> BoxFuture<'a, Result<Arc<[u8]>, Error>> {
        Box::pin(async move {
            let what = Sealed { tenant, kind: SESSION, id: &session.to_string() };
            Ok(self.seal(what, key.reveal()).await?.into())
        })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: SessionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<KeyBytes, Error>> {
        Box::pin(async move {
            let what = Sealed { tenant, kind: SESSION, id: &session.to_string() };
            let opened = self.open_sealed(what, wrapped).await?;
            KeyBytes::take(opened).ok_or_else(|| Error::Damaged {
                what: format!("content key of {session}"),
                why: "it is not 32 bytes".into(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    /// Bytes that count up.
    #[derive(Default)]
    struct Counting(std::sync::atomic::AtomicU8);

    impl Env for Counting {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
        fn fill_random(&self, out: &mut [u8]) {
            for byte in out {
                *byte = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(async {})
        }
    }

    /// Wraps by naming the session.
    struct Named;

    impl KeyWrap for Named {
        fn wrap<'a>(
            &'a self,
            _: &'a TenantId,
            session: SessionId,
            key: &'a KeyBytes,
        ) -> BoxFuture<'a, Result<Arc<[u8]>, Error>> {
            let wrapped = [session.as_bytes(), &key.reveal()[..]].concat().into();
            Box::pin(std::future::ready(Ok(wrapped)))
        }

        fn unwrap<'a>(
            &'a self,
            _: &'a TenantId,
            session: SessionId,
            wrapped: &'a [u8],
        ) -> BoxFuture<'a, Result<KeyBytes, Error>> {
            assert_eq!(&wrapped[..16], session.as_bytes());
            Box::pin(std::future::ready(Ok(KeyBytes::take(wrapped[16..].to_vec()).unwrap())))
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn content_opens_in_its_session_and_place_only() {
        let env = Counting::default();
        let key = ContentKey::random(&env);
        let (session, other) = (SessionId::new(&env), SessionId::new(&env));
        let hash = Hash::of(b"plain");
        let places = [
            Place::Event(1),
            Place::Event(2),
            Place::Snapshot(1),
            Place::Blob(hash),
            Place::Blob(Hash::of(b"other")),
            Place::About,
        ];
        for place in places {
            let sealed = key.seal(&env, session, place, b"plain");
            assert_eq!(sealed.len(), 5 + OVERHEAD);
            assert_eq!(key.open(session, place, &sealed).unwrap(), b"plain");
            assert!(key.open(other, place, &sealed).is_err(), "{place:?} of another session");
            for elsewhere in places.into_iter().filter(|elsewhere| *elsewhere != place) {
                assert!(key.open(session, elsewhere, &sealed).is_err(), "{place:?} {elsewhere:?}");
            }
        }
    }

    #[test]
    fn a_key_survives_its_wrapping() {
        let env = Counting::default();
        let (key, session, tenant) =
            (ContentKey::random(&env), SessionId::new(&env), TenantId::main());
        let sealed = key.seal(&env, session, Place::Event(7), b"plain");
        let wrapped = now(key.wrap(&Named, &tenant, session)).unwrap();
        let again = now(ContentKey::unwrap(&Named, &tenant, session, &wrapped)).unwrap();
        assert_eq!(again.open(session, Place::Event(7), &sealed).unwrap(), b"plain");
    }
}
