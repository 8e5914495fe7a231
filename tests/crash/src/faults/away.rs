//! PostgreSQL that may not be written, has rows of a newer version, or is gone.

use std::path::Path;

use anyhow::Result;

use super::desk::{Checks, Desk, plan};
use crate::clock::{nap, now};
use crate::database::Database;

fn open(program: &Path, folder: &Path, database: &Database) -> Result<Desk> {
    let store = format!("[store]\nurl = \"{}\"\n", database.url());
    Desk::open(program, folder, &store)
}

/// What a server says that may only be read: one that was a standby, or is to be
/// taken out of service.
const REFUSE: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction'
    USING ERRCODE = '25006'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse()";

pub(super) fn read_only(program: &Path, folder: &Path, checks: &mut Checks) -> Result<()> {
    let database = Database::start()?;
    let desk = open(program, folder, &database)?;
    let session = desk.create(&plan("before", &["i"]))?;
    desk.ended(&session, 1)?;
    let busy = plan("meanwhile", &["IQP"]);
    let working = desk.create(&busy)?;
    desk.event(&working, "tool_started")?;
    database.run(REFUSE)?;
    let refused = desk.say(&session, &plan("refused", &[]))?;
    checks.refused("an input that cannot be written", &refused, 503, "store.failed");
    let read = desk.get(&format!("/v1/freehold/sessions/{session}"))?;
    checks.so("what is there is read", read.status() == 200, read.json());
    database.run("DROP TRIGGER refuse ON events")?;
    let ended = desk.ended(&working, 1)?;
    checks.so("the turn that was at work is done", ended == ["done"], format!("{ended:?}"));
    let paid = desk.effects(&busy);
    checks.so("each of its three payments was made once", paid == 3, paid);
    let after = desk.say(&session, &plan("after", &["i"]))?;
    checks.so("the next input is taken", after.status() == 200, after.json());
    desk.ended(&session, 2)?;
    checks.so("what was accepted is kept", desk.kept(&session, &["before", "after"])?, "it is not");
    newer(&desk, &database, &session, checks)
}

/// A journal that a newer version wrote.
fn newer(desk: &Desk, database: &Database, session: &str, checks: &mut Checks) -> Result<()> {
    let other = desk.create(&plan("other", &["i"]))?;
    desk.ended(&other, 1)?;
    let row = format!("session = '{session}' AND at_offset = 3");
    database.run(&format!("UPDATE events SET version = 99 WHERE {row}"))?;
    let path = format!("/v1/freehold/sessions/{session}/journal");
    let answer = desk.get(&path)?;
    checks.refused("a journal of a newer version", &answer, 500, "store.damaged");
    let told = || {
        let log = desk.node.log();
        log.contains("of version 99") && log.contains("upgrade")
    };
    // The log is written by and by.
    let asked = now();
    while !told() && now().duration_since(asked).as_secs() < 5 {
        nap(50);
    }
    let told = told();
    checks.so("the log names the version, and says what to do", told, "it does not");
    let beside = desk.get(&format!("/v1/freehold/sessions/{other}/journal"))?;
    checks.so("other sessions are read", beside.status() == 200, beside.json());
    database.run(&format!("UPDATE events SET version = 1 WHERE {row}"))?;
    checks.so("it is read by the version that knows it", desk.get(&path)?.status() == 200, "no");
    Ok(())
}

pub(super) fn gone(program: &Path, folder: &Path, seconds: u64, checks: &mut Checks) -> Result<()> {
    let mut database = Database::start()?;
    let desk = open(program, folder, &database)?;
    let session = desk.create(&plan("before", &["i"]))?;
    desk.ended(&session, 1)?;
    let busy = plan("meanwhile", &["IQP"]);
    let working = desk.create(&busy)?;
    desk.event(&working, "tool_started")?;
    database.tell("kill")?;
    let began = now();
    let refused = desk.say(&session, &plan("refused", &[]))?;
    checks.refused("an input while it is gone", &refused, 503, "store.failed");
    let took = now().duration_since(began).as_secs_f64();
    checks.so("it was told within 15 s", took < 15.0, took);
    while now().duration_since(began).as_secs() < seconds {
        nap(100);
    }
    let ready = desk.get("/readyz")?;
    checks.so("readiness tells", ready.json().to_string().contains("store"), ready.json());
    database.tell("up")?;
    let back = now();
    let ended = desk.ended(&working, 1)?;
    checks.so("the turn that was at work is done", ended == ["done"], format!("{ended:?}"));
    let took = now().duration_since(back).as_secs_f64();
    checks.so(&format!("{took:.1} s after the database came back (< 15)"), took < 15.0, took);
    let paid = desk.effects(&busy);
    checks.so("each of its three payments was made once", paid == 3, paid);
    let after = desk.say(&session, &plan("after", &["i"]))?;
    checks.so("the next input is taken", after.status() == 200, after.json());
    desk.ended(&session, 2)?;
    checks.so("what was accepted is kept", desk.kept(&session, &["before", "after"])?, "it is not");
    Ok(())
}
