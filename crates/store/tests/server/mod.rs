//! A real PostgreSQL for tests: from Debian's packages, in a folder of its own,
//! gone when the test program is, however that ends. Without one a test fails;
//! it never skips. `FREEHOLD_TEST_POSTGRES` names another server to use for
//! what does not break it: `postgres://user@host/database`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use freehold_store::{Postgres, PostgresOptions};
use freehold_types::{BoxFuture, Env};
use jiff::Timestamp;
use tokio_postgres::{Client, NoTls};

/// A server of one's own.
pub(crate) struct Server {
    /// Where its socket and its data are.
    pub(crate) folder: PathBuf,
    /// It lives as long as this is open.
    control: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    /// Starts one, with these settings beside its own.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut child = command
            .args(["-c", include_str!("launch.sh"), "launch"])
            .arg(programs())
            .args(["-c", "listen_addresses="])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell to start PostgreSQL with");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut folder = String::new();
        output.read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "PostgreSQL does not start; what it says is above");
        let control = Mutex::new((child.stdin.take().unwrap(), output));
        Self { folder: folder.trim().into(), control }
    }

    /// Says `up`, `stop` or `kill`, and waits until that is so.
    pub(crate) fn tell(&self, word: &str) {
        let mut control = self.control.lock().unwrap();
        writeln!(control.0, "{word}").unwrap();
        let mut answer = String::new();
        control.1.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), word);
    }

    pub(crate) fn url(&self) -> String {
        url_at(&self.folder)
    }
}

/// The address of a server whose socket is in this folder.
pub(crate) fn url_at(folder: &Path) -> String {
    let folder = folder.display().to_string().replace('/', "%2F");
    format!("postgres://freehold@/postgres?host={folder}")
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("the command `id`");
    id.stdout.starts_with(b"0\n")
}

/// The newest of Debian's PostgreSQLs, or whatever else is in the path.
fn programs() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let major = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = found
        .map(|entry| entry.path())
        .filter(|path| major(path).is_some_and(|major| major >= 15))
        .max_by_key(|path| major(path))
        .map(|path| path.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut in_path = std::env::split_paths(&path).filter(|dir| dir.join("initdb").exists());
    debian.or_else(|| in_path.next()).expect(
        "these tests need PostgreSQL 15 or newer: install it (apt-get install postgresql), \
         as scripts/test does",
    )
}

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
