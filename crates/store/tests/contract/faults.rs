//! What only PostgreSQL can do wrong: connections that break in the midst of a
//! unit, conflicts, a server that is gone, or does not answer.

use std::time::Duration;

use freehold_store::{OpenError, Postgres};
use freehold_types::{Db, DbError, Unit, args};

use crate::cut::{Cut, Way};
use crate::server::{self, Server, connect, fresh_schema, fresh_url};

const TABLE: &str = "CREATE TABLE heads (session TEXT PRIMARY KEY, next BIGINT NOT NULL);
    CREATE TABLE lines (id TEXT PRIMARY KEY, session TEXT NOT NULL);
    INSERT INTO heads VALUES ('s', 0)";

/// An append as a session does it: refused if its place is taken.
fn append(id: &str, at: i64) -> Unit {
    let mut unit = Unit::new("append");
    let head = "UPDATE heads SET next = next + 1 WHERE session = $1 AND next = $2";
    unit.expect(1, head, args!["s", at]);
    unit.run("INSERT INTO lines (id, session) VALUES ($1, $2)", args![id, "s"]);
    unit
}

fn proven(id: &str, at: i64) -> Unit {
    let mut unit = append(id, at);
    unit.proven_by("SELECT id FROM lines WHERE id = $1", args![id]);
    unit
}

/// A store over the table above, and a connection beside it.
async fn world() -> (Postgres, tokio_postgres::Client) {
    let url = fresh_url().await;
    let beside = connect(&url).await;
    beside.batch_execute(TABLE).await.unwrap();
    (server::open(&url).await, beside)
}

async fn lines(beside: &tokio_postgres::Client) -> i64 {
    beside.query_one("SELECT COUNT(*) FROM lines", &[]).await.unwrap().get(0)
}

/// Stops every connection of a schema but one's own, in the server.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'freehold' AND state <> 'idle'
    AND query LIKE '%heads%' AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn a_backend_that_is_stopped_in_the_midst_of_a_unit_costs_no_more_than_a_retry() {
    // A server of its own: what it stops must be its own.
    let server = Server::start(&[]);
    let url = fresh_schema(&server.url()).await;
    let mut beside = connect(&url).await;
    beside.batch_execute(TABLE).await.unwrap();
    let store = server::open(&url).await;
    let other = connect(&url).await;
    let held = beside.transaction().await.unwrap();
    held.execute("UPDATE heads SET next = next WHERE session = 's'", &[]).await.unwrap();
    let write = store.write(append("a", 0));
    let stopped = async {
        loop {
            let found = other.query(TERMINATE, &[]).await.unwrap().len();
            if found > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        held.commit().await.unwrap();
    };
    let (written, ()) = tokio::join!(write, stopped);
    assert_eq!(written.unwrap().changed, [1, 1]);
    assert_eq!(lines(&other).await, 1);
    assert!(store.stats().retries > 0);
}

#[tokio::test]
async fn a_serialization_failure_is_retried_until_it_passes() {
    let (store, beside) = world().await;
    let inject = "CREATE SEQUENCE tries;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') < 4 THEN RAISE SQLSTATE '40001'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION fail()";
    beside.batch_execute(inject).await.unwrap();
    store.write(append("a", 0)).await.unwrap();
    assert_eq!((lines(&beside).await, store.stats().retries), (1, 3));

    // The same where it is the commit that fails.
    let deferred = "DROP TRIGGER fail ON lines; ALTER SEQUENCE tries RESTART;
        CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON lines
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()";
    beside.batch_execute(deferred).await.unwrap();
    store.write(append("b", 1)).await.unwrap();
    assert_eq!((lines(&beside).await, store.stats().retries), (2, 6));
}

async fn over(cut: Cut, commits: usize) -> (Server, Way, Postgres, tokio_postgres::Client) {
    let server = Server::start(&[]);
    let beside = connect(&server.url()).await;
    beside.batch_execute(TABLE).await.unwrap();
    // Migrations commit, too.
    drop(server::open(&server.url()).await);
    let way = Way::open(&server.folder, cut, commits);
    let mut options = server::options(&way.url());
    options.writers = 1;
    let store = Postgres::open(&options, server::env()).await.unwrap();
    (server, way, store, beside)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_a_doubt() {
    let (_server, _way, store, beside) = over(Cut::After, 1).await;
    let written = store.write(append("a", 0)).await;
    assert!(matches!(written, Err(DbError::InDoubt(_))), "{written:?}");
    // It is committed in fact, but who looks at once may come too early.
    for _ in 0..100 {
        if lines(&beside).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lines(&beside).await, 1);
    store.write(append("b", 1)).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_of_a_unit_that_can_be_proven_is_found_out() {
    let (_server, way, store, beside) = over(Cut::After, 1).await;
    let receipt = store.write(proven("a", 0)).await.unwrap();
    assert_eq!(receipt.changed, [1, 1]);
    assert_eq!(lines(&beside).await, 1, "once");
    assert_eq!(way.left.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_sent_again_if_the_unit_can_be_proven() {
    let (_server, _way, store, beside) = over(Cut::Before, 3).await;
    store.write(proven("a", 0)).await.unwrap();
    assert_eq!(lines(&beside).await, 1);
}

#[tokio::test]
async fn a_place_that_somebody_else_took_meanwhile_is_told_from_ones_own() {
    let (server, _way, store, beside) = over(Cut::Before, 1).await;
    // Takes the place as soon as the first sending's transaction is gone.
    let rival = server::open(&server.url()).await;
    let rule = "CREATE FUNCTION rival() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.id = 'a' THEN PERFORM pg_sleep(0.3); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER rival BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION rival()";
    beside.batch_execute(rule).await.unwrap();
    let ours = store.write(proven("a", 0));
    let theirs = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        rival.write(proven("b", 0)).await
    };
    let (ours, theirs) = tokio::join!(ours, theirs);
    theirs.unwrap();
    assert!(matches!(ours, Err(DbError::GuardFailed { .. })), "{ours:?}");
    assert_eq!(lines(&beside).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_is_told_of_and_found_again() {
    let server = Server::start(&[]);
    let url = fresh_schema(&server.url()).await;
    connect(&url).await.batch_execute(TABLE).await.unwrap();
    let mut options = server::options(&url);
    // Longer than the pauses between tries to reach it, 2 s at the most.
    options.patience = Duration::from_secs(3);
    let store = Postgres::open(&options, server::env()).await.unwrap();
    let mut at = 0;
    for (down, acknowledged) in [("stop", "a"), ("kill", "b")] {
        store.write(append(acknowledged, at)).await.unwrap();
        at += 1;
        tokio::task::block_in_place(|| server.tell(down));
        let write = store.write(append("lost", at)).await;
        let Err(DbError::Unavailable(told)) = write else { panic!("{write:?}") };
        assert!(told.contains("cannot be reached"), "{told}");
        assert!(matches!(store.read("SELECT 1", args![]).await, Err(DbError::Unavailable(_))));

        // Comes back by itself, and what was acknowledged is there.
        tokio::task::block_in_place(|| server.tell("up"));
        for _ in 0..100 {
            if store.read("SELECT 1", args![]).await.is_ok() {
                break;
            }
        }
        store.write(append(&format!("after {down}"), at)).await.unwrap();
        at += 1;
        let rows = store.read("SELECT id FROM lines WHERE id = $1", args![acknowledged]).await;
        assert_eq!(rows.unwrap().len(), 1);
    }
    let lost = store.read("SELECT id FROM lines WHERE id = 'lost'", args![]).await.unwrap();
    assert_eq!(lost.len(), 0, "what was refused never took effect");
}

#[tokio::test]
async fn a_server_that_is_paused_is_given_up_on_and_taken_up_again() {
    let server = Server::start(&[]);
    let url = fresh_schema(&server.url()).await;
    let beside = connect(&url).await;
    beside.batch_execute(TABLE).await.unwrap();
    let mut options = server::options(&url);
    (options.writers, options.readers) = (1, 1);
    options.patience = Duration::from_secs(1);
    options.answer_timeout = Duration::from_millis(500);
    let store = Postgres::open(&options, server::env()).await.unwrap();
    store.write(append("a", 0)).await.unwrap();
    let pids = "SELECT pid FROM pg_stat_activity WHERE application_name = 'freehold'";
    let pids = beside.query(pids, &[]).await.unwrap();
    let signal = |name: &str| {
        for row in &pids {
            let mut kill = std::process::Command::new("kill");
            assert!(
                kill.args([name, &row.get::<_, i32>(0).to_string()]).status().unwrap().success()
            );
        }
    };
    signal("-STOP");
    // The old connections say nothing; new ones are made.
    store.write(append("b", 1)).await.unwrap();
    assert_eq!(store.read("SELECT 1", args![]).await.unwrap().len(), 1);
    signal("-CONT");
    store.write(append("c", 2)).await.unwrap();
    assert_eq!(lines(&beside).await, 3);
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_it_holds_is_kept() {
    let url = fresh_url().await;
    let beside = connect(&url).await;
    beside.batch_execute("CREATE TABLE scratch (n BIGINT PRIMARY KEY)").await.unwrap();
    let mut options = server::options(&url);
    options.queue_units = 4;
    let store = Postgres::open(&options, server::env()).await.unwrap();
    let insert = |n: i64| {
        let mut unit = Unit::new("insert");
        unit.run("INSERT INTO scratch (n) VALUES ($1)", args![n]);
        store.write(unit)
    };
    let writes: Vec<_> = (0..200).map(insert).collect();
    let (mut kept, mut refused) = (0_i64, 0);
    for write in writes {
        match write.await {
            Ok(_) => kept += 1,
            Err(DbError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    let mut rows = store.read("SELECT COUNT(*) FROM scratch", args![]).await.unwrap();
    assert_eq!(rows.remove(0).take::<i64>(), Ok(kept));

    // Closing does what is queued, and then refuses.
    let last = insert(-1);
    store.close().await;
    last.await.unwrap();
    assert!(matches!(insert(-2).await, Err(DbError::Unavailable(_))));
    assert!(matches!(store.read("SELECT 1", args![]).await, Err(DbError::Unavailable(_))));
    assert_eq!(store.stats().connections, 0);
}

#[tokio::test]
async fn text_that_postgresql_cannot_hold_is_a_defect_and_harms_nobody_else() {
    let (store, _beside) = world().await;
    let write = store.write(append("nul\0", 0)).await;
    assert!(matches!(write, Err(DbError::Other(_))), "{write:?}");
    let endless = "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n)
        SELECT i FROM n";
    let (endless, other) =
        tokio::join!(store.read(endless, args![]), store.read("SELECT 1", args![]));
    assert!(matches!(endless, Err(DbError::Other(_))), "{endless:?}");
    assert_eq!(other.unwrap().len(), 1);
}

#[tokio::test]
async fn a_table_that_changes_under_a_prepared_query_costs_no_more_than_a_connection() {
    let (store, beside) = world().await;
    for _ in 0..10 {
        store.read("SELECT * FROM heads", args![]).await.unwrap();
    }
    beside.batch_execute("ALTER TABLE heads ADD COLUMN epoch BIGINT").await.unwrap();
    let mut rows = store.read("SELECT * FROM heads", args![]).await.unwrap();
    let mut row = rows.remove(0);
    assert_eq!((row.take::<String>().unwrap(), row.take::<i64>()), ("s".into(), Ok(0)));
    assert_eq!(row.take::<Option<i64>>(), Ok(None));
    store.write(append("a", 0)).await.unwrap();
    assert_eq!(lines(&beside).await, 1);
}

#[tokio::test]
async fn who_is_not_there_or_lets_nobody_in_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = server::options(&server::url_at(folder.path()));
    options.patience = Duration::from_millis(300);
    match Postgres::open(&options, server::env()).await {
        Err(error @ OpenError::Connect { .. }) => {
            let told = error.to_string();
            assert!(told.contains(&folder.path().display().to_string()), "{told}");
            assert!(told.contains("No such file"), "{told}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}
