//! What only the embedded store does: it commits in groups, owns its folder,
//! bounds its queue, survives a kill, and says what is wrong with a file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, their helpers included")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use freehold_store::{OpenError, Sqlite, SqliteOptions};
use freehold_types::{Db, DbError, Unit, args};

fn open(folder: &Path) -> Sqlite {
    Sqlite::open(&SqliteOptions::new(folder)).unwrap()
}

fn refusal(folder: &Path) -> OpenError {
    match Sqlite::open(&SqliteOptions::new(folder)) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

fn create() -> Unit {
    let mut unit = Unit::new("create");
    unit.run("CREATE TABLE scratch (n BIGINT PRIMARY KEY, pad TEXT)", args![]);
    unit
}

fn insert(n: i64) -> Unit {
    let mut unit = Unit::new("insert");
    unit.run("INSERT INTO scratch (n, pad) VALUES ($1, $2)", args![n, "x".repeat(100)]);
    unit
}

async fn count(db: &dyn Db) -> i64 {
    let mut rows = db.read("SELECT COUNT(*) FROM scratch", args![]).await.unwrap();
    rows.remove(0).take().unwrap()
}

#[tokio::test]
async fn units_that_wait_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(create()).await.unwrap();
    let writes: Vec<_> = (0..1000).map(|n| store.write(insert(n))).collect();
    for write in writes {
        write.await.unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.units, stats.queued), (1001, 0));
    assert!(stats.commits < 500, "{stats:?}");
}

#[tokio::test]
async fn units_take_effect_in_the_order_of_the_calls() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(create()).await.unwrap();
    let mut writes: Vec<_> = (0..500).map(|n| store.write(insert(n * 7 % 500))).collect();
    while let Some(write) = writes.pop() {
        write.await.unwrap();
    }
    let rows = store.read("SELECT n FROM scratch ORDER BY rowid", args![]).await.unwrap();
    let found: Vec<i64> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
    assert_eq!(found, (0..500).map(|n| n * 7 % 500).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_it_holds_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions::new(folder.path());
    options.queue_units = 4;
    let store = Sqlite::open(&options).unwrap();
    store.write(create()).await.unwrap();
    let writes: Vec<_> = (0..1000).map(|n| store.write(insert(n))).collect();
    let (mut kept, mut refused) = (0, 0);
    for write in writes {
        match write.await {
            Ok(_) => kept += 1,
            Err(DbError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    assert_eq!(kept + refused, 1000);
    assert_eq!(count(&store).await, kept);
}

#[tokio::test]
async fn closing_commits_what_is_queued_and_then_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(create()).await.unwrap();
    let writes: Vec<_> = (0..1000).map(|n| store.write(insert(n))).collect();
    store.close();
    for write in writes {
        write.await.unwrap();
    }
    assert!(matches!(store.write(insert(-1)).await, Err(DbError::Unavailable(_))));
    let read = store.read("SELECT 1", args![]).await;
    assert!(matches!(read, Err(DbError::Unavailable(_))));
    assert!(!folder.path().join("freehold.db-wal").exists(), "all is in the file");
    assert_eq!(count(&open(folder.path())).await, 1000);
}

#[tokio::test]
async fn a_second_opener_is_told_which_folder_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    store.close();
    drop(open(folder.path()));
}

#[tokio::test]
async fn the_log_is_moved_into_the_file_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(create()).await.unwrap();
    let file = folder.path().join("freehold.db");
    let before = std::fs::metadata(&file).unwrap().len();
    for n in 0..2000 {
        drop(store.write(insert(n)));
    }
    store.write(insert(-1)).await.unwrap();
    let grown = || std::fs::metadata(&file).unwrap().len() > before + 100_000;
    for _ in 0..100 {
        if grown() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no checkpoint in five seconds");
}

#[test]
fn a_file_of_another_kind_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("freehold.db");
    std::fs::write(&file, "this is a text, and it is long enough to be one. ".repeat(100)).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("freehold.db is damaged"), "{error}");
    assert!(std::fs::read(&file).unwrap().starts_with(b"this is a text"));
}

#[test]
fn another_programs_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("freehold.db")).unwrap();
    database.execute_batch("CREATE TABLE photos (name TEXT)").unwrap();
    drop(database);
    assert!(matches!(refusal(folder.path()), OpenError::NotOurs { .. }));
}

#[tokio::test]
async fn damage_inside_the_file_is_an_error_of_its_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(create()).await.unwrap();
    for n in 0..2000 {
        drop(store.write(insert(n)));
    }
    store.close();
    let file = folder.path().join("freehold.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let store = open(folder.path());
    let read = store.read("SELECT n, pad FROM scratch", args![]).await;
    assert!(matches!(read, Err(DbError::Corrupt(_))), "{read:?}");
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let database = rusqlite::Connection::open(folder.path().join("freehold.db")).unwrap();
    let sql = "INSERT INTO migrations (number, name, hash) VALUES (9999, 'later', x'00')";
    database.execute(sql, []).unwrap();
    drop(database);
    assert!(matches!(refusal(folder.path()), OpenError::Newer { found: 9999, .. }));
}

#[cfg(unix)]
#[test]
fn other_users_cannot_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data");
    let store = open(&folder);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in ["freehold.db", "freehold.db-wal", "freehold.db-shm", "freehold.lock"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    drop(store);
}

/// The folder that the child process below writes to.
const CHILD_FOLDER: &str = "FREEHOLD_TEST_CRASH_FOLDER";

/// Not a test of its own: the process that the next test kills. It writes
/// without end, 64 units at a time, and prints each number once it is
/// acknowledged.
#[tokio::test]
async fn crash_child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let store = open(Path::new(&folder));
    let start = count(&store).await;
    let mut out = std::io::stdout().lock();
    for first in (start..).step_by(64) {
        let writes: Vec<_> = (first..first + 64).map(|n| (n, store.write(insert(n)))).collect();
        for (n, write) in writes {
            write.await.unwrap();
            writeln!(out, "ack {n}").unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(create()).await.unwrap();
    store.close();
    for acks_before_kill in [1_usize, 100, 1000] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_child", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acked: Vec<i64> = Vec::new();
        while acked.len() < acks_before_kill {
            let line = lines.next().expect("the child writes on").unwrap();
            acked.extend(line.strip_prefix("ack ").map(|n| n.parse::<i64>().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it printed before the kill was acknowledged, too.
        for line in lines.map_while(Result::ok) {
            acked.extend(line.strip_prefix("ack ").and_then(|n| n.parse::<i64>().ok()));
        }
        let store = open(folder.path());
        let rows = store.read("SELECT n FROM scratch ORDER BY n", args![]).await.unwrap();
        let stored: Vec<i64> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
        let expected: Vec<i64> = (0_i64..).take(stored.len()).collect();
        assert_eq!(stored, expected, "in order, without gaps");
        assert!(acked.iter().all(|n| stored.contains(n)));
        store.close();
    }
}
