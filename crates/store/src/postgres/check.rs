//! What a database is, and which of the store's needs it meets: each is tried
//! on it, and nothing that was tried stays.

use super::PostgresOptions;
use super::citus;
use super::connect::{Connector, Link, Purpose};
use super::fault::{Fault, words};
use super::migrate;
use crate::OpenError;
use crate::migrate::MIGRATIONS;

/// What a database is and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where it is.
    pub database: String,
    /// What it calls itself.
    pub version: String,
    /// Whether connections to it are protected by TLS.
    pub protected: bool,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// One need, and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is needed.
    pub need: &'static str,
    /// Whether the store works only with it.
    pub must: bool,
    /// Whether it is there.
    pub met: bool,
    /// What was found, or what comes of it.
    pub detail: String,
}

impl Report {
    /// Whether the store can use it.
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|finding| finding.met || !finding.must)
    }
}

/// A setting that must be, or had better be, one of some values.
struct Setting {
    need: &'static str,
    must: bool,
    ask: &'static str,
    /// `None`: any will do.
    good: Option<&'static [&'static str]>,
    otherwise: &'static str,
}

const SETTINGS: [Setting; 6] = [
    Setting {
        need: "text in UTF-8",
        must: true,
        ask: "SHOW server_encoding",
        good: Some(&["UTF8", "utf8", "UTF-8"]),
        otherwise: "make a database with ENCODING 'UTF8'",
    },
    Setting {
        need: "the isolation level READ COMMITTED",
        must: false,
        ask: "SHOW transaction_isolation",
        good: Some(&["read committed"]),
        otherwise: "units are retried more often under a stricter one",
    },
    Setting {
        need: "commits that are on disk when they are acknowledged",
        must: true,
        ask: "SHOW fsync",
        good: Some(&["on"]),
        otherwise: "a crash of the machine can lose or damage what was acknowledged; set fsync = on",
    },
    Setting {
        need: "pages that survive a crash in the midst of a write",
        must: false,
        ask: "SHOW full_page_writes",
        good: Some(&["on"]),
        otherwise: "only right on storage that cannot tear a page",
    },
    Setting {
        need: "locks of a node that is paused are given up",
        must: false,
        ask: "SHOW idle_in_transaction_session_timeout",
        good: None,
        otherwise: "a paused node holds its sessions' rows until its connection is cut",
    },
    Setting {
        need: "statements have a time limit",
        must: false,
        ask: "SHOW statement_timeout",
        good: None,
        otherwise: "a query without end is only stopped by us",
    },
];

/// Something that is tried. All of a probe runs in one transaction, which is
/// undone.
struct Probe {
    need: &'static str,
    must: bool,
    steps: &'static [(&'static str, u64)],
    otherwise: &'static str,
}

/// The table that probes use. It sorts by bytes, has a key of two columns and
/// an index on some of its rows.
const TABLE: &str = "CREATE TABLE freehold_check (a TEXT COLLATE \"C\" NOT NULL, b BIGINT NOT NULL,
    c BYTEA, d DOUBLE PRECISION, PRIMARY KEY (a, b))";

const PROBES: [Probe; 5] = [
    Probe {
        need: "tables made and undone in a transaction",
        must: true,
        steps: &[],
        otherwise: "a migration that fails half-way must be mended by hand",
    },
    Probe {
        need: "indexes on some of a table's rows",
        must: true,
        steps: &[("CREATE INDEX freehold_check_open ON freehold_check (a) WHERE b = 1", 0)],
        otherwise: "open exchanges cannot be found without reading all",
    },
    Probe {
        need: "INSERT ... ON CONFLICT that counts only what it changed",
        must: true,
        steps: &[
            ("INSERT INTO freehold_check (a, b) VALUES ('x', 1) ON CONFLICT DO NOTHING", 1),
            ("INSERT INTO freehold_check (a, b) VALUES ('x', 1) ON CONFLICT DO NOTHING", 0),
            (
                "INSERT INTO freehold_check (a, b, d) VALUES ('x', 1, 2) ON CONFLICT (a, b)
                DO UPDATE SET d = excluded.d WHERE freehold_check.d IS NULL",
                1,
            ),
            (
                "INSERT INTO freehold_check (a, b, d) VALUES ('x', 1, 3) ON CONFLICT (a, b)
                DO UPDATE SET d = excluded.d WHERE freehold_check.d IS NULL",
                0,
            ),
        ],
        otherwise: "guards rest on these counts",
    },
    Probe {
        need: "guarded changes that count their rows",
        must: true,
        steps: &[
            ("INSERT INTO freehold_check (a, b) VALUES ('x', 1), ('x', 2)", 2),
            ("UPDATE freehold_check SET d = 1 WHERE a = 'x' AND b = 1 AND d IS NULL", 1),
            ("UPDATE freehold_check SET d = 1 WHERE a = 'x' AND b = 1 AND d IS NULL", 0),
            ("DELETE FROM freehold_check WHERE (a, b) > ('x', 1)", 1),
        ],
        otherwise: "guards rest on these counts",
    },
    Probe {
        need: "text that sorts by its bytes",
        must: true,
        steps: &[
            ("INSERT INTO freehold_check (a, b) VALUES ('B', 1), ('a', 1), ('~', 1)", 3),
            ("DELETE FROM freehold_check WHERE a > 'Z' AND a < '~'", 1),
        ],
        otherwise: "pages of a list would skip or repeat rows",
    },
];

pub(super) async fn run(
    connector: &Connector,
    options: &PostgresOptions,
) -> Result<Report, OpenError> {
    let refused = |why| OpenError::Connect { database: connector.shown().to_owned(), why };
    let Link { client, .. } = connector.connect(Purpose::Writing).await.map_err(refused)?;
    let show = async |sql: &str| {
        let row = client.query_one(sql, &[]).await.map_err(|error| words(&error))?;
        row.try_get::<_, String>(0).map_err(|error| words(&error))
    };
    let version = show("SELECT version()").await.map_err(refused)?;
    let mut findings = vec![version_finding(&version, show("SHOW server_version_num").await)];
    findings.push(migrations_finding(migrate::count(&client).await));
    findings.push(connections_finding(show("SHOW max_connections").await, options));
    for setting in &SETTINGS {
        findings.push(setting.judge(show(setting.ask).await));
    }
    for probe in &PROBES {
        let tried = probe.run(&client).await;
        let met = tried.is_ok();
        let detail = tried.err().map(|why| format!("{why}; {}", probe.otherwise));
        let detail = detail.unwrap_or_else(|| "tried".into());
        findings.push(Finding { need: probe.need, must: probe.must, met, detail });
    }
    findings.extend(citus::findings(&client).await);
    let protected = connector.is_protected();
    Ok(Report { database: connector.shown().to_owned(), version, protected, findings })
}

const OLDEST_MAJOR: u32 = 15;

/// Engines that speak PostgreSQL's language number themselves in their own
/// way; only PostgreSQL's own number counts.
fn version_finding(version: &str, number: Result<String, String>) -> Finding {
    let major = number.ok().and_then(|n| n.parse::<u32>().ok()).map(|n| n / 10_000);
    let own = version.starts_with("PostgreSQL") && !version.contains("-YB-");
    let met = !own || major.is_some_and(|major| major >= OLDEST_MAJOR);
    let detail = match major {
        Some(major) if own => major.to_string(),
        _ => "another engine: what counts is below".into(),
    };
    Finding { need: "PostgreSQL 15 or newer", must: true, met, detail }
}

fn migrations_finding(applied: Result<usize, Fault>) -> Finding {
    let known = MIGRATIONS.len();
    let met = applied.is_ok();
    let detail = match applied {
        Ok(0) => "none yet: the first `freehold serve` makes the tables".into(),
        Ok(found) => format!("{found} of {known} migrations are applied"),
        Err(fault) => fault.text,
    };
    Finding { need: "tables that this version knows", must: true, met, detail }
}

fn connections_finding(max: Result<String, String>, options: &PostgresOptions) -> Finding {
    let need = "room for this node's connections";
    let own = options.writers + options.readers;
    match max.map(|max| max.parse::<usize>()) {
        Ok(Ok(max)) => {
            let detail = format!("{own} a node, of {max} in all");
            Finding { need, must: false, met: own * 2 <= max, detail }
        }
        _ => Finding { need, must: false, met: true, detail: "it does not tell".into() },
    }
}

impl Setting {
    fn judge(&self, shown: Result<String, String>) -> Finding {
        let Self { need, must, good, otherwise, .. } = *self;
        match shown {
            Ok(value) => {
                let met = good.is_none_or(|good| good.contains(&value.as_str()));
                let detail = if met { value } else { format!("{value}: {otherwise}") };
                Finding { need, must, met, detail }
            }
            // An engine that has no such setting is not refused for it.
            Err(why) => {
                Finding { need, must: false, met: false, detail: format!("{why}; {otherwise}") }
            }
        }
    }
}

impl Probe {
    async fn run(&self, client: &tokio_postgres::Client) -> Result<(), String> {
        let told = |error: tokio_postgres::Error| words(&error);
        client.batch_execute("BEGIN").await.map_err(told)?;
        let tried = async {
            client.batch_execute(TABLE).await.map_err(told)?;
            for (sql, expected) in self.steps {
                let found = client.execute(*sql, &[]).await.map_err(told)?;
                if found != *expected {
                    return Err(format!("{found} rows instead of {expected}"));
                }
            }
            Ok(())
        };
        let tried = tried.await;
        client.batch_execute("ROLLBACK").await.map_err(told)?;
        // What was undone must be gone.
        let gone = client.execute("SELECT a FROM freehold_check", &[]).await.is_err();
        tried.and(if gone { Ok(()) } else { Err("the table was not undone".into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgresqls_own_number_is_held_against_it() {
        let met = |version, number: &str| version_finding(version, Ok(number.to_owned())).met;
        assert!(met("PostgreSQL 15.4 on x86", "150004"));
        assert!(!met("PostgreSQL 14.9 on x86", "140009"));
        assert!(met("CockroachDB CCL v25.1.0", "130000"));
        assert!(met("PostgreSQL 11.2-YB-2.25.0.0 on x86", "110002"));
    }

    #[test]
    fn a_setting_is_judged_by_its_value_and_forgiven_if_unknown() {
        let setting = &SETTINGS[2];
        assert!(setting.judge(Ok("on".into())).met);
        let off = setting.judge(Ok("off".into()));
        assert!(!off.met && off.must && off.detail.starts_with("off: "));
        assert!(!setting.judge(Err("unrecognized".into())).must);
    }
}
