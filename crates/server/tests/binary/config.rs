//! Configuration: checked before, taken while it runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::running::{Running, eventually, fails, succeeds};

const GOOD: &str = "[providers.east]\nkind = \"compatible\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
                    [routes.fast]\nto = \"east/m\"\n";

#[test]
fn the_example_is_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../freehold.example.toml");
    let said = succeeds(&["check", "--config", example], folder.path());
    assert!(said.contains("is in order"), "{said}");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    fs::write(&file, "[server]\nlisen = \"127.0.0.1:1\"\n").unwrap();
    let file = file.to_str().unwrap();
    for command in ["check", "serve"] {
        let said = fails(&[command, "--config", file], folder.path());
        assert!(
            said.contains(&format!("{file}:2:1: unknown key `lisen`: did you mean `listen`?")),
            "{said}"
        );
    }
    let said = fails(&["check", "--config", "/nowhere/f.toml"], folder.path());
    assert!(said.contains("/nowhere/f.toml"), "{said}");
}

fn models(running: &Running) -> String {
    running.get("/v1/models", Some(&running.admin_key())).1
}

fn start(folder: &Path) -> (Running, std::path::PathBuf) {
    start_with(folder, GOOD)
}

fn start_with(folder: &Path, config: &str) -> (Running, std::path::PathBuf) {
    let file = folder.join("freehold.toml");
    fs::write(&file, config).unwrap();
    let running =
        Running::start_with(&folder.join("data"), &["--config", file.to_str().unwrap()], &[]);
    (running, file)
}

#[test]
fn a_change_is_taken_and_a_mistake_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let (running, file) = start(folder.path());
    assert!(models(&running).contains("\"fast\""));

    fs::write(&file, format!("{GOOD}[routes.slow]\nto = \"east/n\"\n")).unwrap();
    eventually("the new route", || models(&running).contains("\"slow\""));

    fs::write(&file, "[routes.broken]\nto = \"west/m\"\n").unwrap();
    let ready = || running.get("/readyz", None).1;
    eventually("the error", || ready().contains("no provider is named `west`"));
    assert!(models(&running).contains("\"slow\""), "the last good one is gone");
    assert_eq!(running.get("/readyz", None).0, 200);
    assert!(running.get("/metrics", None).1.contains("freehold_config_ok 0"));

    fs::write(&file, GOOD).unwrap();
    eventually("the error's end", || ready().contains(r#""status":"ready""#));
    assert!(!models(&running).contains("\"slow\""));
    let logged = running.stop();
    assert!(logged.contains("the last good one stays"), "{logged}");
}

#[test]
fn a_signal_asks_for_a_reading_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _) = start(folder.path());
    running.signal("HUP");
    let reloads = || running.get("/metrics", None).1;
    eventually("a reload", || reloads().contains("freehold_config_reloads_total{result=\"ok\"} 1"));
    running.stop();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the server runs on the machine's own clock")]
fn usage_settings_are_taken_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (running, file) = start_with(folder.path(), &format!("{GOOD}[usage]\nflush_ms = 10_000\n"));
    let key = running.admin_key();
    let body = r#"{"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}"#;
    let (status, _) = running.request("POST", "/v1/chat/completions", Some(&key), body);
    assert_eq!(status, 502, "nobody is at that address");
    let began = Instant::now();
    let recorded = || running.get("/v1/freehold/exchanges", Some(&key)).1.contains("exch_");
    assert!(!recorded(), "it is to be gathered for ten seconds");

    let usage = "[usage]\nflush_ms = 1\nretention_days = 7\ndurability = \"sync\"\n";
    fs::write(&file, format!("{GOOD}{usage}")).unwrap();
    eventually("the record", recorded);
    assert!(began.elapsed() < Duration::from_secs(8), "that was the old setting");
    assert!(!running.stop().contains("after a restart"));
}
