//! Freehold as a program under test: how it is started, asked and read.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::{Running, Scratch};
use crate::{http, proc};

/// The first admin key of a server under test.
pub const ADMIN: &str = "fh-bench-key-that-is-long-enough-to-be-one-000000000";

/// A running server with all that a production has on: keys, limits of a key
/// and its group, budgets of key, group and tenant, and usage.
#[derive(Debug)]
pub struct Freehold {
    process: Running,
    /// Where it serves.
    pub address: SocketAddr,
    /// A client's key.
    pub key: String,
    /// What it is called in the admin API.
    pub key_id: String,
    _folder: Scratch,
}

/// A configuration of two routes to one upstream: `byte` in the client's own
/// dialect, `cross` in another one.
fn config(upstream: SocketAddr, folder: &Scratch) -> String {
    let price = r#"price = { input = "1.00", output = "2.00" }"#;
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
data = "{}"

[providers.up]
kind = "compatible"
base_url = "http://{upstream}/v1"

[providers.upm]
kind = "anthropic"
base_url = "http://{upstream}/v1"

[routes.byte]
default_max_tokens = 256
deployments = [{{ provider = "up", model = "mock", {price} }}]

[routes.cross]
default_max_tokens = 256
deployments = [{{ provider = "upm", model = "mock", {price} }}]

[limits.tenants.main]
requests_per_minute = 10_000_000
tokens_per_minute = 100_000_000_000
concurrency = 20_000
"#,
        folder.path().join("data").display()
    )
}

impl Freehold {
    /// Starts it before an upstream. The client's key may have `concurrency`
    /// requests under way.
    pub fn start(program: &str, upstream: SocketAddr, concurrency: u32) -> Result<Self> {
        let folder = Scratch::new("bench")?;
        let config = config(upstream, &folder);
        let mut freehold = Self::serving(program, folder, &config)?;
        let limits = json!({
            "requests_per_minute": 10_000_000,
            "tokens_per_minute": 100_000_000_000_u64,
            "concurrency": concurrency,
        });
        let wide = json!({ "limits": { "concurrency": 20_000 } });
        freehold.admin("PUT", "groups/bench", Some(&wide))?;
        let key = json!({ "name": "bench", "group": "bench", "limits": limits });
        let made = freehold.admin("POST", "keys", Some(&key))?;
        freehold.key = text(&made["key"]);
        freehold.key_id = text(&made["id"]);
        for mut scope in [json!({}), json!({ "group": "bench" }), json!({ "key": made["id"] })] {
            scope["period"] = "day".into();
            scope["amount"] = "1000000".into();
            freehold.admin("POST", "budgets", Some(&scope))?;
        }
        Ok(freehold)
    }

    /// Starts it for sessions that no model answers in, over PostgreSQL at a
    /// url or its own file.
    pub fn for_sessions(program: &str, store: Option<&str>) -> Result<Self> {
        let folder = Scratch::new("bench")?;
        let data = folder.path().join("data");
        let store = store.map(|url| format!("[store]\nurl = \"{url}\"\nconnections = 64\n"));
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ndata = \"{}\"\n{}",
            data.display(),
            store.unwrap_or_default()
        );
        let mut freehold = Self::serving(program, folder, &config)?;
        let made = freehold.admin("POST", "keys", Some(&json!({ "name": "bench" })))?;
        (freehold.key, freehold.key_id) = (text(&made["key"]), text(&made["id"]));
        Ok(freehold)
    }

    fn serving(program: &str, folder: Scratch, config: &str) -> Result<Self> {
        let file = folder.path().join("freehold.toml");
        std::fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&file).env("FREEHOLD_BOOTSTRAP_KEY", ADMIN);
        let (process, address) = Running::serving(&mut command)?;
        Ok(Self { process, address, key: String::new(), key_id: String::new(), _folder: folder })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks its admin API.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let path = format!("/v1/freehold/{path}");
        let (status, answer) = http::ask(self.address, method, &path, ADMIN, &body)?;
        if !(200..300).contains(&status) {
            return Err(Error::other(format!("{method} {path}: {status} {answer}")));
        }
        serde_json::from_str(&answer).map_err(Error::other)
    }

    /// Reads its metrics.
    pub fn metrics(&self) -> Result<Metrics> {
        let (_, page) = http::ask(self.address, "GET", "/metrics", ADMIN, "")?;
        Ok(Metrics(page))
    }

    /// What its budgets have reserved, of those that have anything reserved.
    pub fn reserved(&self) -> Result<Vec<String>> {
        let budgets = self.admin("GET", "budgets", None)?;
        let budgets = budgets["data"].as_array().cloned().unwrap_or_default();
        let reserved = budgets.iter().map(|budget| text(&budget["reserved"]));
        Ok(reserved.filter(|amount| amount.bytes().any(|b| (b'1'..=b'9').contains(&b))).collect())
    }

    /// How many exchanges the books have as open; a page of them at most.
    pub fn open_exchanges(&self) -> Result<usize> {
        let open = self.admin("GET", "exchanges?state=open", None)?;
        Ok(open["data"].as_array().map_or(0, Vec::len))
    }

    /// How many exchanges the usage report sums up.
    pub fn used_exchanges(&self) -> Result<u64> {
        let usage = self.admin("GET", "usage", None)?;
        let rows = usage["data"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row["exchanges"].as_u64()).sum())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A page of Prometheus metrics.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// The sum over a metric's samples; whole numbers only.
    pub fn sum(&self, name: &str) -> u64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let samples = lines.filter(|rest| rest.starts_with(['{', ' ']));
        samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The lines of a metric that are not zero.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.0.lines().filter(|line| line.starts_with(name) && !line.ends_with(" 0"));
        lines.map(str::to_owned).collect()
    }
}

/// The resident memory of a process in KiB, ten times a second while `work`
/// runs.
pub fn watching_memory<T>(pid: u32, work: impl FnOnce() -> T) -> (T, Vec<u64>) {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut samples = Vec::new();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                samples.push(proc::rss_kib(pid));
                std::thread::sleep(Duration::from_millis(100));
            }
            samples
        });
        let result = work();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        (result, watcher.join().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_their_whole_name() {
        let page = Metrics("# HELP a b\na 2\na{x=\"y\"} 3\na_total 7\nb 1\n".to_owned());
        assert_eq!((page.sum("a"), page.sum("a_total"), page.sum("c")), (5, 7, 0));
    }
}
