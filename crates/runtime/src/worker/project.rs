//! What of a state lies in tables beside the journal, for those who look
//! across sessions: timers, and what a session waits for. A function of the
//! state, so that it can be checked, and made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_store::timers::{self, Timer};
use freehold_store::waits::{self, Wait};
use freehold_types::{Offset, Unit};
use jiff::Timestamp;

use crate::archive::Id;
use crate::event::{Place, Question};
use crate::state::{State, Status};

/// Where a session stands, in a word.
pub fn phase(state: &State) -> &'static str {
    let Some(turn) = &state.turn else {
        return if state.sealed.is_some() { "sealed" } else { "idle" };
    };
    if state.sealed.is_some() {
        "sealed"
    } else if turn.paused.is_some() {
        "paused"
    } else if turn.active_since.is_none() {
        "waiting"
    } else {
        "running"
    }
}

/// The rows beside the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projections {
    /// By name: when it fires, and the event that set it.
    pub timers: BTreeMap<Arc<str>, (Timestamp, Offset)>,
    /// By name of the call or approval.
    pub waits: BTreeMap<Arc<str>, Waiting>,
}

/// Something that a session waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// `approval`, `repeat`, `client`, `human` or `budget`.
    pub kind: &'static str,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// The event that says what for.
    pub offset: Offset,
}

/// The rows of a state.
pub fn projections(state: &State) -> Projections {
    let mut rows = Projections::default();
    if state.sealed.is_some() {
        // All of it is another cell's to find.
        return rows;
    }
    for timer in &state.timers {
        rows.timers.insert(timer.id.to_string().into(), (timer.due, timer.set));
    }
    let Some(turn) = &state.turn else { return rows };
    for call in &turn.calls {
        let kind = match call.status {
            Status::Running { place: Place::Client, .. } => "client",
            Status::Running { place: Place::Human, .. } => "human",
            _ => continue,
        };
        let wait = Waiting { kind, expires: None, offset: call.intended };
        rows.waits.insert(call.id.to_string().into(), wait);
    }
    for approval in &state.approvals {
        let kind = match approval.question {
            Question::Start => "approval",
            Question::Repeat => "repeat",
        };
        let offset = state.call(approval.call).map_or(state.head, |call| call.intended);
        let wait = Waiting { kind, expires: Some(approval.expires), offset };
        rows.waits.insert(approval.id.to_string().into(), wait);
    }
    if turn.paused.is_some() {
        let wait = Waiting { kind: "budget", expires: None, offset: turn.started };
        rows.waits.insert(turn.id.to_string().into(), wait);
    }
    rows
}

/// Adds to a unit what turns the rows of one state into those of the next.
pub(crate) fn project(
    unit: &mut Unit,
    id: &Id,
    before: &Projections,
    after: &Projections,
    now: Timestamp,
) {
    for (name, row) in &after.timers {
        if before.timers.get(name) != Some(row) {
            let timer = Timer {
                tenant: id.tenant.clone(),
                session: id.session,
                id: Arc::clone(name),
                due_at: row.0,
                offset: row.1.0,
            };
            timers::set(unit, &timer);
        }
    }
    for name in before.timers.keys().filter(|name| !after.timers.contains_key(*name)) {
        timers::clear(unit, &id.tenant, id.session, name);
    }
    for (name, wait) in &after.waits {
        if before.waits.contains_key(name) {
            continue;
        }
        let wait = Wait {
            tenant: id.tenant.clone(),
            session: id.session,
            id: Arc::clone(name),
            kind: wait.kind.into(),
            since: now,
            expires_at: wait.expires,
            offset: wait.offset.0,
        };
        waits::open(unit, &wait);
    }
    for name in before.waits.keys().filter(|name| !after.waits.contains_key(*name)) {
        waits::close(unit, &id.tenant, id.session, name);
    }
}
