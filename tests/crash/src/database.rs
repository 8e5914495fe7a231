//! A PostgreSQL of one's own, from Debian's packages; gone when its owner is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

/// The server.
#[derive(Debug)]
pub(crate) struct Database {
    folder: PathBuf,
    child: Child,
    /// It lives as long as this is open.
    control: Option<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Database {
    pub(crate) fn start() -> Result<Self> {
        let root = Command::new("id").arg("-u").output()?.stdout.starts_with(b"0\n");
        let mut command = Command::new(if root { "runuser" } else { "sh" });
        if root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        let mut child = command
            .args(["-c", include_str!("../../../crates/store/tests/server/launch.sh"), "launch"])
            .arg(programs()?)
            .args(["-c", "listen_addresses="])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| anyhow!("no output"))?;
        let mut out = BufReader::new(out);
        let mut folder = String::new();
        out.read_line(&mut folder)?;
        if folder.trim().is_empty() {
            bail!("PostgreSQL does not start; what it says is above");
        }
        let control = child.stdin.take().map(|input| (input, out));
        Ok(Self { folder: folder.trim().into(), child, control })
    }

    /// The socket that it listens at.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }
}

impl Database {
    /// Says `up`, `stop` or `kill`, and waits until that is so.
    pub(crate) fn tell(&mut self, word: &str) -> Result<()> {
        let (input, output) = self.control.as_mut().ok_or_else(|| anyhow!("it is gone"))?;
        writeln!(input, "{word}")?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        if answer.trim() == word { Ok(()) } else { bail!("PostgreSQL said {answer:?}") }
    }

    /// Has it do something.
    pub(crate) fn run(&self, sql: &str) -> Result<()> {
        let folder = &self.folder;
        let mut psql = Command::new(programs()?.join("psql"));
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", "freehold", "-d", "postgres", "-h"]);
        let done = psql.arg(folder).args(["-c", sql]).stdout(Stdio::null()).status()?;
        if done.success() { Ok(()) } else { bail!("not done: {sql}") }
    }

    /// How nodes reach it.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://freehold@/postgres?host={folder}")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Without its input it ends, and takes its folder away.
        drop(self.control.take());
        self.child.wait().ok();
    }
}

/// The newest of Debian's.
fn programs() -> Result<PathBuf> {
    let major = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = found.map(|entry| entry.path()).max_by_key(|path| major(path));
    newest
        .map(|path| path.join("bin"))
        .context("PostgreSQL 15 or newer is missing: apt-get install postgresql")
}
