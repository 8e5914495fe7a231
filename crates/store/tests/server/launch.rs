//! A real PostgreSQL for tests: from Debian's packages, in a folder of its own,
//! gone when the test program is, however that ends. Without one a test fails;
//! it never skips.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// A server of one's own.
pub(crate) struct Server {
    /// Where its socket and its data are.
    pub(crate) folder: PathBuf,
    /// It lives as long as this is open.
    control: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    shell: Mutex<Child>,
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
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut folder = String::new();
        output.read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "PostgreSQL does not start; what it says is above");
        let control = Mutex::new(Some((child.stdin.take().unwrap(), output)));
        Self { folder: folder.trim().into(), control, shell: Mutex::new(child) }
    }

    /// Says `up`, `stop` or `kill`, and waits until that is so.
    pub(crate) fn tell(&self, word: &str) {
        let mut control = self.control.lock().unwrap();
        let control = control.as_mut().unwrap();
        writeln!(control.0, "{word}").unwrap();
        let mut answer = String::new();
        control.1.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), word);
    }

    pub(crate) fn url(&self) -> String {
        url_at(&self.folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without its input it ends, and takes its folder away.
        drop(self.control.lock().unwrap().take());
        drop(self.shell.lock().unwrap().wait());
    }
}

/// The address of a server whose socket is in this folder.
pub(crate) fn url_at(folder: &Path) -> String {
    let folder = folder.display().to_string().replace('/', "%2F");
    format!("postgres://freehold@/postgres?host={folder}")
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
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
    debian.or_else(|| in_path.next()).unwrap_or_else(|| {
        panic!(
            "these tests need PostgreSQL 15 or newer: install it (apt-get install postgresql), \
             as scripts/test does"
        )
    })
}
