//! Journals fold, without gaps, within their limits; and all that lies beside
//! them is what they fold to.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_runtime::event::{Event, Fact};
use freehold_runtime::state::State;
use freehold_runtime::worker::{Projections, Waiting, phase, projections};
use freehold_store::{timers, waits};
use freehold_types::{Offset, PageRequest, SessionId};

use super::Told;
use crate::journal::at_once;
use crate::world::{World, lock};

/// All kinds of things that a session waits for.
const WAITS: [&str; 5] = ["approval", "repeat", "client", "human", "budget"];

pub(super) fn check(world: &World, told: &Told) {
    let session = told.row.id;
    let state = match fold(told) {
        Ok(state) => state,
        Err(error) => return world.wrong(format!("{session}: {error}")),
    };
    if state.head.0 != told.row.head {
        world.wrong(format!("{session} ends at {}, its row says {}", state.head, told.row.head));
    }
    if phase(&state) != &*told.row.phase {
        world.wrong(format!("{session} is {}, its row says {}", phase(&state), told.row.phase));
    }
    match beside(world, session) {
        Ok(rows) => {
            let due = projections(&state);
            if rows != due {
                world.wrong(format!("beside {session} is {rows:?}, and should be {due:?}"));
            }
        }
        Err(error) => world.wrong(error),
    }
    loaded(world, session, &state);
    heard(world, told);
    contents(world, told);
}

fn fold(told: &Told) -> Result<State, String> {
    let mut state = State::default();
    let mut unit = None;
    let mut before = std::collections::BTreeSet::new();
    for event in &told.journal.events {
        within_limits(&state, event)?;
        state.apply(event).map_err(|error| error.to_string())?;
        if unit != Some(event.unit) {
            if !before.insert(event.unit.to_string()) {
                return Err(format!("the write of event {} comes in two parts", event.offset));
            }
            unit = Some(event.unit);
        }
    }
    Ok(state)
}

/// No step begins when a limit is reached.
fn within_limits(state: &State, event: &Event) -> Result<(), String> {
    let (Fact::ModelAsked(_), Some(turn)) = (&event.fact, &state.turn) else { return Ok(()) };
    let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
    if over(turn.steps, turn.limits.steps) || over(state.steps, state.limits.steps) {
        return Err(format!("event {} asks a model beyond the limit of steps", event.offset));
    }
    Ok(())
}

/// The rows beside a journal.
fn beside(world: &World, session: SessionId) -> Result<Projections, String> {
    let mut rows = Projections::default();
    let page = PageRequest::default();
    let set = at_once(timers::of_session(&*world.store, &world.tenant, session, &page));
    for timer in set.ok_or("it waits")?.map_err(|error| error.to_string())?.items {
        rows.timers.insert(timer.id, (timer.due_at, Offset(timer.offset)));
    }
    for kind in WAITS {
        let open = at_once(waits::list(&*world.store, &world.tenant, kind, &page));
        for wait in open.ok_or("it waits")?.map_err(|error| error.to_string())?.items {
            if wait.session == session {
                let offset = Offset(wait.offset);
                rows.waits.insert(wait.id, Waiting { kind, expires: wait.expires_at, offset });
            }
        }
    }
    Ok(rows)
}

/// What a node made of snapshot and journal is what the journal alone says.
fn loaded(world: &World, session: SessionId, state: &State) {
    let views = lock(&world.views);
    let Some(view) = views.get(&session) else { return };
    if view.head == state.head && **view != *state {
        world.wrong(format!("{session} is loaded as {view:?}, and is {state:?}"));
    }
}

/// Listeners heard the journal.
fn heard(world: &World, told: &Told) {
    let journal: BTreeMap<Offset, &Event> =
        told.journal.events.iter().map(|event| (event.offset, event)).collect();
    let book = lock(&world.book);
    let listeners = book.listeners.iter();
    for listener in listeners.filter(|listener| listener.session == Some(told.row.id)) {
        let other = listener.heard.iter().find(|event: &&Arc<Event>| {
            journal.get(&event.offset).is_none_or(|known| *known != &***event)
        });
        if let Some(event) = other {
            let said = format!("a listener heard event {} as {:?}", event.offset, event.fact);
            drop(book);
            return world.wrong(said);
        }
    }
}

/// What events name lies where they say.
fn contents(world: &World, told: &Told) {
    for event in &told.journal.events {
        for content in super::counts::contents(&event.fact) {
            if let Err(error) = told.journal.content(world, content) {
                world.wrong(format!("{} @{}: {error}", told.row.id, event.offset));
            }
        }
    }
}
