//! The doors of a runtime whose sessions neither ask models nor call tools.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freehold_control::vault::KeyBytes;
use freehold_llm::model::ApiError;
use freehold_runtime::archive::Archive;
use freehold_runtime::content::Settings;
use freehold_runtime::decide::Found;
use freehold_runtime::event::Note;
use freehold_runtime::models::{ModelAsk, ModelStream, Models};
use freehold_runtime::seal::KeyWrap;
use freehold_runtime::sessions::{Options, Parts, Sessions};
use freehold_runtime::tools::{Performed, Performing, Tools, Toolset};
use freehold_types::{
    BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture, Db, DbError, Env, SessionId,
    TenantId,
};
use jiff::Timestamp;

use super::now;

/// Sessions over a store, which stay in hand however seldom their turn comes.
pub(super) fn open(db: Arc<dyn Db>) -> Arc<Sessions> {
    let archive = Archive { env: env(), db, blobs: Arc::new(None_), keys: Arc::new(Bare) };
    let (models, tools) = (Arc::new(None_), Arc::new(None_));
    let parts = Parts { archive, members: None, timeline: 1, models, tools };
    Sessions::start(parts, Options { idle: Duration::from_secs(3600), ..Options::default() })
}

/// The real time, and chance that is good enough here.
pub fn env() -> Arc<dyn Env> {
    Arc::new(Real(now()))
}

struct Real(Instant);

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

impl Env for Real {
    #[expect(clippy::disallowed_methods, reason = "a bench program measures real time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn fill_random(&self, out: &mut [u8]) {
        let mut seed = SEED.get();
        if seed == 0 {
            use std::hash::{BuildHasher as _, RandomState};
            seed = RandomState::new().hash_one(0);
        }
        for chunk in out.chunks_mut(8) {
            // SplitMix64.
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (mixed ^ (mixed >> 31)).to_le_bytes();
            chunk.iter_mut().zip(bytes).for_each(|(out, byte)| *out = byte);
        }
        SEED.set(seed);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Nobody is there: no step comes here.
struct None_;

impl Models for None_ {
    fn ask(&self, _: ModelAsk) -> BoxFuture<'static, Result<ModelStream, Box<ApiError>>> {
        Box::pin(std::future::pending())
    }
}

impl Tools for None_ {
    fn resolve(
        &self,
        _: TenantId,
        _: SessionId,
        _: Arc<Settings>,
    ) -> BoxFuture<'static, Result<Arc<Toolset>, Note>> {
        Box::pin(async { Ok(Arc::default()) })
    }

    fn call(&self, _: Performing) -> BoxFuture<'static, Performed> {
        Box::pin(std::future::pending())
    }

    fn query(&self, _: Performing) -> BoxFuture<'static, Found> {
        Box::pin(async { Found::Unclear })
    }
}

impl Blobs for None_ {
    fn put<'a>(&'a self, _: &'a BlobName, _: Bytes) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async { Err(BlobError::Unavailable("no step is so large".into())) })
    }

    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        Box::pin(async { Err(BlobError::Missing(name.clone())) })
    }

    fn delete<'a>(&'a self, _: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(
        &'a self,
        _: &'a BlobScope,
        _: Option<&'a BlobName>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Keeps keys as they are: they are wrapped when a session begins, not at a
/// step.
struct Bare;

impl KeyWrap for Bare {
    fn wrap<'a>(
        &'a self,
        _: &'a TenantId,
        _: SessionId,
        key: &'a KeyBytes,
    ) -> BoxFuture<'a, Result<Arc<[u8]>, freehold_control::Error>> {
        Box::pin(async { Ok(key.reveal().to_vec().into()) })
    }

    fn unwrap<'a>(
        &'a self,
        _: &'a TenantId,
        _: SessionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<KeyBytes, freehold_control::Error>> {
        Box::pin(async {
            let short = || DbError::Corrupt("a key of another length".into());
            Ok(KeyBytes::take(wrapped.to_vec()).ok_or_else(short)?)
        })
    }
}
