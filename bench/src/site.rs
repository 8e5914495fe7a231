//! A data folder over which servers come and go, for what has to outlive one.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::child::{Running, Scratch};
use crate::subject::ADMIN;

/// A data folder with its configuration.
#[derive(Debug)]
pub struct Site {
    program: String,
    file: PathBuf,
    _folder: Scratch,
}

/// A server over it.
#[derive(Debug)]
pub struct Node {
    process: Running,
    /// Where it serves.
    pub address: SocketAddr,
    /// From its start to the line that says that it serves.
    pub ready_after: Duration,
}

impl Site {
    /// A new one, with a route to each of these upstreams.
    pub fn new(
        name: &str,
        program: &str,
        routes: &[(&str, SocketAddr)],
        idle: Duration,
    ) -> Result<Self> {
        let folder = Scratch::new(name)?;
        let head = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ndata = \"{}\"\n\n[sessions]\nidle_ms = {}\n",
            folder.path().join("data").display(),
            idle.as_millis()
        );
        let text: String = std::iter::once(head).chain(routes.iter().map(route)).collect();
        let file = folder.path().join("freehold.toml");
        std::fs::write(&file, text)?;
        Ok(Self { program: program.to_owned(), file, _folder: folder })
    }

    /// Starts a server, which is killed when dropped.
    pub fn start(&self) -> Result<Node> {
        let began = now();
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(&self.file).env("FREEHOLD_BOOTSTRAP_KEY", ADMIN);
        let (process, address) = Running::serving(&mut command)?;
        Ok(Node { process, address, ready_after: now().duration_since(began) })
    }
}

/// A provider at an upstream, and a route of the same name to it.
fn route((name, upstream): &(&str, SocketAddr)) -> String {
    format!(
        r#"
[providers.{name}]
kind = "compatible"
base_url = "http://{upstream}/v1"

[routes.{name}]
default_max_tokens = 256
deployments = [{{ provider = "{name}", model = "mock", price = {{ input = "1.00", output = "2.00" }} }}]
"#
    )
}

impl Node {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Stops it in order, as an operator would.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        if !Command::new("kill").args(["-TERM", &pid]).status()?.success() {
            return Err(Error::other("the server is not there to be stopped"));
        }
        self.process.wait()
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}
