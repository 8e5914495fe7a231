//! Writes down a store as a build of the third migration had it, with events
//! of the first version: what the fixture of these weeks was made with.

use std::fmt::Write as _;
use std::sync::Arc;

use freehold_runtime::seal::{ContentKey, Place};
use freehold_store::sessions;
use freehold_types::{Row, SessionId, args};

use super::Weeks;
use super::node::DayEnv;
use crate::journal::{OpenKeys, at_once};

const SESSIONS: &str = "SELECT head, epoch, phase, created_at, updated_at, due_at FROM sessions
    WHERE id = $1";
const EVENTS: &str =
    "SELECT at_offset, kind, at, write_id, body FROM events WHERE session = $1 ORDER BY at_offset";
const TIMERS: &str = "SELECT id, due_at, at_offset FROM timers WHERE session = $1";
const WAITS: &str = "SELECT id, kind, since, expires_at, at_offset FROM waits WHERE session = $1";

/// The statements that make it again.
pub fn dumped(weeks: &Weeks, session: SessionId) -> Result<String, String> {
    let (store, tenant) = (&weeks.shared.store, &weeks.shared.tenant);
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let read = |sql: &str| store.query(sql, &args![session.to_string()]).map_err(|e| text(&e));
    let profile = at_once(sessions::profile(&**store, tenant, session)).ok_or("it waits")?;
    let profile = profile.map_err(|e| text(&e))?.ok_or("it has no profile")?;
    let wrapped = profile.content_key.ok_or("it has no key")?;
    let key = at_once(ContentKey::unwrap(&OpenKeys, tenant, session, &wrapped));
    let key = key.ok_or("it waits")?.map_err(|e| text(&e))?;
    let env = DayEnv::new(&weeks.shared.clock, 0, 3);
    let mut sql = String::new();
    let mut add = |table: &str, values: &[String]| {
        let values = values.join(", ");
        // Writing into text does not fail.
        writeln!(sql, "INSERT INTO {table} VALUES ('main', '{session}', {values});").ok();
    };
    let about = quoted(&profile.about);
    add("profiles (tenant, session, about, content_key)", &[about, hex(&wrapped)]);
    for mut row in read(SESSIONS)? {
        let (head, epoch, phase) = (int(&mut row)?, int(&mut row)?, string(&mut row)?);
        let rest = [int(&mut row)?, int(&mut row)?, int(&mut row)?];
        let [created, updated, due] = rest;
        let columns = "sessions (tenant, id, head, epoch, timeline, phase, created_at, updated_at,
            due_at)";
        add(columns, &[head, epoch, "1".into(), phase, created, updated, due]);
    }
    for mut row in read(EVENTS)? {
        let offset: u64 = row.take().map_err(|e| text(&e))?;
        let (kind, at) = (string(&mut row)?, int(&mut row)?);
        let (write, body) = (bytes(&mut row)?, bytes(&mut row)?);
        let place = Place::Event(offset);
        let plain = key.open(session, place, &body).map_err(|e| text(&e))?;
        let plain = String::from_utf8(plain).map_err(|e| text(&e))?;
        let plain = plain.replacen("{\"v\":2,", "{\"v\":1,", 1).replacen(",\"timeline\":1", "", 1);
        let body = key.seal(&env, session, place, plain.as_bytes());
        let columns = "events (tenant, session, at_offset, kind, version, at, write_id, body)";
        add(columns, &[offset.to_string(), kind, "1".into(), at, hex(&write), hex(&body)]);
    }
    for mut row in read(TIMERS)? {
        let values = [string(&mut row)?, int(&mut row)?, int(&mut row)?];
        add("timers (tenant, session, id, due_at, at_offset)", &values);
    }
    for mut row in read(WAITS)? {
        let (id, kind) = (string(&mut row)?, string(&mut row)?);
        let values = [id, kind, int(&mut row)?, int(&mut row)?, int(&mut row)?];
        add("waits (tenant, session, id, kind, since, expires_at, at_offset)", &values);
    }
    Ok(sql)
}

fn int(row: &mut Row) -> Result<String, String> {
    let value: Option<i64> = row.take().map_err(|error| error.to_string())?;
    Ok(value.map_or_else(|| "NULL".into(), |value| value.to_string()))
}

fn string(row: &mut Row) -> Result<String, String> {
    let value: Arc<str> = row.take().map_err(|error| error.to_string())?;
    Ok(quoted(&value))
}

fn bytes(row: &mut Row) -> Result<Arc<[u8]>, String> {
    row.take().map_err(|error| error.to_string())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").ok();
        digits
    });
    format!("X'{digits}'")
}
