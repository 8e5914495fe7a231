//! Many nodes, several versions, and what protects the way to the database.

use freehold_store::{OpenError, Postgres, Sqlite, SqliteOptions};
use freehold_types::{Db, Secret, args};

use crate::server::{self, Server, connect, fresh_url};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_nodes_that_start_at_once_migrate_once() {
    let url = fresh_url().await;
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { drop(server::open(&url).await) })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    let rows = connect(&url).await.query("SELECT number FROM migrations", &[]).await.unwrap();
    let mut numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    numbers.sort_unstable();
    let expected: Vec<i64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    assert!(!numbers.is_empty());
}

async fn refusal(url: &str) -> OpenError {
    match Postgres::open(&server::options(url), server::env()).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_it_was_made_for_this_version_too() {
    let url = fresh_url().await;
    drop(server::open(&url).await);
    let beside = connect(&url).await;
    let newest = beside.query_one("SELECT MAX(number) FROM migrations", &[]).await.unwrap();
    let newest: i64 = newest.get(0);
    let later = "INSERT INTO migrations VALUES ($1, 'later', 'x', $2)";
    beside.execute(later, &[&(newest + 1), &newest]).await.unwrap();
    drop(server::open(&url).await);
    beside.execute(later, &[&(newest + 2), &(newest + 1)]).await.unwrap();
    let error = refusal(&url).await;
    let OpenError::Newer { found, known } = error else { panic!("{error}") };
    assert_eq!((found, known), (newest + 2, newest));
    let other = "DELETE FROM migrations WHERE name = 'later'; UPDATE migrations SET hash = 'x'";
    beside.batch_execute(other).await.unwrap();
    assert!(matches!(refusal(&url).await, OpenError::Changed { number: 1, .. }));
}

#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let url = fresh_url().await;
    drop(server::open(&url).await);
    let sql = "SELECT table_name || '.' || column_name, data_type, is_nullable, collation_name
        FROM information_schema.columns WHERE table_schema = current_schema()
        AND table_name <> 'migrations' ORDER BY table_name COLLATE \"C\", ordinal_position";
    let mut here = Vec::new();
    for row in connect(&url).await.query(sql, &[]).await.unwrap() {
        let kind: &str = row.get(1);
        let kind = match kind {
            "bytea" => "BLOB".to_owned(),
            "text" => {
                assert_eq!(row.get::<_, Option<&str>>(3), Some("C"), "{}", row.get::<_, String>(0));
                "TEXT".to_owned()
            }
            other => other.to_uppercase(),
        };
        here.push((row.get::<_, String>(0), kind, row.get::<_, &str>(2) == "NO"));
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&SqliteOptions::new(folder.path())).unwrap();
    let sql = "SELECT t.name || '.' || c.name, c.type, c.\"notnull\" FROM sqlite_schema AS t
        JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name <> 'migrations'
        ORDER BY t.name, c.cid";
    let mut there = Vec::new();
    for mut row in store.read(sql, args![]).await.unwrap() {
        there.push((row.take().unwrap(), row.take().unwrap(), row.take::<bool>().unwrap()));
    }
    assert_eq!(here, there);
    assert!(here.len() > 60);
}

#[tokio::test]
async fn a_check_says_what_is_met_and_leaves_nothing_behind() {
    let url = fresh_url().await;
    let report = Postgres::check(&server::options(&url)).await.unwrap();
    let unmet: Vec<_> = report.findings.iter().filter(|finding| !finding.met).collect();
    assert!(report.is_usable() && unmet.is_empty(), "{unmet:?}");
    assert!(report.version.starts_with("PostgreSQL"), "{report:?}");
    let sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()";
    assert_eq!(connect(&url).await.query(sql, &[]).await.unwrap().len(), 0);

    let careless = Server::start(&["fsync=off", "full_page_writes=off"]);
    let report = Postgres::check(&server::options(&careless.url())).await.unwrap();
    let unmet: Vec<_> = report.findings.iter().filter(|finding| !finding.met).collect();
    assert!(!report.is_usable());
    assert!(unmet[0].must && unmet[0].detail.contains("fsync = on"), "{unmet:?}");
}

#[tokio::test]
async fn commits_are_on_disk_even_if_the_server_would_rather_not() {
    let server = Server::start(&["synchronous_commit=off"]);
    let beside = connect(&server.url()).await;
    let sql = "CREATE TABLE said (what TEXT); ALTER ROLE freehold SET statement_timeout = 0";
    beside.batch_execute(sql).await.unwrap();
    let store = server::open(&server.url()).await;
    let mut unit = freehold_types::Unit::new("ask");
    unit.run("INSERT INTO said SELECT current_setting('synchronous_commit')", args![]);
    unit.run("INSERT INTO said SELECT current_setting('transaction_isolation')", args![]);
    store.write(unit).await.unwrap();
    let rows = store.read("SELECT what FROM said ORDER BY what", args![]).await.unwrap();
    let said: Vec<String> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
    assert_eq!(said, ["on", "read committed"]);
}

#[tokio::test]
async fn a_password_and_a_certificate_are_asked_for_and_verified() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = free.port();
    let server = Server::start(&["listen_addresses=localhost", &format!("port={port}")]);
    let data = server.folder.join("data").display().to_string();
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = issued.cert.pem();
    let beside = connect(&format!("{}&port={port}", server.url())).await;
    let put = async |file: &str, text: &str| {
        // Written by the server, for it must own its key.
        let sql = format!(
            "COPY (SELECT unnest(string_to_array('{}', chr(10)))) TO PROGRAM
            'umask 077; cat > {data}/{file}'",
            text.trim()
        );
        beside.batch_execute(&sql).await.unwrap();
    };
    put("server.crt", &certificate).await;
    put("server.key", &issued.signing_key.serialize_pem()).await;
    put("pg_hba.conf", "local all all trust\nhostssl all guarded localhost scram-sha-256").await;
    for sql in [
        "CREATE ROLE guarded LOGIN PASSWORD 'right'",
        "GRANT ALL ON SCHEMA public TO guarded",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        beside.batch_execute(sql).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &certificate).unwrap();
    let url = |mode: &str| format!("postgres://guarded@localhost:{port}/postgres?sslmode={mode}");
    let trusting = |mode: &str| {
        let roots = roots.display().to_string().replace('/', "%2F");
        format!("{}&sslrootcert={roots}", url(mode))
    };
    let attempt = async |url: String, password: &str| {
        let mut options = server::options(&url);
        options.password = Some(Secret::new(password));
        options.patience = std::time::Duration::from_secs(2);
        match Postgres::open(&options, server::env()).await {
            Ok(store) => store.read("SELECT 1", args![]).await.map_err(|e| e.to_string()).map(drop),
            Err(error) => Err(error.to_string()),
        }
    };
    // It may take a moment until the server has its certificate.
    for _ in 0..50 {
        if attempt(trusting("verify-full"), "right").await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(attempt(trusting("verify-full"), "right").await, Ok(()));
    let refused = attempt(trusting("verify-full"), "wrong").await.unwrap_err();
    assert!(refused.contains("password") && !refused.contains("wrong"), "{refused}");
    let unknown = attempt(url("require"), "right").await.unwrap_err();
    assert!(unknown.contains("certificate"), "{unknown}");
    let other_name = trusting("verify-full").replace("localhost", "127.0.0.1");
    assert!(attempt(other_name, "right").await.is_err(), "a certificate for another name");
    let open = attempt(url("disable"), "right").await.unwrap_err();
    assert!(open.contains("pg_hba.conf"), "{open}");
}
