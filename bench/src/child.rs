//! Programs that run beside a measurement and end with it.

use std::io::{BufRead as _, BufReader, Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A child process that ends with its owner.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a program with its output thrown away.
    pub fn quiet(command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }

    /// Starts a program that tells on its first line where it serves.
    pub fn serving(command: &mut Command) -> Result<(Self, SocketAddr)> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map(Self)?;
        let mut line = String::new();
        if let Some(out) = child.0.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let words = line.split_whitespace();
        let mut addresses = words.filter_map(|w| w.strip_prefix("http://")?.parse().ok());
        let address = addresses.next();
        let silent = || Error::other(format!("{command:?} does not say where it serves: {line:?}"));
        Ok((child, address.ok_or_else(silent)?))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> Result<()> {
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(Error::other(format!("it ended with {status}"))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The path of another program of this crate, built beside this one.
pub fn sibling(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new(".")).join(name)
}

/// A folder of one's own that goes with its owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("freehold-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
