//! A backup is taken in the middle of a call of a tool; the server goes on, is
//! killed, and what was backed up is restored and goes on: nothing that may
//! have happened in what was lost happens a second time, and who remembers it
//! is told that it is lost.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use super::running::{Running, eventually, fails, succeeds};

/// A model that pays once, and the service that is paid; which does not answer
/// until it is let.
#[derive(Default)]
struct Outside {
    payments: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Outside {
    fn start() -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, outside) = (listener.local_addr().unwrap(), Arc::<Self>::default());
        let own = Arc::clone(&outside);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let own = Arc::clone(&own);
                std::thread::spawn(move || own.answer(stream.unwrap()));
            }
        });
        (outside, address)
    }

    /// One request a connection. Whoever asks may be killed at any time.
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                line.split(' ').nth(1)?.clone_into(&mut path);
            }
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (kind, text) = if path == "/plain" {
            let mut payments = self.payments.lock().unwrap();
            payments.0 += 1;
            drop(self.changed.wait_while(payments, |payments| !payments.1).unwrap());
            ("application/json", json!({ "paid": true }).to_string())
        } else {
            ("text/event-stream", said(&String::from_utf8_lossy(&body)))
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {}",
            text.len()
        );
        stream.write_all(format!("{head}\r\n\r\n{text}").as_bytes()).ok()
    }

    fn paid(&self) -> u32 {
        self.payments.lock().unwrap().0
    }

    fn let_answer(&self) {
        self.payments.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// It pays, until it has seen a result.
fn said(asked: &str) -> String {
    let call = json!({ "index": 0, "id": "call_1", "type": "function",
        "function": { "name": "pay__plain", "arguments": "{\"body\":{}}" } });
    let (delta, reason) = if asked.contains("\"tool_call_id\"") {
        (json!({ "role": "assistant", "content": "All right." }), "stop")
    } else {
        (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
    };
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": "m", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    chunk(delta, Value::Null) + &chunk(json!({}), reason.into()) + "data: [DONE]\n\n"
}

fn config(folder: &Path, address: SocketAddr) -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "payments", "version": "1" },
        "servers": [{ "url": format!("http://{address}") }],
        "paths": { "/plain": { "post": { "operationId": "plain", "summary": "Pays",
            "requestBody": { "required": true, "content": { "application/json": {
                "schema": { "type": "object" } } } } } } }
    });
    let text = format!(
        "[providers.scripted]\nkind = \"compatible\"\nbase_url = \"http://{address}/v1\"\n\
         dialects = [\"chat\"]\n[tools.pay]\nkind = \"http\"\nonly = [\"plain\"]\n\
         document = '''{document}'''\n\
         [tools.pay.tools.plain]\nretry = \"unknown\"\n"
    );
    let path = folder.join("freehold.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

struct Client<'r> {
    running: &'r Running,
    key: &'r str,
}

impl Client<'_> {
    fn ask(&self, method: &str, path: &str, once: &str, body: &Value) -> (u16, Value) {
        let headers = [("content-type", "application/json"), ("idempotency-key", once)];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/v1/freehold/sessions{path}");
        let (status, said) = self.running.send(method, &path, Some(self.key), &headers, &body);
        (status, serde_json::from_str(&said).unwrap_or(Value::String(said)))
    }

    fn begin(&self, once: &str) -> Value {
        let settings = json!({ "request": { "model": "scripted/m" }, "tools": ["pay"] });
        let body = json!({ "settings": settings, "input": "Pay it." });
        let (status, session) = self.ask("POST", "", once, &body);
        assert_eq!(status, 201, "{session}");
        session
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "none", &Value::Null).1
    }

    /// The kinds of a session's events.
    fn kinds(&self, id: &str) -> Vec<String> {
        let page = self.get(&format!("/{id}/journal?limit=200"));
        let events = page["data"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn what_may_have_happened_in_what_a_restore_lost_does_not_happen_again() {
    let root = tempfile::tempdir().unwrap();
    let (outside, address) = Outside::start();
    let config = config(root.path(), address);
    let (data, new, copy) = (root.path().join("a"), root.path().join("b"), root.path().join("c"));
    let copied = copy.display().to_string();
    let running = Running::start_with(&data, &["--config", &config], &[]);
    let key = running.admin_key();
    let client = Client { running: &running, key: &key };
    let begun = client.begin("begin");
    let id = begun["id"].as_str().unwrap();
    eventually("the payment is under way", || outside.paid() == 1);
    succeeds(&["backup", &copied, "--with-key", "--config", &config], &data);
    let said = fails(&["fsck", "--config", &config], &data);
    assert!(said.contains("in use"), "{said}");

    // It goes on: all of this is lost.
    outside.let_answer();
    let ends = |client: &Client<'_>, turns: usize| {
        eventually("the turn ends", || {
            client.kinds(id).iter().filter(|kind| *kind == "turn_ended").count() == turns
        });
    };
    ends(&client, 1);
    let more = json!({ "input": "And now?", "busy": "enqueue" });
    let (status, lost) = client.ask("POST", &format!("/{id}/input"), "more", &more);
    assert!(status < 300, "{lost}");
    ends(&client, 2);
    let head = client.get(&format!("/{id}"))["head"].as_u64().unwrap();
    let late = client.begin("late");
    eventually("that one pays, too", || outside.paid() == 2);
    running.signal("KILL");
    drop(running);
    let said = succeeds(&["fsck", "--config", &config], &data);
    assert!(said.contains(" 0 wrong"), "{said}");

    let said = succeeds(&["restore", &copied, "--config", &config], &new);
    let timeline = said.trim().trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
    let said = succeeds(&["fsck", "--json", "--config", &config], &new);
    assert!(said.contains("\"wrong\":0"), "{said}");
    let running = Running::start_with(&new, &["--config", &config], &[]);
    let client = Client { running: &running, key: &key };
    // Nobody asks for it: it goes on by itself, and does not pay again.
    ends(&client, 1);
    let kinds = client.kinds(id).join(" ");
    assert!(kinds.contains("tool_started restored tool_doubted tool_outcome"), "{kinds}");
    assert_eq!(outside.paid(), 2, "not again");
    let session = client.get(&format!("/{id}"));
    assert_eq!(session["timeline"].to_string(), timeline);
    // A cursor into what was lost is told so, with what is common.
    let cursor = format!("/{id}/stream?after=1-{head}");
    let (status, told) = client.ask("GET", &cursor, "none", &Value::Null);
    assert!(status >= 400 && told.to_string().contains("last offset in common"), "{told}");
    // Keys of what was lost are not known; what came with them is taken anew.
    let (status, again) = client.ask("POST", &format!("/{id}/input"), "more", &more);
    assert!(status < 300 && again["repeated"] == false, "{again}");
    ends(&client, 2);
    // A session of what was lost is made anew, on the new timeline.
    let anew = client.begin("late");
    assert_eq!((&anew["id"], anew["timeline"].to_string()), (&late["id"], timeline));
    let cursor = format!("/{}/stream?after=1-3", anew["id"].as_str().unwrap());
    let (status, told) = client.ask("GET", &cursor, "none", &Value::Null);
    assert!(status >= 400 && told.to_string().contains("from the start"), "{told}");
    eventually("it is paid for, as it was asked to", || outside.paid() == 3);
    running.stop();
    let said = succeeds(&["fsck", "--config", &config], &new);
    assert!(said.contains(" 0 wrong"), "{said}");
}
