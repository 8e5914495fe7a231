//! The door itself: units, guards, order, reads.

use std::sync::Arc;

use freehold_types::{Db, DbError, Unit, args};

const INSERT: &str = "INSERT INTO scratch (name, n) VALUES ($1, $2)";
const COUNT: &str = "SELECT COUNT(*) FROM scratch";
const NAMES: &str = "SELECT name FROM scratch ORDER BY name";

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
    unit.run(
        "INSERT INTO kinds (a, b, c, d) VALUES ($1, $2, $3, $4)",
        args![i64::MIN, "héllo", vec![0_u8, 255], 0.1_f64],
    );
    unit.run(
        "INSERT INTO kinds (a, b, c, d) VALUES ($1, $2, $3, $4)",
        args![None::<i64>, None::<&str>, None::<Vec<u8>>, None::<f64>],
    );
    let receipt = db.write(unit).await.unwrap();
    assert_eq!(receipt.changed, [1, 1]);
    let sql = "SELECT a, b, c, d FROM kinds ORDER BY CASE WHEN a IS NULL THEN 1 ELSE 0 END";
    let mut rows = db.read(sql, args![]).await.unwrap();
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
    for n in 0..100 {
        db.write(insert(&n.to_string())).await.unwrap();
        assert_eq!(count(db).await, n + 1);
    }
}

pub(crate) async fn a_failed_guard_undoes_its_unit_and_no_other(db: &dyn Db) {
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
    let mut twice = insert("b");
    twice.run(INSERT, args!["a", 0_i64]);
    db.write(insert("a")).await.unwrap();
    let second = db.write(twice);
    let mut wrong = insert("c");
    wrong.run(INSERT, args!["too few"]);
    let third = db.write(wrong);
    let fourth = db.write(insert("d"));
    assert!(matches!(second.await, Err(DbError::Other(_))));
    assert!(matches!(third.await, Err(DbError::Other(_))));
    assert!(fourth.await.is_ok());
    assert_eq!(names(db).await, ["a", "d"]);
}

pub(crate) async fn all_that_is_under_way_together_takes_effect(db: &dyn Db) {
    let mut expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let mut writes: Vec<_> = expected.iter().map(|name| db.write(insert(name))).collect();
    // Awaited from the last: it is the calls that count.
    while let Some(write) = writes.pop() {
        write.await.unwrap();
    }
    expected.sort_unstable();
    assert_eq!(names(db).await, expected);
}

pub(crate) async fn a_unit_is_done_even_if_nobody_waits_for_it(db: &dyn Db) {
    drop(db.write(insert("a")));
    db.write(insert("b")).await.unwrap();
    for _ in 0..500 {
        if count(db).await == 2 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the first was not done");
}

pub(crate) async fn a_long_unit_is_whole_or_not_there(db: &dyn Db) {
    let long = |guard: u64| {
        let mut unit = Unit::new("long");
        for n in 0..500_i64 {
            unit.run(INSERT, args![format!("long {n}"), n]);
        }
        unit.expect(guard, "UPDATE scratch SET n = n + 1 WHERE name >= 'long'", args![]);
        unit
    };
    let failed = db.write(long(499)).await;
    assert!(matches!(failed, Err(DbError::GuardFailed { statement: 500, found: 500, .. })));
    assert_eq!(count(db).await, 0);
    assert_eq!(db.write(long(500)).await.unwrap().changed[500], 500);
    assert_eq!(count(db).await, 500);
}

pub(crate) async fn text_is_ordered_by_its_bytes(db: &dyn Db) {
    // In the aggregates' own tables: that is where pages rely on it.
    let sql = "INSERT INTO groups (tenant, name, limits, created_at) VALUES ($1, $2, '', 0)";
    let mut unit = Unit::new("insert");
    for name in ["a", "B", "_", "Z", "é", "a-b", "ab", "~"] {
        unit.run(sql, args!["t", name]);
    }
    db.write(unit).await.unwrap();
    let sql = "SELECT name FROM groups WHERE name > $1 ORDER BY name";
    let rows = db.read(sql, args!["B"]).await.unwrap();
    let found: Vec<String> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
    assert_eq!(found, ["Z", "_", "a", "a-b", "ab", "~", "é"]);
}

pub(crate) async fn those_who_take_two_rows_in_turn_all_get_through(db: &dyn Db) {
    for name in ["a", "b"] {
        db.write(insert(name)).await.unwrap();
    }
    let add = "UPDATE scratch SET n = n + 1 WHERE name = $1";
    let both = |first: &str, second: &str| {
        let mut unit = Unit::new("both");
        unit.expect(1, add, args![first]).expect(1, add, args![second]);
        db.write(unit)
    };
    // Where they run at the same time, each pair is a deadlock waiting to be
    // (and PostgreSQL takes a second to see one, so there are few).
    let writes: Vec<_> = (0..8).flat_map(|_| [both("a", "b"), both("b", "a")]).collect();
    for write in writes {
        write.await.unwrap();
    }
    let mut rows = db.read("SELECT n FROM scratch", args![]).await.unwrap();
    assert_eq!(rows.remove(0).take::<i64>(), Ok(16));
    assert_eq!(rows.remove(0).take::<i64>(), Ok(16));
}

pub(crate) async fn of_many_who_race_for_one_row_one_wins(db: &dyn Db) {
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
    let sql = "INSERT INTO scratch (name, n) VALUES ('x', 1) RETURNING n";
    assert!(db.read(sql, args![]).await.is_err());
    assert_eq!(count(db).await, 0);
}
