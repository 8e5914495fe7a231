//! What must be true after each step: what was added folds onto what was there,
//! and the session's row says the same.

use freehold_runtime::state::State;
use freehold_runtime::worker::phase;
use freehold_store::sessions::Session;
use freehold_types::{SessionId, Unit};

use crate::journal::{self, Journal};
use crate::story::{body_of, events_of, is_event};
use crate::world::{World, lock};

/// A session as it folded so far, and what opens its events.
pub(crate) struct Folded {
    journal: Journal,
    state: State,
}

/// A unit took effect just now that added events to a session, whose row is
/// this since.
pub(super) fn added(world: &World, unit: &Unit, session: SessionId, row: &Session) {
    let known = lock(&world.folded).remove(&session);
    let folded = match known {
        Some(folded) => on(folded, unit),
        // A fork is not there before it is confirmed.
        None if unit.label() == "sessions.fork" => return,
        None => whole(world, session),
    };
    match folded {
        Ok(folded) => {
            let state = &folded.state;
            let (head, word) = (state.head.0, phase(state));
            if head != row.head || word != &*row.phase {
                let (says, is) = (row.head, &row.phase);
                world.wrong(format!("{session} is {word} at {head}, its row says {is} at {says}"));
            }
            lock(&world.folded).insert(session, folded);
        }
        Err(error) => world.wrong(format!("{session}: {error}")),
    }
}

/// Adds the events of a unit.
fn on(mut folded: Folded, unit: &Unit) -> Result<Folded, String> {
    let events = unit.statements().iter().filter(|statement| is_event(statement.sql));
    for (statement, (offset, _)) in events.zip(events_of(unit)) {
        let offset = u64::try_from(offset).map_err(|error| error.to_string())?;
        let body = body_of(statement).ok_or("an event has no body")?;
        let event = folded.journal.open(offset, body)?;
        folded.state.apply(&event).map_err(|error| error.to_string())?;
    }
    Ok(folded)
}

fn whole(world: &World, session: SessionId) -> Result<Folded, String> {
    let journal = journal::read(world, session)?.ok_or("it has events and is not there")?;
    let mut folded = Folded { journal, state: State::default() };
    for event in std::mem::take(&mut folded.journal.events) {
        folded.state.apply(&event).map_err(|error| error.to_string())?;
    }
    Ok(folded)
}
