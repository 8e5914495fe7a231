//! The server under test, as a process that can be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::clock::{nap, now};

/// The key of all clients.
pub(crate) const KEY: &str = "sk-admin-of-the-crash-tests";
/// The key that what is sealed in the store is sealed with.
const MASTER: &str = "1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f";

/// Makes a debug build and says where it is.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let args = ["build", "--quiet", "--package", "freehold-server", "--no-default-features"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    if !Command::new(cargo).args(args).current_dir(root).status()?.success() {
        bail!("the server cannot be built");
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(root.join(target).join("debug/freehold"))
}

/// A folder of one's own.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    pub(crate) fn new(keep: bool) -> Result<Self> {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let name = format!("freehold-crash-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, keep })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// One server; it ends with its owner.
#[derive(Debug)]
pub(crate) struct Node {
    program: PathBuf,
    folder: PathBuf,
    listen: SocketAddr,
    env: Vec<(String, String)>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    address: SocketAddr,
    paused: bool,
    /// Open, so that what is said later has somewhere to go.
    _out: BufReader<ChildStdout>,
}

impl Node {
    /// Where it keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A server with this configuration, not started yet.
    pub(crate) fn new(program: &Path, folder: PathBuf, config: &str) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("freehold.toml"), config)?;
        let (program, listen) = (program.to_owned(), SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(Self { program, folder, listen, env: Vec::new(), running: Mutex::new(None) })
    }

    /// Has it serve there at each start, and not at a port of the system's
    /// choice.
    pub(crate) fn at(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Has it started with these in its environment.
    pub(crate) fn with_env(mut self, env: Vec<(String, String)>) -> Self {
        self.env = env;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it; how long until it served.
    pub(crate) fn start(&self) -> Result<Duration> {
        let began = now();
        let log = self.folder.join("log");
        let mut log = std::fs::File::options().create(true).append(true).open(log)?;
        writeln!(log, "-- started")?;
        let mut child = self
            .command()
            .args(["serve", "--listen", &self.listen.to_string(), "--config"])
            .arg(self.folder.join("freehold.toml"))
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let out = child.stdout.take().ok_or_else(|| anyhow!("no output"))?;
        let mut out = BufReader::new(out);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let address = line.split_whitespace().find_map(|word| {
            word.strip_prefix("http://")?.trim_end_matches(['/', ',', ';']).parse().ok()
        });
        let Some(address) = address else {
            child.kill().ok();
            child.wait().ok();
            bail!(
                "the server does not say where it serves: {line:?}; see {}/log",
                self.folder.display()
            );
        };
        *self.lock() = Some(Running { child, address, paused: false, _out: out });
        Ok(now().duration_since(began))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        if let Some(mut running) = self.lock().take() {
            running.child.kill().ok();
            running.child.wait().ok();
        }
    }

    /// Has it stop in order; how long it took, or `None` where it had to be
    /// killed after `most`.
    pub(crate) fn stop(&self, most: Duration) -> Result<Option<Duration>> {
        let Some(mut running) = self.lock().take() else { return Ok(Some(Duration::ZERO)) };
        let began = now();
        Command::new("kill").args(["-TERM", &running.child.id().to_string()]).status()?;
        while now().duration_since(began) < most {
            if running.child.try_wait()?.is_some() {
                return Ok(Some(now().duration_since(began)));
            }
            nap(5);
        }
        running.child.kill()?;
        running.child.wait()?;
        Ok(None)
    }

    /// Stops it where it stands, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) -> Result<()> {
        if let Some(running) = &mut *self.lock() {
            let signal = if paused { "-STOP" } else { "-CONT" };
            let pid = running.child.id().to_string();
            Command::new("kill").args([signal, &pid]).status()?;
            running.paused = paused;
        }
        Ok(())
    }

    /// Looks whether all is whole that it left, and gives what is not. Over a
    /// file it must not run.
    pub(crate) fn fsck(&self) -> Result<Vec<String>> {
        let out = self
            .command()
            .args(["fsck", "--json", "--config"])
            .arg(self.folder.join("freehold.toml"))
            .arg("--data")
            .arg(self.data())
            .output()?;
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        if !lines.contains("\"looked\"") {
            bail!("fsck does not end: {}", String::from_utf8_lossy(&out.stderr));
        }
        let wrong = lines.lines().filter(|line| line.contains("\"severity\":\"wrong\""));
        Ok(wrong.map(str::to_owned).collect())
    }

    /// The program, without the settings of whoever runs this.
    fn command(&self) -> Command {
        let own = std::env::vars_os()
            .filter(|(name, _)| !name.to_string_lossy().starts_with("FREEHOLD_"));
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(own)
            .env("FREEHOLD_BOOTSTRAP_KEY", KEY)
            .env("FREEHOLD_MASTER_KEY", MASTER)
            .envs(self.env.iter().cloned());
        command
    }

    /// Where it serves; `None` where nobody would answer.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.lock().as_ref().filter(|running| !running.paused).map(|running| running.address)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
