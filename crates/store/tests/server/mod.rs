//! Stores over a real PostgreSQL. `FREEHOLD_TEST_POSTGRES` names another server
//! to use for what does not break it: `postgres://user@host/database`.

mod launch;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use freehold_store::{Postgres, PostgresOptions};
use freehold_types::{BoxFuture, Env};
use jiff::Timestamp;
use tokio_postgres::{Client, NoTls};

pub(crate) use launch::{Server, url_at};

static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// An empty schema on the server that this test program shares.
pub(crate) async fn fresh_url() -> String {
    static SHARED: OnceLock<String> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var("FREEHOLD_TEST_POSTGRES") {
        Ok(url) => url,
        Err(_) => {
            let server = Server::start(&["max_connections=200"]);
            let url = server.url();
            // Its input ends with this program.
            std::mem::forget(server);
            url
        }
    });
    fresh_schema(shared).await
}

/// An empty schema on this server.
pub(crate) async fn fresh_schema(server: &str) -> String {
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    connect(server).await.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
    let between = if server.contains('?') { '&' } else { '?' };
    format!("{server}{between}options=-csearch_path%3D{name}")
}

/// A connection that the store knows nothing of.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Few connections, and not much patience.
pub(crate) fn options(url: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(url);
    (options.writers, options.readers) = (4, 2);
    options
}

pub(crate) async fn open(url: &str) -> Postgres {
    Postgres::open(&options(url), env()).await.unwrap()
}

pub(crate) fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv(now()))
}

#[expect(clippy::disallowed_methods, reason = "the world of these tests is the real one")]
fn now() -> Instant {
    Instant::now()
}

struct TestEnv(Instant);

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn fill_random(&self, out: &mut [u8]) {
        use std::hash::{BuildHasher as _, RandomState};
        for chunk in out.chunks_mut(8) {
            let random = RandomState::new().hash_one(0).to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
