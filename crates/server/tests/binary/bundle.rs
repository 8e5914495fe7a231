//! A session that moves between two installations, as their owners would move
//! it: by the command line, in files.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::running::{Running, eventually, fails, succeeds};

/// An installation with a configuration of its own.
struct Cell {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Cell {
    fn new(name: &'static str) -> Self {
        let cell = Self { folder: tempfile::tempdir().unwrap(), name };
        cell.trusts(&[]);
        cell
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.data().join("freehold.toml")
    }

    fn file(&self, name: &str) -> String {
        self.data().join(name).display().to_string()
    }

    fn trusts(&self, others: &[&Self]) {
        let mut text = format!("[cell]\nname = \"{}\"\n", self.name);
        for other in others {
            let key = other.shown()["key"].as_str().unwrap().to_owned();
            let name = &other.name;
            text = format!("{text}[[cell.trust]]\nname = \"{name}\"\nkey = \"{key}\"\n");
        }
        std::fs::write(self.config(), text).unwrap();
    }

    fn shown(&self) -> Value {
        let config = self.config().display().to_string();
        let shown = succeeds(&["cell", "show", "--json", "--config", &config], self.data());
        serde_json::from_str(&shown).unwrap()
    }

    fn start(&self) -> Running {
        Running::start_with(self.data(), &["--config", &self.config().display().to_string()], &[])
    }

    fn sessions(&self, args: &[&str]) -> Value {
        let said = succeeds(&[&["sessions", "--json"], args].concat(), self.data());
        serde_json::from_str(&said).unwrap_or_default()
    }
}

fn call(running: &Running, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (key, path) = (running.admin_key(), format!("/v1/freehold/{path}"));
    let (status, answer) = running.request(method, &path, Some(&key), &body.to_string());
    (status, serde_json::from_str(&answer).unwrap_or_default())
}

fn made(running: &Running) -> String {
    let settings = json!({"request": {"model": "none"}});
    let (status, made) = call(running, "POST", "sessions", &json!({"settings": settings}));
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn journal(cell: &Cell, session: &str) -> Vec<Value> {
    let lines = succeeds(&["sessions", "--json", "journal", session], cell.data());
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

#[test]
fn a_session_moves_to_another_cell_and_its_timer_fires_there_once() {
    let (a, b) = (Cell::new("a"), Cell::new("b"));
    // One is asked while it runs, the other while it does not.
    let (left, _) = (a.start(), b.shown());
    assert_eq!(a.shown()["name"], "a");
    a.trusts(&[&b]);
    b.trusts(&[&a]);
    let (status, _) = call(&left, "POST", "reload", &json!({}));
    assert_eq!(status, 200);
    let right = b.start();
    let session = made(&left);
    a.sessions(&["timers", "set", &session, "--in", "3", "it is time"]);
    let bundle = a.file("moves");
    let said = fails(&["sessions", "export", &session, "--move", "c"], a.data());
    assert!(said.contains("`c`") && said.contains("cell.trust"), "{said}");
    a.sessions(&["export", &session, "--move", "b", "--out", &bundle]);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&bundle).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    for refused in [
        call(&left, "POST", &format!("sessions/{session}/signals"), &json!({"name": "x"})),
        call(&left, "DELETE", &format!("sessions/{session}"), &json!({})),
        call(&left, "POST", &format!("sessions/{session}"), &json!({"metadata": {"a": "b"}})),
        call(&left, "GET", &format!("sessions/{session}/stream?wait=5&after=3"), &json!({})),
    ] {
        let detail = refused.1["detail"].as_str().unwrap_or_default();
        assert!(refused.0 == 409 && detail.contains("`b`"), "{refused:?}");
        assert_eq!(refused.1["code"], "session.sealed");
    }
    let before = journal(&a, &session);

    // Cut in the middle by a crash, it is nothing; sent again, it is the session.
    let whole = std::fs::read(&bundle).unwrap();
    let mut sent = TcpStream::connect(&right.address).unwrap();
    let head = format!(
        "POST /v1/freehold/sessions/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: {}\r\n\r\n",
        right.admin_key(),
        whole.len()
    );
    sent.write_all(head.as_bytes()).unwrap();
    sent.write_all(&whole[..whole.len() - 20]).unwrap();
    sent.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    right.signal("KILL");
    drop((sent, right));
    let right = b.start();
    let (status, _) = call(&right, "GET", &format!("sessions/{session}"), &json!({}));
    assert_eq!(status, 404);
    let imported = b.sessions(&["import", &bundle]);
    assert_eq!(imported["session"], session.as_str());
    assert_eq!((&imported["moved"], &imported["repeated"]), (&json!(true), &json!(false)));
    assert_eq!(b.sessions(&["import", &bundle])["repeated"], true);

    eventually("the timer", || count(&journal(&b, &session), "timer_fired") == 1);
    eventually("the turn", || count(&journal(&b, &session), "turn_ended") == 1);
    let after = journal(&b, &session);
    assert_eq!(after[..before.len()], before[..], "the same events at the same offsets");
    assert_eq!(after[before.len()]["kind"], "arrived");
    assert_eq!(count(&after, "timer_fired"), 1);
    assert_eq!(count(&journal(&a, &session), "timer_fired"), 0);
    // Taken, it cannot be refused, and what was left can be cleared away.
    let said = fails(&["sessions", "refuse", &bundle], b.data());
    assert!(said.contains("imported here already"), "{said}");
    a.sessions(&["delete", &session, "--moved"]);
    assert_eq!(call(&left, "GET", &format!("sessions/{session}"), &json!({})).0, 404);
    left.stop();
    right.stop();
}

#[test]
fn a_refused_session_is_unsealed_and_strangers_are_not_believed() {
    let (a, b, c) = (Cell::new("a"), Cell::new("b"), Cell::new("c"));
    a.trusts(&[&b]);
    b.trusts(&[&a]);
    let (left, right, other) = (a.start(), b.start(), c.start());
    let session = made(&left);
    let bundle = a.file("moves");
    a.sessions(&["export", &session, "--move", "b", "--out", &bundle]);
    let said = fails(&["sessions", "import", &bundle], c.data());
    assert!(said.contains("does not trust") && said.contains("cell `a`"), "{said}");
    let said = fails(&["sessions", "unseal", &session, &bundle], a.data());
    assert!(!said.is_empty());

    let refusal = b.file("refusal");
    b.sessions(&["refuse", &bundle, "--out", &refusal]);
    let said = fails(&["sessions", "import", &bundle], b.data());
    assert!(said.contains("refused the bundle"), "{said}");
    a.sessions(&["unseal", &session, &refusal]);
    let (status, _) =
        call(&left, "POST", &format!("sessions/{session}/signals"), &json!({"name": "x"}));
    assert_eq!(status, 200);

    // A copy, and one of which a byte is another.
    let copy = a.file("copy");
    a.sessions(&["export", &session, "--out", &copy]);
    let mut bytes = std::fs::read(&copy).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let changed = a.file("changed");
    std::fs::write(&changed, bytes).unwrap();
    let said = fails(&["sessions", "import", &changed], b.data());
    assert!(said.contains("nothing of it was imported"), "{said}");
    let imported = b.sessions(&["import", &copy, "--idempotency-key", "once"]);
    assert_eq!(imported["moved"], false);
    assert_ne!(imported["session"], session.as_str());
    let again = b.sessions(&["import", &copy, "--idempotency-key", "once"]);
    assert_eq!((&again["session"], &again["repeated"]), (&imported["session"], &json!(true)));
    for running in [left, right, other] {
        running.stop();
    }
}
