//! From the first start to the last answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use super::running::{Running, fails};

#[test]
fn what_it_keeps_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let running = Running::start_with(&data, &["--tls-dev"], &[]);
    assert!(running.ready_line.starts_with("freehold is ready on https://127.0.0.1:"));
    assert!(running.ready_line.trim_end().ends_with("admin.key)"));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in ["admin.key", "admin.sock", "freehold.db", "tls-dev-key.pem"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    let key = running.admin_key();
    let logged = running.stop();
    assert!(!logged.contains(&key), "the admin key is in the log");
    assert!(!data.join("admin.sock").exists());
}

#[test]
fn two_servers_do_not_share_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let said = fails(&["serve", "--listen", "127.0.0.1:0"], folder.path());
    assert!(said.contains("in use by another freehold process"), "{said}");
    running.stop();
}

#[test]
fn a_second_start_keeps_keys_and_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(folder.path());
    let key = first.admin_key();
    // Dropped without a signal to stop: killed.
    drop(first);
    let second = Running::start(folder.path());
    assert_eq!(second.admin_key(), key);
    assert_eq!(second.get("/v1/models", Some(&key)).0, 200);
    second.stop();
}

#[test]
fn a_connection_that_waits_for_nothing_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let mut idle = TcpStream::connect(&running.address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut buf = [0; 512];
    assert!(idle.read(&mut buf).unwrap() > 0);
    let logged = running.stop();
    assert!(logged.contains("stopped") && !logged.contains("connections were cut"), "{logged}");
}

#[test]
fn operations_answer_without_a_key_and_metrics_are_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    assert_eq!(running.get("/healthz", None), (200, "ok\n".to_owned()));
    let (status, ready) = running.get("/readyz", None);
    assert_eq!((status, ready.contains(r#""status":"ready""#)), (200, true), "{ready}");
    assert_eq!(running.request("POST", "/metrics", None, "").0, 405);
    let (_, page) = running.get("/metrics", None);
    let mut typed = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = typed.last().unwrap();
            assert!(name.starts_with(family.as_str()), "{name} after {family}");
        }
    }
    let mut once = typed.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), typed.len(), "a metric is begun twice");
    assert!(typed.contains(&"freehold_exchanges_total".to_owned()));
}
