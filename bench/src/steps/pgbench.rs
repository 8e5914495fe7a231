//! A PostgreSQL of one's own, and pgbench that does in it what a step does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::sessions::TIMER_EVERY;
use super::{BODY, Failure};

/// The same tables as the store's, the session's row at the front.
const TABLES: &str = "
    CREATE SCHEMA bench;
    CREATE TABLE bench.sessions (LIKE public.sessions INCLUDING ALL) WITH (fillfactor = 50);
    CREATE TABLE bench.events (LIKE public.events INCLUDING ALL);
    CREATE TABLE bench.timers (LIKE public.timers INCLUDING ALL);";

/// A PostgreSQL from Debian's packages, gone when its owner is.
#[derive(Debug)]
pub struct PgBench {
    programs: PathBuf,
    folder: PathBuf,
    script: PathBuf,
    child: Child,
    /// It lives as long as this is open.
    control: Option<ChildStdin>,
    rounds: u32,
}

impl PgBench {
    /// Starts it; its settings are the packages' own, but for enough
    /// connections. `scratch` is for pgbench's script.
    pub fn start(scratch: &Path) -> Result<Self, Failure> {
        let programs = programs()?;
        let root = Command::new("id").arg("-u").output()?.stdout.starts_with(b"0\n");
        let mut command = Command::new(if root { "runuser" } else { "sh" });
        if root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        let launch = include_str!("../../../crates/store/tests/server/launch.sh");
        let mut child = command
            .args(["-c", launch, "launch"])
            .arg(&programs)
            .args(["-c", "listen_addresses=", "-c", "max_connections=200"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut folder = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut folder)?;
        }
        let control = child.stdin.take();
        let script = scratch.join("step.sql");
        let folder = PathBuf::from(folder.trim());
        let server = Self { programs, folder, script, child, control, rounds: 0 };
        if server.folder.as_os_str().is_empty() {
            return Err("PostgreSQL does not start; what it says is above".into());
        }
        Ok(server)
    }

    /// Its address.
    pub fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://freehold@/postgres?host={folder}")
    }

    /// Makes pgbench's tables after the likeness of the store's.
    pub fn make_tables(&self) -> Result<(), Failure> {
        self.sql(TABLES)
    }

    /// Writes out what lies in memory: one side's leftovers are not to be the
    /// other one's burden.
    pub fn checkpoint(&self) -> Result<(), Failure> {
        self.sql("CHECKPOINT")
    }

    fn sql(&self, statements: &str) -> Result<(), Failure> {
        let statements = statements.split_inclusive(';');
        let mut told = Command::new(self.programs.join("psql"));
        told.args(["-q", "-v", "ON_ERROR_STOP=1", &self.url()]);
        let done = told.args(statements.flat_map(|sql| ["-c", sql])).status()?;
        if done.success() { Ok(()) } else { Err("psql failed".into()) }
    }

    /// Steps a second, and the mean of their microseconds: each of so many
    /// connections with a session of its own, its unit in one flight, among as
    /// many sessions as the store has.
    pub fn run(
        &mut self,
        clients: usize,
        sessions: usize,
        seconds: u64,
    ) -> Result<(f64, f64), Failure> {
        self.rounds += 1;
        self.sql(&format!(
            "INSERT INTO bench.sessions (tenant, id, head, epoch, timeline, phase, created_at,
             updated_at) SELECT 'main', 's{}-' || n, 0, 1, 1, 'idle', 1, 1
             FROM generate_series(0, {sessions}) n; VACUUM ANALYZE bench.sessions; CHECKPOINT",
            self.rounds
        ))?;
        let mut script = std::fs::File::create(&self.script)?;
        script.write_all(step(self.rounds).as_bytes())?;
        let output = Command::new(self.programs.join("pgbench"))
            .args(["-n", "-M", "prepared", "-j", "1", "-D", "n=0"])
            .args(["-D", &format!("body={}", "x".repeat(BODY))])
            .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f"])
            .arg(&self.script)
            .arg(self.url())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let told = |name: &str| {
            let mut lines = said.lines().filter_map(|line| line.strip_prefix(name));
            lines.next()?.split(' ').next()?.parse::<f64>().ok()
        };
        match (told("tps = "), told("latency average = ")) {
            (Some(tps), Some(ms)) if output.status.success() => Ok((tps, ms * 1000.0)),
            _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
        }
    }
}

/// A step as pgbench does it: what the store sends, without a look at counts.
fn step(round: u32) -> String {
    let session = format!("'s{round}-' || :client_id");
    let (set, cancel) = (TIMER_EVERY - 2, TIMER_EVERY - 1);
    format!(
        r"\set n :n + 1
\set k :n % {TIMER_EVERY}
\startpipeline
BEGIN;
UPDATE bench.sessions SET head = head + 1, phase = COALESCE(NULL, phase), updated_at = :n WHERE tenant = 'main' AND id = {session} AND head = :n - 1 AND epoch = 1 AND sealed_for IS NULL AND deleted_at IS NULL;
INSERT INTO bench.events (tenant, session, at_offset, kind, version, at, write_id, body) VALUES ('main', {session}, :n, 'input_accepted', 1, :n, '\x00112233445566778899aabbccddeeff', :body);
\if :k = {set}
INSERT INTO bench.timers (tenant, session, id, due_at, at_offset) VALUES ('main', {session}, 't', 1, :n) ON CONFLICT (tenant, session, id) DO UPDATE SET due_at = excluded.due_at, at_offset = excluded.at_offset;
\endif
\if :k = {cancel}
DELETE FROM bench.timers WHERE tenant = 'main' AND session = {session} AND id = 't';
\endif
COMMIT;
\endpipeline
"
    )
}

impl Drop for PgBench {
    fn drop(&mut self) {
        // Without its input it ends, and takes its folder away.
        drop(self.control.take());
        self.child.wait().ok();
    }
}

/// The newest of Debian's.
fn programs() -> Result<PathBuf, Failure> {
    let major = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = found.map(|entry| entry.path()).max_by_key(|path| major(path));
    let newest = newest.map(|path| path.join("bin")).filter(|bin| bin.join("pgbench").exists());
    newest.ok_or_else(|| {
        "PostgreSQL 15 or newer with pgbench is missing: apt-get install postgresql".into()
    })
}
