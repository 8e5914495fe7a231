//! The door itself: units, guards, order, reads.

use std::sync::Arc;

use freehold_types::{Db, DbError, Unit, args};

const INSERT: &str = "INSERT INTO scratch (name, n) VALUES ($1, $2)";
const COUNT: &str = "SELECT COUNT(*) FROM scratch";
const NAMES: &str = "SELECT name FROM scratch ORDER BY place";

async fn scratch(db: &dyn Db) {
    let mut unit = Unit::new("create");
    unit.run(
        "CREATE TABLE scratch (place INTEGER PRIMARY KEY, name TEXT UNIQUE, n BIGINT)",
        args![],
    );
    db.write(unit).await.unwrap();
}

fn insert(name: &str) -> Unit {
    let mut unit = Unit::new("insert");
    unit.run(INSERT, args![name, 0_i64]);
    unit
}

async fn count(db: &dyn Db) -> i64 {
    db.read(COUNT, args![]).await.unwrap().remove(0).take().unwrap()
}

async fn names(db: &dyn Db) -> Vec<String> {
    let rows = db.read(NAMES, args![]).await.unwrap();
    rows.into_iter().map(|mut row| row.take().unwrap()).collect()
}

pub(crate) async fn every_type_comes_back_as_it_was_written(db: &dyn Db) {
    let mut unit = Unit::new("types");
    unit.run("CREATE TABLE kinds (a BIGINT, b TEXT, c BLOB, d DOUBLE PRECISION)", args![]);
    unit.run(
        "INSERT INTO kinds (a, b, c, d) VALUES ($1, $2, $3, $4)",
        args![i64::MIN, "héllo", vec![0_u8, 255], 0.1_f64],
    );
    unit.run(
        "INSERT INTO kinds (a, b, c, d) VALUES ($1, $2, $3, $4)",
        args![None::<i64>, None::<&str>, None::<Vec<u8>>, None::<f64>],
    );
    let receipt = db.write(unit).await.unwrap();
    assert_eq!(receipt.changed[1..], [1, 1]);
    let mut rows = db.read("SELECT a, b, c, d FROM kinds", args![]).await.unwrap();
    let (mut full, mut empty) = (rows.remove(0), rows.remove(0));
    assert_eq!(full.take(), Ok(i64::MIN));
    assert_eq!(full.take(), Ok(String::from("héllo")));
    assert_eq!(full.take::<Arc<[u8]>>(), Ok(Arc::from([0_u8, 255])));
    assert_eq!(full.take(), Ok(0.1_f64));
    assert_eq!(empty.take(), Ok(None::<i64>));
    assert_eq!(empty.take(), Ok(None::<String>));
    assert_eq!(empty.take(), Ok(None::<Arc<[u8]>>));
    assert_eq!(empty.take(), Ok(None::<f64>));
}

pub(crate) async fn a_write_is_seen_by_the_read_after_it(db: &dyn Db) {
    scratch(db).await;
    for n in 0..100 {
        db.write(insert(&n.to_string())).await.unwrap();
        assert_eq!(count(db).await, n + 1);
    }
}

pub(crate) async fn a_failed_guard_undoes_its_unit_and_no_other(db: &dyn Db) {
    scratch(db).await;
    let mut guarded = insert("b");
    guarded.expect(1, "UPDATE scratch SET n = 1 WHERE name = $1", args!["nobody"]);
    guarded.run(INSERT, args!["c", 0_i64]);
    // Queued together, so that they share a commit where there are commits.
    let first = db.write(insert("a"));
    let second = db.write(guarded);
    let third = db.write(insert("d"));
    assert!(first.await.is_ok());
    let failed = DbError::GuardFailed { unit: "insert", statement: 1, expected: 1, found: 0 };
    assert_eq!(second.await, Err(failed));
    assert!(third.await.is_ok());
    assert_eq!(names(db).await, ["a", "d"]);
}

pub(crate) async fn a_refused_statement_undoes_its_unit_and_no_other(db: &dyn Db) {
    scratch(db).await;
    let mut twice = insert("b");
    twice.run(INSERT, args!["a", 0_i64]);
    let first = db.write(insert("a"));
    let second = db.write(twice);
    let mut wrong = insert("c");
    wrong.run(INSERT, args!["too few"]);
    let third = db.write(wrong);
    let fourth = db.write(insert("d"));
    assert!(first.await.is_ok());
    assert!(matches!(second.await, Err(DbError::Other(_))));
    assert!(matches!(third.await, Err(DbError::Other(_))));
    assert!(fourth.await.is_ok());
    assert_eq!(names(db).await, ["a", "d"]);
}

pub(crate) async fn units_take_effect_in_the_order_of_the_calls(db: &dyn Db) {
    scratch(db).await;
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let mut writes: Vec<_> = expected.iter().map(|name| db.write(insert(name))).collect();
    // Awaited from the last: it is the calls that count.
    while let Some(write) = writes.pop() {
        write.await.unwrap();
    }
    assert_eq!(names(db).await, expected);
}

pub(crate) async fn a_unit_is_done_even_if_nobody_waits_for_it(db: &dyn Db) {
    scratch(db).await;
    drop(db.write(insert("a")));
    db.write(insert("b")).await.unwrap();
    assert_eq!(names(db).await, ["a", "b"]);
}

pub(crate) async fn of_many_who_race_for_one_row_one_wins(db: &dyn Db) {
    scratch(db).await;
    db.write(insert("row")).await.unwrap();
    let take = |n: i64| {
        let mut unit = Unit::new("take");
        unit.expect(1, "UPDATE scratch SET n = $1 WHERE name = 'row' AND n = 0", args![n]);
        db.write(unit)
    };
    let races: Vec<_> = (1..=64).map(take).collect();
    let mut winners = Vec::new();
    for (n, race) in (1_i64..).zip(races) {
        match race.await {
            Ok(_) => winners.push(n),
            Err(error) => assert!(matches!(error, DbError::GuardFailed { .. }), "{error}"),
        }
    }
    let mut rows = db.read("SELECT n FROM scratch", args![]).await.unwrap();
    assert_eq!(winners, [rows.remove(0).take::<i64>().unwrap()]);
}

pub(crate) async fn a_read_cannot_write(db: &dyn Db) {
    scratch(db).await;
    let sql = "INSERT INTO scratch (name, n) VALUES ('x', 1) RETURNING n";
    assert!(db.read(sql, args![]).await.is_err());
    assert_eq!(count(db).await, 0);
}
