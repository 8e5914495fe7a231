//! Keys, groups and budgets, with and without a server.

use serde_json::Value;

use super::running::{Running, fails, succeeds};

fn create(args: &[&str], data: &std::path::Path) -> Value {
    let out = succeeds(&[&["keys", "create", "--json"], args].concat(), data);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_key_is_in_force_when_the_command_returns_and_refused_once_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let made = create(&["--name", "ci", "--rpm", "60", "--group", "research"], folder.path());
    let key = made["key"].as_str().unwrap();
    assert_eq!(made["limits"]["requests_per_minute"], 60);
    assert_eq!(running.get("/v1/models", Some(key)).0, 200);
    // It is no admin key.
    assert_eq!(running.get("/v1/freehold/keys", Some(key)).0, 403);
    assert!(!succeeds(&["keys", "list", "--json"], folder.path()).contains(key));

    succeeds(&["keys", "revoke", made["id"].as_str().unwrap()], folder.path());
    assert_eq!(running.get("/v1/models", Some(key)).0, 401);
    assert!(!running.stop().contains(key), "a key is in the log");
}

#[test]
fn without_a_server_the_command_works_on_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let made = create(&["--name", "early", "--route", "local", "--expires", "90d"], folder.path());
    assert_eq!(made["routes"][0], "local");
    succeeds(&["budgets", "create", "--amount", "12.50", "--period", "month"], folder.path());
    let running = Running::start(folder.path());
    assert_eq!(running.get("/v1/models", made["key"].as_str()).0, 200);
    assert!(succeeds(&["budgets", "list"], folder.path()).contains("12.5"));
    running.stop();
    assert!(succeeds(&["keys", "list"], folder.path()).contains("early"));
}

#[test]
fn a_wrong_command_is_told_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    for (args, told) in [
        (&["keys", "create", "--name", ""][..], "name:"),
        (&["keys", "create", "--name", "a", "--expires", "soon"], "such as 90d"),
        (
            &["keys", "create", "--name", "a", "--expires", "2020-01-01T00:00:00Z"],
            "expired already",
        ),
        (&["keys", "revoke", "key_1"], "the key's id cannot be used"),
        (&["keys", "revoke", "key_01890000000070008000000000000000"], "has no key"),
        (&["budgets", "create", "--amount=-1"], "less than nothing"),
        (&["groups", "set", "a", "--parent", "b"], "`b`"),
        (&["usage", "--by", "colour"], "`colour` is none of tenant, group"),
        (&["chat", "hello"], "no server runs on this data folder"),
    ] {
        let said = fails(args, data);
        assert!(said.contains(told), "{args:?}: {said}");
    }
}

#[test]
fn an_admin_key_manages_over_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let running =
        Running::start_with(folder.path(), &[], &[("FREEHOLD_BOOTSTRAP_KEY", "sk-first")]);
    assert_eq!(running.admin_key(), "sk-first");
    let admin = Some("sk-first");
    let body = r#"{"name":"a","tenant":"acme","admin":true}"#;
    let (status, made) = running.request("POST", "/v1/freehold/keys", admin, body);
    assert_eq!(status, 201, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let acme = made["key"].as_str();
    // An admin of one tenant is none of another, nor of the server.
    assert_eq!(running.get("/v1/freehold/keys?tenant=acme", acme).0, 200);
    assert_eq!(running.get("/v1/freehold/keys", acme).0, 403);
    assert_eq!(running.get("/v1/freehold/status", acme).0, 403);
    assert_eq!(running.get("/v1/freehold/usage?by=day", acme).0, 200);
    assert_eq!(running.get("/v1/freehold/usage?tenant=main", acme).0, 403);

    let path = format!("/v1/freehold/keys/{}?tenant=acme", made["id"].as_str().unwrap());
    let (status, changed) =
        running.request("PATCH", &path, admin, r#"{"expires_at":null,"name":"b"}"#);
    assert_eq!((status, changed.contains(r#""name":"b""#)), (200, true), "{changed}");
    for (method, path, body, status) in [
        ("POST", "/v1/freehold/keys", "{", 400),
        ("POST", "/v1/freehold/keys", r#"{"name":"a","colour":1}"#, 400),
        ("PUT", "/v1/freehold/groups/g", r#"{"limits":{"concurrency":2}}"#, 200),
        ("DELETE", "/v1/freehold/groups/g", "", 204),
        ("DELETE", "/v1/freehold/groups/g", "", 404),
        ("DELETE", "/v1/freehold/keys", "", 400),
        ("GET", "/v1/freehold/nothing", "", 404),
        ("GET", "/v1/freehold/losses", "", 200),
        ("GET", "/v1/freehold/routes", "", 200),
        ("GET", "/v1/freehold/exchanges?state=interrupted", "", 200),
        ("GET", "/v1/freehold/exchanges?state=lost", "", 400),
    ] {
        let (found, told) = running.request(method, path, admin, body);
        assert_eq!(found, status, "{method} {path}: {told}");
        assert!(status < 400 || told.contains("\"detail\""), "{told}");
    }
}
