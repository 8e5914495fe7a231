//! The whole binary over PostgreSQL, as over its own file.

use std::path::Path;

use serde_json::Value;

use super::postgres_server::Server;
use super::running::{Running, fails, succeeds};

/// A data folder and a configuration for a node over this server.
fn node(server: &Server) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("freehold.toml");
    std::fs::write(&config, format!("[store]\nurl = {:?}\n", server.url())).unwrap();
    let config = config.display().to_string();
    (folder, config)
}

fn create(args: &[&str], data: &Path) -> Value {
    let out = succeeds(&[&["keys", "create", "--json"], args].concat(), data);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn keys_groups_budgets_and_usage_live_in_the_database() {
    let server = Server::start(&[]);
    let (folder, config) = node(&server);
    let data = folder.path();
    let checked = succeeds(&["db", "check", "--config", &config], data);
    assert!(checked.contains("PostgreSQL") && checked.contains("none yet"), "{checked}");

    // Without a server on the folder, the command opens the database itself.
    let early = create(&["--config", &config, "--name", "early", "--group", "team"], data);
    let master = [("FREEHOLD_MASTER_KEY", &*"1f".repeat(32))];
    let running = Running::start_with(data, &["--config", &config], &master);
    assert_eq!(running.get("/v1/models", early["key"].as_str()).0, 200);
    succeeds(&["budgets", "create", "--amount", "12.50", "--period", "month"], data);
    assert_eq!(running.get("/v1/freehold/usage", Some(&running.admin_key())).0, 200);
    assert!(!data.join("freehold.db").exists(), "nothing is kept in a file");
    let log = running.stop();
    assert!(!log.contains("ERROR"), "{log}");

    // Another node, with a folder of its own, finds all of it.
    let (other, config) = node(&server);
    let told = fails(&["serve", "--listen", "127.0.0.1:0", "--config", &config], other.path());
    assert!(told.contains("nodes over one database share it"), "{told}");
    let running = Running::start_with(other.path(), &["--config", &config], &master);
    assert_eq!(running.get("/v1/models", early["key"].as_str()).0, 200);
    assert!(succeeds(&["budgets", "list"], other.path()).contains("12.5"));
    running.stop();

    let said = fails(&["backup", "somewhere", "--config", &config], other.path());
    assert!(said.contains("pg_dump"), "{said}");
    let said = fails(&["restore", "somewhere", "--config", &config], other.path());
    assert!(said.contains("--begin-timeline"), "{said}");
    let said = succeeds(&["restore", "--begin-timeline", "--config", &config], other.path());
    assert!(said.starts_with("0 sessions go on as timeline "), "{said}");
    let checked = succeeds(&["db", "check", "--config", &config], data);
    assert!(checked.contains("migrations are applied"), "{checked}");
}

#[test]
fn a_database_that_goes_away_stops_nobody_and_comes_back() {
    let server = Server::start(&[]);
    let (folder, config) = node(&server);
    let running = Running::start_with(folder.path(), &["--config", &config], &[]);
    let key = create(&["--name", "a"], folder.path());
    server.tell("stop");
    assert_eq!(running.get("/v1/models", key["key"].as_str()).0, 200, "keys are in memory");
    let told = fails(&["keys", "create", "--name", "b"], folder.path());
    assert!(!told.is_empty());
    server.tell("up");
    for _ in 0..50 {
        if running.get("/readyz", None).0 == 200 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    create(&["--name", "c"], folder.path());
    running.stop();
}

#[test]
fn a_wrong_address_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("freehold.toml");
    let text = "[store]\nurl = \"postgres://u:secret@db/f\"\n";
    std::fs::write(&config, text).unwrap();
    let told = fails(&["check", "--config", &config.display().to_string()], folder.path());
    assert!(told.contains("by reference") && told.contains(":2:"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}
